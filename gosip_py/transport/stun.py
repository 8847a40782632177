"""STUN Binding requests on a SIP port: tells a phone under which address it is seen (RFC 5626 8, RFC 8489).

Only that: no authentication, no other method. An answer is at most 2.4 times as long as what it answers, so that nobody
gains from sending it to a third party.
"""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address
from struct import Struct

from gosip_py.transport.flow import Address

__all__ = ["LARGEST_FIRST_OCTET", "answer"]

LARGEST_FIRST_OCTET = 3
"""The two highest bits of STUN are zero, and no SIP message begins with such an octet (RFC 5626 8)."""

_COOKIE = 0x2112A442
_HEADER = Struct("!HHI12s")  # type, length, magic cookie, transaction id (RFC 8489 5)
_ATTRIBUTE = Struct("!HH")
_BINDING_REQUEST = 0x0001
_BINDING_SUCCESS = 0x0101
_BINDING_ERROR = 0x0111
_XOR_MAPPED_ADDRESS = 0x0020
_ERROR_CODE = 0x0009
_UNKNOWN_ATTRIBUTES = 0x000A
_OPTIONAL_FROM = 0x8000
# RFC 8489 14: whoever knows them may ignore them where they are not expected (6.3)
_KNOWN = frozenset((0x0001, 0x0006, 0x0008, 0x0009, 0x000A, 0x0014, 0x0015, 0x001C, 0x001D, 0x001E, 0x0020))
_UNKNOWN_ATTRIBUTE = b"\0\0\x04\x14Unknown Attribute"  # 420: the class 4, the number 20 (14.8)


def answer(data: bytes, source: Address) -> bytes | None:
    """The response to a datagram from ``source``; None when it is no Binding request that can be read."""
    if len(data) < _HEADER.size:
        return None
    kind, length, cookie, transaction = _HEADER.unpack_from(data)
    if kind != _BINDING_REQUEST or cookie != _COOKIE or length != len(data) - _HEADER.size or length % 4:
        return None
    unknown = _unknown_attributes(data)
    if unknown is None:
        return None
    if unknown:
        listed = b"".join(number.to_bytes(2) for number in unknown)
        attributes = _attribute(_ERROR_CODE, _UNKNOWN_ATTRIBUTE) + _attribute(_UNKNOWN_ATTRIBUTES, listed)
        return _message(_BINDING_ERROR, transaction, attributes)
    return _message(_BINDING_SUCCESS, transaction, _attribute(_XOR_MAPPED_ADDRESS, _mapped(source, transaction)))


def _unknown_attributes(data: bytes) -> list[int] | None:
    """The types that must be understood and are not (6.3.1); None when the attributes do not fill the message."""
    unknown, at = [], _HEADER.size
    while at < len(data):
        number, length = _ATTRIBUTE.unpack_from(data, at)
        at += _ATTRIBUTE.size + length + -length % 4
        if number < _OPTIONAL_FROM and number not in _KNOWN and number not in unknown:
            unknown.append(number)
    return unknown if at == len(data) else None


def _mapped(source: Address, transaction: bytes) -> bytes:
    """The value of XOR-MAPPED-ADDRESS (14.2)."""
    address = ip_address(source[0].partition("%")[0])
    mask = _COOKIE.to_bytes(4) + transaction
    port = source[1] ^ _COOKIE >> 16
    family = 1 if isinstance(address, IPv4Address) else 2
    octets = bytes(one ^ other for one, other in zip(address.packed, mask, strict=False))
    return bytes((0, family)) + port.to_bytes(2) + octets


def _attribute(number: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(number, len(value)) + value + bytes(-len(value) % 4)


def _message(kind: int, transaction: bytes, attributes: bytes) -> bytes:
    return _HEADER.pack(kind, len(attributes), _COOKIE, transaction) + attributes
