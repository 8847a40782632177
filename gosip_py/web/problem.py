"""What went wrong with a request, as the one error shape of the API."""

from __future__ import annotations

import json
from collections.abc import Sequence

import attrs

__all__ = [
    "Detail",
    "Problem",
    "conflict",
    "forbidden",
    "invalid",
    "locked_out",
    "not_done",
    "not_found",
    "unauthenticated",
    "unavailable",
]


@attrs.frozen
class Detail:
    """One thing that is wrong; `field` is the dotted path of a field of the body or the query, or "" for all of it."""

    field: str
    message: str


class Problem(Exception):
    """Ends the handling of a request with this answer. `headers` go out with it."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Sequence[Detail] = (),
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.details = tuple(details)
        self.headers = tuple(headers)

    def render(self) -> bytes:
        """The JSON text of the answer's body."""
        details = [attrs.asdict(detail) for detail in self.details]
        return json.dumps({"error": {"code": self.code, "message": self.message, "details": details}}).encode()


def invalid(*details: Detail, message: str = "The request is not valid") -> Problem:
    """400: the body or the query cannot be used."""
    return Problem(400, "VALIDATION_ERROR", message, details)


def unauthenticated(message: str = "Sign in first") -> Problem:
    """401: nobody is signed in, or not rightly."""
    # RFC 9110 11.6.1: a 401 names at least one challenge.
    return Problem(401, "UNAUTHENTICATED", message, headers=[("WWW-Authenticate", "Bearer")])


def forbidden(message: str, *details: Detail) -> Problem:
    """403: known, but not allowed to."""
    return Problem(403, "FORBIDDEN", message, details)


def not_found(what: str) -> Problem:
    """404: `what` does not exist, or belongs to somebody else, which is not to be told."""
    return Problem(404, "NOT_FOUND", f"There is no such {what}")


def conflict(field: str, message: str) -> Problem:
    """409: the change contradicts what is there."""
    return Problem(409, "CONFLICT", message, [Detail(field, message)])


_NOT_DONE = {400: "VALIDATION_ERROR", 403: "FORBIDDEN", 404: "NOT_FOUND", 409: "CONFLICT", 503: "UNAVAILABLE"}


def not_done(status: int, message: str) -> Problem:
    """What became of a command to a call; a status that only SIP has is a 409: it was tried, and came to nothing."""
    known = status if status in _NOT_DONE else 409
    return Problem(known, _NOT_DONE[known], message)


def locked_out(seconds: float) -> Problem:
    """429: too many failures; `seconds` until it may be tried again."""
    headers = [("Retry-After", str(max(1, round(seconds + 0.5))))]
    return Problem(429, "TOO_MANY_REQUESTS", "Too many failed attempts; try again later", headers=headers)


def unavailable(message: str = "The store is away; try again soon") -> Problem:
    """503: it would work, but not now."""
    return Problem(503, "STORE_UNAVAILABLE", message, headers=[("Retry-After", "5")])
