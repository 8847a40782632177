"""The stream framer, fed whole, in pieces and with what no peer should send."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Message
from gosip_py.sip.parser import LARGEST_HEAD_LINE, LARGEST_MESSAGE, MOST_HEADERS
from gosip_py.sip.stream import Ping, StreamFramer
from tests.conformance import conforms
from tests.sip.vectors import octets, with_headers

_HEAD = (
    "Via: SIP/2.0/TCP 192.0.2.40;branch=z9hG4bKs",
    "From: <sip:omar@mill.example>;tag=s1",
    "To: <sip:ruth@harbour.example>",
    "Call-ID: stream",
    "CSeq: 1 OPTIONS",
)
_OPEN = "OPTIONS sip:a SIP/2.0\r\n" + "\r\n".join(_HEAD) + "\r\n"


def written(items: list[Message | Ping | ParseError]) -> list[bytes]:
    """Each item in a form that can be compared."""
    return [item.to_bytes() if isinstance(item, Message) else repr(item).encode() for item in items]


@conforms("RFC 3261 18.3")
class Framing(SynchronousTestCase):
    def setUp(self) -> None:
        self.framer = StreamFramer()

    def test_one_message(self) -> None:
        self.assertEqual(written(self.framer.feed(octets("invite"))), [octets("invite")])
        self.assertEqual((self.framer.bytes_held, self.framer.is_idle, self.framer.is_dead), (0, True, False))

    def test_several_in_one_piece(self) -> None:
        names = ("invite", "ok", "folding", "utf8", "not-utf8", "trunk", "compact")
        found = self.framer.feed(b"".join(octets(name) for name in names))
        self.assertEqual(written(found), [octets(name) for name in names])

    def test_cut_at_every_index(self) -> None:
        whole = octets("invite") + b"\r\n\r\n" + octets("not-utf8") + b"\r\n" + octets("ok")
        wanted = written(StreamFramer().feed(whole))
        self.assertEqual(len(wanted), 4)
        for at in range(1, len(whole)):
            framer = StreamFramer()
            self.assertEqual(written(framer.feed(whole[:at]) + framer.feed(whole[at:])), wanted, at)
            self.assertTrue(framer.is_idle)

    def test_octet_by_octet(self) -> None:
        whole = octets("trunk") + b"\r\n\r\n" + octets("folding")
        found = [item for octet in whole for item in self.framer.feed(bytes([octet]))]
        self.assertEqual(written(found), written(StreamFramer().feed(whole)))

    def test_what_is_held(self) -> None:
        data = octets("invite")
        self.assertEqual(self.framer.feed(data[:50]), [])
        self.assertEqual((self.framer.bytes_held, self.framer.is_idle), (50, False))
        self.framer.feed(data[50:-1])
        self.assertEqual(self.framer.bytes_held, len(data) - 1)
        self.assertEqual(len(self.framer.feed(data[-1:])), 1)
        self.assertTrue(self.framer.is_idle)

    def test_nothing(self) -> None:
        self.assertEqual(self.framer.feed(b""), [])

    def test_body_with_empty_lines(self) -> None:
        data = with_headers(*_HEAD, body=b"\r\n\r\n\r\n")
        self.assertEqual(written(self.framer.feed(data + data)), [data, data])


class KeepAlives(SynchronousTestCase):
    def setUp(self) -> None:
        self.framer = StreamFramer()

    @conforms("RFC 5626 4.4.1")
    def test_ping(self) -> None:
        self.assertEqual(self.framer.feed(b"\r\n\r\n"), [Ping.PING])
        self.assertEqual(self.framer.feed(b"\r\n\r\n\r\n\r\n"), [Ping.PING, Ping.PING])
        self.assertTrue(self.framer.is_idle)

    def test_between_messages(self) -> None:
        data = octets("ok")
        found = self.framer.feed(data + b"\r\n\r\n" + data + b"\r\n\r\n")
        self.assertEqual(written(found), [data, b"<Ping.PING: b'\\r\\n\\r\\n'>", data, b"<Ping.PING: b'\\r\\n\\r\\n'>"])

    def test_a_single_line_end_is_nothing_by_half(self) -> None:
        for octet in b"\r\n\r":
            self.assertEqual(self.framer.feed(bytes([octet])), [])
            self.assertTrue(self.framer.is_idle)
        self.assertEqual(self.framer.feed(b"\n"), [Ping.PING])

    def test_line_ends_before_a_message(self) -> None:
        data = octets("ok")
        self.assertEqual(written(self.framer.feed(b"\r\n" + data)), [data])
        self.assertEqual(self.framer.feed(b"\r\n"), [])
        self.assertEqual(written(self.framer.feed(data)), [data])
        found = self.framer.feed(b"\r\n\r\n\r\n" + data)
        self.assertEqual((found[0], written(found[1:])), (Ping.PING, [data]))


class Bounds(SynchronousTestCase):
    def setUp(self) -> None:
        self.framer = StreamFramer()

    def last_error(self, *pieces: bytes) -> ParseError:
        found: list[Message | Ping | ParseError] = []
        for piece in pieces:
            found += self.framer.feed(piece)
            self.assertLessEqual(self.framer.bytes_held, LARGEST_MESSAGE + max(map(len, pieces)))
        self.assertTrue(self.framer.is_dead)
        self.assertEqual(self.framer.bytes_held, 0)
        error = found[-1]
        assert isinstance(error, ParseError)
        return error

    def answerable(self, error: ParseError) -> None:
        assert error.message is not None
        self.assertEqual((error.message.call_id, error.message.top_via.host), ("stream", "192.0.2.40"))

    def test_dead_is_dead(self) -> None:
        self.last_error(b"noise\r\n\r\n")
        self.assertEqual(self.framer.feed(octets("ok")), [])
        self.assertEqual(self.framer.bytes_held, 0)

    def test_what_came_before_the_error_is_given(self) -> None:
        found = self.framer.feed(octets("ok") + b"noise\r\n\r\n" + octets("ok"))
        self.assertEqual((len(found), written(found[:1])), (2, [octets("ok")]))

    @conforms("RFC 3261 18.3")
    def test_length_is_mandatory(self) -> None:
        error = self.last_error((_OPEN + "\r\n").encode())
        self.assertIn("Content-Length is missing", error.reason)
        self.answerable(error)

    def test_ten_megabytes_announced(self) -> None:
        error = self.last_error((_OPEN + "Content-Length: 10000000\r\n\r\n").encode())
        self.assertIn("larger than", error.reason)
        self.answerable(error)

    def test_head_and_body_together(self) -> None:
        error = self.last_error((_OPEN + "Content-Length: 65500\r\n\r\n").encode())
        self.assertIn("64 KiB", error.reason)
        self.answerable(error)

    def test_the_largest_message(self) -> None:
        room = LARGEST_MESSAGE - len(with_headers(*_HEAD, body=bytes(60000))) + 60000
        data = with_headers(*_HEAD, body=bytes(room))
        self.assertEqual(len(data), LARGEST_MESSAGE)
        self.assertEqual(written(self.framer.feed(data)), [data])

    def test_long_line(self) -> None:
        error = self.last_error((_OPEN + "Subject: ").encode(), *[b"x" * 1000] * 9)
        self.assertIn("8 KiB", error.reason)
        self.answerable(error)

    def test_long_line_in_a_whole_message(self) -> None:
        error = self.last_error(with_headers(*_HEAD, "Subject: " + "x" * 8200))
        self.assertIn("8 KiB", error.reason)
        self.answerable(error)

    def test_endless_noise(self) -> None:
        for octet in (b"x", b"\n", b"\0", b"\r", b"\xff"):
            self.framer = StreamFramer()
            pieces = 0
            while not self.framer.is_dead:
                self.framer.feed(octet * 100)
                pieces += 1
                self.assertLess(pieces, LARGEST_HEAD_LINE // 100 + 3)

    def test_endless_headers(self) -> None:
        error = self.last_error(_OPEN.encode(), *[b"a: b\r\n"] * MOST_HEADERS)
        self.assertIn("more than 256 headers", error.reason)
        self.answerable(error)

    def test_ten_thousand_headers_at_once(self) -> None:
        for end in ("", "\r\n"):
            self.framer = StreamFramer()
            error = self.last_error((_OPEN + "a: b\r\n" * 9000 + end).encode())
            self.assertIn("more than 256 headers", error.reason)
            self.answerable(error)

    def test_large_head_of_short_lines(self) -> None:
        error = self.last_error(_OPEN.encode(), *[b"a: " + b"b" * 8000 + b"\r\n"] * 9)
        self.assertIn("larger than 64 KiB", error.reason)
        self.answerable(error)

    def test_bad_header(self) -> None:
        error = self.last_error((_OPEN + "no colon\r\nContent-Length: 0\r\n\r\n").encode())
        self.assertIn("header line 6", error.reason)
        self.answerable(error)
