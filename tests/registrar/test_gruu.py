"""GRUUs (RFC 5627): how they are made, and which the registrar gives out."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.registrar.gruu import (
    Gruus,
    TemporaryGruu,
    instance_key,
    instance_of_public,
    new_epoch,
    public_gruu,
)
from gosip_py.registrar.registrar import RegistrationLimits, RegistrationOffers
from gosip_py.sip.message import Response
from gosip_py.sip.uri import parse_uri
from tests.conformance import conforms
from tests.registrar.fakes import NOW, binding
from tests.registrar.test_registrar import AOR, HERE, RegistrarCase

INSTANCE = "<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>"
SECRET = b"a secret of these tests"


class MakingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.gruus = Gruus(SECRET)

    @conforms("RFC 5627 A.1", "RFC 5627 5.4", "RFC 5627 3.1.1")
    def test_public(self) -> None:
        text = public_gruu(binding(instance=INSTANCE, gruu="00000000"))
        self.assertEqual(text, "sip:alice@example.com;gr=urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6")
        uri = parse_uri(text)
        self.assertTrue(uri.is_equivalent(parse_uri("sip:alice@example.com")))
        self.assertEqual(instance_of_public(uri.parameters["gr"] or ""), instance_key(INSTANCE))

    def test_public_of_an_odd_instance(self) -> None:
        for instance in ("<urn:x:a b;c=d?e>", '<"quoted">', "<a\\r\\nb>"):
            uri = parse_uri(public_gruu(binding(aor="sip:al%20ice@example.com", instance=instance, gruu="00000000")))
            self.assertEqual((uri.user, uri.parameters), ("al ice", {"gr": instance[1:-1]}))

    def read(self, text: str) -> TemporaryGruu | None:
        return self.gruus.read(parse_uri(text).user)

    @conforms("RFC 5627 3.1.2")
    def test_temporary(self) -> None:
        for instance in (INSTANCE, INSTANCE.upper(), "<urn:imei:90420156-025763-0>", "<urn:uuid:nonsense>"):
            text = self.gruus.temporary("sip:alice@example.com", instance, "01ab23cd")
            self.assertTrue(text.endswith("@example.com;gr"))
            self.assertEqual(self.read(text), TemporaryGruu("alice", instance_key(instance), "01ab23cd"))

    @conforms("RFC 5627 5.1")
    def test_nobody_can_tell_whose_it_is_or_whether_two_are_of_one_phone(self) -> None:
        made = [self.gruus.temporary("sip:alice@example.com", INSTANCE, "00000000") for _ in range(50)]
        made += [self.gruus.temporary("sip:bartholomew@example.com", INSTANCE, "00000000") for _ in range(50)]
        self.assertEqual(len(set(made)), 100)
        self.assertEqual(len({len(text) for text in made}), 1)
        for text in made:
            self.assertNotIn("alice", text)
            self.assertIsNotNone(re.fullmatch(r"sip:tgruu\.[A-Za-z0-9_\-]+@example\.com;gr", text))

    def test_what_was_changed_is_none_of_ours(self) -> None:
        user = parse_uri(self.gruus.temporary("sip:alice@example.com", INSTANCE, new_epoch())).user
        for at in range(len("tgruu."), len(user)):
            other = "A" if user[at] != "A" else "B"
            self.assertIsNone(self.gruus.read(user[:at] + other + user[at + 1 :]), at)

    def test_nonsense(self) -> None:
        for user in ("", "alice", "tgruu.", "tgruu.x", "tgruu.AAAA", "tgruu." + "A" * 104, "tgruu.\u00e4", "tgruu.="):
            self.assertIsNone(self.gruus.read(user), user)

    def test_the_secret_of_another_server(self) -> None:
        user = parse_uri(Gruus(b"another").temporary("sip:alice@example.com", INSTANCE, new_epoch())).user
        self.assertIsNone(self.gruus.read(user))

    def test_after_a_restart(self) -> None:
        text = self.gruus.temporary("sip:alice@example.com", INSTANCE, "00000007")
        self.gruus = Gruus(SECRET)
        self.assertEqual(self.read(text), TemporaryGruu("alice", INSTANCE, "00000007"))

    def test_what_is_no_instance_gets_none(self) -> None:
        for instance in ("", "urn:uuid:1", "<>", f"<{'x' * 300}>", "<\udcff>", "<\u00e4>"):
            self.assertEqual(self.gruus.parameters(binding(instance=instance, gruu="00000000")), "")
        self.assertEqual(self.gruus.parameters(binding(instance=INSTANCE)), "")


class RegistrarTests(RegistrarCase):
    limits = RegistrationLimits(1800, 60, 7200, 5)
    gruus = Gruus(SECRET)
    offers = RegistrationOffers(gruus=gruus)

    def with_gruu(self, *more: str, contact: str = HERE, cseq: int = 1, call_id: str = "call-1") -> Response:
        value = f'Contact: <{contact}>;+sip.instance="{INSTANCE}"'
        return self.register(value, "Supported: gruu", *more, cseq=cseq, call_id=call_id)

    def temporary(self, answer: Response, at: int = 0) -> TemporaryGruu:
        parameters = answer.addresses("contact")[at].parameters
        found = self.gruus.read(parse_uri(parameters["temp-gruu"] or "").user)
        assert found is not None
        return found

    def is_valid(self, temporary: TemporaryGruu) -> bool:
        epochs = {contact.binding.gruu for contact in self.location.lookup(AOR, self.clock.seconds())}
        return temporary.epoch in epochs

    @conforms("RFC 5627 5.2")
    def test_both_are_given(self) -> None:
        answer = self.with_gruu()
        parameters = answer.addresses("contact")[0].parameters
        self.assertEqual(parameters["pub-gruu"], f"{AOR};gr=urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6")
        self.assertEqual(parameters["+sip.instance"], INSTANCE)
        self.assertEqual(self.temporary(answer).user, "alice")
        self.assertNotIn("require", answer)

    @conforms("RFC 5627 5.2", "RFC 3261 8.2.4")
    def test_not_to_who_does_not_support_them(self) -> None:
        answer = self.register(f'Contact: <{HERE}>;+sip.instance="{INSTANCE}"')
        self.assertNotIn("gruu", answer.require("contact"))

    def test_not_without_an_instance(self) -> None:
        self.assertNotIn("gruu", self.register(f"Contact: <{HERE}>", "Supported: gruu").require("contact"))

    @conforms("RFC 5627 5.1")
    def test_what_the_phone_says_of_gruus_is_ignored(self) -> None:
        value = f'Contact: <{HERE}>;+sip.instance="{INSTANCE}";pub-gruu="sip:x@y;gr=z";temp-gruu="sip:t@y;gr"'
        answer = self.register(value, "Supported: gruu")
        self.assertNotIn("sip:x@y", answer.require("contact"))
        self.assertEqual(self.temporary(answer).user, "alice")

    def test_required(self) -> None:
        answer = self.register(f'Contact: <{HERE}>;+sip.instance="{INSTANCE}"', "Require: gruu")
        self.expect(answer, 200)

    @conforms("RFC 5627 5.1")
    def test_a_refresh_makes_another_and_the_first_stays_valid(self) -> None:
        first = self.with_gruu(cseq=1)
        second = self.with_gruu(cseq=2)
        self.assertNotEqual(first.require("contact"), second.require("contact"))
        self.assertTrue(self.is_valid(self.temporary(first)) and self.is_valid(self.temporary(second)))

    @conforms("RFC 5627 5.1")
    def test_another_call_id_makes_the_earlier_invalid(self) -> None:
        first = self.with_gruu(call_id="before")
        second = self.with_gruu(call_id="after")
        self.assertFalse(self.is_valid(self.temporary(first)))
        self.assertTrue(self.is_valid(self.temporary(second)))

    @conforms("RFC 5627 5.1")
    def test_a_rebooted_phone_with_another_contact(self) -> None:
        first = self.with_gruu(call_id="before")
        self.clock.advance(5)
        second = self.with_gruu(call_id="after", contact="sip:alice@192.0.2.5:5099")
        self.assertEqual(len(self.bindings()), 2)
        self.assertFalse(self.is_valid(self.temporary(first)))
        self.assertTrue(self.is_valid(self.temporary(second, 1)))
        self.assertEqual({row.gruu for row in self.writer.rows.values()}, {self.temporary(second, 1).epoch})

    def on_flow(self, reg_id: int, call_id: str, contact: str = HERE, cseq: int = 1) -> Response:
        value = f'Contact: <{contact}>;+sip.instance="{INSTANCE}";reg-id={reg_id}'
        return self.register(value, "Supported: gruu, outbound", call_id=call_id, cseq=cseq)

    @conforms("RFC 5627 5.1")
    def test_each_flow_has_a_call_id_of_its_own(self) -> None:
        first = self.on_flow(1, "one")
        second = self.on_flow(2, "two")
        self.assertTrue(self.is_valid(self.temporary(first)))
        self.assertEqual(self.temporary(first).epoch, self.temporary(second, 1).epoch)
        third = self.on_flow(2, "changed")
        self.assertFalse(self.is_valid(self.temporary(first)))
        self.assertEqual(len({row.gruu for row in self.writer.rows.values()}), 1)
        self.assertTrue(self.is_valid(self.temporary(third)))

    def test_a_flow_that_moves_keeps_them(self) -> None:
        first = self.on_flow(1, "one")
        self.on_flow(1, "one", contact="sip:alice@192.0.2.5:5099", cseq=2)
        self.assertTrue(self.is_valid(self.temporary(first)))

    @conforms("RFC 5627 5.3")
    def test_gone_with_the_last_contact(self) -> None:
        first = self.with_gruu(cseq=1)
        self.register("Contact: *", "Expires: 0", cseq=2)
        again = self.with_gruu(cseq=3)
        self.assertFalse(self.is_valid(self.temporary(first)))
        self.assertTrue(self.is_valid(self.temporary(again)))

    def test_a_binding_of_before_there_were_gruus_gets_them(self) -> None:
        self.with_gruu(cseq=1)
        (contact,) = self.location.lookup(AOR, NOW)
        self.location.renew_gruus(contact, "")
        self.assertTrue(self.is_valid(self.temporary(self.with_gruu(cseq=2))))

    @conforms("RFC 5627 5.1")
    def test_a_contact_that_leads_back_here(self) -> None:
        public = public_gruu(binding(aor=AOR, instance=INSTANCE, gruu="00000000"))
        temporary = self.gruus.temporary(AOR, INSTANCE, new_epoch())
        for cseq, contact in enumerate((AOR, public, temporary, "sip:alice@192.0.2.1"), 1):
            self.expect(self.with_gruu(contact=contact, cseq=cseq), 403, "the address of the phone")
        self.assertEqual(len(self.location), 0)

    @conforms("RFC 5627 5.1")
    def test_a_contact_that_is_no_sip_uri(self) -> None:
        self.expect(self.with_gruu(contact="tel:+15551234"), 403, "SIP URI")


class NoGruuTests(RegistrarCase):
    def test_a_server_without_gruus_does_not_know_the_extension(self) -> None:
        value = f'Contact: <{HERE}>;+sip.instance="{INSTANCE}"'
        self.expect(self.register(value, "Require: gruu", username=None), 420, "gruu")
        self.assertNotIn("gruu", self.register(value, "Supported: gruu").require("contact"))
