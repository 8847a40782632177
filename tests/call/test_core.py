"""The core: who is asked for credentials, who is refused with what, and what goes where (RFC 3261 8, 16.3)."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network
from typing import ClassVar

from gosip_py.call.identification import Trust
from gosip_py.sip.message import Request
from tests.conformance import conforms
from tests.proxy.switchboard import Dialog, Phone, Switchboard, SwitchboardCase
from tests.registrar.fakes import REALM, StillFlow, user


class CoreCase(SwitchboardCase):
    """Nobody is trusted: alice uses her desk phone."""

    trusted: ClassVar[Sequence[str]] = ()

    def setUp(self) -> None:
        super().setUp()
        self.desk = Phone(self.board, "192.0.2.15", "alice-desk")

    def admitted(self, method: str, uri: str = "sip:bob@example.com", *more: str, **others: object) -> Request:
        """The request of the desk phone, challenged and repeated with credentials."""
        first = self.desk.ask(method, uri, *more, **others)
        challenge = self.desk.response(407, method)
        self.acknowledge(first, challenge.to_tag)
        return self.desk.again(first, challenge)

    def acknowledge(self, refused: Request, to_tag: str) -> None:
        """Of a refused INVITE: else its transaction repeats the refusal."""
        if refused.method == "INVITE":
            ack = refused.copy()
            ack.method = "ACK"
            ack.set("cseq", f"{refused.cseq.number} ACK")
            ack.set("to", f"{refused.require('to')};tag={to_tag}")
            self.desk.send(ack)

    def refused(self, status: int, method: str = "INVITE") -> str:
        """What the Warning says."""
        answer = self.desk.response(status, method)
        return answer.value("warning") or ""


class ChallengeTests(CoreCase):
    """22.3: a proxy asks for credentials with 407."""

    @conforms("RFC 3261 16.3", "RFC 3261 22.3")
    def test_an_invite_is_challenged_and_then_forwarded(self) -> None:
        self.admitted("INVITE")
        self.assertEqual(self.bob.titles.count("INVITE"), 0)
        got = self.bob.request("INVITE")
        self.bob.respond(got, 200)
        self.desk.response(200)
        (started,) = self.board.books.started.values()
        self.assertEqual(
            (started.caller_user, started.callee_user, started.device_id, started.direction),
            ("alice", "bob", 10, "internal"),
        )

    @conforms("RFC 8760 2.3")
    def test_both_algorithms_are_offered(self) -> None:
        """RFC 8760 2.4."""
        self.desk.ask("MESSAGE")
        challenges = self.desk.response(407, "MESSAGE").values("proxy-authenticate")
        self.assertEqual(len(challenges), 2)
        self.assertTrue(all(f'realm="{REALM}"' in each for each in challenges))

    def test_a_challenge_is_no_call(self) -> None:
        self.desk.ask("INVITE")
        self.desk.response(407)
        self.assertEqual(self.board.books.started, {})

    @conforms("RFC 3261 16.3", "RFC 3261 22.3")
    def test_credentials_for_us_go_no_further(self) -> None:
        """22.3: they are ours alone; those for other realms travel on."""
        other = 'Digest username="a", realm="elsewhere", nonce="n", uri="sip:x", response="r"'
        self.admitted("INVITE", "sip:bob@example.com", f"Proxy-Authorization: {other}")
        got = self.bob.request("INVITE")
        self.assertEqual(got.values("proxy-authorization"), [other])
        self.bob.respond(got, 486)

    def test_nor_within_a_dialog(self) -> None:
        sent = self.admitted("INVITE")
        got = self.bob.request("INVITE")
        self.bob.respond(got, 200)
        calling = Dialog(self.desk, sent, self.desk.response(200), is_caller=True)
        ours = f'Digest username="alice-desk", realm="{REALM}", nonce="n", uri="sip:x", response="r"'
        calling.send("INFO", f"Proxy-Authorization: {ours}")
        self.assertNotIn("proxy-authorization", self.bob.request("INFO"))

    @conforms("RFC 3325 5")
    def test_what_only_trusted_networks_may_say_of_who_they_are(self) -> None:
        claims = (
            "P-Asserted-Identity: <sip:boss@example.com>",
            "Remote-Party-ID: <sip:boss@example.com>;party=calling",
        )
        self.admitted("OPTIONS", "sip:bob@example.com", *claims, "P-Preferred-Identity: <sip:alice@example.com>")
        got = self.bob.request("OPTIONS")
        self.assertNotIn("p-asserted-identity", got)
        self.assertNotIn("remote-party-id", got)
        self.assertIn("p-preferred-identity", got)
        self.bob.respond(got, 200)

    def test_a_wrong_password(self) -> None:
        first = self.desk.ask("MESSAGE")
        self.desk.again(first, self.desk.response(407, "MESSAGE"), password="wrong")
        self.desk.response(407, "MESSAGE")
        self.assertNotIn("MESSAGE", self.bob.titles)

    def test_somebody_elses_name_in_from(self) -> None:
        self.admitted("INVITE", from_user="carol")
        self.assertIn("From", self.refused(403))
        self.assertNotIn("INVITE", self.bob.titles)

    def test_the_login_of_the_owner_in_from(self) -> None:
        self.admitted("INVITE", from_user="alice")
        self.bob.respond(self.bob.request("INVITE"), 486)
        self.desk.response(486)

    def test_a_from_without_a_name(self) -> None:
        for value in ("<sip:example.com>;tag=f", "<tel:+4930>;tag=f", "<urn:x>;tag=f"):
            first = self.desk.make("MESSAGE")
            first.set("from", value)
            self.desk.send(first)
            self.desk.again(first, self.desk.response(407, "MESSAGE"))
            self.assertIn("From", self.refused(403, "MESSAGE"))

    @conforms("RFC 3261 12.2.2")
    def test_a_dialog_that_we_do_not_know(self) -> None:
        """After a restart: first who asks, then whether there is such a dialog."""
        bye = self.desk.ask("BYE", "sip:bob@example.com", to="<sip:bob@example.com>;tag=x")
        self.desk.again(bye, self.desk.response(407, "BYE"))
        self.assertIn("no such dialog", self.refused(481, "BYE"))

    def test_a_dialog_that_we_forgot_goes_on_by_its_route(self) -> None:
        route = "Route: <sip:192.0.2.1:5060;lr>"
        bye = self.desk.ask("BYE", self.bob.contact, route, to="<sip:bob@example.com>;tag=x")
        self.desk.again(bye, self.desk.response(407, "BYE"))
        got = self.bob.request("BYE")
        self.assertEqual((got.values("route"), got.values("proxy-authorization")), ([], []))
        self.bob.respond(got, 200)
        self.desk.response(200, "BYE")


class TrustTests(SwitchboardCase):
    """Networks that are not challenged."""

    trusted: ClassVar[Sequence[str]] = ("192.0.2.10/32", "2001:db8::/32")

    def test_who_is_trusted_is_not_challenged(self) -> None:
        self.talking()
        (started,) = self.board.books.started.values()
        self.assertEqual((started.caller_user, started.device_id, started.direction), ("alice", None, "internal"))

    def test_a_neighbour_is(self) -> None:
        Phone(self.board, "192.0.2.11", "alice").ask("MESSAGE")
        self.board.run()
        self.assertEqual(self.bob.titles, [])

    @conforms("RFC 3325 5")
    def test_whoever_is_trusted_may_say_who_they_are(self) -> None:
        self.alice.ask("OPTIONS", "sip:bob@example.com", "P-Asserted-Identity: <tel:+15550100>")
        got = self.bob.request("OPTIONS")
        self.assertEqual(got.value("p-asserted-identity"), "<tel:+15550100>")
        self.bob.respond(got, 200)

    def test_a_trunk_calls_in(self) -> None:
        trunk = self.alice.make("INVITE")
        trunk.set("from", "<sip:+4930@trunk.example>;tag=t")
        self.alice.send(trunk)
        self.bob.respond(self.bob.request("INVITE"), 486)
        (started,) = self.board.books.started.values()
        self.assertEqual((started.caller_user, started.direction), ("+4930", "inbound"))

    def test_it_is_no_open_relay(self) -> None:
        """Whoever has no device of ours reaches our people only."""
        for uri, more in (
            ("sip:bob@elsewhere.example", ()),
            ("sip:bob@example.com", ("Route: <sip:198.51.100.1;lr>",)),
        ):
            self.alice.ask("INVITE", uri, *more)
            self.assertIn("example.com only", self.alice.response(403).require("warning"))
        self.assertEqual({packet.destination[0] for packet in self.board.network.packets}, {"192.0.2.1", "192.0.2.10"})

    def test_what_is_remembered_is_bounded(self) -> None:
        trust = Trust((ip_network("10.0.0.0/9"), ip_network("fe80::/10")))
        for number in range(5000):
            trust.includes(StillFlow(remote=(f"10.{number % 200}.{number // 200}.1", 5060)))
        self.assertLessEqual(len(trust._known), 4096)
        hosts = {"10.0.0.1": True, "10.127.0.1": True, "10.128.0.1": False, "fe80::1%eth0": True, "::1": False}
        for host, expected in hosts.items():
            self.assertEqual(trust.includes(StillFlow(remote=(host, 5060))), expected, host)


class RelayTests(CoreCase):
    @conforms("RFC 3261 16.5", "RFC 3261 16.6")
    def test_another_domain(self) -> None:
        elsewhere = Phone(self.board, "192.0.2.60", "elsewhere")
        self.admitted("INVITE", "sip:bob@192.0.2.60")
        got = elsewhere.request("INVITE")
        self.assertEqual((got.uri_text, got.value("max-forwards")), ("sip:bob@192.0.2.60", "69"))
        elsewhere.respond(got, 200)
        self.desk.response(200)
        (started,) = self.board.books.started.values()
        self.assertEqual((started.direction, started.callee_user), ("outbound", "bob"))

    @conforms("RFC 3261 16.5")
    def test_a_message_to_another_domain(self) -> None:
        elsewhere = Phone(self.board, "192.0.2.60", "elsewhere")
        self.admitted("MESSAGE", "sip:bob@192.0.2.60")
        elsewhere.respond(elsewhere.request("MESSAGE"), 202)
        self.desk.response(202, "MESSAGE")

    @conforms("RFC 3261 16.4", "RFC 3261 16.6")
    def test_a_route_that_the_phone_brings(self) -> None:
        """8.1.2: a preloaded Route of ours is taken off, the next one is followed."""
        edge = Phone(self.board, "192.0.2.60", "edge")
        routes = "Route: <sip:192.0.2.1;lr>, <sip:192.0.2.60;lr>"
        self.admitted("INVITE", "sip:bob@elsewhere.example", routes)
        got = edge.request("INVITE")
        self.assertEqual((got.uri_text, got.values("route")), ("sip:bob@elsewhere.example", ["<sip:192.0.2.60;lr>"]))
        edge.respond(got, 486)

    @conforms("RFC 3261 16.4")
    def test_only_our_own_route(self) -> None:
        self.admitted("INVITE", "sip:bob@example.com", "Route: <sip:192.0.2.1;lr>")
        got = self.bob.request("INVITE")
        self.assertEqual((got.uri_text, got.values("route")), (self.bob.contact, []))
        self.bob.respond(got, 486)

    def test_a_route_that_nobody_can_follow(self) -> None:
        """The call has begun by then, and ends in its row."""
        self.admitted("INVITE", "sip:bob@192.0.2.60", "Route: <sip:192.0.2.60;lr;transport=sctp>")
        self.assertIn("sctp", self.refused(400).lower())
        self.assertEqual(self.board.books.endings, [("failed", 400, "system")])

    def test_a_transport_that_we_do_not_serve(self) -> None:
        self.admitted("INVITE", "sip:bob@192.0.2.60;transport=sctp")
        self.assertIn("sctp", self.refused(400).lower())


class CheckTests(CoreCase):
    """16.3, in its order: each is refused before anybody is asked for credentials."""

    @conforms("RFC 3261 16.3")
    def test_no_hops_left(self) -> None:
        """16.3 item 3: 483 for a value of zero."""
        self.desk.ask("INVITE", max_forwards=0)
        self.refused(483)

    @conforms("RFC 3261 16.3", "RFC 3261 16.6")
    def test_no_count_of_hops(self) -> None:
        """16.3 item 3: "If the request does not contain a Max-Forwards header field, this check is passed"."""
        self.admitted("INVITE", max_forwards=None)
        got = self.bob.request("INVITE")
        self.assertEqual(got.values("max-forwards"), ["70"])
        self.bob.respond(got, 486)

    @conforms("RFC 3261 16.3")
    def test_an_extension_that_we_do_not_know(self) -> None:
        """16.3 item 5: 420 with Unsupported."""
        self.desk.ask("INVITE", "sip:bob@example.com", "Proxy-Require: privacy, foo")
        self.assertEqual(self.desk.response(420).values("unsupported"), ["privacy", "foo"])

    @conforms("RFC 3261 16.3")
    def test_require_is_for_the_other_end(self) -> None:
        self.admitted("INVITE", "sip:bob@example.com", "Require: 100rel")
        got = self.bob.request("INVITE")
        self.assertEqual(got.value("require"), "100rel")
        self.bob.respond(got, 420)
        self.desk.response(420)

    @conforms("RFC 3261 16.3", "RFC 3261 8.2.2.1")
    def test_a_scheme_that_we_do_not_know(self) -> None:
        """16.3 item 2: 416."""
        self.desk.ask("INVITE", "mailto:bob@example.com", to="<sip:bob@example.com>")
        self.refused(416)

    @conforms("RFC 3261 15.1.2")
    def test_bye_and_prack_outside_of_a_dialog(self) -> None:
        for method in ("BYE", "PRACK"):
            self.desk.ask(method)
            self.assertIn("To has no tag", self.refused(481, method))

    @conforms("RFC 3261 16.3")
    def test_a_header_that_cannot_be_read_is_named(self) -> None:
        first = self.desk.make("INVITE")
        first.set("max-forwards", "many")
        self.desk.send(first)
        self.assertIn("Max-Forwards", self.refused(400))

    def test_a_broken_ack_is_dropped(self) -> None:
        ack = self.desk.make("ACK", to="<sip:bob@example.com>;tag=x")
        ack.remove("call-id")
        self.desk.send(ack)
        self.board.run()
        self.assertEqual(self.desk.titles, [])


class NobodyTests(CoreCase):
    """404 and 480; an INVITE has its row in the journal."""

    @conforms("RFC 3261 16.5", "RFC 3261 8.2.2.1")
    def test_nobody_of_that_name(self) -> None:
        self.admitted("INVITE", "sip:nobody@example.com")
        self.assertIn("nobody", self.refused(404))
        self.assertEqual(self.board.books.endings, [("failed", 404, "system")])

    @conforms("RFC 3261 16.5")
    def test_not_registered(self) -> None:
        self.admitted("INVITE", "sip:carol@example.com")
        self.refused(480)
        self.assertEqual(self.board.books.endings, [("no_answer", 480, "system")])

    def test_do_not_disturb(self) -> None:
        self.board.directory.apply_user(user(2, "bob", dnd=True))
        self.admitted("INVITE")
        self.assertIn("disturbed", self.refused(480))

    def test_disabled(self) -> None:
        self.board.directory.apply_user(user(2, "bob", enabled=False))
        self.admitted("INVITE")
        self.assertIn("disabled", self.refused(480))

    def test_a_message_to_nobody_is_no_call(self) -> None:
        self.admitted("MESSAGE", "sip:nobody@example.com")
        self.refused(404, "MESSAGE")
        self.assertEqual(self.board.books.started, {})

    def test_any_case_of_letters(self) -> None:
        self.admitted("INVITE", "sip:BoB@example.com")
        self.bob.respond(self.bob.request("INVITE"), 486)
        (started,) = self.board.books.started.values()
        self.assertEqual(started.callee_user, "bob")

    def test_a_device_by_its_name(self) -> None:
        self.admitted("INVITE", "sip:200@example.com")
        self.bob.respond(self.bob.request("INVITE"), 486)

    def test_a_telephone_number(self) -> None:
        self.admitted("INVITE", "tel:2-0-0", to="<tel:200>")
        self.bob.respond(self.bob.request("INVITE"), 486)


class DrainTests(CoreCase):
    """The server is about to stop."""

    def setUp(self) -> None:
        super().setUp()
        self.board.core.initial.is_draining = True

    def test_new_calls_are_refused(self) -> None:
        self.admitted("INVITE")
        answer = self.desk.response(503)
        self.assertEqual(answer.value("retry-after"), "30")
        self.assertEqual(self.board.books.started, {})

    def test_everything_else_goes_on(self) -> None:
        self.admitted("MESSAGE")
        self.bob.respond(self.bob.request("MESSAGE"), 200)
        self.desk.response(200, "MESSAGE")


class OwnTests(CoreCase):
    """Requests for the server itself."""

    @conforms("RFC 3261 11.2")
    def test_options(self) -> None:
        """11.2: Allow, Accept and Supported; no credentials are needed."""
        for uri in ("sip:example.com", "sip:192.0.2.1:5060"):
            self.desk.ask("OPTIONS", uri)
            answer = self.desk.response(200, "OPTIONS")
            self.assertIn("INVITE", answer.values("allow"))
            self.assertEqual(answer.value("accept"), "application/sdp")
            self.assertEqual(answer.value("supported"), "100rel, gruu, norefersub, outbound, path, replaces, timer")

    @conforms("RFC 3261 16.3")
    def test_options_with_no_hops_left(self) -> None:
        """16.3 item 3: to find out who stands on the way; we are asked ourselves, so nothing is forwarded."""
        self.desk.ask("OPTIONS", "sip:example.com", max_forwards=0)
        self.desk.response(200, "OPTIONS")

    @conforms("RFC 3261 8.2.2.3", "RFC 3261 11.2")
    def test_options_that_require_something(self) -> None:
        self.desk.ask("OPTIONS", "sip:example.com", "Require: foo")
        self.assertEqual(self.desk.response(420, "OPTIONS").value("unsupported"), "foo")

    @conforms("RFC 3261 11")
    def test_options_for_a_phone(self) -> None:
        self.admitted("OPTIONS", "sip:bob@example.com")
        self.bob.respond(self.bob.request("OPTIONS"), 200)
        self.desk.response(200, "OPTIONS")

    def register(self, uri: str = "sip:example.com") -> Request:
        return self.desk.ask("REGISTER", uri, to="<sip:alice-desk@example.com>")

    @conforms("RFC 3261 10.1", "RFC 3261 16.5")
    def test_a_phone_registers_and_is_called(self) -> None:
        self.desk.again(self.register(), self.desk.response(401, "REGISTER"))
        self.assertIn(self.desk.contact, self.desk.response(200, "REGISTER").require("contact"))
        carol = Phone(self.board, "192.0.2.30", "300")
        first = carol.ask("INVITE", "sip:alice@example.com")
        carol.again(first, carol.response(407))
        got = self.desk.request("INVITE")
        self.assertEqual(got.uri_text, self.desk.contact)
        self.desk.respond(got, 486)

    @conforms("RFC 3261 8.2.2.1")
    def test_registering_elsewhere(self) -> None:
        self.register("sip:elsewhere.example")
        self.assertIn("example.com", self.refused(404, "REGISTER"))


class MergedTests(CoreCase):
    """8.2.2.2: a request that comes twice, by two ways, is answered once; who is only a proxy does not mind."""

    def twice(self, method: str, uri: str) -> tuple[str, ...]:
        first = self.desk.make(method, uri, to="<sip:alice-desk@example.com>")
        second = first.copy()
        second.set("via", f"SIP/2.0/UDP {self.desk.host}:5060;branch=z9hG4bKotherway")
        for each in (first, second):
            self.desk.send(each)
        self.board.run()
        return tuple(self.desk.titles)

    def test_options(self) -> None:
        self.assertEqual(self.twice("OPTIONS", "sip:example.com"), ("200 OPTIONS", "482 OPTIONS"))

    @conforms("RFC 3261 8.2.2.2")
    def test_register(self) -> None:
        """A challenge leaves nothing behind, so only what is answered for good can be merged."""
        self.assertEqual(self.twice("REGISTER", "sip:example.com"), ("401 REGISTER", "401 REGISTER"))
        self.desk.heard.clear()
        first = self.desk.make("REGISTER", "sip:example.com", to="<sip:alice-desk@example.com>")
        self.desk.send(first)
        answered = self.desk.again(first, self.desk.response(401, "REGISTER"))
        second = answered.copy()
        second.set("via", f"SIP/2.0/UDP {self.desk.host}:5060;branch=z9hG4bKotherway")
        self.desk.send(second)
        self.board.run()
        self.assertEqual(self.desk.titles, ["200 REGISTER", "482 REGISTER"])

    @conforms("RFC 3261 8.2.2.2", "RFC 3261 16.3")
    def test_what_is_forwarded_may_come_twice(self) -> None:
        """16.3 item 4 and the end of 8.2.2.2: it is for the UAS to refuse."""
        self.board = Switchboard(trusted=("192.0.2.0/24",))
        self.desk = Phone(self.board, "192.0.2.15", "alice-desk")
        self.bob = Phone(self.board, "192.0.2.20", "bob")
        self.bob.register("200", 20)
        self.assertEqual(self.twice("MESSAGE", "sip:bob@example.com"), ())
        for _ in range(2):
            self.bob.respond(self.bob.request("MESSAGE"), 200)
            self.desk.response(200, "MESSAGE")
