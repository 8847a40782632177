"""The way out."""

from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.call.party import Party
from gosip_py.call.trunk import CallRate, Gateway, Trunk
from gosip_py.call.verdict import Refuse
from gosip_py.sip.errors import ParseError
from gosip_py.sip.headers import parse_address
from gosip_py.transport.flow import Target
from tests.call.plan import TRUNK
from tests.conformance import conforms

CALLER = Party("+4930123456", 'A "Stranger"', "", None, None, "trunk")


class RateTests(SynchronousTestCase):
    def test_one_a_second(self) -> None:
        rate = CallRate(1.0)
        self.assertEqual([rate.reserve(100.0) for _ in range(4)], [0.0, 1.0, 2.0, None])
        self.assertEqual(rate.reserve(101.0), 2.0)
        self.assertEqual(rate.reserve(110.0), 0.0)

    def test_a_refused_turn_is_not_taken(self) -> None:
        rate = CallRate(1.0)
        for _ in range(10):
            rate.reserve(100.0)
        self.assertEqual(rate.next_turn(100.0), 3.0)

    def test_what_comes_in_a_second_may_come_at_once(self) -> None:
        rate = CallRate(4.0)
        self.assertEqual([rate.reserve(100.0) for _ in range(6)], [0.0, 0.0, 0.0, 0.0, 0.25, 0.5])

    def test_slowly(self) -> None:
        rate = CallRate(0.25)
        self.assertEqual([rate.reserve(100.0) for _ in range(2)], [0.0, None])
        self.assertEqual(rate.next_turn(100.0), 4.0)

    def test_no_limit(self) -> None:
        rate = CallRate(0)
        self.assertEqual([rate.reserve(100.0) for _ in range(100)], [0.0] * 100)

    def test_taking_a_turn_makes_others_wait(self) -> None:
        rate = CallRate(1.0)
        rate.take(100.0)
        self.assertEqual(rate.reserve(100.0), 1.0)


class GatewayTests(SynchronousTestCase):
    def test_a_line(self) -> None:
        line = Gateway(TRUNK).line("+493012345", None)
        self.assertEqual(line.uri, "sip:+493012345@office.trunk.test:5060;transport=tcp")
        self.assertEqual(line.target, Target("TCP", "office.trunk.test", 5060))
        self.assertEqual(line.from_, "<sip:+15550001@office.trunk.test>")
        self.assertEqual((line.party.kind, line.party.name, line.party.user_id), ("trunk", "+493012345", None))
        self.assertIs(line.credentials, TRUNK.credentials)

    @conforms("RFC 3325 9.1")
    def test_our_number_is_asserted(self) -> None:
        expected = (("p-asserted-identity", "<sip:+15550001@office.trunk.test>"),)
        self.assertEqual(Gateway(TRUNK).line("+493012345", None).headers, expected)
        passing = Gateway(attrs.evolve(TRUNK, passes_caller_id=True))
        self.assertEqual(passing.line("+493012345", 1, CALLER).headers, expected)
        self.assertEqual(Gateway(Trunk("sip:trunk.test")).line("+493012345", None).headers, ())

    def test_whose_number_is_shown(self) -> None:
        passing = Gateway(attrs.evolve(TRUNK, passes_caller_id=True))
        shown = parse_address(passing.line("+493012345", 1, CALLER).from_)
        self.assertEqual((shown.uri.user, shown.display_name), ("+4930123456", 'A "Stranger"'))
        self.assertEqual(Gateway(TRUNK).line("+493012345", 1, CALLER).from_, "<sip:+15550001@office.trunk.test>")
        colleague = Party("bob", "Bob", "", 2, 20, "device")
        self.assertEqual(passing.line("+493012345", 1, colleague).from_, "<sip:+15550001@office.trunk.test>")

    def test_without_a_caller_id(self) -> None:
        named = Gateway(attrs.evolve(TRUNK, caller_id=""))
        self.assertEqual(named.line("+493012345", None).from_, "<sip:office@office.trunk.test>")
        self.assertEqual(
            Gateway(Trunk("sips:trunk.test")).line("+493012345", None).from_, "<sips:anonymous@trunk.test>"
        )

    def test_the_domain_that_the_trunk_knows_us_by(self) -> None:
        gateway = Gateway(attrs.evolve(TRUNK, from_domain="us.test"))
        self.assertEqual(gateway.line("+493012345", None).from_, "<sip:+15550001@us.test>")

    def test_the_payer(self) -> None:
        self.assertEqual(Gateway(TRUNK).line("+493012345", 7, CALLER).party.user_id, 7)

    def test_an_emergency_line(self) -> None:
        gateway = Gateway(TRUNK)
        line = gateway.emergency_line("112", "+15550100")
        self.assertEqual(line.uri, "sip:112@office.trunk.test:5060;transport=tcp")
        self.assertEqual(line.from_, "<sip:+15550100@office.trunk.test>")
        self.assertEqual(line.headers, (("p-asserted-identity", "<sip:+15550100@office.trunk.test>"),))
        self.assertEqual(gateway.emergency_line("112", "").from_, "<sip:+15550001@office.trunk.test>")

    def test_turns(self) -> None:
        gateway = Gateway(attrs.evolve(TRUNK, calls_per_second=1.0))
        self.assertEqual([gateway.wait(5.0) for _ in range(3)], [0.0, 1.0, 2.0])
        refusal = gateway.wait(5.0)
        assert isinstance(refusal, Refuse)
        self.assertEqual((refusal.status, refusal.headers), (503, (("retry-after", "1"),)))
        gateway.take_turn(5.0)
        later = gateway.wait(5.0)
        assert isinstance(later, Refuse)
        self.assertEqual(later.headers, (("retry-after", "2"),))

    def test_a_bad_address(self) -> None:
        for uri in ("trunk.test", "sip:trunk.test;transport=carrier-pigeon", "tel:+15550001"):
            with self.assertRaises(ParseError):
                Gateway(Trunk(uri))

    def test_the_password_does_not_show(self) -> None:
        self.assertNotIn("secret words", repr(TRUNK))
