"""Who sent this request: digest authentication of the devices that we know (RFC 3261 22, RFC 7616, RFC 8760).

An answer never tells whether the user or the password was wrong, and takes as long for either. A nonce that is too old,
from before a restart, or used with this count before, asks for another round (stale=true), but only of whoever knows
the password.

Clients of RFC 2069, without qop, are accepted (RFC 3261 22.4 item 8); as they do not count, each nonce serves them
once.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from typing import Protocol

import attrs
from twisted.logger import Logger

from gosip_py.metrics import Metrics
from gosip_py.sip.digest import (
    Algorithm,
    Challenge,
    Credentials,
    NonceFactory,
    NonceState,
    is_answered_by,
    parse_credentials,
)
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Request
from gosip_py.sip.printable import printable
from gosip_py.sip.uri import Uri, parse_uri
from gosip_py.transaction.fallback import Fallback
from gosip_py.transaction.validation import Refusal
from gosip_py.transport.flow import Flow

__all__ = ["Authenticator", "CredentialSource", "DigestAccount", "Identity", "NonceCounts", "Owner"]

STRONGEST_FIRST = (Algorithm.SHA_256, Algorithm.MD5)
_WINDOW_BITS = 64
_WINDOW = (1 << _WINDOW_BITS) - 1
_FIRST = (1 << _WINDOW_BITS) | 1  # count 1 seen, and nothing else; one object for all the nonces that are used once
_SPENT = (1 << (_WINDOW_BITS + 33)) | _WINDOW  # above every count of eight hexadecimal digits
_NO_NONCE = "\0"


class DigestAccount(Protocol):
    """A device that may authenticate: HA1 for each algorithm, in hexadecimal, made for ``realm``."""

    @property
    def id(self) -> int: ...
    @property
    def user_id(self) -> int: ...
    @property
    def username(self) -> str: ...
    @property
    def enabled(self) -> bool: ...
    @property
    def realm(self) -> str: ...
    @property
    def ha1_md5(self) -> str: ...
    @property
    def ha1_sha256(self) -> str: ...


class Owner(Protocol):
    """The person whose device it is."""

    @property
    def enabled(self) -> bool: ...


class CredentialSource(Protocol):
    """Looks up devices and their owners, in memory."""

    def device_by_username(self, username: str) -> DigestAccount | None: ...

    def user(self, user_id: int) -> Owner | None: ...


@attrs.frozen
class Identity:
    """Whom a request is from: a device, by its digest username, and its owner."""

    username: str
    device_id: int
    user_id: int


class NonceCounts:
    """Which counts (nc) were used with which nonce, so that nothing is accepted twice (RFC 7616 3.4).

    Two generations: a nonce that nobody used for a lifetime, in seconds, is stale and forgotten. When more than
    ``limit`` are in use, older nonces are given up before their time: ``oldest`` is the time, in epoch seconds, before
    which nonces must not be taken any more.
    """

    def __init__(self, lifetime: float, limit: int = 200_000) -> None:
        self._lifetime = lifetime
        self._limit = limit
        self._younger: dict[int, int] = {}
        self._older: dict[int, int] = {}
        self._turned_at = 0.0
        self.oldest = 0.0

    def __len__(self) -> int:
        return len(self._younger) + len(self._older)

    def accept(self, nonce: str, count: int, now: float) -> bool:
        """Whether this count is new for this nonce, and from now on used; 0 is of a client that does not count."""
        if now - self._turned_at > self._lifetime:
            self._turn(now)
        # Nonces are ours and random: 64 bits of hash in place of 56 characters of text.
        key = hash(nonce)
        seen = self._younger.get(key)
        if seen is None:
            seen = self._older.get(key)
        state = _begin(count) if seen is None else _advance(seen, count)
        if state is None:
            return False
        self._younger[key] = state
        if len(self._younger) >= self._limit:
            # All that was used before the last turn goes; nonces tell their time in whole seconds.
            self.oldest = int(self._turned_at) + 1.0
            self._turn(now)
        return True

    def _turn(self, now: float) -> None:
        self._older = self._younger
        self._younger = {}
        self._turned_at = now


def _begin(count: int) -> int:
    if count == 1:
        return _FIRST
    return (count << _WINDOW_BITS) | 1 if count else _SPENT


def _advance(state: int, count: int) -> int | None:
    """The state after ``count``; None when it was used, or is too far behind to tell.

    The upper bits are the highest count, the lower 64 tell which of those up to it were used.
    """
    highest, window = state >> _WINDOW_BITS, state & _WINDOW
    ahead = count - highest
    if ahead > 0:
        window = ((window << ahead) | 1) & _WINDOW if ahead < _WINDOW_BITS else 1
        return (count << _WINDOW_BITS) | window
    if count == 0 or -ahead >= _WINDOW_BITS or window >> -ahead & 1:
        return None
    return state | (1 << -ahead)


class Authenticator:
    """Challenges and verifies.

    ``algorithms`` are offered in this order (RFC 8760 2.3); ``seconds`` tells the time in epoch seconds; ``is_ours``
    knows the names of this server.
    """

    log = Logger()

    def __init__(
        self,
        source: CredentialSource,
        realm: str,
        nonces: NonceFactory,
        metrics: Metrics,
        seconds: Callable[[], float],
        algorithms: Sequence[Algorithm] = STRONGEST_FIRST,
        is_ours: Callable[[Uri], bool] = lambda uri: False,
    ) -> None:
        if not algorithms:
            raise ValueError("at least one algorithm is offered")
        self._source = source
        self._realm = realm
        name = re.escape(realm)
        self._of_our_realm = re.compile(rf'(?i:realm)[ \t]*+=[ \t]*+(?:"{name}"|{name}[ \t]*+(?:,|\Z))')
        self._nonces = nonces
        self._failures = metrics.auth_failures
        self._seconds = seconds
        self._algorithms = tuple(algorithms)
        self._is_ours = is_ours
        self._counts = NonceCounts(nonces.lifetime)
        # Whoever is not known is checked against this, which nobody can answer.
        self._nobody = secrets.token_hex(32)
        self._challenges = {is_stale: self._written(self._algorithms, is_stale) for is_stale in (False, True)}
        self._plain_challenge = self._written((Algorithm.MD5,), False)
        has_choice = len(self._algorithms) > 1 and Algorithm.MD5 in self._algorithms
        self._fallback = Fallback() if has_choice else None

    def _written(self, algorithms: Sequence[Algorithm], is_stale: bool) -> tuple[tuple[str, str], ...]:
        """Each challenge in two parts, before and after the nonce."""
        challenges = (str(Challenge(self._realm, _NO_NONCE, algorithm, is_stale)) for algorithm in algorithms)
        halves = (challenge.partition(_NO_NONCE) for challenge in challenges)
        return tuple((before, after) for before, _, after in halves)

    def authenticate(self, request: Request, proxy: bool, flow: Flow | None = None) -> Identity | Refusal:
        """Whom ``request`` is from, or the refusal.

        401, or 407 for a ``proxy``, comes with fresh challenges; 400 or 403 when no other answer to them would help.
        Whoever showed on ``flow`` the certificate of a device is not asked.
        """
        if flow is not None and flow.identities:
            identity = self._certified(flow)
            if identity is not None:
                return identity
        name = "proxy-authorization" if proxy else "authorization"
        if name not in request.names:
            return self._first_challenge(request, proxy)
        try:
            credentials = self._ours(request, name)
            if credentials is None:
                return self._challenge(proxy, False, f"answer a challenge of the realm {self._realm}")
            if self._fallback is not None:
                self._fallback.note_answer(request)
            return self._verify(request, credentials, proxy)
        except ParseError as error:
            self._failures.child("malformed").inc()
            return Refusal(400, f"the credentials cannot be used: {error.reason}")

    def _certified(self, flow: Flow) -> Identity | None:
        """The device that the certificate of the peer names: ``sip:USERNAME`` at a name of ours (RFC 5922 7.1)."""
        for text in flow.identities:
            if not text.startswith("sip:"):
                continue
            uri = parse_uri(text)
            account = self._source.device_by_username(uri.user) if self._is_ours(uri) else None
            if account is not None and self._is_enabled(account):
                return Identity(account.username, account.id, account.user_id)
        return None

    def _is_enabled(self, account: DigestAccount) -> bool:
        owner = self._source.user(account.user_id)
        return account.enabled and owner is not None and owner.enabled

    def strip(self, request: Request) -> None:
        """Take the Proxy-Authorization that was for us out of ``request``, before it is sent on (22.3)."""
        values = request.values("proxy-authorization")
        others = [value for value in values if self._of_our_realm.search(value) is None]
        if len(others) < len(values):
            request.remove("proxy-authorization")
            for value in others:
                request.add("proxy-authorization", value)

    def _ours(self, request: Request, name: str) -> Credentials | None:
        """The first credentials for our realm with an algorithm that we offered (22.3)."""
        first = request.require(name)
        fault: ParseError | None = None
        for value in (first,) if request.names.count(name) == 1 else request.values(name):
            if value[:7].lower() != "digest ":
                continue
            try:
                credentials = parse_credentials(value)
            except ParseError as error:
                fault = error
                continue
            if credentials.realm == self._realm and self._has_offered(credentials):
                return credentials
        if fault is not None:
            raise fault
        return None

    def _has_offered(self, credentials: Credentials) -> bool:
        try:
            return credentials.algorithm in self._algorithms
        except ParseError:
            return False

    def _verify(self, request: Request, credentials: Credentials, proxy: bool) -> Identity | Refusal:
        account = self._source.device_by_username(credentials.username)
        # First of all and for everybody: only whoever knows the password learns anything below.
        if (
            not is_answered_by(credentials, self._secret_of(account, credentials.algorithm), request.method)
            or account is None
        ):
            return self._refuse(request, credentials, account, proxy)
        if not self._is_enabled(account):
            self._failures.child("disabled").inc()
            return Refusal(403, f"the device {account.username} is disabled")
        if credentials.uri != request.uri_text and not self._is_same_resource(credentials.uri, request):
            self._failures.child("uri").inc()
            return Refusal(400, "the uri of the credentials must be the Request-URI")
        if not self._is_usable(credentials):
            return self._challenge(proxy, True, "repeat the request with this nonce")
        return Identity(account.username, account.id, account.user_id)

    def _secret_of(self, account: DigestAccount | None, algorithm: Algorithm) -> str:
        if account is None or account.realm != self._realm:
            return self._nobody
        return (account.ha1_md5 if algorithm is Algorithm.MD5 else account.ha1_sha256) or self._nobody

    def _is_usable(self, credentials: Credentials) -> bool:
        """Whether the nonce is fresh and its count new; counts what is not."""
        now, nonces, counts = self._seconds(), self._nonces, self._counts
        # A nonce that was given up is made to look as old as it has to be.
        as_of = max(now, counts.oldest + nonces.lifetime)
        if nonces.check(credentials.nonce, as_of) is not NonceState.FRESH:
            self._failures.child("stale").inc()
            return False
        count = credentials.nonce_count if "qop" in credentials.parameters else 0
        if not counts.accept(credentials.nonce, count, now):
            self._failures.child("replay").inc()
            return False
        return True

    def _refuse(
        self, request: Request, credentials: Credentials, account: DigestAccount | None, proxy: bool
    ) -> Refusal:
        reason = "unknown_user" if account is None else "password" if account.realm == self._realm else "realm"
        self._failures.child(reason).inc()
        self.log.info(
            "credentials of {username} refused: {reason}",
            reason=reason,
            username=printable(credentials.username),
            call_id=request.call_id,
        )
        return self._challenge(proxy, False, "the username or the password is wrong")

    def _first_challenge(self, request: Request, proxy: bool) -> Refusal:
        challenges = self._challenges[False]
        if self._fallback is not None and self._fallback.is_baffled(request, self._seconds()):
            challenges = self._plain_challenge
        return self._refusal(proxy, challenges, "repeat the request with the credentials of a device")

    def _challenge(self, proxy: bool, is_stale: bool, explanation: str) -> Refusal:
        return self._refusal(proxy, self._challenges[is_stale], explanation)

    def _refusal(self, proxy: bool, challenges: tuple[tuple[str, str], ...], explanation: str) -> Refusal:
        nonce = self._nonces.make(self._seconds())
        name = "proxy-authenticate" if proxy else "www-authenticate"
        headers = tuple((name, before + nonce + after) for before, after in challenges)
        return Refusal(407 if proxy else 401, explanation, headers)

    def _is_same_resource(self, uri_text: str, request: Request) -> bool:
        """Whether the digest-uri may stand for the Request-URI, which a hop may have rewritten (RFC 8760 2.6 item 6).

        Some clients (SIPp) sign the host alone, or our address where the request has our domain. Whatever is signed is
        good for one request, because its count is.
        """
        said, asked = parse_uri(uri_text), request.uri
        return said.user in ("", asked.user) and (said.host == asked.host or self._is_ours(said))
