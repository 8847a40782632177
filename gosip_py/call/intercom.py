"""Calls that a phone answers by itself.

There is one standard header for it (RFC 5373) and three habits of the field; phones heed the one that they know.
"""

from __future__ import annotations

from gosip_py.call.verdict import Headers

__all__ = ["auto_answer"]


def auto_answer(domain: str) -> Headers:
    """The headers of an INVITE that asks the phone to answer at once, loudspeaker on."""
    return (
        ("answer-mode", "Auto"),
        ("alert-info", f"<http://{domain}>;info=alert-autoanswer;delay=0"),
        ("call-info", f"<sip:{domain}>;answer-after=0"),
    )
