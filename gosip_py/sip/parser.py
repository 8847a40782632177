"""Bytes to message (RFC 3261 7, 18.3): structure only, headers stay undecoded.

What is checked here is what nobody above could repair: start line, header lines, control characters, lengths. What a
header says is checked when it is decoded, and by the validation of the transaction room.
"""

from __future__ import annotations

import re

from gosip_py.sip.errors import ParseError, TooLarge
from gosip_py.sip.grammar import is_token, parse_digits
from gosip_py.sip.message import Message, Request, Response
from gosip_py.sip.names import METHODS, SPELLINGS, canonical_name

__all__ = [
    "LARGEST_BODY",
    "LARGEST_HEAD_LINE",
    "LARGEST_MESSAGE",
    "MOST_HEADERS",
    "content_length",
    "parse_head",
    "parse_message",
    "salvage",
]

LARGEST_MESSAGE = 65536  # bytes, head and body together
LARGEST_HEAD_LINE = 8192  # characters of one header with its folds
MOST_HEADERS = 256
LARGEST_BODY = LARGEST_MESSAGE

_REQUEST_LINE = re.compile(r"([A-Za-z0-9\-.!%*_+`'~]++) ([^ \t\r\n]++) ([sS][iI][pP]/[0-9]++\.[0-9]++)\Z")
_STATUS_LINE = re.compile(r"[sS][iI][pP]/2\.0 ([1-6][0-9][0-9])(?: (.*))?\Z")
_QUOTED_PAIR = re.compile(rb"\\[^\r\n]")
# what a header may hold (RFC 3261 25.1): no control character but TAB
_ALLOWED = bytes(octet for octet in range(256) if (octet >= 0x20 and octet != 0x7F) or octet == 0x09)


def parse_message(data: bytes) -> Message:
    """The one message in a datagram.

    Octets beyond Content-Length are dropped (RFC 3261 18.3), empty lines before the start line too (7.5).
    ParseError otherwise; its ``message`` is set when the sender can be answered.
    """
    if len(data) > LARGEST_MESSAGE:
        raise _too_large(data)
    if data[:1] == b"\r":
        data = _skip_empty_lines(data)
    end = data.find(b"\r\n\r\n")
    if end < 0:
        raise _unfinished(data)
    message = _parse_octets(data[:end])
    body = data[end + 4 :]
    if "content-length" in message.names:
        length = content_length(message)
        if length > len(body):
            raise ParseError(f"Content-Length is {length} but {len(body)} octets follow", end, message)
        if length < len(body):
            body = body[:length]
    message.body = body
    return message


def content_length(message: Message) -> int:
    """The value of Content-Length.

    ParseError when it is missing, no number, too large, or given twice with different values.
    """
    names = message.names
    try:
        at = names.index("content-length")
    except ValueError:
        raise ParseError("Content-Length is missing", 0, message) from None
    if "content-length" not in names[at + 1 :]:
        digits = message.lines[at].partition(":")[2].strip(" \t")
        if len(digits) < 5 and digits.isascii() and digits.isdigit():
            return int(digits)
    elif len(set(message.values("content-length"))) > 1:
        raise ParseError("Content-Length stands there twice with different values", 0, message)
    try:
        return parse_digits(message.require("content-length"), "Content-Length", LARGEST_BODY)
    except ParseError as error:
        raise ParseError(error.reason, error.offset, message) from None


def parse_head(head: str) -> Message:
    """The message whose start line and headers are ``head`` (without the empty line), with an empty body."""
    return _parse_octets(head.encode("utf-8", "surrogateescape"))


def _parse_octets(octets: bytes) -> Message:
    head = octets.decode("utf-8", "surrogateescape")
    lines = head.split("\r\n")
    fault = ""
    # Only line ends may be left over, and each of them has ended a line: a bare CR or LF has not.
    if len(octets.translate(None, _ALLOWED)) != 2 * len(lines) - 2:
        fault = _control_fault(octets, 2 * len(lines) - 2)
    start = lines.pop(0)
    lookup = SPELLINGS.get
    # folded, empty and unknown headers, and lines that are none, fall out here and are looked at closer
    names = [lookup(name) for name, _, value in [line.partition(":") for line in lines] if value]
    if len(names) != len(lines) or None in names:
        lines = _join_folds(lines)
        names, unnamed = _look_closer(lines)
        fault = fault or unnamed
    if len(lines) > MOST_HEADERS:
        fault = f"there are more than {MOST_HEADERS} headers"
        del lines[MOST_HEADERS:], names[MOST_HEADERS:]
    message = _parse_start(start, names, lines)  # type: ignore[arg-type]  # no None is left
    if len(head) > LARGEST_HEAD_LINE and max(map(len, (start, *lines))) > LARGEST_HEAD_LINE:
        fault = fault or "a header is longer than 8 KiB"
    if fault:
        raise ParseError(fault, 0, message)
    return message


def _control_fault(octets: bytes, line_ends: int) -> str:
    # RFC 3261 25.1: behind a backslash a quoted string may hold any of them but CR and LF
    unescaped = _QUOTED_PAIR.sub(b"", octets) if b"\\" in octets else octets
    return "a control character stands in the headers" if len(unescaped.translate(None, _ALLOWED)) != line_ends else ""


def _join_folds(lines: list[str]) -> list[str]:
    joined: list[list[str]] = []
    for line in lines:
        if line[:1] in (" ", "\t") and joined:
            joined[-1].append(line)
        else:
            joined.append([line])
    return ["\r\n".join(pieces) for pieces in joined]


def _look_closer(lines: list[str]) -> tuple[list[str | None], str]:
    """Names for headers in unusual spelling, and what is wrong with a line that is no header."""
    names: list[str | None] = []
    fault = ""
    for at, line in enumerate(lines):
        written, colon, _ = line.partition(":")
        names.append(canonical_name(written))
        if not colon or not is_token(written.rstrip(" \t")):
            fault = fault or f"header line {at + 1} is not a name, a colon and a value"
            lines[at] += "" if colon else ":"
    return names, fault


def _parse_start(start: str, names: list[str], lines: list[str]) -> Message:
    words = start.split(" ")
    if len(words) == 3 and words[2] == "SIP/2.0" and words[0] in METHODS and "\t" not in words[1] and words[1]:
        return Request(words[0], words[1], names, lines)
    if words[0] == "SIP/2.0" or start[:4].upper() == "SIP/":  # no method holds a slash
        match = _STATUS_LINE.match(start)
        if match is None:
            raise ParseError("the status line is not SIP/2.0, a code and a reason")
        return Response(int(match[1]), match[2] or "", names, lines)
    match = _REQUEST_LINE.match(start)
    if match is None:
        return _refuse_start(start, names, lines)
    return Request(match[1], match[2], names, lines, version=match[3].upper())


def _refuse_start(start: str, names: list[str], lines: list[str]) -> Message:
    """Raise for a start line that is none; a request that names itself SIP/2.0 is still answered."""
    method, _, rest = start.replace("\t", " ").strip(" ").partition(" ")
    if rest[-7:].upper() == "SIP/2.0" and is_token(method):
        request = Request(method, rest[:-7].strip(" ") or "sip:invalid", names, lines)
        raise ParseError("the request line is not a method, a URI and SIP/2.0 with one space between", 0, request)
    raise ParseError("the first line is neither a request line nor a status line")


def _skip_empty_lines(data: bytes) -> bytes:
    at = 0
    while data.startswith(b"\r\n", at):
        at += 2
    return data[at:]


def _unfinished(data: bytes) -> ParseError:
    return ParseError("the empty line after the headers is missing", len(data), salvage(data.rstrip(b"\r\n")))


def _too_large(data: bytes) -> ParseError:
    end = data.find(b"\r\n\r\n", 0, LARGEST_MESSAGE)
    message = salvage(data[:end]) if end >= 0 else None
    return TooLarge("the message is larger than 64 KiB: send a shorter one", LARGEST_MESSAGE, message)


def salvage(head: bytes) -> Message | None:
    """As much as can be read of a head that is broken or cut off, so that it can be answered.

    None when that is too little.
    """
    try:
        return _parse_octets(head)
    except ParseError as error:
        return error.message
