"""Complete messages out of a byte stream: TCP and TLS (RFC 3261 7.5, 18.3; RFC 5626 4.4.1).

Holds at most one unfinished message, and remembers how far it was searched: a peer that sends one octet at a time
costs no more than one that sends all at once.
"""

from __future__ import annotations

import enum

from gosip_py.sip.errors import ParseError, TooLarge
from gosip_py.sip.message import Message
from gosip_py.sip.parser import LARGEST_HEAD_LINE, LARGEST_MESSAGE, MOST_HEADERS, content_length, parse_head, salvage

__all__ = ["Ping", "StreamFramer"]

_END = b"\r\n\r\n"
_CRLF = b"\r\n"


class Ping(enum.Enum):
    """The keep-alive of RFC 5626 4.4.1: two line ends between messages. The answer is one."""

    PING = _END


class StreamFramer:
    """Feed it what a connection delivers; it gives back what is complete.

    After a ParseError nothing on the stream can be trusted any more: the error is the last item, the framer
    ``is_dead`` and takes no more.
    """

    __slots__ = ("_body_at", "_buffer", "_line_at", "_lines", "_message", "_needed", "_searched", "is_dead")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.is_dead = False
        self._start_over()

    def _start_over(self) -> None:
        self._searched = 0  # octets in which the end of the head was looked for
        self._line_at = 0  # where the unfinished header line begins
        self._lines = 0
        self._message: Message | None = None  # its head, while the body is awaited
        self._body_at = 0
        self._needed = 0

    @property
    def bytes_held(self) -> int:
        """Octets that wait for the rest of their message."""
        return len(self._buffer)

    @property
    def is_idle(self) -> bool:
        """Whether no message has been received by half.

        A line end that waits to become a ping is none: it may be the answer to ours.
        """
        return len(self._buffer) < len(_END) and _END.startswith(self._buffer)

    def feed(self, data: bytes) -> list[Message | Ping | ParseError]:
        """Take in ``data`` of any length; give the messages and pings that it completes, in order."""
        found: list[Message | Ping | ParseError] = []
        if self.is_dead:
            return found
        self._buffer += data
        try:
            while (item := self._next()) is not None:
                found.append(item)
        except ParseError as error:
            found.append(error)
            self._die()
        return found

    def _die(self) -> None:
        self.is_dead = True
        self._buffer = bytearray()
        self._start_over()

    def _next(self) -> Message | Ping | None:
        if self._message is None:
            buffer = self._buffer
            if buffer[:1] == b"\r":
                if _END.startswith(buffer[:4]):
                    return self._take_ping()
                # RFC 3261 7.5: a line end before a message means nothing
                del buffer[: 2 if buffer.startswith(_CRLF) else 0]
            if not (buffer and self._read_head()):
                return None
        return self._read_body()

    def _take_ping(self) -> Ping | None:
        """The ping at the front of the buffer; None while its last octets are awaited."""
        if len(self._buffer) < len(_END):
            return None
        del self._buffer[: len(_END)]
        return Ping.PING

    def _read_head(self) -> bool:
        """Whether the head is complete and decoded."""
        buffer = self._buffer
        end = buffer.find(_END, max(0, self._searched - 3))
        if end < 0:
            self._measure_lines()
            self._searched = len(buffer)
            return False
        message = parse_head(buffer[:end].decode("utf-8", "surrogateescape"))
        # On a stream nothing else tells where the message ends (RFC 3261 18.3).
        self._needed = end + len(_END) + content_length(message)
        if self._needed > LARGEST_MESSAGE:
            raise TooLarge("the message is larger than 64 KiB: send a shorter one", LARGEST_MESSAGE, message)
        self._body_at = end + len(_END)
        self._message = message
        return True

    def _measure_lines(self) -> None:
        """Hold the unfinished head against the bounds, so that what has no end is not collected for ever."""
        buffer = self._buffer
        at = buffer.find(_CRLF, max(self._line_at, self._searched - 1))
        while at >= 0 and self._lines <= MOST_HEADERS + 1:
            self._check_line(at)
            self._lines += 1
            self._line_at = at + len(_CRLF)
            at = buffer.find(_CRLF, self._line_at)
        if self._lines > MOST_HEADERS + 1:  # the start line is one of them
            raise self._unfinished(f"there are more than {MOST_HEADERS} headers")
        self._check_line(len(buffer))
        if len(buffer) > LARGEST_MESSAGE:
            raise self._unfinished("the headers are larger than 64 KiB")

    def _check_line(self, end: int) -> None:
        if end - self._line_at > LARGEST_HEAD_LINE:
            raise self._unfinished("a header is longer than 8 KiB")

    def _unfinished(self, reason: str) -> ParseError:
        """An error with as much of the message as has come in whole lines."""
        return ParseError(reason, self._line_at, salvage(bytes(self._buffer[: self._line_at]).rstrip(_CRLF)))

    def _read_body(self) -> Message | None:
        message, buffer = self._message, self._buffer
        if message is None or len(buffer) < self._needed:
            return None
        message.body = bytes(buffer[self._body_at : self._needed])
        del buffer[: self._needed]
        self._start_over()
        return message
