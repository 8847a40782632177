"""What a REFER asks for, and how it is written (RFC 3515 2.1, RFC 3892, RFC 4488). Pure: no dialog, no clock."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

import attrs

from gosip_py.sip.errors import ParseError
from gosip_py.sip.fields import Replaces, parse_replaces
from gosip_py.sip.grammar import split_commas
from gosip_py.sip.headers import Address, parse_address
from gosip_py.sip.message import Request
from gosip_py.sip.uri import parse_uri
from gosip_py.transaction.validation import Refusal

__all__ = ["PASSED_ON", "Reference", "read_refer", "refer_to", "status_of"]

PASSED_ON = frozenset(
    "accept-contact call-info in-reply-to organization priority privacy reject-contact request-disposition subject"
    " user-to-user".split()
)
"""The headers of a Refer-To that a request of ours may bear; others are ignored (RFC 3261 19.1.5)."""

_MOST_HEADERS = 16
_LONGEST_HEADERS = 2048  # characters, escapes included
_CONTROLS = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_METHOD = re.compile(r";method=([^;?]*)", re.IGNORECASE)
_STATUS_LINE = re.compile(rb"SIP/2\.0[ \t]+([1-6][0-9]{2})(?:[ \t]+([^\r\n]*))?(?:\r?\n|\Z)")
_LONGEST_REASON = 200
_UNRESERVED = "-_.!~*'()[]/?:+$"  # RFC 3261 25.1: what an hvalue may hold as it is


@attrs.frozen
class Reference:
    """``target`` has a SIP, SIPS or tel URI without headers; ``headers`` are (canonical name, value).

    ``referred_by`` is the whole value, empty when there is none. ``is_silent`` says that no NOTIFY is wanted.
    """

    target: Address
    replaces: Replaces | None = None
    joins: Replaces | None = None
    headers: tuple[tuple[str, str], ...] = ()
    referred_by: str = ""
    is_silent: bool = False


def read_refer(request: Request) -> Reference | Refusal:
    """What a REFER asks for, or why it is refused."""
    try:
        return _read(request)
    except ParseError as error:
        return Refusal(400, f"{error.reason}: correct that, and send the REFER again")


def _read(request: Request) -> Reference | Refusal:
    address = _only_address(request, "refer-to")
    if address is None:
        return Refusal(400, "send exactly one Refer-To (RFC 3515 2.4.2)")
    scheme = address.uri_text.partition(":")[0].lower()
    if scheme not in ("sip", "sips", "tel"):
        return Refusal(416, "Refer-To names what cannot be called: use a sip, sips or tel URI")
    uri = parse_uri(address.uri_text)
    method = (uri.parameters.get("method") or "INVITE").upper()
    if method != "INVITE":
        return Refusal(501, f"a REFER to send {method[:20]} is not followed here: refer to an INVITE")
    found = _read_headers(uri.headers)
    replaces, join = found.get("replaces"), found.get("join")
    if replaces is not None and join is not None:
        return Refusal(400, "Refer-To has both Replaces and Join: send one of them (RFC 3891 3)")
    return Reference(
        attrs.evolve(address, uri_text=_without_headers(address.uri_text), parameters={}),
        None if replaces is None else parse_replaces(replaces),
        None if join is None else parse_replaces(join),
        tuple((name, value) for name, value in found.items() if name in PASSED_ON),
        _referred_by(request),
        _is_silent(request),
    )


def _only_address(request: Request, name: str) -> Address | None:
    """The one value of a header that may stand there once; None when there is another number of them."""
    values = [piece for value in request.values(name) for piece in split_commas(value)]
    return parse_address(values[0]) if len(values) == 1 else None


def _read_headers(text: str) -> dict[str, str]:
    """The headers of a URI (RFC 3261 19.1.1); ParseError when they are too many, or could break out of their line."""
    if len(text) > _LONGEST_HEADERS or text.count("&") >= _MOST_HEADERS:
        raise ParseError("Refer-To asks for too many headers")
    found: dict[str, str] = {}
    for piece in text.split("&"):
        name, _, value = piece.partition("=")
        name, value = unquote(name).lower(), unquote(value)
        if _CONTROLS.search(value) is not None:
            raise ParseError("a header in Refer-To holds a control character")
        if name and name in found:
            raise ParseError(f"Refer-To asks for {name[:40]!r} twice")
        found[name] = value
    return found


def _without_headers(uri_text: str) -> str:
    """The text of a URI as a Request-URI may have it: without headers and method (RFC 3261 19.1.1)."""
    after_user = uri_text.find("@") + 1
    tail, _, _ = uri_text[after_user:].partition("?")
    return uri_text[:after_user] + _METHOD.sub("", tail)


def _referred_by(request: Request) -> str:
    """The value to pass on without modification (RFC 3892 2.2); ParseError when there is more than one."""
    if "referred-by" not in request.names:
        return ""
    if _only_address(request, "referred-by") is None:
        raise ParseError("Referred-By stands there more than once")
    return request.require("referred-by")


def _is_silent(request: Request) -> bool:
    value = (request.value("refer-sub") or "true").partition(";")[0].strip(" \t").lower()
    if value not in ("true", "false"):
        raise ParseError("Refer-Sub is neither true nor false")
    return value == "false"


# -- as we write it ----------------------------------------------------------------------------------------------------


def refer_to(target: str, replaces: Replaces | None = None) -> str:
    """The value of Refer-To for a URI, which may have headers already.

    ``replaces`` is as the target shall see it: its own tag is the to-tag.
    """
    if replaces is None:
        return f"<{target}>"
    joint = "&" if "?" in target[target.find("@") + 1 :] else "?"
    return f"<{target}{joint}Replaces={quote(str(replaces), safe=_UNRESERVED)}>"


def status_of(body: bytes) -> tuple[int, str]:
    """Status and reason that a message/sipfrag begins with (RFC 3515 2.4.5); ParseError when it does not."""
    match = _STATUS_LINE.match(body)
    if match is None:
        raise ParseError("the body does not begin with a Status-Line")
    reason = (match[2] or b"")[:_LONGEST_REASON].decode("utf-8", "replace").strip()
    return int(match[1]), reason
