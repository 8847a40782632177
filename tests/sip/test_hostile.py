"""Messages that are made to hurt: numbers that nothing can hold, 64 KiB of anything, nesting without end.

Each is refused or read in a moment, and what is refused can be answered where its Via can be read.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip.decode import DECODERS
from gosip_py.sip.errors import ParseError
from gosip_py.sip.fields import RetryAfter
from gosip_py.sip.headers import CSeq
from gosip_py.sip.parser import LARGEST_HEAD_LINE, LARGEST_MESSAGE, MOST_HEADERS, parse_message
from gosip_py.sip.stream import StreamFramer
from gosip_py.sip.uri import parse_uri
from tests.conformance import conforms
from tests.sip.torture import Scene
from tests.sip.vectors import with_headers

_VIA = "Via: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKhostile"
_REST = ("From: <sip:omar@example.com>;tag=h1", "To: <sip:ruth@example.com>", "Call-ID: hostile")
_SECONDS = 0.1
_TOO_LARGE = ("4294967296", "18446744073709551616", "9" * 21, "9" * 5000)
_NO_NUMBERS = ("-1", "+1", "1.5", "1e3", "0x10", "٢", "²", "1 2", "", " ")
_UNITS = (
    b"a", b"\0", b"\r", b"\n", b"\r\n", b"\r\n ", b"\r\n\t", b":", b"a:", b"\r\na:", b"\r\na: b,", b"\xff", b"\\", b'"',
    b"\\\0", b",", b";", b"<", b"(", b"\r\nv:", b"\r\nl: 0", b"SIP/2.0 ",
)  # fmt: skip


def options(*lines: str, start: str = "OPTIONS sip:ruth@example.com SIP/2.0", cseq: str = "1 OPTIONS") -> bytes:
    return with_headers(_VIA, *_REST, f"CSeq: {cseq}", *lines, start=start)


class Numbers(SynchronousTestCase):
    def refused(self, decoder: Callable[[str], object], *texts: str) -> None:
        for text in texts:
            self.assertRaises(ParseError, decoder, text)

    @conforms("RFC 3261 20.19", "RFC 3261 20.22", "RFC 3261 20.23", "RFC 4475 3.1.2.4")
    def test_plain_ones(self) -> None:
        for name, largest in (
            ("expires", 2**32 - 1),
            ("min-expires", 2**32 - 1),
            ("min-se", 2**32 - 1),
            ("session-expires", 2**32 - 1),
            ("retry-after", 2**32 - 1),
            ("rseq", 2**32 - 1),
            ("max-forwards", 255),
            ("content-length", LARGEST_MESSAGE),
        ):
            decoder = DECODERS[name]
            decoder(str(largest))
            decoder(f"000{largest}")
            self.refused(decoder, str(largest + 1), *_TOO_LARGE, *_NO_NUMBERS)

    @conforms("RFC 3261 8.1.1.5")
    def test_sequence_numbers(self) -> None:
        decoder = DECODERS["cseq"]
        self.assertEqual(decoder("2147483647 INVITE"), CSeq(2**31 - 1, "INVITE"))
        self.refused(decoder, *(f"{number} INVITE" for number in ("2147483648", *_TOO_LARGE, *_NO_NUMBERS)))
        rack = DECODERS["rack"]
        self.refused(rack, *(f"1 {number} INVITE" for number in ("2147483648", *_TOO_LARGE, *_NO_NUMBERS)))
        self.refused(rack, *(f"{number} 1 INVITE" for number in (*_TOO_LARGE, *_NO_NUMBERS)))

    def test_ports(self) -> None:
        for port in ("65536", "99999", *_TOO_LARGE, "-1", "+1", "0x10", "٢"):
            self.refused(parse_uri, f"sip:h:{port}")
            self.refused(DECODERS["via"], f"SIP/2.0/UDP h:{port}", f"SIP/7.0/UDP h:{port}")
        self.assertEqual((parse_uri("sip:h:0").port, parse_uri("sip:h:65535").port), (0, 65535))

    def test_q_values_and_codes(self) -> None:
        self.refused(DECODERS["accept"], *(f"a/b;q={text}" for text in ("1.001", "2", "0.0001", "9" * 5000, "٢")))
        self.refused(DECODERS["warning"], '1234 a "b"', '39 a "b"', '٣٩٩ a "b"')
        self.refused(DECODERS["reason"], *(f"SIP;cause={text}" for text in (*_TOO_LARGE, "-1", "x")))


class Sizes(SynchronousTestCase):
    def quick(self, octets: bytes) -> None:
        """Read as a datagram and from a stream in 1 KiB pieces, in next to no time."""
        for attempt in range(3):
            begun = time.process_time()
            try:
                parse_message(octets)
            except ParseError:
                pass
            framer = StreamFramer()
            for at in range(0, len(octets), 1024):
                framer.feed(octets[at : at + 1024])
            spent = time.process_time() - begun
            if spent < _SECONDS:
                return
            self.assertLess(attempt, 2, f"{spent:.3f} s for {octets[:60]!r}")

    def test_64_kib_of_anything(self) -> None:
        head = options()[:-4]
        for unit in _UNITS:
            self.quick(unit * (LARGEST_MESSAGE // len(unit)))
            self.quick((head + unit * LARGEST_MESSAGE)[: LARGEST_MESSAGE - 4] + b"\r\n\r\n")

    def test_thousands_of_headers(self) -> None:
        for count in (MOST_HEADERS + 1, 5000, 20_000):
            octets = options(*("a:b",) * count)
            self.quick(octets)
            error = self.assertRaises(ParseError, parse_message, octets[:LARGEST_MESSAGE])
            if len(octets) <= LARGEST_MESSAGE:
                assert error.message is not None
                self.assertLessEqual(len(error.message.lines), MOST_HEADERS)
                self.assertEqual(error.message.top_via.host, "192.0.2.10")

    def test_nested_comments(self) -> None:
        depth = LARGEST_HEAD_LINE // 2 - 10
        value = f"5 {'(' * depth}{')' * depth}"
        self.assertEqual(DECODERS["retry-after"](value), RetryAfter(5, "(" * (depth - 1) + ")" * (depth - 1)))
        self.assertRaises(ParseError, DECODERS["retry-after"], "5 " + "(" * (2 * depth))
        self.quick(options("Retry-After: " + "5 " + "(" * depth))

    def test_a_length_that_lies(self) -> None:
        for length in ("1", "65536", *_TOO_LARGE, *_NO_NUMBERS):
            octets = options().replace(b"Content-Length: 0", b"Content-Length: " + length.encode())
            error = self.assertRaises(ParseError, parse_message, octets)
            assert error.message is not None
            framer = StreamFramer()
            framer.feed(octets + b"x" * (2 * LARGEST_MESSAGE))
            self.assertLessEqual(framer.bytes_held, 2 * LARGEST_MESSAGE)
            self.assertTrue(framer.is_dead, length)


class Answers(SynchronousTestCase):
    """The same, as the whole server answers it."""

    def outcome(self, octets: bytes) -> int | str:
        scene = Scene(callee="ruth")
        seen = scene.send(octets)
        self.assertEqual(list(scene.faults()), [])
        return seen.outcome

    @conforms("RFC 3261 8.1.1.5", "RFC 3261 21.4.1")
    def test_sequence_numbers(self) -> None:
        for number in ("2147483648", *_TOO_LARGE, *_NO_NUMBERS):
            self.assertEqual(self.outcome(options(cseq=f"{number} OPTIONS")), 400, number)
        self.assertEqual(self.outcome(options(cseq="2147483647 OPTIONS")), "forwarded")

    def test_hops(self) -> None:
        for number in ("256", "999", *_TOO_LARGE, "-1", "x"):
            self.assertEqual(self.outcome(options(f"Max-Forwards: {number}")), 400, number)
        self.assertEqual(self.outcome(options("Max-Forwards: 255")), "forwarded")

    def test_ports(self) -> None:
        for port in ("65536", "99999", *_TOO_LARGE):
            start = f"OPTIONS sip:ruth@example.com:{port} SIP/2.0"
            self.assertEqual(self.outcome(options(start=start)), 400, port)
        # No address to send an answer to can be told from this.
        self.assertEqual(self.outcome(options().replace(b"192.0.2.10;", b"192.0.2.10:99999;")), "dropped")

    def test_large_messages(self) -> None:
        self.assertEqual(self.outcome(options("Subject: " + "y" * LARGEST_HEAD_LINE)), 400)
        self.assertEqual(self.outcome(options(*("x: y",) * (MOST_HEADERS + 1))), 400)
        self.assertEqual(self.outcome(with_headers(_VIA, *_REST, "CSeq: 1 OPTIONS", body=b"z" * LARGEST_MESSAGE)), 513)

    @conforms("RFC 3261 10.2.1.1")
    def test_expiry(self) -> None:
        """What cannot be read counts as an hour."""
        for text in ("18446744073709551616", "9" * 5000, "-1", "soon"):
            scene = Scene("omar", callee="ruth")
            register = (_VIA, _REST[0], "To: <sip:omar@example.com>", "Call-ID: e", "CSeq: 1 REGISTER")
            contact = f"Contact: <sip:omar@192.0.2.10>;expires={text}"
            octets = with_headers(*register, contact, start="REGISTER sip:example.com SIP/2.0")
            (address,) = scene.send(octets).response.addresses("contact")
            self.assertEqual(address.parameters["expires"], "3600", text[:30])
