"""Turns the `?` marks of the common SQL text into those psycopg2 knows."""

from __future__ import annotations

import re
from functools import lru_cache

# Literals, quoted names and comments go by untouched, but for the % that psycopg2 would take for its own.
_TOKEN = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|\?|%", re.DOTALL)


@lru_cache(maxsize=1024)
def with_percent_marks(sql: str) -> str:
    """The text with `%s` for each mark and `%%` for each percent sign; worked out once for each text."""
    return _TOKEN.sub(_replacement, sql)


def _replacement(match: re.Match[str]) -> str:
    token = match[0]
    return "%s" if token == "?" else token.replace("%", "%%")
