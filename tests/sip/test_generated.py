"""Messages of every known header: what was written is what is read, however it was written and wherever it was cut."""

from __future__ import annotations

from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip.decode import DECODERS, decode
from gosip_py.sip.errors import ParseError
from gosip_py.sip.grammar import unfold
from gosip_py.sip.message import Message
from gosip_py.sip.names import COMMA_SEPARATED
from gosip_py.sip.parser import parse_head, parse_message
from gosip_py.sip.stream import StreamFramer
from tests.conformance import conforms
from tests.sip.generated import VALUES, has_names, known_messages, near_valid
from tests.sip.profiles import examples

Known = tuple[bytes, list[tuple[str, list[str]]]]


def content(message: Message) -> tuple[str, list[str], list[str], bytes]:
    return message.start_line, message.names, message.lines, message.body


class Values(SynchronousTestCase):
    def test_there_is_one_of_each(self) -> None:
        self.assertEqual(sorted(VALUES), sorted(DECODERS.keys() - {"content-length"}))

    def test_all_are_good(self) -> None:
        for name, values in VALUES.items():
            for value in values:
                decoded = DECODERS[name](value)
                self.assertEqual(DECODERS[name](unfold(value)), decoded)

    @examples(400)
    @given(near_valid())
    def test_nearly_good_ones(self, pair: tuple[str, str]) -> None:
        name, text = pair
        for decoder in (DECODERS[name], DECODERS["contact"], DECODERS["via"]):
            try:
                value = decoder(text)
            except ParseError:
                continue
            if name != "privacy" and has_names(value):
                self.assertEqual(decoder(str(value)), value, (name, text, str(value)))

    @examples(100)
    @given(near_valid())
    def test_nearly_good_ones_in_a_message(self, pair: tuple[str, str]) -> None:
        name, text = pair
        head = f"OPTIONS sip:a SIP/2.0\r\n{name}: {text}"
        try:
            message = parse_head(head)
        except ParseError:
            return
        for each in ("top_via", "cseq", "call_id", "from_tag", "to_tag", "from_", "to", "uri"):
            try:
                getattr(message, each)
            except ParseError:
                pass
        try:
            decode(message, name)
        except ParseError:
            pass


class Messages(SynchronousTestCase):
    @conforms("RFC 3261 7.3")
    @examples(150)
    @given(known_messages())
    def test_what_is_written_is_read(self, known: Known) -> None:
        octets, expected = known
        message = parse_message(octets)
        self.assertEqual(message.to_bytes(), octets)
        self.assertEqual(message.names, [name for name, _ in expected])
        self.assertEqual(content(parse_message(message.to_bytes())), content(message))
        for name in set(message.names):
            values = [value for each, found in expected if each == name for value in found]
            self.assertEqual(message.values(name), values, name)
            wanted = tuple(DECODERS[name](value) for value in values)
            self.assertEqual(decode(message, name), wanted if name in COMMA_SEPARATED else wanted[0], name)

    @conforms("RFC 3261 18.3")
    @examples(8)
    @given(known_messages(), known_messages())
    def test_cut_at_every_index(self, first: Known, second: Known) -> None:
        whole = first[0] + second[0]
        wanted = [content(parse_message(octets)) for octets, _ in (first, second)]
        for cut in range(len(whole) + 1):
            framer = StreamFramer()
            found = framer.feed(whole[:cut]) + framer.feed(whole[cut:])
            self.assertEqual([content(item) for item in found if isinstance(item, Message)], wanted, cut)
            self.assertTrue(framer.is_idle and not framer.is_dead)

    @conforms("RFC 3261 18.3")
    @examples(8)
    @given(known_messages())
    def test_octet_by_octet(self, known: Known) -> None:
        framer = StreamFramer()
        found = [item for at in range(len(known[0])) for item in framer.feed(known[0][at : at + 1])]
        self.assertEqual(
            [content(item) for item in found if isinstance(item, Message)], [content(parse_message(known[0]))]
        )
