"""The messages in tests/vectors, octet for octet, and a few that are built here."""

from __future__ import annotations

from pathlib import Path

from gosip_py.sip.message import Message
from gosip_py.sip.parser import parse_message

__all__ = ["FOLDER", "names", "octets", "parsed", "with_headers"]

FOLDER = Path(__file__).parent.parent / "vectors"


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.sip"))


def octets(name: str) -> bytes:
    return (FOLDER / f"{name}.sip").read_bytes()


def parsed(name: str) -> Message:
    return parse_message(octets(name))


def with_headers(*lines: str, body: bytes = b"", start: str = "OPTIONS sip:ruth@harbour.example SIP/2.0") -> bytes:
    """A request of these header lines and nothing else but its Content-Length."""
    head = "\r\n".join((start, *lines, f"Content-Length: {len(body)}", "", ""))
    return head.encode("utf-8", "surrogateescape") + body
