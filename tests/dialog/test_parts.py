"""The small parts: session descriptions out of bodies, abilities, the other side and its routes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.dialog.abilities import Abilities, abilities_of
from gosip_py.dialog.peer import Peer
from gosip_py.dialog.session import session_of
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Request
from tests.conformance import conforms
from tests.dialog.ends import OFFER


def message(body: bytes = b"", **headers: str) -> Request:
    request = Request("INVITE", "sip:bob@example.com", [], [], body)
    for name, value in headers.items():
        request.add(name.replace("_", "-"), value)
    return request


class SessionTests(SynchronousTestCase):
    def test_a_plain_body(self) -> None:
        for media_type in ("application/sdp", "Application/SDP", "application/sdp;charset=utf-8"):
            self.assertEqual(session_of(message(OFFER, content_type=media_type)), OFFER)
        self.assertEqual(session_of(message(OFFER, content_type="application/sdp", content_encoding="identity")), OFFER)

    def test_what_is_none(self) -> None:
        self.assertEqual(session_of(message()), b"")
        self.assertEqual(session_of(message(OFFER)), b"")
        self.assertEqual(session_of(message(OFFER, content_type="text/plain")), b"")
        self.assertEqual(session_of(message(OFFER, content_type="application/sdp", content_encoding="gzip")), b"")

    def multipart(self, content_type: str, *parts: tuple[bytes, bytes]) -> bytes:
        body = b"".join(b"--xyz\r\n" + head + b"\r\n\r\n" + content + b"\r\n" for head, content in parts)
        return session_of(message(body + b"--xyz--\r\n", content_type=content_type))

    def test_one_part_among_others(self) -> None:
        parts = ((b"Content-Type: application/pidf+xml", b"<x/>"), (b"Content-Type: application/sdp", OFFER))
        self.assertEqual(self.multipart("multipart/mixed;boundary=xyz", *parts), OFFER)
        self.assertEqual(self.multipart('multipart/mixed; charset=x; boundary="xyz"', *parts), OFFER)
        self.assertEqual(self.multipart("multipart/mixed;boundary=xyz", (b"c: Application/SDP;x=y", OFFER)), OFFER)

    def test_multiparts_that_are_broken(self) -> None:
        part = (b"Content-Type: application/sdp", OFFER)
        self.assertEqual(self.multipart("multipart/mixed", part), b"")
        self.assertEqual(self.multipart("multipart/mixed;boundary=other", part), b"")
        self.assertEqual(self.multipart("multipart/mixed;boundary=xyz", (b"Content-Type: text/plain", OFFER)), b"")
        self.assertEqual(session_of(message(b"--xyz--", content_type="multipart/mixed;boundary=xyz")), b"")
        self.assertEqual(session_of(message(b"--xyz\r\n" * 1000, content_type="multipart/mixed;boundary=xyz")), b"")


class AbilityTests(SynchronousTestCase):
    def test_what_is_said(self) -> None:
        said = abilities_of(Abilities.of(message(allow="INVITE, ACK,UPDATE", supported="Timer,100REL")))
        self.assertTrue(said.allows("UPDATE") and said.supports("timer") and said.supports("100rel"))
        self.assertFalse(said.allows("BYE") or said.supports("replaces"))

    def test_what_is_not_said(self) -> None:
        silent = abilities_of(Abilities.of(message()))
        self.assertTrue(silent.allows("BYE"))
        self.assertFalse(silent.allows("UPDATE") or silent.supports("timer"))

    def test_several_headers_and_headers_that_cannot_be_read(self) -> None:
        request = message(allow="INVITE")
        request.add("allow", "UPDATE")
        self.assertTrue(abilities_of(Abilities.of(request)).allows("UPDATE"))
        broken = abilities_of(Abilities.of(message(supported='"')))
        self.assertFalse(broken.supports("timer"))

    def test_those_who_say_the_same_share_it(self) -> None:
        self.assertIs(Abilities.of(message(allow="INVITE, X")), Abilities.of(message(allow="INVITE, X")))

    def test_nobody_is_remembered_at_length(self) -> None:
        tokens = [f"X{number}" for number in range(1000)]
        long = message(allow=", ".join(tokens))
        self.assertIsNot(Abilities.of(long), Abilities.of(long))
        said = abilities_of(Abilities.of(long))
        self.assertEqual(sum(map(said.allows, tokens)), 40)
        self.assertFalse(abilities_of(Abilities.of(message(allow="Y" * 33))).allows("Y" * 33))


class PeerTests(SynchronousTestCase):
    def peer(self, *routes: str) -> Peer:
        return Peer("<sip:bob@example.com>;tag=1", "1", "sip:bob@192.0.2.2", routes, None)

    @conforms("RFC 3261 12.2.1.1")
    def test_loose_routes_leave_the_target_in_the_request_line(self) -> None:
        peer = self.peer("<sip:192.0.2.3;lr>", "<sip:far.example;lr>")
        self.assertEqual((peer.request_uri, peer.hop.host), ("sip:bob@192.0.2.2", "192.0.2.3"))
        self.assertEqual(peer.route_lines, ("Route: <sip:192.0.2.3;lr>", "Route: <sip:far.example;lr>"))

    @conforms("RFC 3261 12.2.1.1")
    def test_a_strict_route_changes_places_with_the_target(self) -> None:
        peer = self.peer("<sip:192.0.2.3>", "<sip:far.example;lr>")
        self.assertEqual((peer.request_uri, peer.hop.host), ("sip:192.0.2.3", "192.0.2.3"))
        self.assertEqual(peer.route_lines, ("Route: <sip:far.example;lr>", "Route: <sip:bob@192.0.2.2>"))

    def test_a_route_that_cannot_be_read(self) -> None:
        self.assertRaises(ParseError, self.peer, "nonsense, with a comma")

    @conforms("RFC 3261 12.2.1.2")
    def test_a_target_refresh_moves_the_target_and_keeps_the_route(self) -> None:
        peer = self.peer("<sip:192.0.2.3;lr>")
        peer.move(message(contact='"B" <sip:bob@192.0.2.9>;expires=3'))
        self.assertEqual((peer.target_uri, peer.request_uri), ("sip:bob@192.0.2.9",) * 2)
        self.assertEqual(peer.routes, ("<sip:192.0.2.3;lr>",))
        for contact in ("<sip:bob@192.0.2.9>", "<tel:+4930>", "<sip:", "*", "<sip:x@y?a=b>"):
            peer.move(message(contact=contact))
        peer.move(message())
        self.assertEqual(peer.target_uri, "sip:bob@192.0.2.9")

    def test_without_routes_it_is_asked_itself(self) -> None:
        peer = self.peer()
        self.assertEqual((peer.hop.host, peer.hop.port, peer.hop.transport), ("192.0.2.2", 5060, "UDP"))
        self.assertIs(peer.hop, peer.hop)
        peer.aim("sip:bob@192.0.2.7:5070;transport=tcp")
        self.assertEqual((peer.hop.host, peer.hop.port, peer.hop.transport), ("192.0.2.7", 5070, "TCP"))
