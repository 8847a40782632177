"""What the other side of a dialog says that it can do, in Allow and Supported (RFC 3261 20.5, 20.37)."""

from __future__ import annotations

from functools import lru_cache

from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Message

__all__ = ["Abilities", "abilities_of"]

# Known by everybody (RFC 3261 7.1), whether they say so or not.
_BASIC = frozenset(("ack", "bye", "cancel", "invite", "options"))
_MOST_TOKENS = 40
_LONGEST_TOKEN = 32
_LONGEST = 600  # characters; who says more than that is not remembered for the next call


class Abilities:
    """Methods and option tags, in lower case."""

    __slots__ = ("_methods", "_options")

    def __init__(self, methods: frozenset[str] | None, options: frozenset[str]) -> None:
        self._methods = methods
        self._options = options

    @staticmethod
    def of(message: Message) -> Abilities | None:
        """What this message says; None when it says nothing. Many phones say the same, which is kept once."""
        names, lines = message.names, message.lines
        has_allow, has_supported = "allow" in names, "supported" in names
        if not (has_allow or has_supported):
            return None
        if names.count("allow") < 2 and names.count("supported") < 2:
            allow = lines[names.index("allow")] if has_allow else ""
            supported = lines[names.index("supported")] if has_supported else ""
            if len(allow) + len(supported) <= _LONGEST:
                return _read_lines(allow, supported)
        return Abilities(_tokens(message, "allow") if has_allow else None, _tokens(message, "supported"))

    def allows(self, method: str) -> bool:
        return method.lower() in (_BASIC if self._methods is None else self._methods)

    def supports(self, tag: str) -> bool:
        return tag in self._options


@lru_cache(maxsize=256)
def _read_lines(allow: str, supported: str) -> Abilities:
    """Of header lines as they were received, empty where there is none."""
    names = [name for name, line in (("allow", allow), ("supported", supported)) if line]
    message = Message(names, [line for line in (allow, supported) if line])
    return Abilities(_tokens(message, "allow") if allow else None, _tokens(message, "supported"))


def _tokens(message: Message, name: str) -> frozenset[str]:
    try:
        return frozenset(value.lower() for value in message.values(name)[:_MOST_TOKENS] if len(value) <= _LONGEST_TOKEN)
    except ParseError:
        return frozenset()


_SILENT = Abilities(None, frozenset())


def abilities_of(known: Abilities | None) -> Abilities:
    """These, or what can be expected of somebody who said nothing."""
    return known if known is not None else _SILENT
