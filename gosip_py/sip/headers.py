"""Decoded header values that the hot path asks for: Via, addresses, CSeq (RFC 3261 20).

Each is read from one header value by `parse_...` and written by ``str()``. Values are frozen. The rest of RFC 3261's
headers is in fields.py.
"""

from __future__ import annotations

import re
from functools import cached_property

import attrs

from gosip_py.sip.errors import ParseError
from gosip_py.sip.grammar import Parameters, is_token, parse_digits, parse_parameters, quote, unquote, write_parameters
from gosip_py.sip.names import METHODS
from gosip_py.sip.uri import Uri, parse_uri

__all__ = ["Address", "CSeq", "ForeignVia", "Via", "parse_address", "parse_cseq", "parse_via", "read_tag"]

_VIA_TAIL = (
    r"[ \t]*+/[ \t]*+([A-Za-z0-9\-.!%*_+`'~]++)[ \t]++"
    r"(\[[0-9A-Fa-f:.%]*+\]|[A-Za-z0-9_.\-]++)(?:[ \t]*+:[ \t]*+([0-9]++))?[ \t]*+(;.*)?\Z"
)
_VIA = re.compile(r"[sS][iI][pP][ \t]*+/[ \t]*+2\.0" + _VIA_TAIL, re.DOTALL)
# RFC 3261 25.1: the name and the version of the protocol are tokens
_FOREIGN_VIA = re.compile(r"([A-Za-z0-9\-.!%*_+`'~]++)[ \t]*+/[ \t]*+([A-Za-z0-9\-.!%*_+`'~]++)" + _VIA_TAIL, re.DOTALL)
_ADDRESS = re.compile(r'(?:("(?:[^"\\]++|\\.)*+")[ \t]*+|([^<"]*+))<([^<>]*+)>[ \t]*+(;.*)?\Z', re.DOTALL)
_BARE = re.compile(r'[^ \t",?<>]++\Z')
_CSEQ = re.compile(r"([0-9]++)[ \t]++([A-Za-z0-9\-.!%*_+`'~]++)\Z")
_TAG = re.compile(r";[ \t]*+tag[ \t]*+=[ \t]*+([^; \t]++)", re.IGNORECASE)
_NOT_AN_ADDRESS = 'an address is not "name" <uri>;parameters'
_LARGEST_CSEQ = 2**31 - 1  # RFC 3261 8.1.1.5


@attrs.frozen(slots=False)  # an instance dict is filled in half the time that slots of a frozen class take
class Via:
    """One Via value: ``transport`` upper case, ``host`` as written, ``port`` None when it is not written."""

    transport: str
    host: str
    port: int | None
    parameters: Parameters

    @property
    def branch(self) -> str:
        return self.parameters.get("branch") or ""

    @property
    def sent_by(self) -> str:
        """Host and port in the form that transaction matching compares (RFC 3261 17.2.3)."""
        return f"{self.host.lower()}:{self.port}" if self.port is not None else self.host.lower()

    def __str__(self) -> str:
        port = f":{self.port}" if self.port is not None else ""
        return f"SIP/2.0/{self.transport} {self.host}{port}{write_parameters(self.parameters)}"


@attrs.frozen(slots=False)
class ForeignVia(Via):
    """One that is not of SIP/2.0, but of ``protocol``: its sender must be told so (RFC 4475 3.1.2.16)."""

    protocol: str

    def __str__(self) -> str:
        return self.protocol + Via.__str__(self).removeprefix("SIP/2.0")


@attrs.frozen(slots=False)
class Address:
    """A name-addr or addr-spec with its header parameters: From, To, Contact, Route, Refer-To and the like."""

    display_name: str
    uri_text: str
    parameters: Parameters = attrs.field(factory=dict)

    @cached_property
    def uri(self) -> Uri:
        """The decoded URI; ParseError when it is none that we know."""
        return parse_uri(self.uri_text)

    @property
    def tag(self) -> str:
        return self.parameters.get("tag") or ""

    def __str__(self) -> str:
        if self.uri_text == "*" and not self.display_name and not self.parameters:
            return "*"  # the Contact that stands for all (RFC 3261 10.2.2) takes no angle brackets
        name = f"{quote(self.display_name)} " if self.display_name else ""
        return f"{name}<{self.uri_text}>{write_parameters(self.parameters)}"


@attrs.frozen(slots=False)
class CSeq:
    number: int
    method: str

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


def parse_via(value: str) -> Via:
    """One Via value (one element, no commas outside quotes)."""
    match = _VIA.match(value)
    if match is None:
        return _parse_foreign_via(value)
    transport, host, digits, rest = match.groups()
    port = None
    if digits is not None:
        port = int(digits) if len(digits) < 5 else parse_digits(digits, "the port in Via", 65535)
    return Via(transport.upper(), host, port, parse_parameters(rest) if rest else {})


def _parse_foreign_via(value: str) -> ForeignVia:
    match = _FOREIGN_VIA.match(value)
    if match is None:
        raise ParseError("Via is not SIP/2.0/transport host[:port]")
    name, version, transport, host, digits, rest = match.groups()
    port = None if digits is None else parse_digits(digits, "the port in Via", 65535)
    parameters = parse_parameters(rest) if rest else {}
    return ForeignVia(transport.upper(), host, port, parameters, f"{name}/{version}")


def parse_address(value: str) -> Address:
    """A single address value. Without angle brackets, parameters belong to the header (RFC 3261 20.10)."""
    value = value.strip(" \t")
    opening = value.find("<")
    if opening < 0:
        return _parse_bare_address(value)
    if '"' in value:
        return _parse_quoted_address(value)
    closing = value.find(">", opening)
    uri_text = value[opening + 1 : closing]
    rest = value[closing + 1 :]
    if closing < 0 or "<" in uri_text or (rest and rest[0] != ";" and (rest := rest.lstrip(" \t"))[0] != ";"):
        raise ParseError(_NOT_AN_ADDRESS)
    name = _display_tokens(value[:opening]) if opening else ""
    return Address(name, uri_text, parse_parameters(rest) if rest else {})


def _parse_quoted_address(value: str) -> Address:
    match = _ADDRESS.match(value)
    if match is None:
        raise ParseError(_NOT_AN_ADDRESS)
    quoted, plain, uri_text, rest = match.groups()
    name = unquote(quoted) if quoted is not None else _display_tokens(plain)
    return Address(name, uri_text, parse_parameters(rest) if rest else {})


def _parse_bare_address(value: str) -> Address:
    uri_text, semicolon, rest = value.partition(";")
    uri_text = uri_text.rstrip(" \t")
    if _BARE.match(uri_text) is None:
        raise ParseError("an address with a comma, question mark, blank or quote stands in angle brackets")
    return Address("", uri_text, parse_parameters(rest) if semicolon else {})


def _display_tokens(text: str) -> str:
    name = text.strip(" \t")
    if name and not is_token(name) and name.isascii() and not all(map(is_token, name.split())):
        raise ParseError("a display name that is not made of tokens stands in quotes")
    return name


def parse_cseq(value: str) -> CSeq:
    digits, _, method = value.partition(" ")
    if method in METHODS and len(digits) < 10 and digits.isascii() and digits.isdigit():
        return CSeq(int(digits), method)
    match = _CSEQ.match(value)
    if match is None:
        raise ParseError("CSeq is not a number and a method")
    digits, method = match.groups()
    return CSeq(int(digits) if len(digits) < 10 else parse_digits(digits, "CSeq", _LARGEST_CSEQ), method)


def read_tag(value: str) -> str:
    """The tag of a From or To value without decoding the rest; empty when there is none."""
    if '"' in value:
        return parse_address(value).tag
    tail = value[value.rfind(">") + 1 :] if "<" in value else value
    if not tail:
        return ""
    if tail[:5] == ";tag=" and tail.isascii() and tail[5:].isalnum():
        return tail[5:]  # what nearly everybody writes
    match = _TAG.search(tail)
    return match[1] if match is not None else ""
