"""What is taken out of SIP messages before they are kept or shown: credentials, keys, passwords and dialled PINs.

The messages of a call are looked through together: nearly all of them hold no secret, and it is one search for each
word that way.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import compress

__all__ = ["MASK", "mask"]

MASK = b"***"

_FLAGS = re.IGNORECASE | re.MULTILINE

_Rule = tuple[tuple[bytes, ...], re.Pattern[bytes]]
"""Words of which one must be there, in lower case, and a pattern whose first group is kept."""

# JSON, forms, XML, headers and parameters that name a password, a PIN or a token.
_NAMED = re.compile(
    rb"((?:passw(?:or)?d|secret|token|api[_\-]?key|(?<![a-z])pin)\"?+[ \t]*+[:=>][ \t]*+\"?+)[^\s\"&;,<>]++", _FLAGS
)

# Only a scheme that we know is kept: what stands there may be the secret itself. A value may be folded over several
# lines (RFC 3261 7.3.1).
_CREDENTIALS = re.compile(
    rb"^((?:Proxy-)?Auth(?:orization|entication-Info)[ \t]*+:(?:[ \t]|\r?\n[ \t])*+"
    rb"(?:(?:Digest|Basic|Bearer)[ \t]++)?+)[^\r\n]*+(?:\r?\n[ \t]++[^\r\n]*+)*+",
    _FLAGS,
)

_OF_REQUESTS: tuple[_Rule, ...] = (
    ((b"authorization",), _CREDENTIALS),
    ((b"passw", b"secret", b"token", b"api-key"), _NAMED),
)
_OF_RESPONSES: tuple[_Rule, ...] = (((b"authentication-info",), _CREDENTIALS),)

_OF_BODIES: tuple[_Rule, ...] = (
    # SDP: RFC 4568 9.1, RFC 4566 5.12, RFC 4567 3.1, RFC 8839 5.4.
    ((b"inline:",), re.compile(rb"(inline:)[^\s|;]++", _FLAGS)),
    ((b"k=",), re.compile(rb"^(k=[^:\r\n]*+:?+)[^\r\n]*+", _FLAGS)),
    ((b"key-mgmt:",), re.compile(rb"^(a=key-mgmt:\S*+)[^\r\n]*+", _FLAGS)),
    ((b"ice-pwd:",), re.compile(rb"^(a=ice-pwd:)[^\r\n]*+", _FLAGS)),
    # A message in a message (message/sipfrag, multipart/mixed).
    ((b"authorization", b"authentication-info"), _CREDENTIALS),
    ((b"passw", b"secret", b"token", b"pin", b"api"), _NAMED),
    # Digits that somebody dials in a call are PINs often enough: application/dtmf-relay, and application/dtmf, which
    # has nothing but the digit.
    ((b"signal",), re.compile(rb"^(Signal[ \t]*+=[ \t]*+)[^\r\n]++", _FLAGS)),
)
_BARE_DIGITS = re.compile(rb"[0-9A-D*#,\s]{1,64}", re.IGNORECASE)

# The password of a URI (RFC 3261 19.1.1). Nearly every message has URIs and none a password. Whether there is one is
# seen in lower case: a pattern that begins with exact letters is searched faster than one that takes either case.
_LOWER_URI_PASSWORD = re.compile(rb"(sips?:[^\s:;@<>\"?]*+:)[^\s@<>\"]*+(?=@)")
_URI_PASSWORD = re.compile(_LOWER_URI_PASSWORD.pattern, re.IGNORECASE)


def mask(messages: Sequence[bytes]) -> list[bytes]:
    """The messages with `***` in place of what only the two ends may know."""
    parts = [_parted(octets) for octets in messages]
    heads = [head for head, _, _ in parts]
    bodies = [body for _, _, body in parts]
    are_responses = [head[:4] == b"SIP/" for head in heads]
    heads = _masked(heads, [not is_response for is_response in are_responses], _OF_REQUESTS)
    heads = _masked(heads, are_responses, _OF_RESPONSES)
    if any(bodies):
        bodies = _masked(bodies, [bool(body) for body in bodies], _OF_BODIES)
        bodies = [MASK if body and _BARE_DIGITS.fullmatch(body) else body for body in bodies]
    return [head + end + body for head, (_, end, _), body in zip(heads, parts, bodies, strict=True)]


def _parted(octets: bytes) -> tuple[bytes, bytes, bytes]:
    """Head, empty line and body; what has no empty line is looked at as a body, for there is more to be found."""
    head, end, body = octets.partition(b"\r\n\r\n")
    return (head, end, body) if end else (b"", b"", octets)


def _masked(texts: list[bytes], which: list[bool], rules: Sequence[_Rule]) -> list[bytes]:
    """The texts with the rules applied to some of them."""
    lower = b"\n".join(compress(texts, which)).lower()
    found = [pattern for words, pattern in rules if _has(lower, words)]
    if _LOWER_URI_PASSWORD.search(lower) is not None:
        found.append(_URI_PASSWORD)
    for pattern in found:
        texts = [
            pattern.sub(rb"\1" + MASK, text) if is_meant else text for text, is_meant in zip(texts, which, strict=True)
        ]
    return texts


def _has(lower: bytes, words: tuple[bytes, ...]) -> bool:
    for word in words:  # noqa: SIM110  a generator would cost more than the search
        if word in lower:
            return True
    return False
