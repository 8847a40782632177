"""Registrations of flows (RFC 5626 6) and of proxies on the way (RFC 3327, RFC 3608), through the registrar."""

from __future__ import annotations

from typing import Any

from gosip_py.events import BindingAdded, BindingRefreshed, BindingRemoved
from gosip_py.registrar.location import Contact
from gosip_py.registrar.registrar import RegistrationLimits, RegistrationOffers
from gosip_py.sip.message import Response
from gosip_py.store.records import BindingKey
from gosip_py.transport.flow import Target
from tests.conformance import conforms
from tests.registrar.fakes import NOW, StillFlow
from tests.registrar.test_registrar import AOR, RegistrarCase

INSTANCE = "<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"
CONTACT = "sip:alice@10.0.0.7;transport=tcp"


def flow_contact(reg_id: int = 1, instance: str = INSTANCE, contact: str = CONTACT, more: str = "") -> str:
    return f'Contact: <{contact}>;reg-id={reg_id};+sip.instance="{instance}"{more}'


class FlowCase(RegistrarCase):
    limits = RegistrationLimits(1800, 60, 7200, 5)

    def setUp(self) -> None:
        super().setUp()
        self.flow = StillFlow("TCP", ("203.0.113.9", 40001))

    def outbound(self, reg_id: int = 1, *more: str, **others: Any) -> Response:
        others.setdefault("via", "10.0.0.7:5060")
        return self.register(flow_contact(reg_id), "Supported: path, outbound", *more, **others)

    def contacts(self) -> list[Contact]:
        return self.location.lookup(AOR, self.clock.seconds())


@conforms("RFC 5626 6")
class BindingTests(FlowCase):
    @conforms("RFC 3261 8.2.4")
    def test_the_answer_says_that_a_flow_was_registered(self) -> None:
        answer = self.outbound()
        self.expect(answer, 200)
        self.assertTrue(answer.has_token("require", "outbound"))
        self.assertTrue(answer.has_token("supported", "path"))
        self.assertTrue(answer.has_token("supported", "outbound"))
        self.assertEqual(answer.values("contact"), [f'<{CONTACT}>;expires=1800;+sip.instance="{INSTANCE}";reg-id=1'])

    def test_two_flows_with_one_contact(self) -> None:
        first = self.flow
        self.outbound(1, call_id="flow-1")
        self.flow = StillFlow("TCP", ("203.0.113.9", 40002))
        answer = self.outbound(2, call_id="flow-2")
        self.assertEqual(len(answer.values("contact")), 2)
        self.assertEqual([contact.flow for contact in self.contacts()], [first, self.flow])
        self.assertEqual(len(self.writer.rows), 2)

    def test_the_same_flow_again_replaces_contact_and_connection(self) -> None:
        self.outbound(1, call_id="before")
        self.flow = StillFlow("TCP", ("203.0.113.9", 51000))
        contact = "sip:alice@10.0.0.99;transport=tcp"
        self.register(flow_contact(1, contact=contact), "Supported: outbound", call_id="rebooted", cseq=1)
        (there,) = self.contacts()
        self.assertEqual((there.uri_text, there.flow), (contact, self.flow))
        self.assertEqual([key.contact for key in self.writer.rows], [contact])

    def test_a_refresh_on_a_new_connection_moves_the_flow(self) -> None:
        self.outbound(1, cseq=1)
        self.flow = StillFlow("TCP", ("203.0.113.9", 51000))
        self.clock.advance(60)
        self.outbound(1, cseq=2)
        (there,) = self.contacts()
        self.assertIs(there.flow, self.flow)
        self.assertEqual((there.binding.refreshed_at, there.binding.registered_at), (NOW + 60, NOW))

    def test_an_instance_is_the_same_in_any_case(self) -> None:
        self.outbound(1, call_id="a")
        self.register(flow_contact(1, INSTANCE.lower()), "Supported: outbound", call_id="b")
        self.assertEqual(len(self.contacts()), 1)

    def test_another_instance_is_another_phone(self) -> None:
        self.outbound(1, call_id="a")
        self.register(flow_contact(1, "<urn:uuid:2>"), "Supported: outbound", call_id="b")
        self.assertEqual(len(self.contacts()), 2)

    def test_taken_out_by_its_name(self) -> None:
        self.outbound(1, call_id="a")
        self.outbound(2, call_id="b")
        answer = self.register(flow_contact(1, more=";expires=0"), "Supported: outbound", call_id="a", cseq=2)
        self.assertEqual([contact.binding.reg_id for contact in self.contacts()], [2])
        self.assertEqual(len(answer.values("contact")), 1)

    def test_out_of_order(self) -> None:
        self.outbound(1, cseq=7)
        self.expect(self.outbound(1, cseq=6), 500, "CSeq")

    def test_beside_a_registration_without_flows(self) -> None:
        """The registrar MUST be prepared to receive both for the same AOR."""
        self.outbound(1)
        answer = self.register(f"Contact: <{CONTACT}>", call_id="plain")
        self.assertNotIn("require", answer)
        self.assertEqual([contact.binding.flow != "" for contact in self.contacts()], [True, False])

    @conforms("RFC 3261 8.2.4")
    def test_the_same_words_with_and_without_support(self) -> None:
        self.outbound(1, call_id="a")
        answer = self.register(flow_contact(1), call_id="b")
        self.assertNotIn("require", answer)
        self.assertEqual(len(self.contacts()), 2)

    def test_a_reg_id_without_an_instance_is_ignored(self) -> None:
        answer = self.register(f"Contact: <{CONTACT}>;reg-id=1", "Supported: outbound")
        self.expect(answer, 200)
        self.assertNotIn("require", answer)
        self.assertEqual(self.contacts()[0].binding.flow, "")

    def test_more_than_one_contact(self) -> None:
        two = f"{flow_contact(1)}, <sip:alice@192.0.2.77>"
        self.expect(self.register(two, "Supported: outbound"), 400, "one contact at a time")
        self.assertEqual(self.contacts(), [])

    def test_one_comes_and_another_goes(self) -> None:
        self.outbound(1, call_id="a")
        both = f'{flow_contact(2)}, <{CONTACT}>;reg-id=1;+sip.instance="{INSTANCE}";expires=0'
        self.expect(self.register(both, "Supported: outbound", call_id="b"), 200)
        self.assertEqual([contact.binding.reg_id for contact in self.contacts()], [2])

    def test_all_at_once(self) -> None:
        self.outbound(1, call_id="a")
        self.outbound(2, call_id="b")
        self.expect(self.register("Contact: *", "Expires: 0", call_id="c"), 200)
        self.assertEqual((self.contacts(), self.writer.rows), ([], {}))

    def test_required(self) -> None:
        answer = self.register(flow_contact(1), "Require: outbound")
        self.assertTrue(answer.has_token("require", "outbound"))


class FirstHopTests(FlowCase):
    def forwarded(self, *headers: str) -> Response:
        """A REGISTER that came by way of a proxy."""
        message = self.build(flow_contact(1), *headers, via="192.0.2.50:5060")
        message.names.insert(1, "via")
        message.lines.insert(1, "Via: SIP/2.0/TCP 10.0.0.7:5060;branch=z9hG4bKphone")
        return self.send(message)

    @conforms("RFC 5626 6", "RFC 5626 11.6")
    def test_a_first_proxy_without_support(self) -> None:
        for path in ((), ("Path: <sip:edge.example.com;lr>",)):
            answer = self.forwarded("Supported: path, outbound", *path)
            self.expect(answer, 439, "first proxy")
            self.assertEqual(answer.reason, "First Hop Lacks Outbound Support")
        self.assertEqual(self.contacts(), [])

    @conforms("RFC 5626 6")
    def test_a_first_proxy_with_support(self) -> None:
        answer = self.forwarded("Supported: path, outbound", "Path: <sip:token@edge.example.com;lr;ob>")
        self.expect(answer, 200)
        self.assertTrue(answer.has_token("require", "outbound"))
        # the flow to the phone ends at the proxy: it is for the proxy to watch it
        self.assertNotIn("flow-timer", answer)

    @conforms("RFC 5626 6")
    def test_without_support_in_the_phone_the_reg_id_is_ignored(self) -> None:
        answer = self.forwarded("Supported: path")
        self.expect(answer, 200)
        self.assertNotIn("require", answer)
        self.assertEqual(self.contacts()[0].binding.flow, "")

    @conforms("RFC 5626 4.4")
    def test_how_often_to_keep_it_alive(self) -> None:
        self.assertEqual(self.outbound().value("flow-timer"), "120")


class NoFlowTimerTests(FlowCase):
    offers = RegistrationOffers(flow_timer=0)

    def test_left_to_the_phone(self) -> None:
        self.assertNotIn("flow-timer", self.outbound())


@conforms("RFC 5626 7")
class FailureTests(FlowCase):
    def test_a_connection_that_ends_takes_its_bindings_along(self) -> None:
        self.outbound(1, call_id="a")
        lost, self.flow = self.flow, StillFlow("TCP", ("203.0.113.9", 40002))
        self.outbound(2, call_id="b")
        self.journal.take()
        lost.has_failed = True
        self.location.flow_failed(lost)
        self.assertEqual([contact.binding.reg_id for contact in self.contacts()], [2])
        self.assertEqual(self.journal.take(), [("BindingRemoved", CONTACT, "flow failed")])
        self.assertEqual([key.flow[0] for key in self.writer.rows], ["2"])

    def test_a_flow_that_ends_at_a_proxy_stays(self) -> None:
        self.outbound(1, "Path: <sip:edge.example.com;lr;ob>")
        self.location.flow_failed(self.flow)
        (there,) = self.contacts()
        self.assertTrue(there.is_reachable)
        self.assertEqual(there.target.host, "edge.example.com")

    def test_a_datagram_flow_is_always_there(self) -> None:
        self.flow = StillFlow("UDP", ("203.0.113.9", 40001))
        self.outbound(1)
        (there,) = self.contacts()
        self.assertTrue(there.is_reachable and there.stays_on_flow)
        self.assertEqual(there.target, Target("UDP", "203.0.113.9", 40001, self.flow))


class EventTests(FlowCase):
    @conforms("RFC 3680 5.2")
    def test_what_an_event_says_of_a_binding(self) -> None:
        heard: list[BindingAdded | BindingRefreshed | BindingRemoved] = []
        self.bus.subscribe(BindingAdded, heard.append)
        self.bus.subscribe(BindingRefreshed, heard.append)
        self.bus.subscribe(BindingRemoved, heard.append)
        self.outbound(1, cseq=3)
        self.clock.advance(10)
        self.outbound(1, cseq=4)
        self.register("Contact: *", "Expires: 0", cseq=5)
        added, refreshed, removed = heard
        self.assertEqual((added.aor, added.contact, added.call_id, added.cseq), (AOR, CONTACT, "call-1", 3))
        self.assertEqual((added.expires_at, refreshed.expires_at), (NOW + 1800, NOW + 1810))
        self.assertEqual(refreshed.cseq, 4)
        self.assertTrue(added.id)
        self.assertEqual({added.id, refreshed.id, removed.id}, {added.id})

    def test_two_flows_have_two_ids(self) -> None:
        self.outbound(1, call_id="a")
        self.outbound(2, call_id="b")
        self.assertEqual(len({contact.id for contact in self.contacts()}), 2)

    def test_registered_anew_it_is_another(self) -> None:
        self.outbound(1, call_id="a")
        before = self.contacts()[0].id
        self.register("Contact: *", "Expires: 0", call_id="b")
        self.clock.advance(1)
        self.outbound(1, call_id="a", cseq=2)
        self.assertNotEqual(self.contacts()[0].id, before)


class KeyTests(FlowCase):
    def test_one_of_two_flows_is_ended_by_its_key(self) -> None:
        self.outbound(1, call_id="a")
        self.outbound(2, call_id="b")
        key = self.contacts()[0].key
        self.assertTrue(self.location.remove_key(key, "ended by an administrator", NOW))
        self.assertFalse(self.location.remove_key(key, "ended by an administrator", NOW))
        self.assertFalse(self.location.remove_key(BindingKey("sip:bob@example.com", CONTACT), "x", NOW))
        self.assertEqual([contact.binding.reg_id for contact in self.contacts()], [2])


class ServiceRouteTests(FlowCase):
    offers = RegistrationOffers(service_route=("sip:192.0.2.1;lr", "sip:home.example.com;lr"))

    @conforms("RFC 3608 6.3", "RFC 3608 5")
    def test_in_every_answer(self) -> None:
        route = ["<sip:192.0.2.1;lr>", "<sip:home.example.com;lr>"]
        self.assertEqual(self.register("Contact: <sip:alice@192.0.2.5>").values("service-route"), route)
        self.assertEqual(self.register(cseq=2).values("service-route"), route)

    @conforms("RFC 3608 5")
    def test_one_that_routes_strictly_is_our_own_mistake(self) -> None:
        with self.assertRaises(ValueError):
            RegistrationOffers(service_route=("sip:home.example.com",))

    @conforms("RFC 3608 6.3")
    def test_not_in_a_refusal(self) -> None:
        self.assertNotIn("service-route", self.register("Contact: <sip:alice@192.0.2.5>;expires=1"))


class NoServiceRouteTests(FlowCase):
    def test_none_when_none_is_set(self) -> None:
        self.assertNotIn("service-route", self.register("Contact: <sip:alice@192.0.2.5>"))


class PathTests(FlowCase):
    @conforms("RFC 3327 5.3", "RFC 3327 4")
    def test_stored_in_order_and_given_back(self) -> None:
        path = "<sip:p3.example.com;lr>,<sip:p1.example.com;lr>"
        answer = self.register("Contact: <sip:alice@10.0.0.7>", f"Path: {path}", "Supported: path")
        self.assertEqual(answer.values("path"), ["<sip:p3.example.com;lr>", "<sip:p1.example.com;lr>"])
        self.assertEqual(self.contacts()[0].path, ("<sip:p3.example.com;lr>", "<sip:p1.example.com;lr>"))

    @conforms("RFC 3327 5.3")
    def test_a_phone_that_does_not_know_path_is_served_all_the_same(self) -> None:
        """ "some registrars MAY choose to support the extension in the absence of a Supported header field value"."""
        answer = self.register("Contact: <sip:alice@10.0.0.7>", "Path: <sip:p1.example.com;lr>")
        self.expect(answer, 200)
        self.assertEqual(answer.value("path"), "<sip:p1.example.com;lr>")
