"""A SIP message as a scripted phone reads it: not by the code under test."""

from __future__ import annotations

import re

import attrs

__all__ = ["Received"]

_COMPACT = {
    "v": "via",
    "f": "from",
    "t": "to",
    "i": "call-id",
    "m": "contact",
    "l": "content-length",
    "c": "content-type",
}


@attrs.frozen
class Received:
    """A message as it came."""

    start: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @classmethod
    def read(cls, octets: bytes) -> Received:
        """Head and body of one message; folded lines do not come from the server."""
        head, _, body = octets.partition(b"\r\n\r\n")
        start, *lines = head.decode("utf-8", "surrogateescape").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = ((name.strip().lower(), value.strip()) for name, _, value in pairs)
        return cls(start, tuple((_COMPACT.get(name, name), value) for name, value in headers), body)

    @property
    def status(self) -> int:
        """The code of a response, 0 for a request."""
        return int(self.start.split(" ")[1]) if self.start.startswith("SIP/2.0 ") else 0

    @property
    def method(self) -> str:
        """Of a request its own, of a response that of its CSeq."""
        return self["cseq"].split()[1] if self.status else self.start.split(" ")[0]

    @property
    def uri(self) -> str:
        """The Request-URI."""
        return self.start.split(" ")[1]

    def __getitem__(self, name: str) -> str:
        """The first value of a header; KeyError when there is none."""
        for found, value in self.headers:
            if found == name:
                return value
        raise KeyError(f"no {name} in {self}")

    def all(self, name: str) -> list[str]:
        """Every value of a header whose values are addresses or Vias, in order."""
        lines = [value for found, value in self.headers if found == name]
        return [value.strip() for line in lines for value in re.split(r",\s*(?=<|SIP/)", line)]

    @property
    def to_tag(self) -> str:
        """The tag of To, "" when there is none."""
        return self["to"].partition(";tag=")[2].partition(";")[0]

    def __str__(self) -> str:
        return f"{self.start} ({self['cseq']})" if any(name == "cseq" for name, _ in self.headers) else self.start
