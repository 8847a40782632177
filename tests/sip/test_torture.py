"""The torture messages of RFC 4475 and RFC 5118, where the RFCs are at hand, as far as they can be read at all.

Here only: nothing but ParseError comes out, what is well formed is read and goes out as it came, what is malformed is
noticed. What the server does about each is in test_torture_answers.py.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip.decode import decode
from gosip_py.sip.errors import ParseError
from gosip_py.sip.headers import Address
from gosip_py.sip.message import Message, Request
from gosip_py.sip.parser import parse_message
from gosip_py.sip.stream import StreamFramer
from tests.conformance import conforms
from tests.sip.torture import archive, mended, readable

# 3.1.1, and of 3.2 to 3.4 those whose headers are all well formed
_WELL_FORMED = (
    "wsinv intmeth esc01 escnull esc02 lwsdisp longreq dblreq semiuri transports mpart01 unreason noreason"
    " unkscm novelsc unksm2 bext01 invut zeromf cparam01 cparam02 regescrt sdp01 badbranch insuf bcast inv2543"
).split()
# 3.1.2: noticed at the latest when every header and the Request-URI are decoded
_MALFORMED = (
    "badinv01 clerr ncl scalar02 scalarlg quotbal ltgtruri lwsruri lwsstart trws escruri baddate regbadct badaspec"
    " baddn bigcode mcl01"
).split()


def decode_all_of(message: Message) -> None:
    for name in message.names:
        value = decode(message, name)
        for address in value if isinstance(value, tuple) else (value,):
            if isinstance(address, Address) and address.uri_text != "*":
                address.uri  # noqa: B018  # asked for so that it is decoded
    if isinstance(message, Request):
        message.uri  # noqa: B018


class Torture(SynchronousTestCase):
    def test_the_archive_is_whole(self) -> None:
        found = archive(4475)
        self.assertEqual(sorted({*_WELL_FORMED, *_MALFORMED} - set(found)), [])
        self.assertGreaterEqual(len(found), 49)

    def test_nothing_but_parse_errors(self) -> None:
        for data in (*archive(4475).values(), *archive(5118).values()):
            StreamFramer().feed(data)
            message = readable(data)
            for name in message.names if message is not None else ():
                assert message is not None
                try:
                    decode(message, name)
                except ParseError:
                    pass

    @conforms("RFC 4475 3.1.1")
    def test_well_formed(self) -> None:
        found = archive(4475)
        for name in _WELL_FORMED:
            message = parse_message(found[name])
            sent = message.to_bytes()
            self.assertEqual(sent, found[name][: len(sent)], name)
            self.assertEqual(parse_message(sent).names, message.names, name)

    def test_their_headers(self) -> None:
        found = archive(4475)
        for name in _WELL_FORMED:
            message = parse_message(found[name])
            for header in message.names:
                try:
                    decode(message, header)
                except ParseError as error:
                    self.fail(f"{name}: {header}: {error.reason}")

    @conforms("RFC 4475 3.1.2")
    def test_malformed(self) -> None:
        found = archive(4475)
        for name in _MALFORMED:
            try:
                decode_all_of(parse_message(found[name]))
            except ParseError:
                continue
            self.fail(f"{name} was taken for well formed")

    def test_the_values_that_they_are_about(self) -> None:
        found = archive(4475)
        wsinv = parse_message(found["wsinv"])
        self.assertEqual(
            (wsinv.call_id, wsinv.cseq.number, wsinv.value("max-forwards")),
            ("wsinv.ndaksdj@192.0.2.1", 9, "0068"),
        )
        self.assertEqual(parse_message(found["esc02"]).cseq.method, "RE%47IST%45R")
        self.assertEqual(len(parse_message(found["transports"]).values("via")), 5)
        self.assertEqual(parse_message(found["noreason"]).start_line, "SIP/2.0 100 ")
        self.assertEqual(parse_message(found["escnull"]).to.uri.user, "null-\0-null")
        semiuri = parse_message(found["semiuri"])
        assert isinstance(semiuri, Request)
        self.assertEqual((semiuri.uri.user, semiuri.uri.host), ("user;par=u@example.net", "example.com"))
        self.assertEqual(len(parse_message(found["mpart01"]).body), 553)


class TortureWithIpv6(SynchronousTestCase):
    """RFC 5118."""

    def test_all_but_one_are_well_formed(self) -> None:
        for name, octets in archive(5118).items():
            message = parse_message(mended(octets))
            if name == "ipv6-bad":
                self.assertRaises(ParseError, decode_all_of, message)
            else:
                decode_all_of(message)
                self.assertEqual(message.to_bytes(), mended(octets), name)

    @conforms("RFC 5118 4.3", "RFC 5118 4.4")
    def test_where_a_port_ends(self) -> None:
        found = {}
        for name in ("port-ambiguous", "port-unambiguous"):
            request = parse_message(mended(archive(5118)[name]))
            assert isinstance(request, Request)
            found[name] = request.uri.host, request.uri.port
        self.assertEqual(found["port-ambiguous"], ("[2001:db8::10:5070]", None))
        self.assertEqual(found["port-unambiguous"], ("[2001:db8::10]", 5070))

    @conforms("RFC 5118 4.5")
    def test_received_with_and_without_brackets(self) -> None:
        for name, received in (("with", "[2001:db8::9:255]"), ("no", "2001:db8::9:255")):
            message = parse_message(mended(archive(5118)[f"via-received-param-{name}-delim"]))
            self.assertEqual(message.top_via.parameters["received"], received)
            self.assertEqual(message.top_via.host, "[2001:db8::9:1]")
