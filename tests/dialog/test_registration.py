"""A registration on a virtual clock, with a registrar that says what the test lets it say."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.dialog.credentials import ClientCredentials
from gosip_py.dialog.registration import Registration, RegistrationTarget
from gosip_py.sip.digest import Challenge, parse_credentials
from gosip_py.sip.message import Request
from gosip_py.sip.reply import reply
from gosip_py.transport.flow import Flow, Target
from tests.conformance import conforms
from tests.dialog.ends import End, Scripted, run
from tests.network import MemoryNetwork

US, REGISTRAR = "192.0.2.1", "192.0.2.2"
CONTACT = f"<sip:alice@{US}:5060>"


def contact_at(flow: Flow) -> str:
    return f"<sip:alice@{flow.sent_by}>"


class RegistrationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.network = MemoryNetwork(self.clock)
        self.end, self.registrar = End(self.network, US), Scripted(self.network, REGISTRAR)
        self.heard: list[tuple[int, int]] = []
        where = RegistrationTarget("sip:alice@example.com", "sip:example.com", Target("UDP", REGISTRAR, 5060))
        self.registration = Registration(
            self.end.sender,
            where,
            ClientCredentials("alice", "wonderland"),
            contact_at,
            lambda status, _reason, seconds: self.heard.append((status, seconds)),
        )
        self.addCleanup(self.check_leaks)

    def check_leaks(self) -> None:
        self.registration.close()
        run(self.clock, 100)
        self.assertTrue(self.end.is_idle)

    def start(self, expires: int = 300) -> None:
        self.registration.start(expires)
        run(self.clock)

    def take(self) -> Request:
        """The one request that came since the last time."""
        (request,) = self.registrar.requests("REGISTER")
        self.registrar.heard.clear()
        return request

    def answer(self, request: Request, status: int, *headers: tuple[str, str]) -> None:
        response = reply(request, status, to_tag="r")
        for name, value in headers:
            response.add(name, value)
        self.registrar.send(response, US)
        run(self.clock)

    def succeed(self, seconds: int = 300) -> Request:
        request = self.take()
        self.answer(request, 200, ("contact", f"{CONTACT};expires={seconds}"))
        return request

    @conforms("RFC 3261 10.2")
    def test_what_a_register_bears(self) -> None:
        self.start()
        request = self.succeed()
        self.assertEqual(request.uri_text, "sip:example.com")
        self.assertEqual(request.to.uri_text, "sip:alice@example.com")
        self.assertEqual((request.require("contact"), request.require("expires")), (CONTACT, "300"))
        self.assertEqual(self.heard, [(200, 300)])
        self.assertTrue(self.registration.is_registered)

    @conforms("RFC 3261 10.2.4")
    def test_it_is_refreshed_before_it_expires(self) -> None:
        self.start()
        first = self.succeed()
        run(self.clock, 230)
        self.assertEqual(self.registrar.heard, [])
        run(self.clock, 10)
        second = self.succeed(60)
        self.assertEqual(second.call_id, first.call_id)
        self.assertEqual(second.cseq.number, first.cseq.number + 1)
        run(self.clock, 31)
        self.succeed()
        self.assertEqual(self.heard, [(200, 300), (200, 60), (200, 300)])

    def test_how_long_it_lasts_stands_in_several_places(self) -> None:
        for headers, wanted in (
            ((("contact", f"<sip:b@c>;expires=9, {CONTACT};expires=70"),), 70),
            ((("expires", "80"),), 80),
            ((("contact", CONTACT), ("expires", "90")), 90),
            ((), 300),
            ((("contact", "<<"),), 300),
        ):
            with self.subTest(headers=headers):
                self.start()
                self.answer(self.take(), 200, *headers)
                self.assertEqual(self.heard[-1], (200, wanted))

    @conforms("RFC 3261 22.2")
    def test_a_challenge_is_answered_and_its_nonce_used_again(self) -> None:
        self.start()
        first = self.take()
        self.answer(first, 401, ("www-authenticate", str(Challenge("r", "n1"))))
        second = self.succeed()
        self.assertEqual((second.call_id, second.cseq.number), (first.call_id, first.cseq.number + 1))
        self.assertEqual(second.require("contact"), CONTACT)
        run(self.clock, 240)
        third = self.succeed()
        counts = [parse_credentials(request.require("authorization")).nonce_count for request in (second, third)]
        self.assertEqual(counts, [1, 2])

    def test_a_wrong_password(self) -> None:
        self.start()
        self.answer(self.take(), 401, ("www-authenticate", str(Challenge("r", "n1"))))
        self.answer(self.take(), 401, ("www-authenticate", str(Challenge("r", "n2"))))
        self.assertEqual(self.heard, [(401, 0)])
        self.assertFalse(self.registration.is_registered)

    @conforms("RFC 3261 10.2.8")
    def test_a_registrar_that_wants_longer_ones(self) -> None:
        self.start(60)
        self.answer(self.take(), 423, ("min-expires", "600"))
        request = self.take()
        self.assertEqual(request.require("expires"), "600")
        self.answer(request, 200, ("expires", "600"))
        self.assertEqual(self.heard, [(200, 600)])

    def test_one_that_wants_ever_longer_ones(self) -> None:
        self.start(60)
        for seconds in (70, 80, 90):
            self.answer(self.take(), 423, ("min-expires", str(seconds)))
        self.answer(self.take(), 423, ("min-expires", "100"))
        self.assertEqual((self.registrar.heard, self.heard), ([], [(423, 0)]))

    def test_one_that_wants_something_without_saying_what(self) -> None:
        for headers in ((), (("min-expires", "x"),), (("min-expires", "10"),), (("min-expires", "99999999"),)):
            self.heard.clear()
            self.start(60)
            self.answer(self.take(), 423, *headers)
            self.assertEqual(self.heard, [(423, 0)])

    @conforms("RFC 5626 4.5")
    def test_failures_are_followed_by_growing_pauses(self) -> None:
        self.start()
        pauses = []
        for _ in range(8):
            began = self.clock.seconds()
            self.answer(self.take(), 500)
            while not self.registrar.heard:
                run(self.clock, 1)
            pauses.append(self.clock.seconds() - began)
        for pause, wanted in zip(pauses, (30, 60, 120, 240, 480, 960, 1800, 1800), strict=True):
            self.assertTrue(wanted / 2 - 2 <= pause <= wanted + 2, pauses)
        self.succeed()
        self.assertEqual(self.heard[-1], (200, 300))

    @conforms("RFC 3261 20.33")
    def test_a_registrar_says_when_to_try_again(self) -> None:
        self.start()
        self.answer(self.take(), 503, ("retry-after", "100"))
        run(self.clock, 98)
        self.assertEqual(self.registrar.heard, [])
        run(self.clock, 4)
        self.succeed()

    def test_nobody_answers(self) -> None:
        self.start()
        run(self.clock, 33)
        self.assertEqual(self.heard, [(408, 0)])

    @conforms("RFC 3261 10.2.2")
    def test_it_is_taken_out_again(self) -> None:
        self.start()
        self.succeed()
        ended: list[None] = []
        leaving = self.registration.end().addCallback(ended.append)
        run(self.clock)
        self.assertFalse(leaving.called)
        request = self.take()
        self.assertEqual(request.require("expires"), "0")
        self.answer(request, 200)
        self.assertEqual((leaving.called, ended), (True, [None]))
        run(self.clock, 400)
        self.assertEqual(self.registrar.heard, [])

    def test_what_was_never_made_is_not_taken_out(self) -> None:
        self.start()
        self.answer(self.take(), 403)
        self.assertTrue(self.registration.end().called)
        run(self.clock, 100)
        self.assertEqual(self.registrar.heard, [])
