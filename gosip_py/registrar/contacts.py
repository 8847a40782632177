"""What a REGISTER asks for: its Contact values, their expiry and their preference (RFC 3261 10.2, 10.3 item 7).

Pure functions over one request; nothing here knows what is registered already.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from gosip_py.sip.errors import ParseError
from gosip_py.sip.grammar import parse_digits, quote
from gosip_py.sip.headers import Address, parse_address
from gosip_py.sip.message import Request

if TYPE_CHECKING:
    from gosip_py.store.records import Binding

__all__ = ["WILDCARD", "Wanted", "contact_value", "expires_header", "read_wanted", "requested_expires"]

WILDCARD = "*"
MALFORMED_EXPIRES = 3600
"""What an expiry that cannot be read counts as, in seconds (10.2.1.1)."""

_LARGEST_EXPIRES = 2**32 - 1
_LARGEST_REG_ID = 2**31 - 1
_DEFAULT_Q = 1000
_Q = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\Z")


@attrs.frozen
class Wanted:
    """One Contact value, decoded.

    ``expires`` is its own parameter in seconds or None, ``q`` in thousandths, ``written`` the value itself.
    """

    uri_text: str
    expires: int | None
    q: int
    instance: str
    reg_id: int | None
    written: str


def read_wanted(value: str) -> Wanted:
    """Decode one Contact value other than ``*``; ParseError when nobody could call it, or its q is bad."""
    address = parse_address(value)
    address.uri  # noqa: B018 - what cannot be read can never be called
    parameters = address.parameters
    expires = requested_expires(parameters.get("expires") or "") if "expires" in parameters else None
    return Wanted(
        address.uri_text, expires, _read_q(address), parameters.get("+sip.instance") or "", _read_reg_id(address), value
    )


def _read_q(address: Address) -> int:
    if "q" not in address.parameters:
        return _DEFAULT_Q
    text = address.parameters["q"] or ""
    if _Q.match(text) is None:
        raise ParseError("q in Contact is not a number from 0 to 1 with at most three decimals")
    return round(float(text) * 1000)


def _read_reg_id(address: Address) -> int | None:
    text = address.parameters.get("reg-id")
    return parse_digits(text, "reg-id in Contact", _LARGEST_REG_ID) if text is not None else None


def requested_expires(text: str) -> int:
    """Seconds asked for by an ``expires`` parameter or an Expires header; 3600 when it cannot be read (10.2.1.1)."""
    if not (text.isascii() and text.isdigit()):
        return MALFORMED_EXPIRES
    return int(text) if len(text) < 10 or int(text[:20]) <= _LARGEST_EXPIRES else MALFORMED_EXPIRES


def expires_header(request: Request) -> int | None:
    """Seconds of the Expires header; None when there is none."""
    text = request.value("expires")
    return None if text is None else requested_expires(text)


def contact_value(binding: Binding, now: float, gruus: str = "") -> str:
    """The Contact value that tells the phone of its binding (10.3 item 8): what is left of its time, rounded up.

    ``gruus`` are the parameters with its GRUUs, if it wants them.
    """
    left = -int((now - binding.expires_at) // 1)
    value = f"<{binding.contact}>;expires={left}"
    if binding.q != _DEFAULT_Q:
        value += f";q={binding.q / 1000:g}"
    if binding.instance:
        value += f";+sip.instance={quote(binding.instance)}"
    if binding.reg_id is not None:
        value += f";reg-id={binding.reg_id}"
    return value + gruus
