"""Answers to challenges, as a client gives them (RFC 3261 22, RFC 7616, RFC 8760).

A challenge is answered once for each nonce. Whoever asks again without saying that the nonce was stale does not know
our password, and is not asked a third time.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from gosip_py.sip.digest import (
    Algorithm,
    Challenge,
    Credentials,
    answer_challenge,
    ha1,
    parse_challenge,
    parse_credentials,
)
from gosip_py.sip.errors import ParseError
from gosip_py.sip.ids import new_token
from gosip_py.sip.message import Request, Response

__all__ = ["ClientAuthentication", "ClientCredentials", "credentials_of"]

# Where a challenge stands, and where its answer goes. A response may bear both kinds (RFC 3261 22.3).
_ANSWERED_IN = {"www-authenticate": "authorization", "proxy-authenticate": "proxy-authorization"}
_MOST_CHALLENGES = 8  # that are looked at in one response, of each kind
_MOST_SPACES = 8  # that are remembered; a peer names its realm as it likes
_LONGEST = 1024  # characters of a realm or a nonce; they are sent back with each request
_STRENGTH = {Algorithm.SHA_256: 1, Algorithm.MD5: 0}


@attrs.frozen
class ClientCredentials:
    """Who we are to whoever challenges us. With a ``realm`` nobody but that realm is answered.

    The answer to a challenge lets its sender try passwords at leisure: name the realm where it is known.
    """

    username: str
    password: str = attrs.field(repr=False)
    realm: str = ""


class _Space:
    """A protection space: the last challenge of one realm, and how often its nonce has been used."""

    __slots__ = ("challenge", "count")

    def __init__(self, challenge: Challenge) -> None:
        self.challenge = challenge
        self.count = 0


class ClientAuthentication:
    """What was learnt of challenges in one dialog or registration."""

    __slots__ = ("_credentials", "_spaces")

    def __init__(self, credentials: ClientCredentials) -> None:
        self._credentials = credentials
        self._spaces: dict[tuple[str, str], _Space] = {}

    def answer(self, request: Request, response: Response) -> bool:
        """Put into ``request`` what answers the challenges of ``response``, a 401 or 407 to it; whether that helps.

        ``request`` is a copy of the one that was challenged, with its credentials if it had any; the new ones take
        their place. False when it is of no use to send it again: nothing is changed then.
        """
        fresh = {
            (header, challenge.realm): challenge
            for name, header in _ANSWERED_IN.items()
            for challenge in self._choose(response, name)
        }
        if not fresh or any(self._is_useless(request, header, one) for (header, _), one in fresh.items()):
            return False
        for key, challenge in fresh.items():
            self._remember(key, challenge)
            self._put(request, *key)
        return True

    def dress(self, request: Request) -> None:
        """Put credentials for whoever challenged us before on a new request (22.2, 22.3); there is none yet on it."""
        for header, realm in self._spaces:
            self._put(request, header, realm)

    def _choose(self, response: Response, name: str) -> tuple[Challenge, ...]:
        """The strongest challenge of each realm that we can answer.

        RFC 8760 2.4 leaves the choice to local policy; ours is that a weaker one on top persuades nobody.
        """
        chosen: dict[str, Challenge] = {}
        for challenge in _challenges(response, name):
            if self._credentials.realm not in ("", challenge.realm):
                continue
            known = chosen.get(challenge.realm)
            if known is None or _STRENGTH[challenge.algorithm] > _STRENGTH[known.algorithm]:
                chosen[challenge.realm] = challenge
        return tuple(chosen.values())

    def _is_useless(self, request: Request, header: str, challenge: Challenge) -> bool:
        """Whether it is of no use to answer: this realm saw our answer in ``request`` and did not like it."""
        given = _given(request, header, challenge.realm)
        if given is None:
            # Else a peer that asks for another realm each time would keep us busy.
            return request.names.count(header) >= _MOST_SPACES
        if given.nonce == challenge.nonce:
            return True
        space = self._spaces.get((header, challenge.realm))
        if space is not None and given.nonce == space.challenge.nonce and space.count > 1:
            # It served before, and its age is no news, also of whoever does not know stale (RFC 7616 3.3).
            return False
        # What came in place of a stale one is not stale again, or it would go on for ever.
        return not challenge.is_stale or (space is not None and space.challenge.is_stale)

    def _remember(self, key: tuple[str, str], challenge: Challenge) -> None:
        self._spaces.pop(key, None)
        if len(self._spaces) >= _MOST_SPACES:
            del self._spaces[next(iter(self._spaces))]
        self._spaces[key] = _Space(challenge)

    def _put(self, request: Request, header: str, realm: str) -> None:
        space = self._spaces[header, realm]
        space.count += 1
        of, challenge = self._credentials, space.challenge
        secret = ha1(challenge.algorithm, of.username, realm, of.password)
        credentials = answer_challenge(
            challenge, of.username, secret, request.method, request.uri_text, new_token(16), space.count
        )
        _take_out(request, header, realm)
        request.add(header, str(credentials))


def credentials_of(request: Request) -> tuple[tuple[str, str], ...]:
    """The headers of ``request`` that answer challenges."""
    return tuple((name, value) for name in _ANSWERED_IN.values() for value in request.values(name))


def _challenges(response: Response, name: str) -> Iterator[Challenge]:
    """Those that we know how to answer; others are ignored (RFC 8760 2.4)."""
    for value in response.values(name)[:_MOST_CHALLENGES]:
        try:
            challenge = parse_challenge(value)
        except ParseError:
            continue
        is_bounded = max(len(challenge.realm), len(challenge.nonce), len(challenge.opaque or "")) <= _LONGEST
        if is_bounded and (not challenge.qop or "auth" in _options(challenge.qop)):
            yield challenge


def _options(qop: str) -> list[str]:
    return [option.strip(" \t").lower() for option in qop.split(",")]


def _given(request: Request, header: str, realm: str) -> Credentials | None:
    """The credentials of ``request`` for this realm."""
    return next((one for value in request.values(header) if (one := _read(value)) and one.realm == realm), None)


def _read(value: str) -> Credentials | None:
    """None for what is not ours: the user may have put on other headers."""
    try:
        return parse_credentials(value)
    except ParseError:
        return None


def _take_out(request: Request, header: str, realm: str) -> None:
    if header not in request.names:
        return
    kept = [value for value in request.values(header) if (one := _read(value)) is None or one.realm != realm]
    request.remove(header)
    for value in kept:
        request.add(header, value)
