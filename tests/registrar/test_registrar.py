"""The registrar, through the real transaction layer: each numbered step of RFC 3261 10.3."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.events import Bus
from gosip_py.metrics import Metrics
from gosip_py.registrar.domains import Domains
from gosip_py.registrar.location import Location
from gosip_py.registrar.registrar import Registrar, RegistrationLimits, RegistrationOffers
from gosip_py.registrar.rule import DirectoryRule
from gosip_py.sip.digest import Algorithm, NonceFactory, answer_challenge, ha1, parse_challenge
from gosip_py.sip.message import Request, Response
from gosip_py.sip.parser import parse_message
from gosip_py.transaction.authenticate import Authenticator
from gosip_py.transaction.layer import TransactionLayer
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.validation import Refusal
from gosip_py.transport.flow import Flow, Target
from tests.conformance import conforms
from tests.registrar.fakes import (
    NOW,
    PASSWORD,
    REALM,
    Addresses,
    Journal,
    RememberingWriter,
    StillFlow,
    device,
    directory,
    user,
)

DOMAINS = Domains("example.com", Addresses(("192.0.2.1", 5060)))
HERE = "sip:alice@192.0.2.5:5060"
AOR = "sip:alice@example.com"


class Unconnected:
    """Transports that nobody is reached by: a registrar sends no requests."""

    def flow_to(self, target: Target, size: int, allow_upgrade: bool = True) -> Flow:
        raise AssertionError("a registrar sends no requests")


class RegisterOnly:
    """A transaction user that knows REGISTER."""

    def __init__(self, registrar: Registrar) -> None:
        self.registrar = registrar

    def receive_request(self, transaction: ServerTransaction) -> None:
        self.registrar.receive_request(transaction)

    def receive_ack(self, ack: Request, flow: Flow) -> None:
        raise AssertionError("nobody acknowledges a REGISTER")


class RegistrarCase(SynchronousTestCase):
    limits = RegistrationLimits(1800, 60, 7200, 3)
    offers = RegistrationOffers()

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.rightNow = NOW
        self.bus, self.metrics, self.writer = Bus(), Metrics(), RememberingWriter()
        self.journal = Journal(self.bus)
        self.directory = directory(user(), device(), user(2, "bob"), device(20, 2, "bob-desk"))
        self.location = Location(self.writer, self.bus, self.metrics, self.clock.seconds)
        nonces = NonceFactory(b"a secret of this run", 300)
        self.authenticator = Authenticator(self.directory, REALM, nonces, self.metrics, self.clock.seconds)
        registrar = Registrar(
            self.location,
            self.authenticator,
            DirectoryRule(self.directory),
            DOMAINS,
            self.limits,
            self.clock.seconds,
            self.offers,
        )
        self.layer = TransactionLayer(self.clock, Unconnected(), RegisterOnly(registrar), self.metrics)
        self.addCleanup(self.layer.stop)
        self.flow = StillFlow()
        self.branch = 0
        self.nonce_uses = 0

    def build(
        self, *headers: str, to: str = "<sip:alice@example.com>", call_id: str = "call-1", cseq: int = 1, **others: Any
    ) -> Request:
        """A REGISTER. ``others``: sender (From), uri, via (host and port), username to sign with, None for unsigned."""
        self.branch += 1
        lines = (
            f"REGISTER {others.get('uri', 'sip:example.com')} SIP/2.0",
            f"Via: SIP/2.0/{self.flow.transport} {others.get('via', '192.0.2.5:5060')};branch=z9hG4bK{self.branch}",
            "Max-Forwards: 70",
            f"From: {others.get('sender', to)};tag=f1",
            f"To: {to}",
            f"Call-ID: {call_id}",
            f"CSeq: {cseq} REGISTER",
            *headers,
            "Content-Length: 0",
            "",
            "",
        )
        message = parse_message("\r\n".join(lines).encode())
        assert isinstance(message, Request)
        username = others.get("username", "alice-desk")
        if username is not None:
            self.sign(message, username)
        return message

    def sign(self, message: Request, username: str) -> None:
        unsigned = message.copy()
        unsigned.remove("authorization")
        refusal = self.authenticator.authenticate(unsigned, False)
        assert isinstance(refusal, Refusal)
        challenge = parse_challenge(refusal.headers[-1][1])
        secret = ha1(Algorithm.MD5, username, REALM, PASSWORD)
        message.add(
            "authorization", str(answer_challenge(challenge, username, secret, "REGISTER", message.uri_text, "c0ffee"))
        )

    def send(self, message: Request) -> Response:
        before = len(self.flow.sent)
        self.layer.receive_request(message, self.flow)
        self.assertEqual(len(self.flow.sent), before + 1)
        answer = parse_message(self.flow.sent[-1])
        assert isinstance(answer, Response)
        return answer

    def register(self, *headers: str, **others: Any) -> Response:
        return self.send(self.build(*headers, **others))

    def bindings(self, aor: str = AOR) -> list[str]:
        return [contact.uri_text for contact in self.location.lookup(aor, self.clock.seconds())]

    def expect(self, answer: Response, status: int, warning: str = "") -> None:
        self.assertEqual(answer.status, status, answer.to_bytes())
        if warning:
            self.assertIn(warning, answer.value("warning") or "")


@conforms("RFC 3261 10.3")
class DomainTests(RegistrarCase):
    """Steps 1 and 5."""

    def test_the_address_of_record_is_that_of_to(self) -> None:
        answer = self.register(f"Contact: <{HERE}>", to="<sip:alice@example.com>", sender="<sip:bob@example.com>")
        self.expect(answer, 200)
        self.assertEqual((self.bindings(), self.bindings("sip:bob@example.com")), ([HERE], []))

    @conforms("RFC 3261 8.2.2.1")
    def test_to_of_another_domain(self) -> None:
        self.expect(self.register(f"Contact: <{HERE}>", to="<sip:alice@example.org>"), 404, "example.com")
        self.assertEqual(len(self.location), 0)

    def test_to_without_a_user(self) -> None:
        self.expect(self.register(f"Contact: <{HERE}>", to="<sip:example.com>"), 404)

    def test_a_number_is_not_in_our_domain(self) -> None:
        self.expect(self.register(f"Contact: <{HERE}>", to="<tel:+4930123>"), 404)

    def test_canonical_form(self) -> None:
        spellings = (
            '"Alice, at home" <sip:alice@example.com>',
            "Alice <sip:%61lice@EXAMPLE.com;user=phone>",
            "sip:alice@192.0.2.1:5060",
            "<sips:Alice@example.com:5061;transport=tls>",
            "<sip:alice:secret@example.com>",
        )
        for cseq, to in enumerate(spellings, 1):
            self.expect(self.register(f"Contact: <{HERE}>", to=to, cseq=cseq), 200)
            self.assertEqual((len(self.location), self.bindings()), (1, [HERE]), to)

    def test_a_device_by_its_own_name(self) -> None:
        self.expect(self.register(f"Contact: <{HERE}>", to="<sip:alice-desk@example.com>"), 200)
        self.assertEqual(self.bindings("sip:alice-desk@example.com"), [HERE])

    def test_to_that_cannot_be_read(self) -> None:
        self.expect(self.register(f"Contact: <{HERE}>", to="<sip:alice@example.com", sender="<sip:a@b>"), 400)


class ExtensionTests(RegistrarCase):
    """Step 2."""

    @conforms("RFC 3261 10.3", "RFC 3261 8.2.2.3")
    def test_an_extension_that_is_not_known(self) -> None:
        answer = self.register(f"Contact: <{HERE}>", "Require: path, gruu, outbound, 100rel", username=None)
        self.expect(answer, 420, "gruu, 100rel")
        self.assertEqual(answer.value("unsupported"), "gruu, 100rel")

    @conforms("RFC 3327 4", "RFC 3327 5.3", "RFC 3261 10.3")
    def test_path_is_known(self) -> None:
        path = "<sip:edge.example.com;lr>, <sip:second.example.com;lr>"
        answer = self.register("Contact: <sip:alice@10.0.0.7>", f"Path: {path}", "Require: path", "Supported: path")
        self.expect(answer, 200)
        self.assertEqual(answer.value("path"), path)
        contact = self.location.lookup(AOR, NOW)[0]
        self.assertEqual(contact.path, ("<sip:edge.example.com;lr>", "<sip:second.example.com;lr>"))
        self.assertEqual(contact.target, Target("", "edge.example.com", 0))
        self.assertEqual(self.writer.rows[contact.key].path, path)

    @conforms("RFC 3327 5.3")
    def test_a_path_that_changes_with_a_refresh(self) -> None:
        self.register("Contact: <sip:alice@192.0.2.5>", "Path: <sip:edge.example.com;lr>")
        self.register("Contact: <sip:alice@192.0.2.5>", cseq=2)
        contact = self.location.lookup(AOR, NOW)[0]
        self.assertEqual((contact.path, contact.target.host), ((), "192.0.2.5"))

    @conforms("RFC 3327 4", "RFC 3261 8.2")
    def test_a_path_that_cannot_be_read_changes_nothing(self) -> None:
        self.expect(self.register(f"Contact: <{HERE}>", 'Path: "edge <sip:e;lr>'), 400)
        self.assertEqual(len(self.location), 0)

    @conforms("RFC 3261 10.3")
    def test_no_record_route_comes_back(self) -> None:
        answer = self.register(f"Contact: <{HERE}>", "Record-Route: <sip:edge.example.com;lr>")
        self.assertNotIn("record-route", answer)


class HeaderTests(RegistrarCase):
    @conforms("RFC 3261 8.2.2")
    def test_what_nobody_knows_and_what_nobody_needs(self) -> None:
        """Headers that are unknown are ignored, and malformed ones that do not matter here."""
        strange = ("X-Never-Heard: of it", "Date: yesterday", "Accept-Language: ;;", "Alert-Info: <", "Organization:")
        self.expect(self.register(f"Contact: <{HERE}>", *strange), 200)
        self.assertEqual(self.bindings(), [HERE])


@conforms("RFC 3261 10.3")
class AuthorityTests(RegistrarCase):
    """Steps 3 and 4."""

    def test_without_credentials(self) -> None:
        answer = self.register(f"Contact: <{HERE}>", username=None)
        self.expect(answer, 401)
        challenges = [parse_challenge(value) for value in answer.values("www-authenticate")]
        self.assertEqual([challenge.algorithm for challenge in challenges], [Algorithm.SHA_256, Algorithm.MD5])
        self.assertEqual(len(self.location), 0)

    def test_somebody_else(self) -> None:
        for cseq, name in enumerate(("bob", "bob-desk", "nobody"), 1):
            answer = self.register(f"Contact: <{HERE}>", to=f"<sip:{name}@example.com>", cseq=cseq)
            self.expect(answer, 403, "own device name")
        self.assertEqual(len(self.location), 0)

    def test_a_query_needs_the_same_right(self) -> None:
        self.expect(self.register(to="<sip:bob@example.com>"), 403)

    def test_a_disabled_device(self) -> None:
        self.directory.apply_device(device(enabled=False))
        self.expect(self.register(f"Contact: <{HERE}>"), 403, "disabled")

    def test_every_refusal_of_a_registrar_is_below_600(self) -> None:
        self.assertLess(self.register(f"Contact: <{HERE}>", to="<sip:bob@example.com>").status, 600)


@conforms("RFC 3261 10.3")
class WildcardTests(RegistrarCase):
    """Step 6."""

    def two(self) -> None:
        self.register(f"Contact: <{HERE}>, <sip:alice@192.0.2.6>", cseq=1)
        self.assertEqual(len(self.bindings()), 2)
        self.journal.take()

    @conforms("RFC 3261 10.2.2")
    def test_everything_goes(self) -> None:
        self.two()
        answer = self.register("Contact: *", "Expires: 0", cseq=2)
        self.expect(answer, 200)
        self.assertEqual((answer.values("contact"), self.bindings(), self.writer.rows), ([], [], {}))
        self.assertEqual({reason for _, _, reason in self.journal.take()}, {"unregistered"})

    def test_a_rebooted_phone_may_do_it_too(self) -> None:
        self.two()
        self.expect(self.register("Contact: *", "Expires: 0", call_id="call-2", cseq=1), 200)
        self.assertEqual(self.bindings(), [])

    @conforms("RFC 3261 10.2.2")
    def test_what_makes_it_invalid(self) -> None:
        self.two()
        for headers in (
            ("Contact: *",),
            ("Contact: *", "Expires: 60"),
            ("Contact: *", "Expires: soon"),
            ("Contact: *", f"Contact: <{HERE}>", "Expires: 0"),
            (f"Contact: *, <{HERE}>", "Expires: 0"),
            ("Contact: *", "Contact: *", "Expires: 0"),
            ("Contact: *;expires=0",),
        ):
            self.expect(self.register(*headers, cseq=9), 400)
            self.assertEqual(len(self.bindings()), 2, headers)

    def test_one_newer_binding_keeps_all(self) -> None:
        self.two()
        self.register("Contact: <sip:alice@192.0.2.6>", cseq=5)
        self.expect(self.register("Contact: *", "Expires: 0", cseq=5), 500, "CSeq")
        self.assertEqual(len(self.bindings()), 2)

    def test_nothing_there(self) -> None:
        self.expect(self.register("Contact: *", "Expires: 0"), 200)


@conforms("RFC 3261 10.3", "RFC 3261 10.2.1.1")
class ExpiryTests(RegistrarCase):
    """Step 7: the expiration interval."""

    def granted(self, *headers: str, **others: Any) -> str | None:
        answer = self.register(*headers, **others)
        self.expect(answer, 200)
        return answer.value("contact")

    def test_the_parameter_goes_before_the_header(self) -> None:
        self.assertEqual(self.granted(f"Contact: <{HERE}>;expires=90", "Expires: 300"), f"<{HERE}>;expires=90")

    def test_the_header(self) -> None:
        self.assertEqual(self.granted(f"Contact: <{HERE}>", "Expires: 300"), f"<{HERE}>;expires=300")

    def test_the_default(self) -> None:
        self.assertEqual(self.granted(f"Contact: <{HERE}>"), f"<{HERE}>;expires=1800")

    def test_too_long_is_cut(self) -> None:
        self.assertEqual(self.granted(f"Contact: <{HERE}>;expires=4294967295"), f"<{HERE}>;expires=7200")

    def test_malformed_is_an_hour(self) -> None:
        self.assertEqual(self.granted(f"Contact: <{HERE}>;expires=soon"), f"<{HERE}>;expires=3600")

    def test_too_brief(self) -> None:
        for cseq, headers in enumerate(((f"Contact: <{HERE}>;expires=59",), (f"Contact: <{HERE}>", "Expires: 1")), 1):
            answer = self.register(*headers, cseq=cseq)
            self.expect(answer, 423, "at least 60")
            self.assertEqual(answer.value("min-expires"), "60")
        self.assertEqual(len(self.location), 0)

    def test_just_long_enough(self) -> None:
        self.assertEqual(self.granted(f"Contact: <{HERE}>;expires=60"), f"<{HERE}>;expires=60")

    @conforms("RFC 3261 10.2.2")
    def test_zero_by_parameter_and_by_header(self) -> None:
        for headers in ((f"Contact: <{HERE}>;expires=0",), (f"Contact: <{HERE}>", "Expires: 0")):
            self.register(f"Contact: <{HERE}>", cseq=self.branch + 1)
            self.assertEqual(self.granted(*headers, cseq=self.branch + 1), None)
            self.assertEqual((self.bindings(), self.writer.rows), ([], {}))

    def test_removing_what_is_not_there(self) -> None:
        self.assertIsNone(self.granted(f"Contact: <{HERE}>;expires=0"))
        self.assertEqual(self.journal.take(), [])

    def test_it_expires(self) -> None:
        self.granted(f"Contact: <{HERE}>;expires=60")
        self.clock.advance(60)
        self.assertEqual(self.bindings(), [])

    def test_registered_again_after_expiring_it_stays_in_the_store(self) -> None:
        self.granted(f"Contact: <{HERE}>;expires=60")
        self.clock.advance(61)
        self.granted(f"Contact: <{HERE}>;expires=60", cseq=2)
        self.location.expire(self.clock.seconds())
        self.assertEqual([key.contact for key in self.writer.rows], [HERE])


class LongMinimumTests(RegistrarCase):
    limits = RegistrationLimits(7200, 5400, 7200, 3)

    @conforms("RFC 3261 10.3")
    def test_an_hour_is_never_too_brief(self) -> None:
        answer = self.register(f"Contact: <{HERE}>;expires=3600")
        self.expect(answer, 200)
        self.assertEqual(answer.value("contact"), f"<{HERE}>;expires=3600")
        self.expect(self.register(f"Contact: <{HERE}>;expires=3599", cseq=2), 423)


@conforms("RFC 3261 10.3")
class OrderTests(RegistrarCase):
    """Step 7: Call-ID and CSeq."""

    @conforms("RFC 3261 10.2.4")
    def test_a_refresh(self) -> None:
        self.register(f"Contact: <{HERE}>;expires=600")
        self.clock.advance(300)
        answer = self.register(f"Contact: <{HERE}>;expires=600", cseq=2)
        self.assertEqual(answer.values("contact"), [f"<{HERE}>;expires=600"])
        record = self.location.lookup(AOR, NOW)[0].binding
        self.assertEqual((record.cseq, record.registered_at, record.expires_at), (2, NOW, NOW + 900))
        self.assertEqual([name for name, _, _ in self.journal.take()], ["BindingAdded", "BindingRefreshed"])

    def test_out_of_order(self) -> None:
        self.register(f"Contact: <{HERE}>;expires=600", cseq=5)
        for cseq in (5, 4):
            self.expect(self.register(f"Contact: <{HERE}>;expires=0", cseq=cseq), 500, "CSeq")
        self.assertEqual(self.bindings(), [HERE])

    def test_another_call_id_starts_anew(self) -> None:
        self.register(f"Contact: <{HERE}>;expires=600", "User-Agent: Old/1", cseq=500)
        answer = self.register(f"Contact: <{HERE}>;expires=700", "User-Agent: New/2", call_id="call-2", cseq=1)
        self.assertEqual(answer.values("contact"), [f"<{HERE}>;expires=700"])
        record = self.location.lookup(AOR, NOW)[0].binding
        self.assertEqual((record.call_id, record.cseq, record.user_agent), ("call-2", 1, "New/2"))
        self.expect(self.register(f"Contact: <{HERE}>;expires=0", call_id="call-3", cseq=1), 200)
        self.assertEqual(self.bindings(), [])

    def test_a_retransmission_is_answered_and_changes_nothing(self) -> None:
        message = self.build(f"Contact: <{HERE}>;expires=600")
        first = self.send(message)
        puts = self.writer.puts
        self.clock.advance(1)
        again = self.send(message.copy())
        self.assertEqual(again.to_bytes(), first.to_bytes())
        self.assertEqual((self.writer.puts, self.bindings()), (puts, [HERE]))

    def test_the_same_again_when_its_transaction_is_forgotten(self) -> None:
        message = self.build(f"Contact: <{HERE}>;expires=600")
        self.send(message)
        self.clock.advance(33)
        answer = self.send(message.copy())
        self.expect(answer, 401)
        self.assertTrue(parse_challenge(answer.values("www-authenticate")[0]).is_stale)
        self.assertEqual(self.bindings(), [HERE])


class ContactTests(RegistrarCase):
    """Steps 7 and 8: several contacts, compared as URIs, all or none."""

    @conforms("RFC 3261 10.2.1", "RFC 3261 10.2.1.2", "RFC 3261 10.3")
    def test_several_with_q(self) -> None:
        answer = self.register(
            f'Contact: "Desk" <{HERE}>;q=0.5, <sip:alice@192.0.2.6>;q=1.0;expires=90',
            "m: sip:alice@192.0.2.7;expires=70",
        )
        self.assertEqual(
            answer.values("contact"),
            [f"<{HERE}>;expires=1800;q=0.5", "<sip:alice@192.0.2.6>;expires=90", "<sip:alice@192.0.2.7>;expires=70"],
        )
        self.assertEqual([contact.binding.q for contact in self.location.lookup(AOR, NOW)], [500, 1000, 1000])

    @conforms("RFC 3261 10.2.1", "RFC 3261 10.2.2", "RFC 3261 10.3")
    def test_added_and_removed_in_one_request(self) -> None:
        self.register(f"Contact: <{HERE}>")
        answer = self.register(f"Contact: <{HERE}>;expires=0, <sip:alice@192.0.2.6>", cseq=2)
        self.assertEqual(answer.values("contact"), ["<sip:alice@192.0.2.6>;expires=1800"])

    @conforms("RFC 3261 10.2.1", "RFC 3261 10.3")
    def test_the_others_are_listed_too(self) -> None:
        self.register(f"Contact: <{HERE}>;expires=600")
        self.clock.advance(100)
        answer = self.register("Contact: <sip:alice@192.0.2.6>;expires=600", call_id="other", cseq=1)
        self.assertEqual(answer.values("contact"), [f"<{HERE}>;expires=500", "<sip:alice@192.0.2.6>;expires=600"])

    @conforms("RFC 3261 10.2.3", "RFC 3261 10.3")
    def test_a_query_changes_nothing(self) -> None:
        self.register(f"Contact: <{HERE}>;expires=600")
        self.journal.take()
        self.clock.advance(1.5)
        answer = self.register(cseq=2)
        self.expect(answer, 200)
        self.assertEqual(answer.values("contact"), [f"<{HERE}>;expires=599"])
        self.assertEqual((self.journal.take(), self.location.lookup(AOR, NOW)[0].binding.cseq), ([], 1))

    @conforms("RFC 3261 10.2.3")
    def test_a_query_of_nobody(self) -> None:
        answer = self.register()
        self.expect(answer, 200)
        self.assertNotIn("contact", answer)

    @conforms("RFC 3261 8.2", "RFC 3261 10.3")
    def test_all_or_none(self) -> None:
        self.register(f"Contact: <{HERE}>;expires=600", cseq=5)
        self.journal.take()
        good = "<sip:alice@192.0.2.6>"
        for bad, status in (
            ("<sip:alice@192.0.2.7>;expires=5", 423),
            ("<http://x>", 400),
            ("<sip:a@b>;q=7", 400),
            (f"<{HERE}>", 500),
        ):
            self.expect(self.register(f"Contact: {good}, {bad}", cseq=5), status)
            self.expect(self.register(f"Contact: {bad}, {good}", cseq=5), status)
            self.assertEqual((self.bindings(), self.journal.take()), ([HERE], []), bad)

    @conforms("RFC 3261 10.3")
    def test_the_same_contact_in_other_words(self) -> None:
        self.register("Contact: <sip:alice@Desk.example.com:5060;transport=UDP>;expires=600")
        answer = self.register("Contact: <sip:%61lice@desk.example.com:5060;transport=udp>;expires=700", cseq=2)
        self.assertEqual(answer.values("contact"), ["<sip:%61lice@desk.example.com:5060;transport=udp>;expires=700"])
        self.assertEqual(len(self.writer.rows), 1)
        self.expect(self.register("Contact: <sip:alice@DESK.example.com:5060;transport=udp>;expires=0", cseq=3), 200)
        self.assertEqual((self.bindings(), self.writer.rows), ([], {}))

    @conforms("RFC 3261 10.3")
    def test_different_contacts(self) -> None:
        self.register("Contact: <sip:alice@192.0.2.5>, <sip:alice@192.0.2.5:5060>, <sip:Alice@192.0.2.5>")
        self.assertEqual(len(self.bindings()), 3)

    def test_one_contact_twice_in_a_request(self) -> None:
        answer = self.register(f"Contact: <{HERE}>;expires=100, <{HERE}>;expires=200")
        self.assertEqual(answer.values("contact"), [f"<{HERE}>;expires=200"])
        answer = self.register(f"Contact: <{HERE}>;expires=100, <{HERE}>;expires=0", cseq=2)
        self.assertEqual(answer.values("contact"), [])

    def test_outbound_parameters_are_kept(self) -> None:
        answer = self.register(f'Contact: <{HERE}>;+sip.instance="<urn:uuid:1>";reg-id=1;expires=60')
        self.assertEqual(answer.values("contact"), [f'<{HERE}>;expires=60;+sip.instance="<urn:uuid:1>";reg-id=1'])

    @conforms("RFC 3261 10.2.1.2", "RFC 3261 10.2.4")
    def test_a_changed_q_is_taken(self) -> None:
        self.register(f"Contact: <{HERE}>;q=0.5")
        answer = self.register(f"Contact: <{HERE}>;q=0.7", cseq=2)
        self.assertEqual(answer.values("contact"), [f"<{HERE}>;expires=1800;q=0.7"])

    @conforms("RFC 3261 10.2.5", "RFC 3261 10.3")
    def test_the_date(self) -> None:
        self.assertEqual(self.register().value("date"), "Fri, 15 Jan 2027 08:00:00 GMT")
        self.clock.advance(1)
        self.assertEqual(self.register(cseq=2).value("date"), "Fri, 15 Jan 2027 08:00:01 GMT")


class LimitTests(RegistrarCase):
    """At most three contacts."""

    def fill(self) -> None:
        for number in range(3):
            self.register(f"Contact: <sip:{number}@192.0.2.5;transport=tcp>", call_id=f"call-{number}")

    def test_one_too_many(self) -> None:
        self.fill()
        self.expect(self.register("Contact: <sip:4@192.0.2.5>", call_id="new"), 403, "3")
        self.assertEqual(len(self.bindings()), 3)

    def test_too_many_at_once(self) -> None:
        self.expect(self.register("Contact: <sip:1@h>, <sip:2@h>, <sip:3@h>, <sip:4@h>"), 403)
        self.assertEqual(len(self.location), 0)

    def test_exactly_as_many_at_once(self) -> None:
        self.expect(self.register("Contact: <sip:1@h>, <sip:2@h>, <sip:3@h>, <sip:4@h>;expires=0"), 200)

    def test_one_for_one(self) -> None:
        self.fill()
        answer = self.register("Contact: <sip:0@192.0.2.5;transport=tcp>;expires=0, <sip:4@192.0.2.5>", call_id="new")
        self.expect(answer, 200)

    def test_refreshing_is_always_possible(self) -> None:
        self.fill()
        self.expect(self.register("Contact: <sip:0@192.0.2.5;transport=tcp>", call_id="call-0", cseq=2), 200)

    def test_the_oldest_without_a_connection_gives_way(self) -> None:
        self.flow = StillFlow("TCP", ("192.0.2.5", 40000))
        self.fill()
        lost, self.flow = self.flow, StillFlow("TCP", ("192.0.2.5", 40001))
        self.register("Contact: <sip:0@192.0.2.5;transport=tcp>", call_id="call-0", cseq=2)
        self.location.flow_failed(lost)
        self.journal.take()
        self.expect(self.register("Contact: <sip:4@192.0.2.5;transport=tcp>", call_id="new"), 200)
        self.assertEqual(self.bindings()[0], "sip:0@192.0.2.5;transport=tcp")
        self.assertIn(("BindingRemoved", "sip:1@192.0.2.5;transport=tcp", "replaced"), self.journal.take())
        self.assertEqual(len(self.bindings()), 3)


class FlowTests(RegistrarCase):
    def test_what_is_kept_of_the_way(self) -> None:
        self.flow = StillFlow("TLS", ("2001:db8::5", 40000), ("2001:db8::1", 5061))
        self.register(
            "Contact: <sip:alice@[2001:db8::5];transport=tls>", "User-Agent: Phone/1", via="[2001:db8::5]:40000"
        )
        contact = self.location.lookup(AOR, NOW)[0]
        record = contact.binding
        self.assertEqual(
            (record.transport, record.source, record.local), ("TLS", "[2001:db8::5]:40000", "[2001:db8::1]:5061")
        )
        self.assertEqual((record.user_agent, record.device_id), ("Phone/1", 10))
        self.assertEqual(contact.target, Target("TLS", "2001:db8::5", 40000, self.flow))

    def test_behind_a_nat_whose_port_moves(self) -> None:
        self.flow = StillFlow(remote=("203.0.113.9", 40000))
        self.register("Contact: <sip:alice@10.0.0.7>", via="10.0.0.7;rport=40000;received=203.0.113.9")
        self.flow = StillFlow(remote=("203.0.113.9", 41111))
        self.register("Contact: <sip:alice@10.0.0.7>", via="10.0.0.7;rport=41111;received=203.0.113.9", cseq=2)
        contact = self.location.lookup(AOR, NOW)[0]
        self.assertEqual(contact.binding.source, "203.0.113.9:41111")
        self.assertEqual(contact.target, Target("UDP", "203.0.113.9", 41111, self.flow))

    @conforms("RFC 3261 10.2.1")
    def test_a_third_party_is_called_at_its_contact(self) -> None:
        self.register("Contact: <sip:box@192.0.2.99>")
        self.assertEqual(self.location.lookup(AOR, NOW)[0].target, Target("UDP", "192.0.2.99", 5060))

    def test_a_connection_that_came_back(self) -> None:
        self.flow = StillFlow("TCP", ("192.0.2.5", 40000))
        self.register("Contact: <sip:alice@192.0.2.5;transport=tcp>")
        self.location.flow_failed(self.flow)
        self.flow = StillFlow("TCP", ("192.0.2.5", 40001))
        self.register("Contact: <sip:alice@192.0.2.5;transport=tcp>", cseq=2)
        self.assertEqual(self.location.lookup(AOR, NOW)[0].target, Target("TCP", "192.0.2.5", 40001, self.flow))

    def test_any_transport(self) -> None:
        for cseq, transport in enumerate(("UDP", "TCP", "TLS"), 1):
            self.flow = StillFlow(transport)
            self.expect(self.register(f"Contact: <{HERE};transport={transport}>", call_id=transport, cseq=cseq), 200)


class BooksTests(RegistrarCase):
    def test_after_everything_nothing_is_left(self) -> None:
        for number in range(30):
            self.register(f"Contact: <sip:{number % 3}@192.0.2.5>;expires=60", call_id="c", cseq=number + 1)
        self.clock.advance(60)
        self.location.expire(self.clock.seconds())
        self.clock.advance(64)
        self.assertEqual((len(self.location), self.writer.rows, self.layer.in_flight), (0, {}, 0))
        rendered = self.metrics.render().decode().splitlines()
        self.assertIn("sip_registrations 0.0", rendered)
        self.assertIn("sip_transactions_in_flight 0.0", rendered)
