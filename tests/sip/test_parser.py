"""Datagrams to messages, with the octets of tests/vectors."""

from __future__ import annotations

from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip.decode import decode
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Message, Request, Response
from gosip_py.sip.parser import LARGEST_MESSAGE, MOST_HEADERS, content_length, parse_head, parse_message, salvage
from tests.conformance import conforms
from tests.sip.vectors import names, octets, parsed, with_headers

_MINIMAL = (
    "Via: SIP/2.0/UDP 192.0.2.40;branch=z9hG4bKm",
    "From: <sip:omar@mill.example>;tag=m1",
    "To: <sip:ruth@harbour.example>",
    "Call-ID: minimal",
    "CSeq: 1 OPTIONS",
)
_BAD = {
    "nul-in-header": "control character",
    "length-too-long": "Content-Length is 500 but 5 octets follow",
    "length-negative": "Content-Length is not a number",
    "length-word": "Content-Length is not a number",
    "length-twice": "Content-Length stands there twice",
    "length-huge": "Content-Length is larger than",
    "bad-no-colon": "header line 6",
    "bad-known-without-colon": "header line 6",
    "bad-no-name": "header line 6",
    "bad-spaced-name": "header line 6",
    "bad-bare-cr": "control character",
    "bad-bare-lf": "control character",
    "bad-request-line": "request line",
}


def good_names() -> list[str]:
    return [name for name in names() if name not in _BAD]


def fault_of(data: bytes) -> ParseError:
    try:
        message = parse_message(data)
    except ParseError as error:
        return error
    raise AssertionError(f"taken for a message: {message!r}")


class Vectors(SynchronousTestCase):
    def test_there_are_some(self) -> None:
        self.assertGreater(len(good_names()), 10)
        self.assertEqual([name for name in _BAD if name not in names()], [])

    def test_untouched_messages_go_out_octet_for_octet(self) -> None:
        for name in good_names():
            if name != "length-too-short":
                self.assertEqual(parsed(name).to_bytes(), octets(name), name)

    def test_every_header_of_the_good_can_be_decoded(self) -> None:
        for name in good_names():
            message = parsed(name)
            for header in message.names:
                self.assertIsNotNone(decode(message, header), (name, header))

    def test_the_bad_are_refused_and_can_be_answered(self) -> None:
        for name, reason in _BAD.items():
            error = fault_of(octets(name))
            self.assertIn(reason, error.reason, name)
            assert isinstance(error.message, Request), name
            self.assertEqual(error.message.method, "MESSAGE", name)
            self.assertEqual(error.message.top_via.host, "192.0.2.40", name)

    def test_what_is_salvaged_can_be_read_and_written(self) -> None:
        for name in _BAD:
            message = cast("Message", fault_of(octets(name)).message)
            for header in message.names:
                message.value(header)
            message.to_bytes()


class StartLines(SynchronousTestCase):
    def test_request(self) -> None:
        request = cast("Request", parsed("invite"))
        self.assertEqual(
            (request.method, request.uri_text, request.version), ("INVITE", "sip:ruth@harbour.example", "SIP/2.0")
        )

    def test_response(self) -> None:
        response = cast("Response", parse_message(b"SIP/2.0 486 Busy  Here \xc3\xa9\r\n\r\n"))
        self.assertEqual((response.status, response.reason), (486, "Busy  Here é"))
        self.assertEqual(response.to_bytes(), b"SIP/2.0 486 Busy  Here \xc3\xa9\r\n\r\n")

    def test_response_without_reason(self) -> None:
        for line in (b"SIP/2.0 200", b"SIP/2.0 200 ", b"sip/2.0 200 ", b"SiP/2.0 200"):
            response = cast("Response", parse_message(line + b"\r\n\r\n"))
            self.assertEqual((response.status, response.reason), (200, ""))

    def test_unusual_methods_and_versions(self) -> None:
        request = cast("Request", parse_message(b"!in-vent'd_~ tel:1 sip/7.0\r\n\r\n"))
        self.assertEqual((request.method, request.uri_text, request.version), ("!in-vent'd_~", "tel:1", "SIP/7.0"))
        self.assertEqual(cast("Request", parse_message(b"invite sip:a SIP/2.0\r\n\r\n")).method, "invite")

    def test_refused(self) -> None:
        for line in (
            b"",
            b" ",
            b"INVITE",
            b"INVITE sip:a",
            b"INVITE sip:a HTTP/1.1",
            b"GET / HTTP/1.0",
            b"INVITE sip:a SIP/2",
            b"SIP/2.0 99 Low",
            b"SIP/2.0 700 High",
            b"SIP/2.0 20 Short",
            b"SIP/2.0 2000 Long",
            b"SIP/2.0  200 OK",
            b"SIP/1.0 200 OK",
            b"SIP/2.0",
            b"SIP/7.0 200 OK",
            b"IN VITE sip:a SIP/2.0",
            b"INVITE  SIP/2.0",
            b"INVITE sip:a\tb SIP/2.0",
            b"INVITE sip:a SIP/2.0 ",
            b" INVITE sip:a SIP/2.0",
            b"INVITE sip:a b SIP/2.0",
            b"INVITE <sip:a b> SIP/2.0",
            b"\xff\xfe",
            b"IN\x00VITE sip:a SIP/2.0",
            b"SIP/2.0 200 a\x07b",
        ):
            fault_of(line + b"\r\n" + "\r\n".join(_MINIMAL).encode() + b"\r\n\r\n")

    def test_a_request_that_names_itself_sip_can_be_answered(self) -> None:
        for line in (
            b"INVITE  sip:a  SIP/2.0",
            b"INVITE sip:a b SIP/2.0",
            b"INVITE  SIP/2.0",
            b"INVITE sip:a SIP/2.0  ",
            b" INVITE sip:a sip/2.0\t",
            b"INVITE\tsip:a\tSIP/2.0",
            b"IN*VITE  sip:a SIP/2.0",
        ):
            error = fault_of(line + b"\r\n" + "\r\n".join(_MINIMAL).encode() + b"\r\n\r\n")
            assert error.message is not None
            self.assertEqual(error.message.call_id, "minimal")


class Headers(SynchronousTestCase):
    def test_spellings(self) -> None:
        long, short = parsed("register"), parsed("compact")
        self.assertIn("contact", long.names)
        for name in ("via", "from", "to", "call-id", "contact", "supported", "session-expires", "refer-to"):
            self.assertIn(name, short.names)
        cased = parsed("cases")
        self.assertEqual((cased.from_tag, cased.to_tag, cased.top_via.branch), ("Case", "cAsE", "z9hG4bKUP"))
        self.assertEqual(cased.top_via.sent_by, "host.example:5060")

    def test_space_around_colons(self) -> None:
        message = parsed("colons")
        self.assertEqual((message.call_id, message.from_tag, message.value("subject")), ("colons-1", "s1", "a: b :c"))
        self.assertEqual((message.top_via.port, message.top_via.branch, message.cseq.number), (5066, "z9hG4bKs", 9))

    def test_empty_values(self) -> None:
        message = parse_message(with_headers("Supported:", "Subject: ", "X-Empty:", *_MINIMAL))
        self.assertEqual((message.value("supported"), message.values("supported")), ("", []))
        self.assertEqual((message.value("subject"), message.value("x-empty")), ("", ""))

    def test_other_text(self) -> None:
        self.assertEqual(parsed("utf8").from_.display_name, "Ømar Müller 磨坊")
        self.assertEqual(parsed("not-utf8").value("subject"), "\udcff\udcfe d\udcfcne \udcc3")
        self.assertEqual(cast("Request", parsed("tel")).uri.user, "+1-555-010-0199")
        self.assertEqual(parsed("ipv6").top_via.host, "[2001:db8::9:1]")
        self.assertEqual(parsed("ipv6").addresses("contact")[0].uri.port, 6060)

    def test_tabs_are_no_control_characters(self) -> None:
        self.assertEqual(parse_message(with_headers("Subject:\ta\tb")).value("subject"), "a\tb")

    def test_a_fold_first_of_all_belongs_to_nothing(self) -> None:
        fault_of(b"OPTIONS sip:a SIP/2.0\r\n  folded\r\n\r\n")

    def test_most_headers(self) -> None:
        lines = [f"X-{n}: {n}" for n in range(MOST_HEADERS - len(_MINIMAL) - 1)]
        self.assertEqual(len(parse_message(with_headers(*_MINIMAL, *lines)).names), MOST_HEADERS)
        error = fault_of(with_headers(*_MINIMAL, *lines, "One: more"))
        self.assertIn("more than 256 headers", error.reason)

    def test_ten_thousand_headers(self) -> None:
        error = fault_of(with_headers(*_MINIMAL, *["a:1"] * 10_000))
        assert error.message is not None
        self.assertEqual((error.message.call_id, len(error.message.names)), ("minimal", MOST_HEADERS))

    def test_longest_header(self) -> None:
        self.assertEqual(len(parse_message(with_headers("Subject: " + "x" * 8000)).value("subject") or ""), 8000)
        for line in ("Subject: " + "x" * 8200, "Subject: " + "\r\n x" * 3000):
            error = fault_of(with_headers(*_MINIMAL, line))
            self.assertIn("longer than 8 KiB", error.reason)
            assert error.message is not None
            self.assertEqual(error.message.call_id, "minimal")


class Bodies(SynchronousTestCase):
    @conforms("RFC 3261 18.3")
    def test_octets_beyond_the_length_are_dropped(self) -> None:
        self.assertEqual(parsed("length-too-short").body, b"hello")

    @conforms("RFC 3261 18.3")
    def test_without_a_length_the_datagram_is_the_measure(self) -> None:
        self.assertEqual(parse_message(b"OPTIONS sip:a SIP/2.0\r\n\r\nall of it").body, b"all of it")

    def test_empty_line_in_the_body(self) -> None:
        self.assertEqual(parse_message(with_headers(body=b"a\r\n\r\nb")).body, b"a\r\n\r\nb")

    def test_too_large(self) -> None:
        data = with_headers(*_MINIMAL, body=bytes(LARGEST_MESSAGE))
        error = fault_of(data)
        self.assertIn("64 KiB", error.reason)
        assert error.message is not None
        self.assertEqual(error.message.call_id, "minimal")
        self.assertIsNone(fault_of(bytes(LARGEST_MESSAGE + 1)).message)

    def test_the_same_length_twice(self) -> None:
        message = parse_message(b"OPTIONS sip:a SIP/2.0\r\nl: 2\r\nContent-Length:  2\r\n\r\nab")
        self.assertEqual((content_length(message), message.body), (2, b"ab"))


class Unfinished(SynchronousTestCase):
    def test_no_empty_line(self) -> None:
        data = octets("ok")
        error = fault_of(data[: data.index(b"\r\n\r\n")])
        self.assertIn("empty line", error.reason)
        assert error.message is not None
        self.assertEqual(error.message.cseq.number, 4100)

    def test_nothing_at_all(self) -> None:
        for data in (b"", b"\r\n", b"\r\n\r\n", b"\0\0\0\0", b"\r\n" * 40):
            self.assertIsNone(fault_of(data).message, data)

    def test_empty_lines_first(self) -> None:
        self.assertEqual(parse_message(b"\r\n\r\n" + octets("ok")).to_bytes(), octets("ok"))

    def test_every_prefix_is_refused_or_read(self) -> None:
        data = octets("invite")
        for end in range(data.index(b"\r\n\r\n") + 3):
            fault_of(data[:end])

    def test_head_alone(self) -> None:
        self.assertEqual(parse_head("OPTIONS sip:a SIP/2.0\r\nTo: <sip:a>").names, ["to"])

    def test_salvage(self) -> None:
        self.assertIsNone(salvage(b"noise"))
        message = salvage(b"OPTIONS sip:a SIP/2.0\r\nTo <sip:a>\r\nCall-ID: s")
        assert message is not None
        self.assertEqual(message.call_id, "s")
