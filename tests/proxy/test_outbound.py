"""Phones that are reached by their flow only, several flows of one phone, and GRUUs, through the whole server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from gosip_py.proxy.flow_token import FlowTokens
from gosip_py.registrar.gruu import public_gruu
from gosip_py.sip.message import Request
from tests.conformance import conforms
from tests.proxy.switchboard import DOMAIN, SERVER, Dialog, Phone, SwitchboardCase
from tests.registrar.fakes import binding

INSTANCE = "<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>"
AOR = "sip:200@example.com"


def behind_nat(phone: Phone) -> Phone:
    """From now on the phone believes to have a private address."""
    transport = f";transport={phone.via.lower()}" if phone.via != "UDP" else ""
    phone.host = "10.0.0.7"
    phone.transport.addressing.issued.add("10.0.0.7:5060")
    phone.contact = f"sip:{phone.name}@10.0.0.7:5060{transport}"
    return phone


class NatCase(SwitchboardCase):
    def subscribed(self, watcher: Phone, watched: Phone) -> tuple[Dialog, Dialog]:
        """Both sides of a subscription to a package that only phones know."""
        sent = watcher.ask("SUBSCRIBE", f"sip:200@{DOMAIN}", "Event: weather", "Expires: 600")
        got = watched.request("SUBSCRIBE")
        answer = watched.respond(got, 200, ("expires", "600"))
        return (
            Dialog(watcher, sent, watcher.response(200, "SUBSCRIBE"), is_caller=True),
            Dialog(watched, got, answer, is_caller=False),
        )

    def exchange(self, sender: Dialog, receiver: Dialog, method: str, *more: str) -> Request:
        """A request in a dialog, answered; as it arrived."""
        sender.send(method, *more)
        got = receiver.phone.request(method)
        receiver.phone.respond(got, 200)
        sender.phone.response(200, method)
        return got

    def notify(self, sender: Dialog, receiver: Dialog) -> Request:
        return self.exchange(sender, receiver, "NOTIFY", "Event: weather", "Subscription-State: active")


@conforms("RFC 5626 5.3", "RFC 5626 5.3.2")
class SubscriptionTests(NatCase):
    """No session is kept of them: only the Record-Route can tell where their requests go."""

    def test_a_notify_reaches_a_watcher_behind_a_nat(self) -> None:
        for host, via in (("192.0.2.31", "UDP"), ("192.0.2.32", "TCP")):
            watcher = behind_nat(Phone(self.board, host, "carol", via))
            calling, called = self.subscribed(watcher, self.bob)
            self.assertEqual(len(called.routes), 2)
            got = self.notify(called, calling)
            self.assertEqual((got.uri_text, got.values("route")), (watcher.contact, []))
            # and the other way: the refresh goes to Bob by his contact
            refresh = self.exchange(calling, called, "SUBSCRIBE", "Event: weather")
            self.assertEqual((refresh.uri_text, refresh.values("route")), (self.bob.contact, []))

    def test_a_watcher_that_says_ob(self) -> None:
        self.alice.contact += ";ob"
        calling, called = self.subscribed(self.alice, self.bob)
        self.assertEqual(self.notify(called, calling).uri_text, self.alice.contact)

    def test_whoever_is_reached_at_the_contact_pays_nothing(self) -> None:
        calling, called = self.subscribed(self.alice, self.bob)
        self.assertEqual(called.routes, [f"<sip:{SERVER}:5060;lr>"])
        self.notify(called, calling)

    def test_a_callee_behind_a_nat(self) -> None:
        board = self.board
        (there,) = board.location.lookup(AOR, board.now())
        board.location.remove(there, "set up anew", board.now())
        behind_nat(self.bob)
        self.bob.register("200", 20)
        calling, called = self.subscribed(self.alice, self.bob)
        refresh = self.exchange(calling, called, "SUBSCRIBE", "Event: weather")
        self.assertEqual(refresh.uri_text, self.bob.contact)
        self.notify(called, calling)

    def test_both_behind_nats(self) -> None:
        board = self.board
        (there,) = board.location.lookup(AOR, board.now())
        board.location.remove(there, "set up anew", board.now())
        self.bob.register("200", 20, "sip:bob@10.9.9.9:5060")
        self.bob.contact = "sip:bob@10.9.9.9:5060"
        behind_nat(self.alice)
        calling, called = self.subscribed(self.alice, self.bob)
        self.exchange(calling, called, "SUBSCRIBE", "Event: weather")
        self.notify(called, calling)

    @conforms("RFC 5626 5.3.1")
    def test_a_token_that_was_tampered_with(self) -> None:
        calling, called = self.subscribed(behind_nat(self.alice), self.bob)
        for route in called.routes:
            if "flow." in route:
                called.routes[called.routes.index(route)] = route.replace("flow.", "flow.AAAA")
        called.send("NOTIFY", "Event: weather", "Subscription-State: active")
        self.assertIn("unchanged", self.bob.response(403, "NOTIFY").require("warning"))
        self.assertEqual(calling.phone.titles, [])

    @conforms("RFC 5626 5.3.1", "RFC 5626 11.5")
    def test_a_connection_that_is_gone(self) -> None:
        watcher = behind_nat(Phone(self.board, "192.0.2.33", "carol", "TCP"))
        calling, called = self.subscribed(watcher, self.bob)
        watcher.flow.fail("reset")
        self.board.run()
        called.send("NOTIFY", "Event: weather", "Subscription-State: active")
        self.bob.response(430, "NOTIFY")
        self.assertEqual(calling.phone.titles, [])


class CallTests(NatCase):
    def test_a_call_between_two_nats(self) -> None:
        behind_nat(self.alice)
        calling, called = self.talking()
        self.exchange(called, calling, "INFO")
        self.exchange(calling, called, "INFO")
        self.hang_up(called, self.alice)

    def test_the_server_forgot_the_call(self) -> None:
        """As after a restart: there is no session, and the token still leads to the phone."""
        _, called = self.talking(behind_nat(self.alice))
        for session in tuple(self.board.sessions):
            self.board.sessions.ended(session, "system")
        self.hang_up(called, self.alice)

    def test_a_caller_that_came_back_by_another_connection(self) -> None:
        """The dialog knows where its phone was heard last; the token names a connection that is gone."""
        caller = behind_nat(Phone(self.board, "192.0.2.33", "carol", "TCP"))
        calling, called = self.talking(caller)
        caller.flow.fail("reset")
        self.board.run()
        calling.send("INVITE")
        self.bob.respond(self.bob.request("INVITE"), 200)
        caller.response(200)
        calling.send("ACK")
        self.bob.request("ACK")
        self.hang_up(called, caller)

    @conforms("RFC 5626 5.3.1")
    def test_a_bye_that_cannot_travel_ends_the_call_all_the_same(self) -> None:
        caller = behind_nat(Phone(self.board, "192.0.2.33", "carol", "TCP"))
        _, called = self.talking(caller)
        caller.flow.fail("reset")
        self.board.run()
        called.send("BYE")
        self.bob.response(430, "BYE")
        self.assertEqual(self.board.gauges()[:3], (0, 0, 0))

    def test_an_ack_with_a_bad_token_goes_nowhere(self) -> None:
        sent, got = self.ringing(behind_nat(self.alice))
        answer = self.bob.respond(got, 200)
        calling = Dialog(self.alice, sent, self.alice.response(200), is_caller=True)
        calling.routes = [route.replace("flow.", "flow.AAAA") for route in calling.routes] or calling.routes
        calling.routes.append(f"<sip:flow.AAAA@{SERVER}:5060;lr>")
        calling.send("ACK")
        self.board.run()
        self.assertEqual(self.bob.titles, [])
        called = Dialog(self.bob, got, answer, is_caller=False)
        self.hang_up(called, self.alice)


class NewRequestTests(NatCase):
    """What belongs to no dialog may name a flow too; its sender must sign in."""

    trusted: ClassVar[Sequence[str]] = ()

    def ask(self, method: str, route: str) -> None:
        headers = (f"Route: {route}", "Content-Type: text/plain")
        sent = self.bob.ask(method, "sip:alice@10.0.0.7:5060", *headers, from_user="200")
        self.bob.again(sent, self.bob.response(407, method), username="200")

    def route(self) -> str:
        tokens = FlowTokens(b"a secret of the switchboard", self.board.transport)
        return tokens.route(self.board.transport.flow_of("UDP", ("192.0.2.10", 5060)))

    @conforms("RFC 5626 5.3.1")
    def test_sent_on_by_the_flow(self) -> None:
        behind_nat(self.alice)
        self.ask("MESSAGE", self.route())
        got = self.alice.request("MESSAGE")
        self.assertEqual((got.uri_text, got.values("route")), (self.alice.contact, []))
        self.alice.respond(got, 200)
        self.bob.response(200, "MESSAGE")

    @conforms("RFC 5626 5.3.1")
    def test_the_dialog_that_it_forms_stays_on_the_flow(self) -> None:
        behind_nat(self.alice)
        self.ask("SUBSCRIBE", self.route())
        got = self.alice.request("SUBSCRIBE")
        self.assertIn(self.route(), got.values("record-route"))
        self.alice.respond(got, 200)
        self.bob.response(200, "SUBSCRIBE")

    @conforms("RFC 5626 5.3.1")
    def test_tampered_with(self) -> None:
        for method in ("MESSAGE", "INVITE"):
            self.ask(method, self.route().replace("flow.", "flow.AAAA"))
            self.bob.response(403, method)
        self.board.run()
        self.assertEqual(self.board.books.endings, [("failed", 403, "system")])


class FallbackTests(NatCase):
    """Bob's phone registered by two connections; the second is the more recent."""

    def setUp(self) -> None:
        super().setUp()
        board = self.board
        for there in board.location.lookup(AOR, board.now()):
            board.location.remove(there, "set up anew", board.now())
        self.flows = [Phone(board, f"192.0.2.{41 + at}", "bob", "TCP") for at in range(2)]
        for at, phone in enumerate(self.flows):
            phone.contact = "sip:bob@10.0.0.7:5060;transport=tcp;ob"
            phone.register(
                "200", 20, instance=INSTANCE, flow=f"{at};{INSTANCE}", refreshed_at=board.now() + at, reg_id=at
            )

    @conforms("RFC 5626 7")
    def test_one_flow_at_a_time(self) -> None:
        self.alice.ask("INVITE")
        got = self.flows[1].request("INVITE")
        self.assertEqual(self.flows[0].titles, [])
        self.flows[1].respond(got, 486)
        self.flows[1].request("ACK")
        self.alice.response(486)
        self.assertEqual(self.flows[0].titles, [])  # the phone has answered

    @conforms("RFC 5626 7")
    def test_the_next_when_the_flow_failed(self) -> None:
        self.alice.ask("INVITE")
        got = self.flows[1].request("INVITE")
        self.flows[1].respond(got, 430)
        self.flows[1].request("ACK")
        second = self.flows[0].request("INVITE")
        self.flows[0].respond(second, 486)
        self.flows[0].request("ACK")
        self.alice.response(486)

    @conforms("RFC 5626 7", "RFC 5626 11.5")
    def test_none_is_left(self) -> None:
        """ "Endpoints should never receive a 430 response"."""
        self.alice.ask("INVITE")
        for phone in reversed(self.flows):
            phone.respond(phone.request("INVITE"), 430)
            phone.request("ACK")
        self.alice.response(480)

    @conforms("RFC 5626 7")
    def test_a_connection_that_breaks_before_it_rings(self) -> None:
        self.alice.ask("INVITE")
        self.board.network.detach(self.flows[1].transport)
        self.flows[1].flow.fail("reset")
        self.board.run(1)
        second = self.flows[0].request("INVITE")
        self.flows[0].respond(second, 486)
        self.flows[0].request("ACK")
        self.alice.response(486)

    @conforms("RFC 5626 7")
    def test_a_broken_connection_is_not_called_again(self) -> None:
        self.flows[1].flow.fail("reset")
        self.board.run(1)
        self.alice.ask("MESSAGE", f"sip:200@{DOMAIN}", "Content-Type: text/plain", body="hello")
        got = self.flows[0].request("MESSAGE")
        self.flows[0].respond(got, 200)
        self.alice.response(200, "MESSAGE")
        self.assertEqual(len(self.board.location.lookup(AOR, self.board.now())), 1)


@conforms("RFC 5627 6.1")
class GruuTests(NatCase):
    def setUp(self) -> None:
        super().setUp()
        board = self.board
        for there in board.location.lookup(AOR, board.now()):
            board.location.remove(there, "set up anew", board.now())
        self.bob.register("200", 20, instance=INSTANCE, gruu="00000001")
        self.other = Phone(board, "192.0.2.50", "other")
        self.other.register("200", 20, instance="<urn:uuid:2>", gruu="00000002")
        self.public = public_gruu(binding(aor=AOR, instance=INSTANCE, gruu="00000000"))

    def test_one_phone_of_several_rings(self) -> None:
        for uri in (self.public, self.board.gruus.temporary(AOR, INSTANCE, "00000001")):
            self.alice.ask("MESSAGE", uri, "Content-Type: text/plain", to=f"<{AOR}>", body="hello")
            got = self.bob.request("MESSAGE")
            self.assertEqual(got.uri_text, self.bob.contact)
            self.bob.respond(got, 200)
            self.alice.response(200, "MESSAGE")
        self.assertEqual(self.other.titles, [])

    def test_invalid(self) -> None:
        self.alice.ask("MESSAGE", self.board.gruus.temporary(AOR, INSTANCE, "00000009"), to=f"<{AOR}>")
        self.alice.response(404, "MESSAGE")

    def test_a_dialog_whose_remote_target_is_a_gruu(self) -> None:
        """The Request-URI is written anew with the registered contact."""
        sent = self.alice.ask("INVITE", self.public, to=f"<{AOR}>")
        got = self.bob.request("INVITE")
        contact, self.bob.contact = self.bob.contact, self.public
        answer = self.bob.respond(got, 200)
        calling = Dialog(self.alice, sent, self.alice.response(200), is_caller=True)
        self.assertEqual(calling.target, self.public)
        calling.send("ACK")
        self.assertEqual(self.bob.request("ACK").uri_text, contact)
        called = Dialog(self.bob, got, answer, is_caller=False)
        self.assertEqual(self.exchange(calling, called, "INFO").uri_text, contact)
        self.hang_up(calling, self.bob)

    def test_a_subscription_of_a_watcher_with_a_gruu(self) -> None:
        """There is no session that would know the watcher."""
        self.alice.register("alice-desk", 10, instance="<urn:uuid:a>", gruu="0000000a")
        contact = self.alice.contact
        self.alice.contact = self.board.gruus.temporary("sip:alice-desk@example.com", "<urn:uuid:a>", "0000000a")
        sent = self.alice.ask("SUBSCRIBE", self.public, "Event: weather", to=f"<{AOR}>")
        got = self.bob.request("SUBSCRIBE")
        answer = self.bob.respond(got, 200)
        calling = Dialog(self.alice, sent, self.alice.response(200, "SUBSCRIBE"), is_caller=True)
        called = Dialog(self.bob, got, answer, is_caller=False)
        self.assertEqual(self.notify(called, calling).uri_text, contact)

    def test_a_gruu_that_leads_nowhere_any_more(self) -> None:
        calling, called = self.talking_to_gruu()
        for there in self.board.location.lookup(AOR, self.board.now()):
            self.board.location.remove(there, "unregistered", self.board.now())
        calling.send("INFO")
        self.alice.response(480, "INFO")
        self.hang_up(called, self.alice)

    def talking_to_gruu(self) -> tuple[Dialog, Dialog]:
        sent = self.alice.ask("INVITE", self.public, to=f"<{AOR}>")
        got = self.bob.request("INVITE")
        self.bob.contact = self.public
        answer = self.bob.respond(got, 200)
        calling = Dialog(self.alice, sent, self.alice.response(200), is_caller=True)
        calling.send("ACK")
        self.bob.request("ACK")
        return calling, Dialog(self.bob, got, answer, is_caller=False)


class ServiceRouteTests(NatCase):
    @conforms("RFC 3608 6.1")
    def test_a_preloaded_route_that_names_us(self) -> None:
        """By address or by domain, as the registrar told the phone."""
        for route in (f"<sip:{SERVER};lr>", f"<sip:{DOMAIN};lr>", f"<sip:{DOMAIN}:5060;lr>"):
            self.alice.ask("MESSAGE", AOR, f"Route: {route}", "Content-Type: text/plain", body="hello")
            got = self.bob.request("MESSAGE")
            self.assertEqual(got.values("route"), [])
            self.bob.respond(got, 200)
            self.alice.response(200, "MESSAGE")
