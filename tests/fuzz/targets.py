"""What the fuzzer feeds. Each target takes any octets and raises when something that must hold does not.

`values` reads one message and asks it for everything; `streams` frames the octets in one piece and in random pieces;
`descriptions` takes them for a session description; `server` plays them as a script to the whole receiving side (see
scripts.py).
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Mapping

from gosip_py.call.masking import mask
from gosip_py.dialog.reference import read_refer, status_of
from gosip_py.dialog.replaces import read_take_over
from gosip_py.dialog.session import session_of
from gosip_py.media.sdp import (
    codecs,
    direction,
    held,
    inactive_answer,
    origin_place,
    with_direction,
    with_origin,
)
from gosip_py.media.sdp import streams as streams_of
from gosip_py.sip.decode import DECODERS, decode
from gosip_py.sip.errors import ParseError
from gosip_py.sip.grammar import parse_parameters, quote, split_commas, split_outside_quotes, unfold, unquote
from gosip_py.sip.headers import read_tag
from gosip_py.sip.message import Message, Request, Response
from gosip_py.sip.parser import LARGEST_MESSAGE, parse_message
from gosip_py.sip.reply import explain, reply
from gosip_py.sip.stream import Ping, StreamFramer
from gosip_py.sip.uri import parse_uri
from tests.fuzz.scripts import play

__all__ = ["TARGETS", "descriptions", "server", "streams", "values"]

_READERS: tuple[Callable[[str], object], ...] = (
    *dict.fromkeys(DECODERS.values()),
    parse_uri,
    parse_parameters,
    split_commas,
    split_outside_quotes,
    read_tag,
    unfold,
    unquote,
    quote,
)
_PROPERTIES = ("top_via", "cseq", "call_id", "from_tag", "to_tag", "from_", "to", "uri")
_LONGEST_VALUE = 400  # octets; every reader reads it, so what is longer would only slow the search down
_PIECES = 12


def _ask(read: Callable[..., object], *arguments: object) -> object:
    """What ``read`` gives; None after a ParseError. Every other exception is a finding."""
    try:
        return read(*arguments)
    except ParseError:
        return None


# -- one message -----------------------------------------------------------------------------------------------------


def values(data: bytes) -> None:
    """As a datagram, and when it is short as a header value for every reader that there is."""
    try:
        message = parse_message(data)
    except ParseError as error:
        if error.message is not None:
            _read_all(error.message)
            _answer(error.message)
    else:
        _read_all(message)
        _answer_readably(message)
    if len(data) <= _LONGEST_VALUE:
        text = data.decode("utf-8", "surrogateescape").replace("\r\n", " ")
        for reader in _READERS:
            str(_ask(reader, text))


def _read_all(message: Message) -> None:
    for name in _PROPERTIES:
        _ask(getattr, message, name, None)
    for name in set(message.names):
        value = _ask(decode, message, name)
        for each in value if isinstance(value, tuple) else (value,):
            _ask(getattr, each, "uri", None)
            str(each)
        _ask(message.addresses, name)
    assert isinstance(message, Request | Response)
    session_of(message)
    if isinstance(message, Request):
        _ask(read_refer, message)
        _ask(read_take_over, message)
    assert message.copy().to_bytes() == message.to_bytes()


def _answer(message: Message) -> bytes:
    """What a refusal of it looks like; it can be made whatever is wrong with the message."""
    if not isinstance(message, Request):
        return b""
    return explain(reply(message, 400, to_tag="x"), "look again").to_bytes()


def _answer_readably(message: Message) -> None:
    """What could be read can be read again from what we write, and so can an answer to it."""
    again = parse_message(message.to_bytes())
    assert (again.start_line, again.names, again.lines) == (message.start_line, message.names, message.lines)
    if answer := _answer(message):
        assert parse_message(answer).names.count("via") == message.names.count("via")


# -- a stream --------------------------------------------------------------------------------------------------------


def streams(data: bytes) -> None:
    """However a stream is cut, the same comes out of it, and no more is held than one message."""
    whole = _shape(StreamFramer(), [data])
    cuts = random.Random(zlib.crc32(data))
    pieces, rest = [], data
    for _ in range(_PIECES):
        at = cuts.randint(0, len(rest))
        pieces.append(rest[:at])
        rest = rest[at:]
    pieces.append(rest)
    assert _shape(StreamFramer(), pieces) == whole
    if len(data) <= _LONGEST_VALUE:
        assert _shape(StreamFramer(), [data[at : at + 1] for at in range(len(data))]) == whole


def _shape(framer: StreamFramer, pieces: list[bytes]) -> list[object]:
    """What comes out, in a form that can be compared."""
    shape: list[object] = []
    for piece in pieces:
        for item in framer.feed(piece):
            if isinstance(item, Message):
                shape.append((item.start_line, item.names, item.lines, item.body))
            else:
                shape.append(item if isinstance(item, Ping) else "fault")
        assert framer.bytes_held <= LARGEST_MESSAGE + len(piece)
    shape.append((framer.is_dead, framer.is_idle))
    return shape


# -- a session description -------------------------------------------------------------------------------------------


def descriptions(data: bytes) -> None:
    """Whatever it is, it can be asked and changed; what was changed once is not changed again."""
    streams_of(data)
    codecs(data)
    held(data)
    _ask(status_of, data)
    mask([data])
    way = direction(data)
    for wanted in (way, "inactive"):
        turned = with_direction(data, wanted)
        assert with_direction(turned, wanted) == turned
    inactive_answer(data)
    again = with_origin(data, 1, 2, origin_place(data))
    assert with_origin(again, 1, 2, origin_place(again)) == again


# -- the whole server ------------------------------------------------------------------------------------------------


def server(data: bytes) -> None:
    """Play the script; afterwards nothing is left of it and nothing was logged as a failure."""
    play(data)


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "values": values,
    "streams": streams,
    "descriptions": descriptions,
    "server": server,
}
