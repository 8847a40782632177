"""The small pieces of the grammar that every header shares (RFC 3261 25.1).

Tokens, quoted strings, parameter lists, and splitting at commas that stand outside of quotes and angle brackets.
Patterns are linear: no alternative can match the same text in two ways, and what a repetition has taken it never
gives back.
"""

from __future__ import annotations

import re

from gosip_py.sip.errors import ParseError

__all__ = [
    "is_token",
    "parse_digits",
    "parse_parameters",
    "quote",
    "split_commas",
    "split_outside_quotes",
    "unfold",
    "unquote",
    "write_parameters",
]

Parameters = dict[str, str | None]

_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+\Z")
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_TO_QUOTE = re.compile(r'["\\\r\n]')
_QUOTED = r'"(?:[^"\\]++|\\.)*+"'
_COMMA_PIECE = re.compile(rf'(?:{_QUOTED}|<[^>]*+>|[^,"<]++)*+', re.DOTALL)
_SEMICOLON_PIECE = re.compile(rf'(?:{_QUOTED}|[^;"]++)*+', re.DOTALL)


def is_token(text: str) -> bool:
    """Whether ``text`` is a token of RFC 3261 25.1."""
    return _TOKEN.match(text) is not None


def parse_digits(text: str, what: str, limit: int) -> int:
    """A number written in ASCII digits only, at most ``limit``; ``what`` names it in the error."""
    if not (text.isascii() and text.isdigit()):
        raise ParseError(f"{what} is not a number")
    if len(text) > 20 or int(text) > limit:
        raise ParseError(f"{what} is larger than {limit}")
    return int(text)


def unfold(value: str) -> str:
    """A header value with each line fold replaced by one space (RFC 3261 7.3.1)."""
    return " ".join([piece.strip(" \t") for piece in value.split("\r\n")]) if "\r\n" in value else value


def quote(text: str) -> str:
    """``text`` as a quoted-string.

    CR and LF become spaces: nothing can quote them, and they would begin a new header.
    """
    return f'"{text}"' if _TO_QUOTE.search(text) is None else f'"{_TO_QUOTE.sub(_quote_one, text)}"'


def _quote_one(found: re.Match[str]) -> str:
    return " " if found[0] in "\r\n" else "\\" + found[0]


def unquote(text: str) -> str:
    """The content of a quoted-string; other text comes back as it is."""
    if len(text) >= 2 and text[0] == '"' and text[-1] == '"':
        inner = text[1:-1]
        return _QUOTED_PAIR.sub(r"\1", inner) if "\\" in inner else inner
    return text


def split_commas(value: str) -> list[str]:
    """The elements of a comma separated header value, stripped, empty ones left out."""
    if "," not in value:
        piece = value.strip(" \t")
        return [piece] if piece else []
    if '"' not in value and "<" not in value:
        return [piece for part in value.split(",") if (piece := part.strip(" \t"))]
    return _split(value, _COMMA_PIECE, ",")


def split_outside_quotes(value: str) -> list[str]:
    """The pieces of ``value`` between semicolons that stand outside of quoted strings, stripped."""
    if '"' not in value:
        return [part.strip(" \t") for part in value.split(";")]
    return _split(value, _SEMICOLON_PIECE, ";")


def _split(value: str, pattern: re.Pattern[str], separator: str) -> list[str]:
    pieces = []
    at, end = 0, len(value)
    while True:
        match = pattern.match(value, at)
        at = match.end() if match else at
        start = match.start() if match else at
        if at < end and value[at] != separator:
            raise ParseError("a quote or an angle bracket is not closed", at)
        piece = value[start:at].strip(" \t")
        if piece or separator == ";":
            pieces.append(piece)
        if at >= end:
            return pieces
        at += 1


def parse_parameters(text: str) -> Parameters:
    """The parameters of ``;name=value;name``, with or without the leading semicolon.

    Names come in lower case, values unquoted, None where there is no ``=``. Of a parameter
    named twice the first one stands.
    """
    parameters: Parameters = {}
    if '"' not in text and " " not in text and "\t" not in text:
        for piece in text.split(";"):
            if piece:
                name, equals, value = piece.partition("=")
                if name and (name := name.lower()) not in parameters:
                    parameters[name] = value if equals else None
        return parameters
    for piece in split_outside_quotes(text):
        name, equals, value = piece.partition("=")
        name = name.rstrip(" \t").lower()
        if name and name not in parameters:
            parameters[name] = unquote(value.lstrip(" \t")) if equals else None
    return parameters


def write_parameters(parameters: Parameters) -> str:
    """``;name=value`` for each, quoted where the value is no token or host."""
    return "".join(
        f";{name}" if value is None else f";{name}={value if _is_plain(value) else quote(value)}"
        for name, value in parameters.items()
    )


_PLAIN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~\[\]:]+\Z")


def _is_plain(value: str) -> bool:
    return _PLAIN.match(value) is not None
