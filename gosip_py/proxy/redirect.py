"""The contacts of a 3xx: given to a caller who shall find the way himself, and taken from a phone that knows another.

RFC 3261 8.3 is the redirect server, 16.7 item 4 the proxy that recurses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import attrs

from gosip_py.proxy.route import ProxyTarget
from gosip_py.sip.errors import ParseError
from gosip_py.sip.headers import Address, parse_address
from gosip_py.sip.message import Response
from gosip_py.sip.uri import Uri

__all__ = ["Lookup", "contacts", "follow"]

Lookup = Callable[[Uri], tuple[ProxyTarget, ...]]
"""Where somebody of our own domains is now; none for whoever is not ours, or may not be called this way."""

# The others say something else than "try there": 305 names a proxy, 380 another service (21.3.4, 21.3.5).
_FOLLOWED = frozenset((300, 301, 302))
_MOST_CONTACTS = 16
_Q = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\Z")
_HIGHEST_Q = 1000


def contacts(targets: Iterable[ProxyTarget], asked: str) -> list[str]:
    """The Contact values of a 302: every target as it was registered, with its q. ``asked`` is the Request-URI.

    Without the one that was asked for: "redirect servers MUST NOT redirect a request to a URI equal to the one in the
    Request-URI" (8.3).
    """
    return [
        f"<{target.uri_text}>;q={target.q / _HIGHEST_Q:g}"
        for target in sorted(targets, key=lambda target: -target.q)
        if target.uri_text != asked
    ]


def follow(response: Response, lookup: Lookup, is_secure: bool) -> tuple[list[ProxyTarget], Response | None]:
    """The targets that ``response`` leads to, the best first, and what is left of it without them (16.7 item 4).

    The response itself is left when nothing in it can be followed, None when everything was. Whoever asked for a sips
    URI gets no further by another.
    """
    if response.status not in _FOLLOWED:
        return [], response
    found: list[ProxyTarget] = []
    others: list[str] = []
    for value in _values_of(response):
        targets = _look_up(value, lookup, is_secure) if len(found) < _MOST_CONTACTS else ()
        found += targets
        if not targets:
            others.append(value)
    found.sort(key=lambda target: -target.q)
    if not found or not others:
        return found, None if found else response
    left = response.copy()
    left.remove("contact")
    for value in others:
        left.add("contact", value)
    return found, left


def _values_of(response: Response) -> list[str]:
    """The Contact values; none when they cannot be told from each other."""
    try:
        return response.values("contact")
    except ParseError:
        return []


def _look_up(value: str, lookup: Lookup, is_secure: bool) -> tuple[ProxyTarget, ...]:
    """Where one Contact leads. Its q says in which order, whatever theirs are that it stands for."""
    try:
        address = parse_address(value)
        uri = address.uri
    except ParseError:
        return ()
    if uri.scheme == "tel" or (is_secure and not uri.is_secure):
        return ()
    q = _q_of(address)
    return tuple(attrs.evolve(target, q=q) for target in lookup(uri))


def _q_of(address: Address) -> int:
    text = address.parameters.get("q") or ""
    return round(float(text) * _HIGHEST_Q) if _Q.match(text) is not None else _HIGHEST_Q
