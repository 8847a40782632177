"""The order in which targets are tried, and Max-Breadth, as the bytes say it (RFC 3261 16.5, RFC 5393 5)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.proxy.route import ProxyTarget
from gosip_py.proxy.target_set import allot, breadth_of, in_groups, in_parts, keep_whole, shares, untried
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Request
from gosip_py.transport.flow import Target
from tests.conformance import conforms


def target(name: str, q: int = 1000, host: str = "192.0.2.9") -> ProxyTarget:
    return ProxyTarget(f"sip:{name}@{host}", Target("UDP", host, 5060), q=q)


def request(*breadths: str) -> Request:
    return Request("INVITE", "sip:a@b", ["max-breadth"] * len(breadths), [f"Max-Breadth: {each}" for each in breadths])


class OrderTests(SynchronousTestCase):
    @conforms("RFC 3261 16.6")
    def test_from_the_highest_q_to_the_lowest_and_equal_ones_together(self) -> None:
        a, b, c, d = target("a", 500), target("b", 1000), target("c", 500), target("d", 0)
        self.assertEqual(in_groups([a, b, c, d], 60), [(b,), (a, c), (d,)])

    @conforms("RFC 5393 5.3.3")
    def test_a_group_that_is_too_broad_is_tried_in_parts(self) -> None:
        """ "compensate by forking serially": no 440 is needed."""
        several = [target(name) for name in "abcde"]
        self.assertEqual([len(group) for group in in_groups(several, 2)], [2, 2, 1])
        self.assertEqual([len(part) for part in in_parts(several, 4)], [4, 1])

    @conforms("RFC 3261 16.5")
    def test_a_target_is_tried_once(self) -> None:
        """ "any given URI MUST NOT be added to the set more than once"."""
        a, b, c = target("a"), target("b"), target("c")
        self.assertEqual(untried([b, a, c, b, target("b", 200)], [a], 16), [b, c])

    def test_and_not_too_many(self) -> None:
        self.assertEqual(len(untried([target(str(number)) for number in range(50)], [target("a")], 16)), 15)

    def test_the_same_uri_elsewhere_is_another_phone(self) -> None:
        """Behind two NATs two phones may have the same private address."""
        one = target("bob")
        other = ProxyTarget(one.uri_text, Target("UDP", "192.0.2.77", 4711))
        self.assertEqual(untried([other], [one], 16), [other])


class BreadthTests(SynchronousTestCase):
    @conforms("RFC 5393 5.3.3")
    def test_60_when_nothing_is_said_and_no_more_whatever_is(self) -> None:
        self.assertEqual([breadth_of(request(*value)) for value in ((), ("7",), ("60",), ("61",))], [60, 7, 60, 60])

    @conforms("RFC 5393 5.3.1", "RFC 5393 5.8")
    def test_a_single_positive_integer(self) -> None:
        for value in ("0", "-1", "1.5", "", "many", "9" * 30):
            self.assertRaises(ParseError, breadth_of, request(value))

    @conforms("RFC 5393 5.3.3")
    def test_every_copy_has_one(self) -> None:
        for given, written in (((), "60"), (("4",), "4"), (("100",), "60"), (("4", "9"), "4")):
            copy = request(*given)
            keep_whole(copy)
            self.assertEqual(copy.values("max-breadth"), [written])
            allot(copy, 3)
            self.assertEqual(copy.values("max-breadth"), ["3"])

    @conforms("RFC 5393 5.3.3")
    def test_what_goes_out_is_what_came_in(self) -> None:
        """No more, and nothing of it is lost on the way."""
        for breadth in range(1, 61):
            for count in range(1, breadth + 1):
                parts = shares(breadth, count)
                self.assertEqual((sum(parts), len(parts), min(parts) > 0), (breadth, count, True))
