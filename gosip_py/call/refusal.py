"""Final responses as a caller may see them: ours that never were on a wire, and those of others without their trade.

The switch is the one that the caller talks to. What an answer says about our own request, its credentials or its way,
is our matter (RFC 7092 3.2): the caller hears that it did not work.
"""

from __future__ import annotations

from collections.abc import Iterable

from gosip_py.call.headers import passed_answer
from gosip_py.sip.fields import Reason
from gosip_py.sip.message import Response
from gosip_py.sip.reply import explain
from gosip_py.sip.status import REASON_PHRASES

__all__ = ["NOBODY", "made", "rank", "translated"]

Headers = tuple[tuple[str, str], ...]

_HELPFUL = frozenset((415, 484))
# What they said of our own INVITE, and what that is to the caller.
_OUR_MATTER = {
    401: 500,
    407: 500,
    420: 500,
    421: 500,
    422: 500,
    430: 480,  # RFC 5626 11.5
    439: 480,
    481: 480,
    487: 480,
    491: 480,
    503: 500,  # RFC 3261 16.7 item 6: trouble with one does not mean that we can serve nobody
}
_EXPLANATIONS = {
    401: "The other side asked for credentials that it did not accept: check those of the trunk.",
    407: "The other side asked for credentials that it did not accept: check those of the trunk.",
    503: "The other side cannot take calls now: try again later.",
}
# Made here: their phone says nothing, or there is no way to it.
_UNREACHABLE = frozenset((408, 502, 503))
_ELSEWHERE = "They sent the call on to where it may not go: call that number yourself."


def made(status: int, explanation: str = "", headers: Iterable[tuple[str, str]] = ()) -> Response:
    """A final response of our own, to be told and not to be sent."""
    response = Response(status, REASON_PHRASES.get(status, "Unknown"), [], [])
    if explanation:
        explain(response, explanation)
    for name, value in headers:
        response.add(name, value)
    return response


NOBODY = "Nobody answered in time: try again later."


def rank(response: Response, is_ours: bool) -> tuple[int, bool, int]:
    """Smaller is better, as of a proxy (RFC 3261 16.7 item 6); what the caller cannot act on comes last."""
    status = response.status
    if status >= 600:
        return 0, is_ours, status
    if status in _OUR_MATTER:
        return 7, is_ours, status
    if status < 400:
        return 6, is_ours, status
    return status // 100, is_ours, 0 if status in _HELPFUL else status


def translated(response: Response, is_ours: bool) -> tuple[int, str, Headers]:
    """Status, explanation and headers for the caller. What was said in other words stands in a Reason (RFC 3326)."""
    status = response.status
    if is_ours:
        headers = tuple((name, response.require(name)) for name in ("warning", "retry-after") if name in response.names)
        return (480 if status in _UNREACHABLE else status), "", headers
    if status < 400:
        return 480, _ELSEWHERE, ()
    passed = passed_answer(response)
    ours = _OUR_MATTER.get(status)
    if ours is None:
        return status, "", passed
    reason = ("reason", str(Reason("SIP", status, REASON_PHRASES.get(status))))
    kept = tuple(pair for pair in passed if pair[0] not in ("reason", "retry-after"))
    return ours, _EXPLANATIONS.get(status, ""), (*kept, reason)
