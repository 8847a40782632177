"""A SIP message: start line, header table, body (RFC 3261 7).

The table keeps each header line as it was received, beside its canonical name. Nothing is decoded until somebody
asks, and what was not touched is sent on byte for byte. Text is UTF-8 with surrogateescape, so no byte is lost.

A message may be changed by whoever made it until it is handed on; afterwards nobody changes it: take a ``copy()``.
"""

from __future__ import annotations

from typing import TypeVar

from gosip_py.sip.errors import ParseError
from gosip_py.sip.grammar import split_commas, unfold
from gosip_py.sip.headers import Address, CSeq, Via, parse_address, parse_cseq, parse_via, read_tag
from gosip_py.sip.names import COMMA_SEPARATED, wire_name
from gosip_py.sip.uri import Uri, parse_uri

__all__ = ["Message", "Request", "Response"]

_M = TypeVar("_M", bound="Message")


# What was decoded of a header, and is not true any more when it changes.
_REMEMBERED = {
    "via": ("_top_via",),
    "cseq": ("_cseq",),
    "call-id": ("_call_id",),
    "from": ("_from", "_from_tag"),
    "to": ("_to_tag",),
}


class Message:
    """What requests and responses share. ``names`` and ``lines`` are parallel."""

    __slots__ = ("_call_id", "_cseq", "_from", "_from_tag", "_to_tag", "_top_via", "body", "lines", "names")

    # Request and Response write this out in their own, to save a call for each message.
    def __init__(self, names: list[str], lines: list[str], body: bytes = b"") -> None:
        self.names = names
        self.lines = lines
        self.body = body
        self._top_via: Via | None = None
        self._cseq: CSeq | None = None
        self._call_id: str | None = None
        self._from: Address | None = None
        self._from_tag: str | None = None
        self._to_tag: str | None = None

    # -- reading ----------------------------------------------------------------------------------------------------

    @property
    def start_line(self) -> str:
        raise NotImplementedError

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def value(self, name: str) -> str | None:
        """The value of the first header with this canonical name, unfolded and stripped; None when there is none."""
        names = self.names
        if name not in names:
            return None
        line = self.lines[names.index(name)]
        return line.partition(":")[2].strip(" \t") if "\n" not in line else _value_of(line)

    def values(self, name: str) -> list[str]:
        """The values of all headers with this canonical name, in order, split at commas where it allows several."""
        count = self.names.count(name)
        if count == 0:
            return []
        if count == 1 and "," not in (value := self.require(name)):
            return [value] if value or name not in COMMA_SEPARATED else []
        found = [_value_of(line) for line_name, line in zip(self.names, self.lines, strict=True) if line_name == name]
        if name not in COMMA_SEPARATED:
            return found
        return [element for value in found for element in split_commas(value)]

    def first(self, name: str) -> str:
        """The first of `values`; ParseError when there is none, as in a header of commas only."""
        for value in self.values(name):
            return value
        raise ParseError(f"{wire_name(name)} is {'empty' if name in self.names else 'missing'}")

    def has_token(self, name: str, token: str) -> bool:
        """Whether ``token`` stands, in any case, among the values (Require, Supported, Allow)."""
        return name in self.names and token.lower() in [value.lower() for value in self.values(name)]

    def require(self, name: str) -> str:
        """As ``value``, but ParseError when the header is missing."""
        try:
            line = self.lines[self.names.index(name)]
        except ValueError:
            raise ParseError(f"{wire_name(name)} is missing") from None
        return line.partition(":")[2].strip(" \t") if "\n" not in line else _value_of(line)

    @property
    def top_via(self) -> Via:
        """The topmost Via; ParseError when there is none or it cannot be read."""
        via = self._top_via
        if via is None:
            value = self.require("via")
            if "," in value:
                value = next(iter(split_commas(value)), "")
            via = self._top_via = parse_via(value)
        return via

    @property
    def cseq(self) -> CSeq:
        cseq = self._cseq
        if cseq is None:
            cseq = self._cseq = parse_cseq(self.require("cseq"))
        return cseq

    @property
    def call_id(self) -> str:
        call_id = self._call_id
        if call_id is None:
            call_id = self._call_id = self.require("call-id")
        return call_id

    @property
    def from_tag(self) -> str:
        """The tag of From, empty when there is none."""
        tag = self._from_tag
        if tag is None:
            tag = self._from_tag = read_tag(self.require("from"))
        return tag

    @property
    def to_tag(self) -> str:
        """The tag of To, empty when there is none."""
        tag = self._to_tag
        if tag is None:
            tag = self._to_tag = read_tag(self.require("to"))
        return tag

    def ids(self) -> tuple[str, str, str]:
        """Call-ID, From tag and To tag, as `call_id`, `from_tag` and `to_tag` tell each of them (RFC 3261 12)."""
        call_id, from_tag, to_tag = self._call_id, self._from_tag, self._to_tag
        if call_id is None:
            call_id = self._call_id = self.require("call-id")
        if from_tag is None:
            from_tag = self._from_tag = read_tag(self.require("from"))
        if to_tag is None:
            to_tag = self._to_tag = read_tag(self.require("to"))
        return call_id, from_tag, to_tag

    def is_about(self, request: Request) -> bool:
        """Whether Call-ID, From tag and CSeq number are those of ``request``; ParseError as in `ids`."""
        ours, theirs = self.ids(), request.ids()
        if ours[0] != theirs[0] or ours[1] != theirs[1]:
            return False
        return (self._cseq or self.cseq).number == (request._cseq or request.cseq).number

    @property
    def from_(self) -> Address:
        address = self._from
        if address is None:
            address = self._from = parse_address(self.require("from"))
        return address

    @property
    def to(self) -> Address:
        return parse_address(self.require("to"))

    def addresses(self, name: str) -> list[Address]:
        """Every address of Contact, Route, Record-Route, Path and the like."""
        return [parse_address(value) for value in self.values(name)]

    # -- changing, before the message is handed on -------------------------------------------------------------------

    def add(self, name: str, value: str) -> None:
        """Append a header."""
        self.names.append(name)
        self.lines.append(f"{wire_name(name)}: {value}")

    def prepend(self, name: str, value: str) -> None:
        """Put a header above the first of its name, or at the top when there is none."""
        names = self.names
        at = names.index(name) if name in names else 0
        names.insert(at, name)
        self.lines.insert(at, f"{wire_name(name)}: {value}")
        self._forget(name)

    def push_via(self, value: str) -> None:
        """Put a Via on top, as whoever sends a message does (RFC 3261 8.1.1.7)."""
        self.names.insert(0, "via")
        self.lines.insert(0, "Via: " + value)
        self._top_via = None

    def set(self, name: str, value: str) -> None:
        """Make ``value`` the only header of this name, where the first one stood."""
        names = self.names
        if name not in names:
            self.add(name, value)
            self._forget(name)
            return
        at = names.index(name)
        self.lines[at] = f"{wire_name(name)}: {value}"
        if name in names[at + 1 :]:
            self._remove_after(name, at)
        self._forget(name)

    def remove(self, name: str) -> None:
        """Take out every header of this name."""
        if name in self.names:
            self._remove_after(name, -1)
            self._forget(name)

    def pop_value(self, name: str) -> str | None:
        """Take out the first value of a header and return it: a response's top Via, a request's first Route."""
        names = self.names
        if name not in names:
            return None
        at = names.index(name)
        if name in _REMEMBERED:
            self._forget(name)
        value = _value_of(self.lines[at])
        if "," in value and len(elements := split_commas(value)) > 1:
            self.lines[at] = f"{wire_name(name)}: {', '.join(elements[1:])}"
            return elements[0]
        del names[at], self.lines[at]
        return value

    def _remove_after(self, name: str, at: int) -> None:
        kept = [i for i, line_name in enumerate(self.names) if line_name != name or i == at]
        self.names[:] = [self.names[i] for i in kept]
        self.lines[:] = [self.lines[i] for i in kept]

    def _forget(self, name: str) -> None:
        for decoded in _REMEMBERED.get(name, ()):
            setattr(self, decoded, None)

    # -- writing ----------------------------------------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """The message as it goes out. Content-Length is the writer's duty: see ``set_body``."""
        head = "\r\n".join((self.start_line, *self.lines, "", ""))
        return head.encode("utf-8", "surrogateescape") + self.body

    def set_body(self, body: bytes, content_type: str | None = None) -> None:
        """Replace the body with its Content-Type (None: no body type) and Content-Length."""
        self.body = body
        if content_type is not None:
            self.set("content-type", content_type)
        self.set("content-length", str(len(body)))


class Request(Message):
    """A request.

    ``uri_text`` is the Request-URI as received; ``version`` is SIP/2.0 unless the peer speaks something else.
    """

    __slots__ = ("_uri", "method", "uri_text", "version")

    def __init__(
        self,
        method: str,
        uri_text: str,
        names: list[str],
        lines: list[str],
        body: bytes = b"",
        version: str = "SIP/2.0",
    ) -> None:
        self.names = names
        self.lines = lines
        self.body = body
        self._top_via = self._cseq = self._call_id = self._from = self._from_tag = self._to_tag = None
        self.method = method
        self.uri_text = uri_text
        self.version = version
        self._uri: Uri | None = None

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.value('call-id')}>"

    @property
    def start_line(self) -> str:
        return f"{self.method} {self.uri_text} {self.version}"

    @property
    def uri(self) -> Uri:
        """The decoded Request-URI; ParseError when it is none that we know."""
        uri = self._uri
        if uri is None:
            uri = parse_uri(self.uri_text)
            if uri.headers:
                # RFC 3261 19.1.1, table 1. Whoever forwarded them would let the sender write headers of ours.
                raise ParseError("the Request-URI asks for headers")
            self._uri = uri
        return uri

    def set_uri(self, uri_text: str) -> None:
        """Aim the request at ``uri_text``, without what no Request-URI may hold (RFC 3261 16.6 item 2)."""
        if "?" in uri_text:
            uri_text = _without_headers(uri_text)
        self.uri_text = uri_text
        self._uri = None

    def copy(self) -> Request:
        """An independent request with the same start line, headers and body."""
        twin = Request(self.method, self.uri_text, self.names[:], self.lines[:], self.body, self.version)
        twin._uri = self._uri
        return _carry(self, twin)


class Response(Message):
    """A response. ``status`` is the code 100..699."""

    __slots__ = ("reason", "status")

    def __init__(self, status: int, reason: str, names: list[str], lines: list[str], body: bytes = b"") -> None:
        self.names = names
        self.lines = lines
        self.body = body
        self._top_via = self._cseq = self._call_id = self._from = self._from_tag = self._to_tag = None
        self.status = status
        self.reason = reason

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.value('call-id')}>"

    @property
    def start_line(self) -> str:
        return f"SIP/2.0 {self.status} {self.reason}"

    def copy(self) -> Response:
        """An independent response with the same start line, headers and body."""
        return _carry(self, Response(self.status, self.reason, self.names[:], self.lines[:], self.body))

    def upstream(self) -> Response:
        """The response without its top Via, for the way back (RFC 3261 16.7 item 3)."""
        if self.names[:1] != ["via"] or "," in self.lines[0]:
            twin = self.copy()
            twin.pop_value("via")
            return twin
        twin = _carry(self, Response(self.status, self.reason, self.names[1:], self.lines[1:], self.body))
        twin._top_via = None
        return twin


def _without_headers(uri_text: str) -> str:
    """The text of a URI up to its headers; before an ``@`` a question mark belongs to the user."""
    at = uri_text.find("?", uri_text.find("@") + 1)
    return uri_text if at < 0 else uri_text[:at]


def _carry(source: Message, twin: _M) -> _M:
    twin._top_via = source._top_via
    twin._cseq = source._cseq
    twin._call_id = source._call_id
    twin._from = source._from
    twin._from_tag = source._from_tag
    twin._to_tag = source._to_tag
    return twin


def _value_of(line: str) -> str:
    value = line[line.index(":") + 1 :].strip(" \t")
    return unfold(value).strip(" \t") if "\n" in value else value
