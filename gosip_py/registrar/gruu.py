"""GRUUs: URIs that lead to one phone of a user, from anywhere (RFC 5627).

A public one is the address of record with the instance of the phone. A temporary one hides both: they are encrypted in
its user part, together with the epoch in which it is valid. Nothing is kept of the GRUUs that were given out.
"""

from __future__ import annotations

import hmac
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from uuid import UUID

import attrs
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gosip_py.sip.grammar import quote
from gosip_py.sip.ids import new_token
from gosip_py.sip.uri import parse_uri
from gosip_py.store.records import Binding

__all__ = ["Gruus", "TemporaryGruu", "instance_key", "instance_of_public", "new_epoch", "public_gruu"]

_PREFIX = "tgruu."
_NONCE_OCTETS = 12
_EPOCH_OCTETS = 4
# Whose user parts have one length cannot be told apart by it (RFC 5627 5.1); with the nonce and the tag no base64
# padding is needed.
_STEP = 48
_OFFSET = 1
_LONGEST_INSTANCE = 255
_URN = "<urn:uuid:"


@attrs.frozen
class TemporaryGruu:
    """What a temporary GRUU says: whose it is, of which phone (as `instance_key`), made in which epoch.

    ``user`` is that of the address of record.
    """

    user: str
    instance: str
    epoch: str


def new_epoch() -> str:
    """The name of an epoch: temporary GRUUs made in an earlier one of the same phone are not valid any more."""
    return new_token(2 * _EPOCH_OCTETS)


def instance_key(instance: str) -> str:
    """An instance-id as it is compared: the URI parameter that carries it knows no case (RFC 3261 19.1.4)."""
    return instance.lower()


def instance_of_public(value: str) -> str:
    """The `instance_key` that the value of a ``gr`` parameter names."""
    return instance_key(f"<{value}>")


def public_gruu(binding: Binding) -> str:
    """The address of record with the instance-id in its ``gr`` parameter (A.1); "" when the phone has none."""
    instance = binding.instance
    has_brackets = instance[:1] == "<" and instance[-1:] == ">" and 2 < len(instance) <= _LONGEST_INSTANCE
    if not has_brackets or not instance.isascii() or not binding.gruu:
        return ""
    return str(attrs.evolve(parse_uri(binding.aor), parameters={"gr": instance[1:-1]}))


class Gruus:
    """Makes temporary GRUUs and reads temporary ones; these survive a restart when the ``secret`` does."""

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESGCM(hmac.digest(secret, b"temporary gruu", "sha256"))

    def parameters(self, binding: Binding) -> str:
        """The Contact parameters that tell a phone its GRUUs (5.2), a new temporary one each time; "" without any."""
        public = public_gruu(binding)
        if not public:
            return ""
        temporary = self.temporary(binding.aor, binding.instance, binding.gruu)
        return f";pub-gruu={quote(public)};temp-gruu={quote(temporary)}"

    def temporary(self, aor: str, instance: str, epoch: str) -> str:
        """A URI that nobody else can read; never the same twice."""
        uri = parse_uri(aor)
        nonce = os.urandom(_NONCE_OCTETS)
        sealed = nonce + self._cipher.encrypt(nonce, _pack(uri.user, instance_key(instance), epoch), None)
        user = _PREFIX + urlsafe_b64encode(sealed).decode()
        return f"{uri.scheme}:{user}@{uri.host};gr"

    def read(self, user: str) -> TemporaryGruu | None:
        """What the user part of a temporary GRUU says; None when it is none of ours."""
        if not user.startswith(_PREFIX):
            return None
        try:
            sealed = urlsafe_b64decode(user.removeprefix(_PREFIX))
            return _unpack(self._cipher.decrypt(sealed[:_NONCE_OCTETS], sealed[_NONCE_OCTETS:], None))
        except (ValueError, InvalidTag):
            return None


def _pack(user: str, instance: str, epoch: str) -> bytes:
    """An instance-id that is a UUID, as nearly all are, takes 16 octets; another one stands behind the user."""
    number = _uuid_of(instance)
    packed = bytes.fromhex(epoch)
    if number is not None:
        packed += b"\1" + number.bytes + user.encode()
    else:
        packed += b"\0" + f"{user}\n{instance}".encode()
    return packed + bytes(-(len(packed) + _OFFSET) % _STEP)


def _unpack(packed: bytes) -> TemporaryGruu:
    epoch, kind, rest = packed[:_EPOCH_OCTETS].hex(), packed[_EPOCH_OCTETS], packed[_EPOCH_OCTETS + 1 :].rstrip(b"\0")
    if kind:
        number = packed[_EPOCH_OCTETS + 1 : _EPOCH_OCTETS + 17]
        return TemporaryGruu(rest[16:].decode(), f"{_URN}{UUID(bytes=number)}>", epoch)
    user, _, instance = rest.decode().partition("\n")
    return TemporaryGruu(user, instance, epoch)


def _uuid_of(instance: str) -> UUID | None:
    try:
        number = UUID(instance[len(_URN) : -1])
    except ValueError:
        return None
    return number if instance == f"{_URN}{number}>" else None
