"""Digest authentication without a clock or a store (RFC 7616, RFC 8760, RFC 3261 22; RFC 2617 for old phones).

MD5 and SHA-256 with qop=auth. The -sess variants are refused: they would make the server keep a key per session and
gain nothing here. A password is never needed to check a response: HA1 is, which the store keeps per realm and
algorithm.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import re

import attrs

from gosip_py.sip.errors import ParseError
from gosip_py.sip.grammar import quote
from gosip_py.sip.ids import new_token

__all__ = [
    "Algorithm",
    "Challenge",
    "Credentials",
    "NonceFactory",
    "NonceState",
    "answer_challenge",
    "find_algorithm",
    "ha1",
    "is_answered_by",
    "legacy_response",
    "parse_challenge",
    "parse_credentials",
    "response",
]

# A name is taken with or without a value, so that a long run of letters is looked at once and not once for each letter.
# The first pattern knows no escapes and no space around "=" and takes half the time.
_PLAIN_PARAMETER = re.compile(r'([^ \t,="]++)(?:="([^"]*+)"|=([^ \t,"]*+))?+')
_PARAMETER = re.compile(r'([^ \t,="]++)[ \t]*+(?:=[ \t]*+(?:"([^"\\]*+(?:\\.[^"\\]*+)*+)"|([^ \t,"]*+)))?+', re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_NONCE_COUNT = re.compile(r"[0-9A-Fa-f]{8}\Z")
_NEEDED = frozenset(("username", "realm", "nonce", "uri", "response"))
_KNOWN = _NEEDED | {"algorithm", "cnonce", "nc", "opaque", "qop", "stale"}


class Algorithm(enum.Enum):
    """The hashes that we offer and take (RFC 8760 2.2)."""

    MD5 = "MD5"
    SHA_256 = "SHA-256"


_ALGORITHMS = {
    spelling: algorithm for algorithm in Algorithm for spelling in (algorithm.value, algorithm.value.lower())
}


def find_algorithm(name: str | None) -> Algorithm:
    """The algorithm of this name in any case; MD5 when none is given (RFC 7616 3.3).

    ParseError for all others, the -sess variants among them.
    """
    if name is None:
        return Algorithm.MD5
    found = _ALGORITHMS.get(name) or _ALGORITHMS.get(name.lower())
    if found is None:
        raise ParseError(f"digest algorithm {name[:20]} is not MD5 or SHA-256")
    return found


# -- the arithmetic ----------------------------------------------------------------------------------------------------


def _hash(algorithm: Algorithm, text: str) -> str:
    octets = text.encode("utf-8", "surrogateescape")
    if algorithm is Algorithm.MD5:
        return hashlib.md5(octets, usedforsecurity=False).hexdigest()
    return hashlib.sha256(octets).hexdigest()


def ha1(algorithm: Algorithm, username: str, realm: str, password: str) -> str:
    """H(username:realm:password) in hexadecimal: what stands in for the password (RFC 7616 3.4.2)."""
    return _hash(algorithm, f"{username}:{realm}:{password}")


def response(algorithm: Algorithm, ha1: str, nonce: str, nc: str, cnonce: str, qop: str, method: str, uri: str) -> str:
    """The response with quality of protection (RFC 7616 3.4.1); ``nc`` is eight hexadecimal digits as they are sent."""
    return _hash(algorithm, f"{ha1}:{nonce}:{nc}:{cnonce}:{qop}:{_hash(algorithm, f'{method}:{uri}')}")


def legacy_response(algorithm: Algorithm, ha1: str, nonce: str, method: str, uri: str) -> str:
    """The response of a client that knows no qop (RFC 2617 3.2.2.1)."""
    return _hash(algorithm, f"{ha1}:{nonce}:{_hash(algorithm, f'{method}:{uri}')}")


# -- what a client says ------------------------------------------------------------------------------------------------


@attrs.frozen(slots=False)
class Credentials:
    """The value of Authorization or Proxy-Authorization.

    ``parameters`` has lower-case names and values without quotes.
    """

    parameters: dict[str, str] = attrs.field(repr=False)

    @property
    def username(self) -> str:
        return self.parameters["username"]

    @property
    def realm(self) -> str:
        return self.parameters["realm"]

    @property
    def nonce(self) -> str:
        return self.parameters["nonce"]

    @property
    def uri(self) -> str:
        return self.parameters["uri"]

    @property
    def response(self) -> str:
        return self.parameters["response"]

    @property
    def algorithm(self) -> Algorithm:
        """ParseError for an algorithm that we do not know."""
        return find_algorithm(self.parameters.get("algorithm"))

    @property
    def qop(self) -> str:
        """``auth``, or empty for a client of RFC 2069."""
        return self.parameters.get("qop", "").lower()

    @property
    def cnonce(self) -> str:
        return self.parameters.get("cnonce", "")

    @property
    def nonce_count(self) -> int:
        """How often the client has used the nonce, this time included; 0 when it does not say."""
        return int(self.parameters.get("nc", "0"), 16)

    @property
    def opaque(self) -> str:
        return self.parameters.get("opaque", "")

    def __str__(self) -> str:
        return f"Digest {', '.join(_write_parameter(name, value) for name, value in self.parameters.items())}"


_UNQUOTED = frozenset(("algorithm", "qop", "nc", "stale", "userhash"))  # RFC 7616 3.4


def _write_parameter(name: str, value: str) -> str:
    return f"{name}={value if name in _UNQUOTED else quote(value)}"


def _parse_digest(text: str) -> dict[str, str]:
    if text[:7] not in ("Digest ", "digest ") and text[:7].lower() != "digest ":
        raise ParseError("the authentication scheme is not Digest")
    found = _PLAIN_PARAMETER.findall(text, 7)
    parameters = {name: quoted or plain for name, quoted, plain in found}
    if "\\" in text or not all(parameters.values()):
        found = _PARAMETER.findall(text, 7)
        parameters = {name: _QUOTED_PAIR.sub(r"\1", quoted or plain) for name, quoted, plain in found}
    if not parameters.keys() <= _KNOWN:
        parameters = {name.lower(): value for name, value in parameters.items()}
    if len(parameters) != len(found):
        raise ParseError("a digest parameter stands there twice")
    return parameters


def parse_credentials(text: str) -> Credentials:
    """The value of an Authorization or Proxy-Authorization header; ParseError unless it is Digest and complete.

    The algorithm is looked at when it is asked for.
    """
    parameters = _parse_digest(text)
    if not parameters.keys() >= _NEEDED:
        missing = sorted(_NEEDED - parameters.keys())
        raise ParseError(f"digest credentials without {', '.join(missing)}")
    nc = parameters.get("nc")
    if nc is not None and _NONCE_COUNT.match(nc) is None:
        raise ParseError("nc is not eight hexadecimal digits")
    # RFC 7616 3.4: with a qop, both must be there
    if "qop" in parameters and (nc is None or not parameters.get("cnonce")):
        raise ParseError("digest credentials with qop but without nc or cnonce")
    return Credentials(parameters)


def is_answered_by(credentials: Credentials, ha1: str, method: str) -> bool:
    """Whether whoever knows ``ha1`` made these credentials for a request with this method. Takes the same time for
    any wrong response.

    ParseError for an algorithm or qop that we did not offer. Nonce, nc, realm and uri are for the caller to check.
    """
    of, algorithm = credentials, credentials.algorithm
    if "qop" not in of.parameters:
        wanted = legacy_response(algorithm, ha1, of.nonce, method, of.uri)
    elif of.qop == "auth":
        # hashed as the client wrote them, whatever the case
        nc, qop = of.parameters["nc"], of.parameters["qop"]
        wanted = response(algorithm, ha1, of.nonce, nc, of.cnonce, qop, method, of.uri)
    else:
        raise ParseError("digest qop is not auth")
    return hmac.compare_digest(wanted.encode(), of.response.encode("utf-8", "surrogateescape"))


# -- what a server says ------------------------------------------------------------------------------------------------


@attrs.frozen
class Challenge:
    """One value of WWW-Authenticate or Proxy-Authenticate. ``qop`` is empty for a server of RFC 2069."""

    realm: str
    nonce: str
    algorithm: Algorithm = Algorithm.MD5
    is_stale: bool = False
    opaque: str | None = None
    qop: str = "auth"

    def __str__(self) -> str:
        opaque = f", opaque={quote(self.opaque)}" if self.opaque is not None else ""
        qop = f", qop={quote(self.qop)}" if self.qop else ""
        stale = ", stale=true" if self.is_stale else ""
        head = f"Digest realm={quote(self.realm)}, nonce={quote(self.nonce)}, algorithm={self.algorithm.value}"
        return f"{head}{qop}{stale}{opaque}"


def parse_challenge(text: str) -> Challenge:
    """A challenge that we were sent; ParseError for other schemes and algorithms. ``qop`` keeps the list as it came."""
    parameters = _parse_digest(text)
    if "realm" not in parameters or "nonce" not in parameters:
        raise ParseError("a digest challenge without realm or nonce")
    return Challenge(
        parameters["realm"],
        parameters["nonce"],
        find_algorithm(parameters.get("algorithm")),
        parameters.get("stale", "").lower() == "true",
        parameters.get("opaque"),
        parameters.get("qop", ""),
    )


def answer_challenge(
    challenge: Challenge, username: str, ha1: str, method: str, uri: str, cnonce: str, count: int = 1
) -> Credentials:
    """The credentials that answer ``challenge`` for a request to ``uri``; ``ha1`` is of its realm and algorithm.

    ``count`` says how often this nonce has been used, this time included. ParseError when the server takes no qop
    that we know.
    """
    algorithm, nonce = challenge.algorithm, challenge.nonce
    parameters = {"username": username, "realm": challenge.realm, "nonce": nonce, "uri": uri}
    if not challenge.qop:
        parameters["response"] = legacy_response(algorithm, ha1, nonce, method, uri)
    elif "auth" in (option.strip(" \t").lower() for option in challenge.qop.split(",")):
        nc = f"{count:08x}"
        parameters["response"] = response(algorithm, ha1, nonce, nc, cnonce, "auth", method, uri)
        parameters |= {"qop": "auth", "nc": nc, "cnonce": cnonce}
    else:
        raise ParseError("the server offers no qop=auth")
    parameters["algorithm"] = algorithm.value
    if challenge.opaque is not None:
        # RFC 7616 3.3: given back unchanged
        parameters["opaque"] = challenge.opaque
    return Credentials(parameters)


# -- nonces ------------------------------------------------------------------------------------------------------------


class NonceState(enum.Enum):
    """What a nonce turned out to be.

    A stale one deserves a new challenge with stale=true, a forged one a plain challenge.
    """

    FRESH = "fresh"
    STALE = "stale"
    FORGED = "forged"


_SIGNED = 24  # digits of time (8) and of randomness (16)
_SIGNATURE = 32  # digits of the truncated HMAC-SHA256


@attrs.frozen
class NonceFactory:
    """Nonces that prove themselves: time, randomness and a signature, so that nothing is kept until one comes back.

    ``secret`` is shared by all servers that shall take each other's nonces; ``lifetime`` is in seconds. How often a
    nonce has been used (nc) is for the caller to watch.
    """

    secret: bytes = attrs.field(repr=False)
    lifetime: int

    def make(self, now: float) -> str:
        """A new nonce; ``now`` in epoch seconds."""
        signed = f"{int(now):08x}{new_token(16)}"
        return signed + self._sign(signed)

    def check(self, nonce: str, now: float) -> NonceState:
        signed = nonce[:_SIGNED]
        wanted = self._sign(signed).encode()
        if not hmac.compare_digest(wanted, nonce[_SIGNED:].encode("utf-8", "surrogateescape")):
            return NonceState.FORGED
        # A clock of another server may be ahead of ours; by more than a lifetime it is not.
        return NonceState.FRESH if abs(now - int(signed[:8], 16)) <= self.lifetime else NonceState.STALE

    def _sign(self, signed: str) -> str:
        return hmac.digest(self.secret, signed.encode("utf-8", "surrogateescape"), "sha256").hex()[:_SIGNATURE]
