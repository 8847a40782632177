"""The tricks of RFC 4475 and RFC 5118 in messages of our own, tests/vectors/tortuous: they are always at hand."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip.message import Request
from tests.conformance import conforms
from tests.sip.torture import DROPPED, FORWARDED, PHONE, SENDER, Scene, readable
from tests.sip.vectors import FOLDER

_TORTUOUS = FOLDER / "tortuous"

# What becomes of each, under the sections that it follows.
_OUTCOMES: dict[str, int | str | tuple[int | str, ...]] = {
    # RFC 4475 3.1.1
    "folds-everywhere": FORWARDED,
    "odd-characters": 404,
    "escapes": FORWARDED,
    "escaped-nulls": 200,
    "percent-is-no-escape": FORWARDED,
    "no-space-before-angle": FORWARDED,
    "long-values": FORWARDED,
    "noise-behind": 200,
    "semicolon-in-user": 404,
    "transports": FORWARDED,
    "binary-parts": FORWARDED,
    "unusual-reason": DROPPED,
    "no-reason": DROPPED,
    # RFC 4475 3.1.2
    "extra-separators": 400,
    "length-too-large": 400,
    "length-below-zero": 400,
    "numbers-too-large": 400,
    "numbers-too-large-in-a-response": DROPPED,
    "quote-not-closed": 400,
    "angles-around-the-uri": 400,
    "space-in-the-uri": 400,
    "spaces-between": 400,
    "spaces-behind": 400,
    "headers-in-the-uri": 400,
    "date-of-another-zone": FORWARDED,
    "contact-without-angles": 400,
    "spaces-in-an-address": 400,
    "name-without-quotes": 400,
    "version-seven": 505,
    "two-methods": 400,
    "two-methods-one-unknown": (501, 400),
    "large-code": DROPPED,
    # RFC 4475 3.2 to 3.4
    "cookie-alone": FORWARDED,
    "headers-missing": 400,
    "scheme-unknown": 416,
    "scheme-of-another-protocol": 416,
    "schemes-in-headers": 400,
    "extensions-unknown": 420,
    "body-of-an-unknown-type": FORWARDED,
    "credentials-of-an-unknown-scheme": (401, 400),
    "everything-twice": 400,
    "two-lengths": 400,
    "answer-to-everybody": DROPPED,
    "no-hops-left": 483,
    "contact-parameter": 200,
    "uri-parameter": 200,
    "headers-in-a-contact": 200,
    "accepts-nothing-known": FORWARDED,
    "of-1999": FORWARDED,
    # RFC 5118 4
    "six": FORWARDED,
    "six-without-brackets": 400,
    "six-with-the-port-inside": FORWARDED,
    "six-received-in-brackets": FORWARDED,
    "six-in-the-body": FORWARDED,
    "six-and-four": FORWARDED,
    "six-mapped": FORWARDED,
    "six-three-colons": FORWARDED,
}
# These are for whoever knows omar's password: registrations, and what leaves for somewhere else.
_OF_A_MEMBER = frozenset(
    "escaped-nulls noise-behind contact-without-angles schemes-in-headers contact-parameter uri-parameter"
    " headers-in-a-contact six six-with-the-port-inside six-three-colons".split()
)


def octets(name: str) -> bytes:
    return (_TORTUOUS / f"{name}.sip").read_bytes()


def scene_of(name: str) -> Scene:
    return Scene("omar" if name in _OF_A_MEMBER else "", callee="ruth")


class Tortuous(SynchronousTestCase):
    def test_every_vector_has_an_outcome(self) -> None:
        self.assertEqual(sorted(_OUTCOMES), sorted(path.stem for path in _TORTUOUS.glob("*.sip")))

    def test_outcomes(self) -> None:
        for name, wanted in _OUTCOMES.items():
            scene = scene_of(name)
            seen = scene.send(octets(name))
            allowed = wanted if isinstance(wanted, tuple) else (wanted,)
            self.assertIn(seen.outcome, allowed, (name, [packet.data for packet in seen.sent]))
            self.assertEqual(list(scene.faults()), [], name)

    def test_what_is_forwarded_is_what_came(self) -> None:
        """All that a proxy has no business with (RFC 3261 16.6), octet for octet."""
        ours = {"via", "max-forwards", "max-breadth", "record-route", "route", "proxy-authorization"}
        for name in (name for name, wanted in _OUTCOMES.items() if wanted == FORWARDED):
            came = readable(octets(name))
            left = scene_of(name).send(octets(name)).request
            assert isinstance(came, Request)
            kept = [line for each, line in zip(came.names, came.lines, strict=True) if each not in ours]
            # a length is put in where there is none (16.6 item 9)
            ours_here = ours if "content-length" in came.names else {*ours, "content-length"}
            passed = [line for each, line in zip(left.names, left.lines, strict=True) if each not in ours_here]
            self.assertEqual((passed, left.body), (kept, came.body), name)
            self.assertEqual(left.values("via")[2:], came.values("via")[1:], name)

    @conforms("RFC 4475 3.3.12", "RFC 4475 3.3.13", "RFC 4475 3.3.14")
    def test_bindings(self) -> None:
        for name, wanted in (
            ("contact-parameter", "sip:omar@kiln.example"),
            ("uri-parameter", "sip:omar@kiln.example;sack=7"),
            ("headers-in-a-contact", "sip:omar@kiln.example?Subject=rye&Route=%3Csip:loom.example%3E"),
        ):
            (address,) = scene_of(name).send(octets(name)).response.addresses("contact")
            self.assertEqual((address.uri_text, list(address.parameters)), (wanted, ["expires"]))

    def test_all_at_one_server(self) -> None:
        scene = Scene(callee="ruth")
        for name in _OUTCOMES:
            scene.send(octets(name))
        self.assertEqual(list(scene.faults()), [])

    @conforms("RFC 3261 16.6")
    def test_headers_of_a_contact_are_not_sent_along(self) -> None:
        """RFC 3261 16.6 item 2: what no Request-URI may hold is taken off the URI of the target."""
        scene = Scene("omar", callee="omar")
        scene.send(octets("headers-in-a-contact"))
        invite = octets("accepts-nothing-known").replace(b"INVITE sip:ruth@", b"INVITE sip:omar@")
        leaving = [packet for packet in scene.send(invite).sent if packet.data.startswith(b"INVITE ")]
        # It is called where it was heard.
        uris = {(packet.destination[0], packet.data.split(b" ")[1]) for packet in leaving}
        self.assertEqual(uris, {(PHONE, b"sip:phone@192.0.2.20:5060"), (SENDER, b"sip:omar@kiln.example")})
        self.assertNotIn(b"loom.example", b"".join(packet.data for packet in leaving))


class Answers(SynchronousTestCase):
    """Unusual responses to a request of the server's own, as phones send them."""

    def answered(self, start: str, *, via: str = "") -> list[bytes]:
        """What reaches the caller when the callee answers so."""
        scene = Scene(callee="ruth")
        seen = scene.send(octets("accepts-nothing-known"))
        tied = [line for name, line in zip(seen.request.names, seen.request.lines, strict=True) if name in _TIED]
        if via:
            tied[1] = via
        response = "\r\n".join((start, *tied, "Contact: <sip:ruth@192.0.2.20>", "Content-Length: 0", "", ""))
        scene.answer(response.encode("utf-8", "surrogateescape"))
        packets = scene.board.network.packets
        self.assertEqual(list(scene.faults()), [])
        return [packet.data for packet in packets if packet.destination[0] == SENDER and b" 100 " not in packet.data]

    @conforms("RFC 4475 3.1.1.12")
    def test_an_unusual_reason_goes_on_as_it_is(self) -> None:
        first = self.answered("SIP/2.0 200 = 7 * 2; готово \t!")[0]
        self.assertTrue(first.startswith("SIP/2.0 200 = 7 * 2; готово \t!\r\n".encode()), first)

    @conforms("RFC 4475 3.1.1.13")
    def test_no_reason(self) -> None:
        self.assertEqual(self.answered("SIP/2.0 180 ")[0][:13], b"SIP/2.0 180 \r")

    @conforms("RFC 4475 3.1.2.19")
    def test_a_code_that_is_none(self) -> None:
        for start in ("SIP/2.0 42949672960 x", "SIP/2.0 099 x", "SIP/2.0 700 x"):
            (answer,) = {data for data in self.answered(start) if b" INVITE\r\n" in data}
            self.assertEqual(answer[:11], b"SIP/2.0 408", start)  # as if nobody had answered

    @conforms("RFC 4475 3.3.10")
    def test_a_second_via_that_names_everybody(self) -> None:
        """Answers go where the request came from, whatever the response says (RFC 4475 3.3.10)."""
        found = self.answered("SIP/2.0 486 Busy", via="Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bKall")
        self.assertEqual(found[0][:11], b"SIP/2.0 486")


_TIED = frozenset(("via", "from", "to", "call-id", "cseq", "record-route"))
