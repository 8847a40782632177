"""What holds for every input: nothing but ParseError, writing undoes reading, the cut of a stream does not matter."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip.decode import DECODERS
from gosip_py.sip.digest import Algorithm, NonceFactory, NonceState, find_algorithm, is_answered_by, parse_credentials
from gosip_py.sip.errors import ParseError
from gosip_py.sip.grammar import parse_parameters, quote, split_commas, split_outside_quotes, unquote, write_parameters
from gosip_py.sip.headers import Address, parse_address, read_tag
from gosip_py.sip.message import Message, Request, Response
from gosip_py.sip.parser import parse_head, parse_message
from gosip_py.sip.stream import Ping, StreamFramer
from gosip_py.sip.uri import Uri, parse_uri
from tests.sip.generated import has_names
from tests.sip.profiles import examples
from tests.sip.vectors import names, octets

_SETTINGS = examples(150)

_CHARACTER = st.characters(codec="utf-8")
_TOKEN = st.text(st.sampled_from("abzAZ019-.!%*_+`'~"), min_size=1, max_size=12)
_ANY = st.text(st.characters(exclude_categories=("Cc", "Cs")) | st.just("\udcff"), max_size=30)
_PIECES = st.sampled_from(
    [
        *'<>"\\;:,=@?*()[]%/. \t',
        "\r\n ",
        "\r\n",
        "sip:",
        "tel:",
        "a",
        "b@c",
        "SIP/2.0/UDP ",
        "tag=",
        "q=",
        "1",
        "70000",
        ";lr",
        "\0",
        "é",
        "\udcff",
        "Digest ",
        "nonce=",
        'realm="x"',
        "auth",
        "INVITE",
        "%41",
        "%ff",
        "application/sdp",
        "z9hG4bK",
        "GMT",
        "uac",
        "to-tag=",
    ]
)
_SCRAPS = st.lists(_PIECES | _ANY, max_size=25).map("".join)
_HEADERS = st.lists(st.tuples(_TOKEN, _ANY.map(lambda text: text.strip(" \t"))), max_size=12)


@st.composite
def messages(draw: st.DrawFn) -> Request | Response:
    """Messages with any token for a name and any text for a value."""
    pairs = draw(_HEADERS)
    body = draw(st.binary(max_size=60))
    head = "".join(f"\r\n{name}: {value}" for name, value in pairs if name.lower() not in ("l", "content-length"))
    start = draw(st.just("SIP/2.0 200 OK") | _TOKEN.map(lambda method: f"{method} sip:ruth@harbour.example SIP/2.0"))
    message = parse_head(start + head)
    assert isinstance(message, Request | Response)
    message.set_body(body)
    return message


def content(message: Message) -> tuple[str, list[str], list[str], bytes]:
    return message.start_line, message.names, message.lines, message.body


class Reading(SynchronousTestCase):
    """Whatever comes in, only a ParseError comes out."""

    @_SETTINGS
    @given(st.binary(max_size=300))
    def test_datagrams(self, data: bytes) -> None:
        self.read_all(data)

    @_SETTINGS
    @given(_SCRAPS)
    def test_heads_of_scraps(self, text: str) -> None:
        lines = text.encode("utf-8", "surrogateescape")
        self.read_all(b"INVITE sip:a SIP/2.0\r\n" + lines + b"\r\n\r\n")

    @_SETTINGS
    @given(st.sampled_from(names()), st.data())
    def test_damaged_messages(self, name: str, data: st.DataObject) -> None:
        whole = bytearray(octets(name))
        for _ in range(data.draw(st.integers(1, 5))):
            at = data.draw(st.integers(0, len(whole) - 1))
            if data.draw(st.booleans()):
                whole[at] = data.draw(st.integers(0, 255))
            else:
                del whole[at : at + data.draw(st.integers(1, 40))]
        self.read_all(bytes(whole))

    def read_all(self, data: bytes) -> None:
        """Parse, and ask for everything that can be asked for."""
        try:
            message: Message | None = parse_message(data)
        except ParseError as error:
            message = error.message
        if message is None:
            return
        message.to_bytes()
        for name in ("top_via", "cseq", "call_id", "from_tag", "to_tag", "from_", "to", "uri"):
            try:
                getattr(message, name, None)
            except ParseError:
                pass
        for name in set(message.names):
            try:
                message.values(name)
                message.addresses(name)
            except ParseError:
                pass

    @_SETTINGS
    @given(_SCRAPS)
    def test_decoders(self, text: str) -> None:
        for decoder in (*DECODERS.values(), parse_uri, parse_parameters, split_commas, split_outside_quotes, read_tag):
            try:
                value = decoder(text)
            except ParseError:
                continue
            str(value)

    @_SETTINGS
    @given(_SCRAPS)
    def test_what_a_decoder_writes_it_reads_again(self, text: str) -> None:
        text = text.replace("\r\n", "")  # no line end reaches a decoder
        for name, decoder in DECODERS.items():
            try:
                value = decoder(text)
            except ParseError:
                continue
            if name != "privacy" and has_names(value):
                self.assertEqual(decoder(str(value)), value, (name, str(value)))

    @_SETTINGS
    @given(_SCRAPS)
    def test_credentials(self, text: str) -> None:
        for rest in (text, 'username="a",realm="b",nonce="c",uri="d",response="e",' + text):
            try:
                credentials = parse_credentials("Digest " + rest)
                self.assertFalse(is_answered_by(credentials, "0" * 32, "REGISTER"))
            except ParseError:
                pass

    @_SETTINGS
    @given(_SCRAPS)
    def test_nonces_and_algorithms(self, text: str) -> None:
        self.assertIs(NonceFactory(b"s", 60).check(text, 1.8e9), NonceState.FORGED)
        try:
            self.assertIsInstance(find_algorithm(text), Algorithm)
        except ParseError:
            pass


class ThereAndBack(SynchronousTestCase):
    @_SETTINGS
    @given(messages())
    def test_messages(self, message: Request | Response) -> None:
        again = parse_message(message.to_bytes())
        self.assertEqual(content(again), content(message))
        self.assertEqual(again.to_bytes(), message.to_bytes())

    @_SETTINGS
    @given(messages())
    def test_copies(self, message: Request | Response) -> None:
        before = content(message)
        twin = message.copy()
        self.assertEqual(content(twin), before)
        twin.prepend("via", "SIP/2.0/UDP h")
        twin.set("call-id", "other")
        twin.remove("via")
        self.assertEqual(content(message), before)

    @_SETTINGS
    @given(_ANY)
    def test_quoted_strings(self, text: str) -> None:
        self.assertEqual(unquote(quote(text)), text)
        self.assertEqual(split_commas(quote(text)), [quote(text)])
        self.assertEqual(split_outside_quotes(quote(text)), [quote(text)])

    @_SETTINGS
    @given(st.dictionaries(_TOKEN.map(str.lower), _ANY | st.none(), max_size=4))
    def test_parameters(self, parameters: dict[str, str | None]) -> None:
        self.assertEqual(parse_parameters(write_parameters(parameters)), parameters)

    @_SETTINGS
    @given(_ANY, st.dictionaries(_TOKEN.map(str.lower), _ANY | st.none(), max_size=3))
    def test_addresses(self, name: str, parameters: dict[str, str | None]) -> None:
        address = Address(name, "sip:ruth@harbour.example;lr", parameters)
        self.assertEqual(parse_address(str(address)), address)

    @_SETTINGS
    @given(st.text(_CHARACTER, min_size=1, max_size=20), st.none() | st.integers(0, 65535))
    def test_uris(self, user: str, port: int | None) -> None:
        uri = Uri("sip", user, "harbour.example", port, {"x": user, "lr": None})
        self.assertEqual(parse_uri(str(uri)), uri)
        self.assertTrue(parse_uri(str(uri)).is_equivalent(uri))


class Streams(SynchronousTestCase):
    @_SETTINGS
    @given(st.lists(messages() | st.just(Ping.PING), max_size=5), st.data())
    def test_cuts_do_not_matter(self, items: list[Request | Response | Ping], data: st.DataObject) -> None:
        whole = b"".join(item.value if isinstance(item, Ping) else item.to_bytes() for item in items)
        framer = StreamFramer()
        found: list[Message | Ping | ParseError] = []
        while whole:
            at = data.draw(st.integers(1, len(whole)))
            found += framer.feed(whole[:at])
            whole = whole[at:]
        self.assertEqual(found.count(Ping.PING), items.count(Ping.PING))
        self.assertEqual(
            [content(item) for item in found if isinstance(item, Message)],
            [content(item) for item in items if isinstance(item, Message)],
        )
        self.assertTrue(framer.is_idle and not framer.is_dead)

    @_SETTINGS
    @given(
        st.lists(st.binary(max_size=80) | _SCRAPS.map(lambda text: text.encode("utf-8", "surrogateescape")), max_size=8)
    )
    def test_noise(self, pieces: list[bytes]) -> None:
        together, apart = StreamFramer(), StreamFramer()
        once = together.feed(b"".join(pieces))
        found = [item for piece in pieces for item in apart.feed(piece)]
        self.assertEqual(list(map(repr, found)), list(map(repr, once)))
        self.assertEqual((apart.is_dead, apart.is_idle), (together.is_dead, together.is_idle))
