"""Telephone numbers as people dial them, and in the form of E.164."""

from __future__ import annotations

import re

import attrs

__all__ = ["NumberPlan", "is_global", "undecorated"]

_SEPARATORS = re.compile(r"[\-.() ]")  # RFC 3966 5.1.1, and the blank that people put in
# A country code and at least a short subscriber number; E.164 6.1: 15 digits at most
_GLOBAL = re.compile(r"\+[1-9][0-9]{5,14}\Z")
_LOCAL = re.compile(r"[0-9]{3,20}\Z")
_SHORTEST_NATIONAL = 6
_NORTH_AMERICA = "1"
_NORTH_AMERICAN = re.compile(r"[2-9][0-9]{9}\Z")


def undecorated(dialled: str) -> str:
    """``dialled`` without the separators that stand in numbers to be read; a name is left as it is."""
    if dialled.isalnum():
        return dialled
    plain = _SEPARATORS.sub("", dialled)
    return plain if plain.lstrip("+").isdecimal() and plain.isascii() else dialled


def is_global(number: str) -> bool:
    """Whether it is a number in the form of E.164, with its plus sign."""
    return _GLOBAL.match(number) is not None


@attrs.frozen
class NumberPlan:
    """How numbers of the outside are dialled here.

    ``country_code`` has no plus sign; without one only whole numbers with a plus sign or the ``international_prefix``
    ("00", "011") go out. ``national_prefix`` ("0") stands before national numbers, and is left out where it is empty.
    """

    country_code: str = ""
    international_prefix: str = "00"
    national_prefix: str = ""

    def normalise(self, dialled: str) -> str:
        """The number in the form of E.164 with a plus sign; empty when it is none of the outside."""
        if dialled.startswith("+"):
            return dialled if is_global(dialled) else ""
        if _LOCAL.match(dialled) is None:
            return ""
        prefix = self.international_prefix
        if prefix and dialled.startswith(prefix):
            return _checked(f"+{dialled[len(prefix) :]}")
        return self._national(dialled) if self.country_code else ""

    def _national(self, dialled: str) -> str:
        if self.country_code == _NORTH_AMERICA:
            # ten digits, dialled with a 1 before them as often as without it
            digits = dialled[1:] if len(dialled) == 11 and dialled[0] == "1" else dialled
            return f"+1{digits}" if _NORTH_AMERICAN.match(digits) else ""
        prefix = self.national_prefix
        if prefix and not dialled.startswith(prefix):
            return ""  # without an area code nobody knows where it is
        digits = dialled[len(prefix) :]
        return _checked(f"+{self.country_code}{digits}") if len(digits) >= _SHORTEST_NATIONAL else ""


def _checked(number: str) -> str:
    return number if is_global(number) else ""
