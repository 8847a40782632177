"""SIP, SIPS and tel URIs (RFC 3261 19.1, RFC 3966): read, write, compare.

The text of a URI that was received is forwarded as it came; what is decoded here serves decisions only.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv6Address
from urllib.parse import unquote

import attrs

from gosip_py.sip.errors import ParseError
from gosip_py.sip.grammar import Parameters, parse_digits

__all__ = ["Uri", "escape_user", "parse_uri"]

# No blanks, controls, quotes or angle brackets; no octets that are not UTF-8: they can be neither looked up nor stored.
_NO = r"\x00-\x20\x7f<>\"\ud800-\udfff"
_SIP = re.compile(
    rf"([sS][iI][pP][sS]?):(?:([^@{_NO}]*+)@)?(\[[0-9A-Fa-f:.%]*+\]|[A-Za-z0-9_.\-]++)(?::([0-9]++))?"
    rf"(;[^?{_NO}]*+)?(?:\?([^{_NO}]*+))?\Z"
)
_TEL = re.compile(rf"[tT][eE][lL]:([0-9A-Fa-f*#+\-.()]++)(;[^{_NO}]*+)?\Z")
_LONGEST_IPV6 = 64  # characters, brackets and a zone included
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*+\Z")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPED = re.compile(r"[^A-Za-z0-9\-_.!~*'()&=+$,;?/]")
# RFC 3261 19.1.4: of these, one that stands in a single URI makes the two differ. The text names four, its examples add
# transport.
_DECISIVE_PARAMETERS = frozenset(("user", "ttl", "method", "maddr", "transport"))


def escape_user(user: str) -> str:
    """``user`` as it may stand before the ``@`` (RFC 3261 19.1.2)."""
    return user if user.isalnum() and user.isascii() else _ESCAPED.sub(_escape, user)


def _escape(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogateescape"))


def _unescape(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ParseError("the escapes in a URI are not UTF-8") from None


@attrs.frozen(slots=False)
class Uri:
    """One decoded URI.

    ``user`` is unescaped; ``host`` lower case, IPv6 in brackets, empty for tel; ``port`` None when it is not written.
    """

    scheme: str
    user: str
    host: str
    port: int | None = None
    parameters: Parameters = attrs.field(factory=dict)
    headers: str = ""
    password: str | None = attrs.field(default=None, repr=False)

    @property
    def is_secure(self) -> bool:
        return self.scheme == "sips"

    @property
    def transport(self) -> str:
        """The transport parameter in upper case, or an empty string."""
        return (self.parameters.get("transport") or "").upper()

    def __str__(self) -> str:
        if self.scheme == "tel":
            return f"tel:{self.user}{_write_uri_parameters(self.parameters)}"
        password = f":{self.password}" if self.password is not None else ""
        user = f"{escape_user(self.user)}{password}@" if self.user else ""
        port = f":{self.port}" if self.port is not None else ""
        headers = f"?{self.headers}" if self.headers else ""
        return f"{self.scheme}:{user}{self.host}{port}{_write_uri_parameters(self.parameters)}{headers}"

    def is_equivalent(self, other: Uri) -> bool:
        """URI equality of RFC 3261 19.1.4 (and RFC 3966 5 for tel, without visual separators)."""
        if self.scheme != other.scheme:
            return False
        if self.scheme == "tel":
            return _dial_digits(self.user) == _dial_digits(other.user) and _fold(self.parameters) == _fold(
                other.parameters
            )
        if (self.user, self.password, self.host, self.port) != (other.user, other.password, other.host, other.port):
            return False
        return _parameters_match(self.parameters, other.parameters) and _headers(self.headers) == _headers(
            other.headers
        )


def parse_uri(text: str) -> Uri:
    """The URI in ``text`` (no angle brackets).

    ParseError when it is none; its reason begins with "unknown scheme" for other schemes.
    """
    match = _SIP.match(text)
    if match is None:
        return _parse_other(text)
    escaped = "%" in text
    if escaped and _BAD_ESCAPE.search(text) is not None:
        raise ParseError("an escape in a URI is not two hexadecimal digits")
    scheme, user, host, digits, parameters, headers = match.groups()
    password: str | None = None
    if user is None:
        user = ""
    else:
        user, colon, rest = user.partition(":")
        if not user:
            raise ParseError("the user of a URI is empty")
        password = rest if colon else None
    return Uri(
        scheme.lower(),
        _unescape(user) if escaped else user,
        _ipv6_host(host) if host[0] == "[" else host.lower(),
        None if digits is None else parse_digits(digits, "the port of a URI", 65535),
        _parse_uri_parameters(parameters) if parameters else {},
        headers or "",
        password,
    )


@lru_cache(maxsize=1024)  # parsing one takes as long as all the rest
def _ipv6_host(host: str) -> str:
    """An IPv6 reference, lower case.

    ParseError when it is none. By an error in its grammar a third colon may stand before an IPv4 address (RFC 5118
    4.10); it is left out.
    """
    host = host.lower().replace(":::", "::")
    try:
        IPv6Address(host[1:-1] if len(host) <= _LONGEST_IPV6 else "")
    except ValueError:
        raise ParseError("what stands in brackets is no IPv6 address") from None
    return host


def _parse_other(text: str) -> Uri:
    match = _TEL.match(text)
    if match is not None and _BAD_ESCAPE.search(text) is None:
        return Uri("tel", match[1], "", parameters=_parse_uri_parameters(match[2] or ""))
    scheme, colon, _ = text.partition(":")
    if colon and _SCHEME.match(scheme) is not None and scheme.lower() not in ("sip", "sips", "tel"):
        raise ParseError(f"unknown scheme {scheme[:20]}")
    raise ParseError("not a SIP URI")


def _parse_uri_parameters(text: str) -> Parameters:
    parameters: Parameters = {}
    for piece in text.split(";"):
        if piece:
            name, equals, value = piece.partition("=")
            if "%" in value:
                value = _unescape(value)
            parameters.setdefault(name.lower(), value if equals else None)
    return parameters


_PARAMETER_ESCAPED = re.compile(r"[^A-Za-z0-9\-_.!~*'()\[\]/:&+$]")


def _write_uri_parameters(parameters: Parameters) -> str:
    return "".join(
        f";{name}" if value is None else f";{name}={_PARAMETER_ESCAPED.sub(_escape, value)}"
        for name, value in parameters.items()
    )


def _fold(parameters: Parameters) -> dict[str, str]:
    return {name: (value or "").lower() for name, value in parameters.items()}


def _dial_digits(number: str) -> str:
    return re.sub(r"[\-.()]", "", number).lower()


def _parameters_match(ours: Parameters, theirs: Parameters) -> bool:
    first, second = _fold(ours), _fold(theirs)
    if any(first[name] != second[name] for name in first.keys() & second.keys()):
        return False
    return _DECISIVE_PARAMETERS.isdisjoint(first.keys() ^ second.keys())


def _headers(text: str) -> dict[str, str]:
    fields = (field.partition("=") for field in text.split("&") if field)
    return {unquote(name).lower(): unquote(value) for name, _, value in fields}
