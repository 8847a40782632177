"""SUBSCRIBE and what follows, over the real core and transactions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import attrs

from gosip_py.events import DeviceChanged, UserChanged
from gosip_py.sip.message import Response
from gosip_py.transport.flow import Flow
from tests.conformance import conforms
from tests.notifier.office import ALICE, BOB, LIMITS, OfficeCase, Watcher, root_of
from tests.proxy.switchboard import DOMAIN, SERVER, Phone
from tests.registrar.fakes import device

REMOVING = (404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604)


class GrantTests(OfficeCase):
    @conforms("RFC 6665 4.2.1.2", "RFC 6665 8.2.3")
    def test_the_200_and_at_once_the_notify_in_its_dialog(self) -> None:
        watcher = Watcher(self.bob, "dialog")
        granted = watcher.accepted()
        self.assertEqual(granted.value("expires"), "600")
        self.assertEqual(granted.value("contact"), f"<sip:{SERVER}:5060>")
        notify = watcher.told()
        self.assertEqual(notify.uri_text, self.bob.contact)
        self.assertEqual((notify.from_tag, notify.to_tag), (granted.to_tag, watcher.sent.from_tag))
        self.assertEqual(notify.require("to"), watcher.sent.require("from"))
        self.assertEqual(notify.value("event"), "dialog")
        self.assertEqual(notify.value("subscription-state"), "active;expires=600")
        self.assertEqual(notify.value("contact"), granted.value("contact"))
        self.assertEqual(notify.value("content-type"), "application/dialog-info+xml")
        titles = [packet.title for packet in self.board.network.packets]
        self.assertEqual(titles, ["SUBSCRIBE", "200 SUBSCRIBE", "NOTIFY", "200 NOTIFY"])

    @conforms("RFC 6665 4.4.4")
    def test_the_200_lists_every_package(self) -> None:
        granted = Watcher(self.bob, "presence").accepted()
        self.assertEqual(granted.values("allow-events"), ["dialog", "message-summary", "presence", "reg"])

    @conforms("RFC 6665 4.2.1.1", "RFC 3680 4.4", "RFC 4235 3.4", "RFC 3856 6.4", "RFC 3842 3.4")
    def test_the_duration_that_a_package_has_by_itself(self) -> None:
        for event, seconds in (("reg", 3761), ("dialog", 3600), ("presence", 3600), ("message-summary", 3600)):
            watcher = Watcher(self.alice, event, expires=None)
            self.assertEqual(watcher.accepted().value("expires"), str(seconds), event)
            self.assertEqual(watcher.told().value("subscription-state"), f"active;expires={seconds}")

    @conforms("RFC 6665 4.2.1.1")
    def test_a_duration_is_shortened_and_never_lengthened(self) -> None:
        self.assertEqual(Watcher(self.bob, "dialog", expires=1_000_000).accepted().value("expires"), "7200")
        self.assertEqual(Watcher(self.carol, "dialog", expires=61).accepted().value("expires"), "61")

    @conforms("RFC 6665 4.2.1.1")
    def test_too_brief(self) -> None:
        refused = Watcher(self.bob, "dialog", expires=59).refused(423)
        self.assertEqual(refused.value("min-expires"), "60")
        self.assertIn("60 seconds", refused.require("warning"))

    @conforms("RFC 6665 8.2.1")
    def test_the_id_of_an_event_comes_back_and_its_other_parameters_do_not(self) -> None:
        notify = Watcher(self.bob, "presence;x=1;id=77").begun()
        self.assertEqual(notify.value("event"), "presence;id=77")

    def test_the_contact_is_sips_for_a_sips_uri(self) -> None:
        granted = Watcher(self.bob, "dialog", f"sips:alice@{DOMAIN}").accepted()
        self.assertEqual(granted.value("contact"), f"<sips:{SERVER}:5060>")

    def test_a_repeated_subscribe_is_answered_alike_and_makes_no_second_subscription(self) -> None:
        watcher = Watcher(self.bob, "dialog")
        granted = watcher.accepted()
        watcher.told()
        self.bob.send(watcher.sent)
        self.assertEqual(self.bob.response(200, "SUBSCRIBE").to_tag, granted.to_tag)
        watcher.hears_nothing()
        self.assertEqual(self.office.subscriptions()["dialog"], 1)


class RefusalTests(OfficeCase):
    @conforms("RFC 6665 4.2.3", "RFC 6665 8.3.2")
    def test_no_event(self) -> None:
        self.bob.ask("SUBSCRIBE", ALICE)
        refused = self.bob.response(489, "SUBSCRIBE")
        self.assertIn("presence", refused.values("allow-events"))
        self.assertIn("Event", refused.require("warning"))

    @conforms("RFC 6665 4.2.1.1")
    def test_an_event_that_only_a_phone_can_tell_of_goes_to_the_phone(self) -> None:
        self.alice.ask("SUBSCRIBE", BOB, "Event: conference")
        self.bob.respond(self.bob.request("SUBSCRIBE"), 489)
        self.alice.response(489, "SUBSCRIBE")

    @conforms("RFC 6665 8.2.1")
    def test_the_name_of_an_event_is_compared_byte_by_byte(self) -> None:
        self.alice.ask("SUBSCRIBE", BOB, "Event: Dialog")
        self.bob.respond(self.bob.request("SUBSCRIBE"), 489)
        self.alice.response(489, "SUBSCRIBE")

    def test_an_event_that_cannot_be_read(self) -> None:
        Watcher(self.alice, "presence;x y=1", BOB).refused(400)

    def test_what_is_not_acceptable(self) -> None:
        refused = Watcher(self.bob, "dialog", ALICE, "Accept: text/plain").refused(406)
        self.assertIn("application/dialog-info+xml", refused.require("warning"))
        Watcher(self.bob, "dialog", ALICE, "Accept: application/dialog-info+xml;q=0").refused(406)
        Watcher(self.bob, "dialog", ALICE, "Accept:").refused(406)
        Watcher(self.bob, "dialog", ALICE, "Accept: text/plain, application/*;q=0.5").begun()
        Watcher(self.carol, "dialog", ALICE, "Accept: */*").begun()

    def test_a_contact_is_needed_and_only_one(self) -> None:
        request = self.bob.make("SUBSCRIBE", ALICE, "Event: dialog")
        request.remove("contact")
        self.bob.send(request)
        self.assertIn("Contact", self.bob.response(400, "SUBSCRIBE").require("warning"))
        for contact in ("<sip:a@192.0.2.20>, <sip:b@192.0.2.20>", "<tel:+4930123>", "*", "<mailto:a@b>"):
            self.bob.ask("SUBSCRIBE", ALICE, "Event: dialog", f"Contact: {contact}")
            self.bob.response(400, "SUBSCRIBE")

    def test_an_extension_that_is_required_and_a_body_that_is_not_understood(self) -> None:
        refused = Watcher(self.bob, "presence", ALICE, "Require: eventlist").refused(420)
        self.assertEqual(refused.value("unsupported"), "eventlist")
        self.bob.ask("SUBSCRIBE", ALICE, "Event: presence", "Content-Type: application/x", body="<filter/>")
        self.bob.response(415, "SUBSCRIBE")

    def test_a_request_that_comes_twice_by_different_ways(self) -> None:
        watcher = Watcher(self.bob, "dialog")
        watcher.begun()
        again = watcher.sent.copy()
        again.set("via", again.require("via") + "other")
        self.bob.send(again)
        self.bob.response(482, "SUBSCRIBE")
        self.assertEqual(self.office.subscriptions()["dialog"], 1)

    def test_another_domain_s_alice_is_not_ours(self) -> None:
        for event in ("reg", "dialog", "presence", "message-summary"):
            request = self.alice.make("SUBSCRIBE", ALICE, f"Event: {event}")
            request.set("from", "<sip:alice@elsewhere.example>;tag=1")
            self.alice.send(request)
            self.alice.response(403, "SUBSCRIBE")

    def test_somebody_else_s_registrations_and_mailbox(self) -> None:
        for event in ("reg", "message-summary"):
            self.assertIn("alice", Watcher(self.bob, event).refused(403).require("warning"))


class ChallengeTests(OfficeCase):
    trusted: ClassVar[Sequence[str]] = ()

    @conforms("RFC 6665 4.2.1.3")
    def test_who_watches_is_asked_first(self) -> None:
        self.bob.name = "200"
        sent = self.bob.ask("SUBSCRIBE", ALICE, "Event: dialog", "Expires: 600")
        self.board.run()
        (challenge,) = self.bob.heard
        self.bob.heard.clear()
        assert isinstance(challenge, Response)
        self.assertIn(challenge.status, (401, 407))
        self.assertEqual(self.office.subscriptions()["dialog"], 0)
        self.bob.again(sent, challenge)
        self.bob.response(200, "SUBSCRIBE")
        self.bob.respond(self.bob.request("NOTIFY"), 200)
        self.board.run()
        self.assertEqual(self.office.subscriptions()["dialog"], 1)


class RefreshTests(OfficeCase):
    @conforms("RFC 6665 4.2.1.4", "RFC 6665 4.2.1.2")
    def test_a_refresh_prolongs_and_is_followed_by_a_notify(self) -> None:
        watcher = Watcher(self.bob, "dialog", expires=100)
        first = watcher.begun()
        self.board.run(90)
        self.assertEqual(watcher.refresh(100).value("expires"), "100")
        second = watcher.told()
        self.assertEqual(second.value("subscription-state"), "active;expires=100")
        self.assertEqual(second.cseq.number, first.cseq.number + 1)
        self.board.run(90)
        self.assertEqual(self.office.subscriptions()["dialog"], 1)

    @conforms("RFC 6665 4.2.1.4")
    def test_without_a_refresh_it_ends_and_says_so(self) -> None:
        watcher = Watcher(self.bob, "dialog", expires=100)
        watcher.begun()
        self.board.run(101)
        notify = watcher.told()
        self.assertEqual(notify.value("subscription-state"), "terminated;reason=timeout")
        self.assertEqual(notify.body, b"")
        self.assertEqual(self.office.subscriptions()["dialog"], 0)
        watcher.hears_nothing(1000)

    @conforms("RFC 6665 4.2.1.4")
    def test_expires_0_ends_it_with_the_state(self) -> None:
        watcher = Watcher(self.bob, "presence")
        watcher.begun()
        self.assertEqual(watcher.refresh(0).value("expires"), "0")
        notify = watcher.told()
        self.assertEqual(notify.value("subscription-state"), "terminated;reason=timeout")
        self.assertIn(b"presence", notify.body)
        self.assertEqual(self.office.subscriptions()["presence"], 0)

    @conforms("RFC 6665 4.4.3")
    def test_a_look_without_a_subscription(self) -> None:
        watcher = Watcher(self.bob, "presence", expires=0)
        self.assertEqual(watcher.accepted().value("expires"), "0")
        notify = watcher.told()
        self.assertEqual(notify.value("subscription-state"), "terminated;reason=timeout")
        self.assertIn(b"presence", notify.body)
        self.assertEqual(self.office.subscriptions()["presence"], 0)

    def test_in_a_dialog_that_is_over(self) -> None:
        watcher = Watcher(self.bob, "dialog", expires=0)
        watcher.accepted()
        watcher.ask("SUBSCRIBE", "Event: dialog")  # while the last NOTIFY is under way
        watcher.refused(481)
        watcher.told()
        watcher.ask("SUBSCRIBE", "Event: dialog")  # and when it has been answered
        watcher.refused(481)

    def test_a_refresh_that_asks_for_too_little_or_for_another_type_changes_nothing(self) -> None:
        watcher = Watcher(self.bob, "dialog", expires=100)
        watcher.begun()
        watcher.ask("SUBSCRIBE", "Event: dialog", "Expires: 5")
        watcher.refused(423)
        watcher.ask("SUBSCRIBE", "Event: dialog", "Accept: text/plain")
        watcher.refused(406)
        watcher.hears_nothing(90)
        self.board.run(11)
        self.assertEqual(watcher.told().value("subscription-state"), "terminated;reason=timeout")

    def test_an_old_cseq(self) -> None:
        watcher = Watcher(self.bob, "dialog")
        watcher.begun()
        watcher.ask("SUBSCRIBE", "Event: dialog", number=1)
        watcher.refused(500)

    @conforms("RFC 6665 4.5.2")
    def test_a_dialog_is_not_shared(self) -> None:
        watcher = Watcher(self.bob, "dialog")
        watcher.begun()
        watcher.ask("SUBSCRIBE", "Event: presence")
        self.assertIn("sharing", watcher.refused(403).require("warning"))
        watcher.ask("SUBSCRIBE", "Event: dialog;id=2")
        watcher.refused(403)
        watcher.ask("SUBSCRIBE", "Event: conference")
        watcher.refused(489)
        watcher.ask("SUBSCRIBE")
        watcher.refused(489)

    def test_other_requests_in_the_dialog(self) -> None:
        watcher = Watcher(self.bob, "dialog")
        watcher.begun()
        watcher.ask("NOTIFY", "Event: dialog", "Subscription-State: active")
        self.bob.response(481, "NOTIFY")
        watcher.ask("BYE")
        self.assertEqual(self.bob.response(405, "BYE").value("allow"), "SUBSCRIBE")
        self.assertEqual(self.office.subscriptions()["dialog"], 1)

    def test_a_refresh_by_somebody_else(self) -> None:
        watcher = Watcher(self.bob, "dialog")
        watcher.begun()
        stolen = watcher.make("SUBSCRIBE", "Event: dialog")
        stolen.set("to", watcher.sent.require("to") + ";tag=guessed")
        self.bob.send(stolen)
        self.bob.response(481, "SUBSCRIBE")


class DeliveryTests(OfficeCase):
    """What becomes of a subscription when its NOTIFY is refused (RFC 6665 4.2.2)."""

    def assert_after(self, status: int, is_kept: bool) -> None:
        watcher = Watcher(self.bob, "dialog")
        watcher.accepted()
        watcher.told(status)
        self.board.run(40)
        self.assertEqual(self.office.subscriptions()["dialog"], float(is_kept), status)
        self.board.notifier.stop()
        self.board.notifier.start()
        self.board.run(1)
        self.bob.heard.clear()

    @conforms("RFC 6665 4.2.2")
    def test_refusals_that_end_it(self) -> None:
        for status in (*REMOVING, 401, 407, 403, 400, 302):
            self.assert_after(status, False)

    def test_refusals_of_the_moment(self) -> None:
        for status in (200, 202, 491, 500, 503, 504):
            self.assert_after(status, True)

    @conforms("RFC 6665 4.2.2")
    def test_nobody_answers(self) -> None:
        watcher = Watcher(self.bob, "dialog")
        watcher.accepted()
        watcher.heard()
        self.board.run(33)
        self.assertEqual(self.office.subscriptions()["dialog"], 0)

    def test_what_was_refused_for_the_moment_is_told_with_the_next_change(self) -> None:
        watcher = Watcher(self.bob, "presence")
        watcher.accepted()
        watcher.told(500)
        self.board.bus.publish(UserChanged(1))  # nothing is different, but the phone does not know it
        self.board.run(5)
        self.assertIn(b"closed", watcher.told().body)

    @conforms("RFC 6665 4.2.2")
    def test_one_at_a_time_and_then_the_newest(self) -> None:
        watcher = Watcher(self.bob, "presence")
        watcher.accepted()
        first = watcher.heard()
        self.office.change_user(1, dnd=True)
        self.board.run(6)
        self.office.change_user(1, dnd=False)
        self.alice.register("alice", 10)
        self.board.run(6)
        self.bob.heard.clear()
        self.bob.respond(first, 200)
        second = watcher.told()
        self.assertIn(b"open", second.body)
        self.assertEqual(second.cseq.number, first.cseq.number + 1)
        watcher.hears_nothing(10)

    def test_a_refresh_while_a_notify_is_under_way_is_answered_by_another_at_once(self) -> None:
        watcher = Watcher(self.bob, "dialog")
        watcher.accepted()
        first = watcher.heard()
        watcher.refresh()
        watcher.hears_nothing()
        self.bob.respond(first, 200)
        self.assertEqual(watcher.told().cseq.number, 2)

    def test_the_end_while_a_notify_is_under_way_comes_after_it(self) -> None:
        watcher = Watcher(self.bob, "dialog")
        watcher.accepted()
        first = watcher.heard()
        watcher.refresh(0)
        watcher.hears_nothing()
        self.bob.respond(first, 200)
        self.assertEqual(watcher.told().value("subscription-state"), "terminated;reason=timeout")
        self.assertEqual(self.office.subscriptions()["dialog"], 0)


class RateTests(OfficeCase):
    @conforms("RFC 3856 6.10")
    def test_changes_keep_their_distance_and_the_last_one_is_told(self) -> None:
        watcher = Watcher(self.bob, "presence")
        watcher.begun()
        for dnd in (True, False, True):
            self.office.change_user(1, dnd=dnd)
            self.board.run(1)
        watcher.hears_nothing()
        self.board.run(2)
        self.assertIn(b"Do not disturb", watcher.told().body)
        first, second = (packet.time for packet in self.notifies())
        self.assertGreaterEqual(second - first, 5)
        self.assertLess(second - first, 5.1)
        watcher.hears_nothing(20)

    def test_what_comes_back_to_where_it_was_is_not_told(self) -> None:
        watcher = Watcher(self.bob, "presence")
        watcher.begun()
        self.office.change_user(1, dnd=True)
        self.board.run(1)
        self.office.change_user(1, dnd=False)
        watcher.hears_nothing(20)
        self.assertEqual(len(self.notifies()), 1)

    def test_a_crowd_of_watchers_is_told_a_few_at_a_time(self) -> None:
        phones = [Phone(self.board, f"192.0.2.{100 + number}", f"watcher{number}") for number in range(100)]
        watchers = [Watcher(phone, "presence") for phone in phones]
        for watcher in watchers:
            watcher.begun()
        before = len(self.notifies())
        self.office.change_user(1, dnd=True)
        self.board.run(10)
        times = [packet.time for packet in self.notifies()[before:]]
        self.assertEqual(len(times), 100)
        self.assertLessEqual(max(times.count(time) for time in times), 32)
        for watcher in watchers:
            watcher.told()


class PathTests(OfficeCase):
    @conforms("RFC 3261 12.1.1", "RFC 3261 12.2.1.1")
    def test_the_route_set_is_that_of_the_subscribe(self) -> None:
        edge = Phone(self.board, "192.0.2.40", "edge")
        request = self.bob.make("SUBSCRIBE", ALICE, "Event: dialog", "Expires: 600")
        routes = ["<sip:192.0.2.40;lr>", "<sip:192.0.2.41;lr>"]
        for route in routes:
            request.add("record-route", route)
        request.push_via("SIP/2.0/UDP 192.0.2.40:5060;branch=z9hG4bKedge")
        edge.send(request)
        granted = edge.response(200, "SUBSCRIBE")
        self.assertEqual(granted.values("record-route"), routes)
        notify = edge.request("NOTIFY")
        self.assertEqual(notify.values("route"), routes)
        self.assertEqual(notify.uri_text, self.bob.contact)
        edge.respond(notify, 200)
        self.board.run()

    @conforms("RFC 3261 12.2.1.1")
    def test_a_strict_router(self) -> None:
        edge = Phone(self.board, "192.0.2.40", "edge")
        request = self.bob.make("SUBSCRIBE", ALICE, "Event: dialog", "Record-Route: <sip:192.0.2.40>")
        request.push_via("SIP/2.0/UDP 192.0.2.40:5060;branch=z9hG4bKedge")
        edge.send(request)
        edge.response(200, "SUBSCRIBE")
        notify = edge.request("NOTIFY")
        self.assertEqual(notify.uri_text, "sip:192.0.2.40")
        self.assertEqual(notify.values("route"), [f"<{self.bob.contact}>"])
        edge.respond(notify, 200)
        self.board.run()

    def test_a_record_route_that_cannot_be_read(self) -> None:
        self.bob.ask("SUBSCRIBE", ALICE, "Event: dialog", "Record-Route: <nonsense>")
        self.bob.response(400, "SUBSCRIBE")

    def test_a_phone_behind_a_nat_is_told_where_it_was_heard(self) -> None:
        request = self.bob.make("SUBSCRIBE", ALICE, "Event: dialog", "Contact: <sip:bob@10.0.0.7:5060>")
        request.set("via", "SIP/2.0/UDP 10.0.0.7:5060;rport;branch=z9hG4bKnat")
        self.bob.send(request)
        notify = self.bob.request("NOTIFY")
        self.assertEqual(notify.uri_text, "sip:bob@10.0.0.7:5060")
        self.bob.respond(notify, 200)
        self.board.run()

    def test_a_contact_elsewhere_is_told_there(self) -> None:
        self.bob.ask("SUBSCRIBE", ALICE, "Event: dialog", f"Contact: <{self.carol.contact}>")
        self.bob.response(200, "SUBSCRIBE")
        self.carol.respond(self.carol.request("NOTIFY"), 200)
        self.board.run()

    def test_a_contact_that_leads_back_to_us_ends_it(self) -> None:
        self.bob.ask("SUBSCRIBE", ALICE, "Event: dialog", f"Contact: <sip:x@{SERVER}>")
        self.bob.response(200, "SUBSCRIBE")
        self.board.run(1)
        self.assertEqual(self.office.subscriptions()["dialog"], 0)

    def test_a_contact_with_a_transport_that_nobody_speaks_ends_it(self) -> None:
        self.bob.ask("SUBSCRIBE", ALICE, "Event: dialog", "Contact: <sip:x@192.0.2.99;transport=pigeon>")
        self.bob.response(200, "SUBSCRIBE")
        self.assertEqual(self.office.subscriptions()["dialog"], 0)

    @conforms("RFC 3261 12.2.2")
    def test_a_refresh_moves_the_remote_target(self) -> None:
        watcher = Watcher(self.bob, "dialog")
        watcher.begun()
        watcher.refresh(600, f"Contact: <{self.carol.contact}>")
        self.carol.respond(self.carol.request("NOTIFY"), 200)
        self.board.run()
        request = watcher.make("SUBSCRIBE", "Event: dialog")
        request.remove("contact")
        self.bob.send(request)
        watcher.accepted()
        self.carol.respond(self.carol.request("NOTIFY"), 200)
        watcher.ask("SUBSCRIBE", "Event: dialog", "Contact: <tel:1>")
        watcher.refused(400)
        watcher.refresh(600, f"Contact: <{self.bob.contact}>")
        watcher.told()


class ConnectionTests(OfficeCase):
    def setUp(self) -> None:
        super().setUp()
        self.dora = Phone(self.board, "192.0.2.50", "carol", "TCP")
        self.dora.contact = "sip:carol@192.0.2.50:49152;transport=tcp"

    def test_the_connection_is_used_and_nobody_is_called_back_when_it_breaks(self) -> None:
        watcher = Watcher(self.dora, "presence")
        watcher.begun()
        self.dora.flow.fail("gone")
        self.board.run()
        self.assertEqual(self.office.subscriptions()["presence"], 1)
        self.office.change_user(1, dnd=True)
        self.board.run(10)
        self.assertEqual(self.office.subscriptions()["presence"], 0)

    def test_a_refresh_by_another_connection_takes_it_over(self) -> None:
        watcher = Watcher(self.dora, "presence")
        watcher.begun()
        self.dora.flow.fail("gone")
        self.board.run()
        watcher.refresh()
        watcher.told()
        self.assertEqual(len(self.board.notifier._subscriptions._by_flow), 1)
        self.office.change_user(1, dnd=True)
        self.board.run(6)
        self.assertIn(b"Do not disturb", watcher.told().body)


class BoundTests(OfficeCase):
    def test_of_one_device(self) -> None:
        for number in range(LIMITS.per_watcher):
            Watcher(self.bob, f"dialog;id={number}").begun()
        self.assertIn("40", Watcher(self.bob, "dialog").refused(403).require("warning"))
        Watcher(self.bob, "dialog;id=3").begun()  # takes the place of its former self
        Watcher(self.carol, "dialog").begun()

    def test_of_all(self) -> None:
        for count in range(LIMITS.total):
            phone = self.alice if count < 40 else self.bob if count < 80 else self.carol
            Watcher(phone, f"dialog;id={count}").begun()
        visitor = Phone(self.board, "192.0.2.60", "dave")
        self.assertEqual(Watcher(visitor, "dialog").refused(503).value("retry-after"), "60")

    def test_a_phone_that_was_switched_off_and_on_has_one_subscription(self) -> None:
        Watcher(self.bob, "dialog").begun()
        again = Watcher(self.bob, "dialog")
        again.begun()
        Watcher(self.bob, "dialog;id=2").begun()
        self.assertEqual(self.office.subscriptions()["dialog"], 2)
        self.board.run(2)
        self.assertEqual(self.bob.titles, [])

    def test_two_phones_of_one_name_have_one_each(self) -> None:
        Watcher(self.bob, "dialog").begun()
        other = Phone(self.board, "192.0.2.61", "bob")
        Watcher(other, "dialog").begun()
        self.assertEqual(self.office.subscriptions()["dialog"], 2)


class PeopleTests(OfficeCase):
    trusted: ClassVar[Sequence[str]] = ()

    def watch(self, event: str = "dialog", uri: str = ALICE) -> Watcher:
        """Bob's device watches Alice, or somebody else."""
        self.bob.name = "200"
        sent = self.bob.ask("SUBSCRIBE", uri, f"Event: {event}", "Expires: 600")
        self.board.run()
        (challenge,) = self.bob.heard
        self.bob.heard.clear()
        assert isinstance(challenge, Response)
        watcher = object.__new__(Watcher)
        watcher.phone, watcher.event, watcher.number = self.bob, event, 2
        watcher.sent = self.bob.again(sent, challenge)
        watcher.begun()
        return watcher

    @conforms("RFC 6665 4.1.3")
    def test_whoever_is_watched_is_gone(self) -> None:
        watcher = self.watch()
        self.board.directory.forget_user(1)
        self.board.bus.publish(UserChanged(1))
        self.assertEqual(watcher.told().value("subscription-state"), "terminated;reason=noresource")

    @conforms("RFC 6665 4.1.3")
    def test_whoever_watches_may_not_any_more(self) -> None:
        watcher = self.watch()
        self.board.directory.apply_device(device(20, 2, "200", enabled=False))
        self.board.bus.publish(DeviceChanged(20))
        self.assertEqual(watcher.told().value("subscription-state"), "terminated;reason=rejected")

    def test_the_owner_of_a_phone_is_disabled(self) -> None:
        watcher = self.watch()
        self.office.change_user(2, enabled=False)
        self.assertEqual(watcher.told().value("subscription-state"), "terminated;reason=rejected")

    def test_the_phone_that_watches_is_gone(self) -> None:
        watcher = self.watch()
        self.board.directory.forget_device(20)
        self.board.bus.publish(DeviceChanged(20))
        self.assertEqual(watcher.told().value("subscription-state"), "terminated;reason=rejected")

    @conforms("RFC 6665 4.1.3")
    def test_the_phone_that_watches_is_given_to_another(self) -> None:
        """What it may see as the phone of its new owner is another matter: it subscribes anew."""
        watcher = self.watch(uri=BOB)
        self.board.directory.apply_device(device(20, 3, "200"))
        self.board.bus.publish(DeviceChanged(20))
        self.assertEqual(watcher.told().value("subscription-state"), "terminated;reason=deactivated")

    @conforms("RFC 6665 4.1.3")
    def test_whoever_is_watched_has_another_name(self) -> None:
        watcher = self.watch()
        self.office.change_user(1, login="alina")
        self.assertEqual(watcher.told().value("subscription-state"), "terminated;reason=noresource")

    @conforms("RFC 6665 4.1.3")
    def test_the_phone_that_is_watched_has_another_name(self) -> None:
        """Somebody else's phone may have the old one by now."""
        for changed in (device(20, 2, "201"), device(20, 3, "200"), None):
            watcher = self.watch("reg", f"sip:200@{DOMAIN}")
            if changed is None:
                self.board.directory.forget_device(20)
            else:
                self.board.directory.apply_device(changed)
            self.board.bus.publish(DeviceChanged(20))
            state = watcher.told().value("subscription-state") or ""
            self.assertTrue(state.startswith("terminated;reason="), state)
            self.board.directory.apply_device(device(20, 2, "200"))

    def test_what_another_server_changed_counts_at_the_next_refresh(self) -> None:
        """It is in memory here after some seconds, and nobody tells of it."""
        watcher = self.watch()
        self.board.directory.apply_device(device(20, 2, "200", enabled=False))
        watcher.ask("SUBSCRIBE", "Event: dialog", "Expires: 600")
        watcher.refused(403)
        self.assertEqual(watcher.told().value("subscription-state"), "terminated;reason=rejected")

    def test_a_change_that_matters_to_nobody(self) -> None:
        watcher = self.watch()
        self.office.change_user(3, dnd=True)
        self.board.bus.publish(DeviceChanged(30))
        self.board.bus.publish(UserChanged(2))
        watcher.hears_nothing(10)


class StopTests(OfficeCase):
    @conforms("RFC 6665 4.1.3")
    def test_the_subscribers_are_told_even_while_a_notify_is_under_way(self) -> None:
        watcher, waiting = Watcher(self.bob, "dialog"), Watcher(self.carol, "presence")
        watcher.begun()
        waiting.accepted()
        waiting.heard()
        self.board.notifier.stop()
        for each in (watcher, waiting):
            self.assertEqual(each.told().value("subscription-state"), "terminated;reason=probation;retry-after=10")
        self.assertEqual(self.office.subscriptions(), dict.fromkeys(self.office.subscriptions(), 0))

    def test_so_many_are_told_and_the_others_are_dropped(self) -> None:
        for number in range(LIMITS.farewells + 5):
            Watcher(self.bob, f"dialog;id={number}").begun()
        self.board.notifier.stop()
        self.board.run(1)
        self.assertEqual(len(self.bob.titles), LIMITS.farewells)


class RecordTests(OfficeCase):
    def test_nothing_is_ours_that_is_not(self) -> None:
        notifier = self.board.notifier
        self.assertFalse(notifier.owns(self.bob.make("SUBSCRIBE", ALICE, to=f"<{ALICE}>;tag=1")))
        self.assertFalse(notifier.serves(self.bob.make("OPTIONS", ALICE, "Event: dialog")))
        self.assertFalse(notifier.serves(self.bob.make("NOTIFY", ALICE, "Event: dialog")))
        self.assertTrue(notifier.serves(self.bob.make("SUBSCRIBE", ALICE, "o: presence ;id=3")))
        self.assertTrue(notifier.serves(self.bob.make("PUBLISH", ALICE, "Event: unheard-of")))

    @conforms("RFC 6665 4.5.1")
    def test_a_gruu_names_a_phone(self) -> None:
        self.assertFalse(self.board.notifier.serves(self.bob.make("SUBSCRIBE", f"{ALICE};gr=1", "Event: presence")))

    def test_versions_count_from_0(self) -> None:
        watcher = Watcher(self.bob, "dialog")
        versions = [root_of(watcher.begun()).get("version")]
        for _ in range(2):
            watcher.refresh()
            versions.append(root_of(watcher.told()).get("version"))
        self.assertEqual(versions, ["0", "1", "2"])

    def test_a_flow_that_nobody_lives_on(self) -> None:
        self.board.notifier.flow_failed(Flow())

    def test_limits_are_frozen(self) -> None:
        with self.assertRaises(attrs.exceptions.FrozenInstanceError):
            LIMITS.total = 1  # type: ignore[misc]  # that is the point
