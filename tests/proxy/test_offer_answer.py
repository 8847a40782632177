"""Session descriptions through the proxy: each offer and each answer arrives octet for octet (RFC 3264, RFC 3262 5).

What the two ends agree on is theirs alone: a proxy "MUST NOT add to, modify, or remove the message body" (RFC 3261
16.6). So every message that may hold a description carries one of the kinds that RFC 3264 knows.
"""

from __future__ import annotations

from typing import ClassVar

from gosip_py.sip.message import Message, Request, Response
from gosip_py.sip.reply import reply
from tests.conformance import conforms
from tests.proxy.switchboard import Dialog, Phone, SwitchboardCase

AUDIO = "m=audio 49170 RTP/AVP 0 8 97\r\na=rtpmap:97 iLBC/8000\r\n"
VIDEO = "m=video 51372 RTP/AVP 31 32\r\n"


def sdp(*media: str, version: int = 1, connection: str = "IN IP4 192.0.2.10") -> bytes:
    """A description of these streams; each later offer of a phone has a higher version (RFC 3264 8)."""
    head = f"v=0\r\no=alice 2890844526 {version} IN IP4 192.0.2.10\r\ns=-\r\nc={connection}\r\nt=0 0\r\n"
    return (head + "".join(media)).encode()


OFFER, ANSWER = sdp(AUDIO, VIDEO), sdp(AUDIO, "m=video 0 RTP/AVP 31\r\n")


class DescriptionCase(SwitchboardCase):
    """Alice and Bob, who speak ``via`` the same transport, and what they send each other."""

    via: ClassVar[str] = "UDP"

    def setUp(self) -> None:
        super().setUp()
        self.alice = Phone(self.board, "192.0.2.11", "alice", self.via)
        self.bob = Phone(self.board, "192.0.2.22", "bob", self.via)
        for contact in self.board.location.lookup("sip:200@example.com", self.board.now()):
            self.board.location.remove(contact, "replaced", self.board.now())
        self.bob.register("200", 20)

    def carries(self, message: Message, body: bytes) -> None:
        self.assertEqual(message.body, body)
        self.assertEqual(message.values("content-length"), [str(len(body))])
        self.assertEqual(message.value("content-type"), "application/sdp" if body else None)

    def invited(self, offer: bytes = b"", *more: str) -> tuple[Request, Request]:
        """The INVITE as Alice sent it and as Bob got it."""
        sent = self.alice.make("INVITE", "sip:bob@example.com", *more)
        return sent, self.asked(sent, self.alice, self.bob, offer)

    def asked(self, request: Request, by: Phone, to: Phone, body: bytes) -> Request:
        if body:
            request.set_body(body, "application/sdp")
        by.send(request)
        got = to.request(request.method)
        self.carries(got, body)
        return got

    def said(self, got: Request, by: Phone, to: Phone, status: int, body: bytes, *more: tuple[str, str]) -> Response:
        """A response with a description, as it arrives."""
        response = reply(got, status, to_tag=f"tag-{by.name}")
        for value in got.values("record-route"):
            response.add("record-route", value)
        for name, value in (("contact", f"<{by.contact}>"), *more):
            response.add(name, value)
        if body:
            response.set_body(body, "application/sdp")
        by.send(response)
        heard = to.response(status, got.method)
        self.carries(heard, body)
        return heard

    def talk(self, offer: bytes = OFFER, answer: bytes = ANSWER) -> tuple[Dialog, Dialog]:
        sent, got = self.invited(offer)
        heard = self.said(got, self.bob, self.alice, 200, answer)
        calling = Dialog(self.alice, sent, heard, is_caller=True)
        self.asked(calling.make("ACK"), self.alice, self.bob, b"")
        return calling, Dialog(self.bob, got, heard, is_caller=False)

    def modified(self, offer: bytes, answer: bytes) -> None:
        """By each side, with a re-INVITE and with an UPDATE."""
        calling, called = self.talk()
        for side, other in ((calling, called), (called, calling)):
            for method in ("INVITE", "UPDATE"):
                got = self.asked(side.make(method), side.phone, other.phone, offer)
                self.said(got, other.phone, side.phone, 200, answer)
                if method == "INVITE":
                    self.asked(side.make("ACK"), side.phone, other.phone, b"")
        self.hang_up(calling, self.bob)


class InitialTests(DescriptionCase):
    """The first offer of a call, and its answer."""

    @conforms("RFC 3264 5", "RFC 3264 6")
    def test_offer_in_the_invite_and_answer_in_the_2xx(self) -> None:
        calling, _ = self.talk()
        self.hang_up(calling, self.bob)

    @conforms("RFC 3264 5", "RFC 3264 6")
    def test_offer_in_the_2xx_and_answer_in_the_ack(self) -> None:
        sent, got = self.invited()
        heard = self.said(got, self.bob, self.alice, 200, OFFER)
        calling = Dialog(self.alice, sent, heard, is_caller=True)
        self.asked(calling.make("ACK"), self.alice, self.bob, ANSWER)
        self.hang_up(calling, self.bob)

    @conforms("RFC 3264 5.1", "RFC 3264 6.1")
    def test_unicast_streams_of_every_direction(self) -> None:
        for theirs, ours in (("sendonly", "recvonly"), ("recvonly", "sendonly"), ("inactive", "inactive")):
            calling, _ = self.talk(sdp(AUDIO + f"a={theirs}\r\n"), sdp(AUDIO + f"a={ours}\r\n"))
            self.hang_up(calling, self.bob)

    @conforms("RFC 3264 5.2", "RFC 3264 6.2")
    def test_multicast_streams(self) -> None:
        group = sdp("m=audio 49170 RTP/AVP 0\r\na=recvonly\r\n", connection="IN IP4 233.252.0.1/127")
        calling, _ = self.talk(group, group)
        self.hang_up(calling, self.bob)

    def test_what_is_no_description_at_all(self) -> None:
        """Line ends, octets and lengths that no description has: nobody looked at them."""
        calling, _ = self.talk(bytes(range(256)) + b"\r\n\r\nv=0\n", b"\0\r\n\r\n")
        self.hang_up(calling, self.bob)

    @conforms("RFC 3264 6")
    def test_what_is_not_acceptable(self) -> None:
        """The refusal tells what would be, in a description of its own."""
        _, got = self.invited(OFFER)
        self.said(got, self.bob, self.alice, 488, sdp(AUDIO), ("warning", '304 b.example "media type not available"'))


class InitialOverTcpTests(InitialTests):
    via = "TCP"


class EarlyTests(DescriptionCase):
    """Offers and answers before the call is answered."""

    @conforms("RFC 3262 5", "RFC 3311 4", "RFC 3311 5.1")
    def test_answer_in_a_reliable_response_and_another_offer_in_the_prack(self) -> None:
        reliable = (("require", "100rel"), ("rseq", "1"), ("allow", "INVITE, ACK, BYE, CANCEL, PRACK, UPDATE"))
        sent, got = self.invited(OFFER, "Supported: 100rel", "Allow: INVITE, ACK, BYE, CANCEL, PRACK, UPDATE")
        self.assertIn("UPDATE", got.require("allow"))
        heard = self.said(got, self.bob, self.alice, 183, ANSWER, *reliable)
        self.assertIn("UPDATE", heard.require("allow"))
        early = Dialog(self.alice, sent, heard, is_caller=True)
        for method, more in (("PRACK", ("RAck: 1 1 INVITE",)), ("UPDATE", ())):
            asked = self.asked(early.make(method, *more), self.alice, self.bob, sdp(AUDIO, version=2))
            self.said(asked, self.bob, self.alice, 200, sdp(AUDIO, version=3))
        self.said(got, self.bob, self.alice, 200, b"", reliable[2])
        self.asked(early.make("ACK", number=1), self.alice, self.bob, b"")
        self.hang_up(early, self.bob)

    @conforms("RFC 3262 5")
    def test_offer_in_a_reliable_response_and_answer_in_the_prack(self) -> None:
        sent, got = self.invited(b"", "Supported: 100rel")
        heard = self.said(got, self.bob, self.alice, 183, OFFER, ("require", "100rel"), ("rseq", "1"))
        early = Dialog(self.alice, sent, heard, is_caller=True)
        asked = self.asked(early.make("PRACK", "RAck: 1 1 INVITE"), self.alice, self.bob, ANSWER)
        self.said(asked, self.bob, self.alice, 200, b"")
        self.said(got, self.bob, self.alice, 486, b"")


class EarlyOverTcpTests(EarlyTests):
    via = "TCP"


class ModificationTests(DescriptionCase):
    """Later offers of either side."""

    @conforms("RFC 3264 8")
    def test_the_same_again(self) -> None:
        self.modified(OFFER, ANSWER)

    @conforms("RFC 3264 8.1")
    def test_a_stream_is_added(self) -> None:
        more = "m=video 53000 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
        self.modified(sdp(AUDIO, VIDEO, more, version=2), sdp(AUDIO, VIDEO, more, version=2))

    @conforms("RFC 3264 8.2")
    def test_a_stream_is_removed(self) -> None:
        gone = "m=video 0 RTP/AVP 31\r\n"
        self.modified(sdp(AUDIO, gone, version=2), sdp(AUDIO, gone, version=2))

    @conforms("RFC 3264 8.3.1")
    def test_another_address_and_port(self) -> None:
        moved = "m=audio 49178 RTP/AVP 0\r\n"
        self.modified(sdp(moved, version=2, connection="IN IP6 2001:db8::9"), sdp(AUDIO, version=2))

    @conforms("RFC 3264 8.3.2")
    def test_other_formats(self) -> None:
        self.modified(sdp("m=audio 49170 RTP/AVP 8 97 98\r\n", version=2), sdp("m=audio 49170 RTP/AVP 98\r\n"))

    @conforms("RFC 3264 8.3.3")
    def test_another_type_of_media(self) -> None:
        fax = "m=image 49170 udptl t38\r\na=T38FaxVersion:0\r\n"
        self.modified(sdp(fax, version=2), sdp(fax, version=2))

    @conforms("RFC 3264 8.3.4")
    def test_other_attributes(self) -> None:
        self.modified(sdp(AUDIO + "a=ptime:30\r\na=x-novel:1\r\n", version=2), sdp(AUDIO + "a=ptime:20\r\n"))

    @conforms("RFC 3264 8.4")
    def test_on_hold_in_both_ways(self) -> None:
        self.modified(sdp(AUDIO + "a=sendonly\r\n", version=2), sdp(AUDIO + "a=recvonly\r\n", version=2))
        self.modified(sdp(AUDIO, version=3, connection="IN IP4 0.0.0.0"), sdp(AUDIO, version=3))


class ModificationOverTcpTests(ModificationTests):
    via = "TCP"
