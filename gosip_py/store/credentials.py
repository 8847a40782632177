"""SIP credentials and tokens: what is generated, and what is kept of it."""

from __future__ import annotations

import hashlib
import secrets
from typing import Literal, TypedDict

NAME_PATTERN = r"^[A-Za-z0-9_+][A-Za-z0-9._+\-]{0,63}$"
"""What a login and a device's username look like: they stand in SIP URIs and are dialled."""

SHORTEST_PASSWORD = 10

Algorithm = Literal["MD5", "SHA-256"]

_HASHES = {"MD5": "md5", "SHA-256": "sha256"}


def ha1(algorithm: Algorithm, username: str, realm: str, password: str) -> str:
    """H(username ":" realm ":" password) in lower-case hexadecimal: A1 of RFC 7616 3.4.2, for SIP by RFC 8760.

    Raises ValueError for an algorithm that is neither MD5 nor SHA-256, and for a username with a colon, which RFC 7616
    3.4.2 leaves no way to tell from the realm.
    """
    if algorithm not in _HASHES:
        raise ValueError(f"no such digest algorithm: {algorithm}")
    if ":" in username:
        raise ValueError("a username has no colon")
    digest = hashlib.new(_HASHES[algorithm], usedforsecurity=False)
    digest.update(f"{username}:{realm}:{password}".encode())
    return digest.hexdigest()


class DeviceHashes(TypedDict):
    """What is kept of a device's password: columns of its row."""

    ha1_md5: str
    ha1_sha256: str


def device_hashes(username: str, realm: str, password: str) -> DeviceHashes:
    """Both HA1s of a password, which is not kept; raises what `ha1` raises."""
    return {"ha1_md5": ha1("MD5", username, realm, password), "ha1_sha256": ha1("SHA-256", username, realm, password)}


def device_password() -> str:
    """A new password for a phone: 20 URL-safe characters, 120 bits."""
    return secrets.token_urlsafe(15)


def token() -> str:
    """A new token for a browser session or an API client: 43 URL-safe characters, 256 bits."""
    return secrets.token_urlsafe(32)


def token_hash(value: str) -> str:
    """What is kept of a token. It has 256 random bits, so nothing slower than SHA-256 is called for."""
    return hashlib.sha256(value.encode()).hexdigest()
