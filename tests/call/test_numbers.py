"""Numbers as people dial them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.call.numbers import NumberPlan, is_global, undecorated
from tests.conformance import conforms


class UndecoratedTests(SynchronousTestCase):
    @conforms("RFC 3966 5.1.1")
    def test_separators(self) -> None:
        for dialled in ("+1-555-000.1", "+1(555)0001", "+1 555 0001"):
            self.assertEqual(undecorated(dialled), "+15550001", dialled)

    def test_names_stay(self) -> None:
        for name in ("alice-desk", "*72", "200", "a.b", "", "-", "٣٤"):
            self.assertEqual(undecorated(name), name)


class GlobalTests(SynchronousTestCase):
    @conforms("RFC 3966 5.1.4")
    def test_global(self) -> None:
        for number, expected in (
            ("+15550001", True),
            ("+123456789012345", True),
            ("+1234567890123456", False),
            ("+0155500", False),
            ("15550001", False),
            ("+1555", False),
            ("+1555000x", False),
        ):
            self.assertIs(is_global(number), expected, number)


class PlanTests(SynchronousTestCase):
    def check(self, plan: NumberPlan, numbers: dict[str, str]) -> None:
        self.assertEqual({dialled: plan.normalise(dialled) for dialled in numbers}, numbers)

    def test_without_a_country(self) -> None:
        expected = {"+493012345": "+493012345", "00493012345": "+493012345", "03012345": "", "200": "", "alice": ""}
        self.check(NumberPlan(), {**expected, "+": "", "00": "", "+abc": "", "0012": "", "": ""})

    def test_with_a_national_prefix(self) -> None:
        expected = {
            "03012345": "+493012345",
            "00153012345": "+153012345",
            "3012345": "",  # without an area code nobody knows where it is
            "0301": "",
            "0" * 20: "",
        }
        self.check(NumberPlan("49", "00", "0"), expected)

    def test_without_a_national_prefix(self) -> None:
        self.check(NumberPlan("39", "00", ""), {"0612345678": "+390612345678", "200": "", "12345": ""})

    def test_north_america(self) -> None:
        expected = {
            "2125550001": "+12125550001",
            "12125550001": "+12125550001",
            "5550001": "",
            "1125550001": "",
            "011493012345": "+493012345",
        }
        self.check(NumberPlan("1", "011"), expected)
