"""From a header's name to its decoded value, for every header that has a grammar of its own.

The hot path asks a message for what it needs (``message.top_via``); this is the way for all else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gosip_py.sip import fields
from gosip_py.sip.digest import parse_challenge, parse_credentials
from gosip_py.sip.errors import ParseError
from gosip_py.sip.grammar import parse_digits
from gosip_py.sip.headers import Address, parse_address, parse_cseq, parse_via
from gosip_py.sip.message import Message
from gosip_py.sip.names import COMMA_SEPARATED
from gosip_py.sip.parser import LARGEST_BODY

__all__ = ["DECODERS", "decode", "decode_all"]

_T = TypeVar("_T")
Decoder = Callable[[str], object]


def _parse_text(text: str) -> str:
    return text


def _parse_content_length(text: str) -> int:
    return parse_digits(text, "Content-Length", LARGEST_BODY)


def _parse_mandatory_address(text: str) -> Address:
    address = parse_address(text)
    if not address.uri_text or address.uri_text == "*":
        raise ParseError("an address without a URI")
    return address


DECODERS: dict[str, Decoder] = {
    "accept": fields.parse_accept,
    "accept-encoding": fields.parse_accepted,
    "accept-language": fields.parse_accepted,
    "alert-info": fields.parse_reference,
    "allow": fields.parse_token,
    "allow-events": fields.parse_token,
    "authorization": parse_credentials,
    "call-id": fields.parse_call_id,
    "call-info": fields.parse_reference,
    "contact": parse_address,
    "content-disposition": fields.parse_disposition,
    "content-encoding": fields.parse_token,
    "content-language": fields.parse_token,
    "content-length": _parse_content_length,
    "content-type": fields.parse_media_type,
    "cseq": parse_cseq,
    "date": fields.parse_date,
    "diversion": _parse_mandatory_address,
    "error-info": fields.parse_reference,
    "event": fields.parse_event,
    "expires": fields.parse_expires,
    "flow-timer": fields.parse_expires,
    "from": _parse_mandatory_address,
    "history-info": _parse_mandatory_address,
    "in-reply-to": fields.parse_call_id,
    "join": fields.parse_replaces,
    "max-breadth": fields.parse_rseq,
    "max-forwards": fields.parse_max_forwards,
    "mime-version": fields.parse_mime_version,
    "min-expires": fields.parse_expires,
    "min-se": fields.parse_delta_seconds,
    "organization": _parse_text,
    "p-asserted-identity": _parse_mandatory_address,
    "p-preferred-identity": _parse_mandatory_address,
    "path": _parse_mandatory_address,
    "priority": fields.parse_token,
    "privacy": fields.parse_privacy,
    "proxy-authenticate": parse_challenge,
    "proxy-authorization": parse_credentials,
    "proxy-require": fields.parse_token,
    "rack": fields.parse_rack,
    "reason": fields.parse_reason,
    "record-route": _parse_mandatory_address,
    "refer-to": _parse_mandatory_address,
    "referred-by": _parse_mandatory_address,
    "replaces": fields.parse_replaces,
    "reply-to": _parse_mandatory_address,
    "require": fields.parse_token,
    "retry-after": fields.parse_retry_after,
    "route": _parse_mandatory_address,
    "rseq": fields.parse_rseq,
    "server": _parse_text,
    "service-route": _parse_mandatory_address,
    "session-expires": fields.parse_session_expires,
    "sip-etag": fields.parse_token,
    "sip-if-match": fields.parse_token,
    "subject": _parse_text,
    "subscription-state": fields.parse_event,
    "supported": fields.parse_token,
    "timestamp": fields.parse_timestamp,
    "to": _parse_mandatory_address,
    "unsupported": fields.parse_token,
    "user-agent": _parse_text,
    "via": parse_via,
    "warning": fields.parse_warning,
    "www-authenticate": parse_challenge,
}


def decode(message: Message, name: str) -> object:
    """The decoded value of the header with this canonical name.

    A tuple of all values where the header may hold several, otherwise the first value, or None when the header is
    missing. Headers without a decoder give their text. ParseError when a value is not what the grammar asks for.
    """
    decoder = DECODERS.get(name, _parse_text)
    if name in COMMA_SEPARATED:
        return decode_all(message, name, decoder)
    value = message.value(name)
    return None if value is None else decoder(value)


def decode_all(message: Message, name: str, decoder: Callable[[str], _T]) -> tuple[_T, ...]:
    """Every value of the header with this canonical name through one ``parse_...`` function, with its type kept."""
    return tuple([decoder(value) for value in message.values(name)])
