from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.web.peer import ProxyTrust, subnet

TRUST = ProxyTrust(["10.0.0.0/8", "2001:db8::/32"])


class RealAddressTests(SynchronousTestCase):
    def test_a_stranger_is_who_he_is(self) -> None:
        self.assertEqual(TRUST.real_address("192.0.2.1", ["198.51.100.1"]), "192.0.2.1")

    def test_the_nearest_that_is_no_proxy(self) -> None:
        for forwarded, expected in (
            (["198.51.100.1"], "198.51.100.1"),
            (["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
            (["1.1.1.1", "198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            (["2001:db8::9, 10.0.0.2"], "2001:db8::9"),
            ([], "10.0.0.1"),
            (["nonsense"], "10.0.0.1"),
            (["198.51.100.1, , 10.0.0.3"], "10.0.0.3"),
            (["::ffff:198.51.100.1"], "198.51.100.1"),
        ):
            self.assertEqual(TRUST.real_address("10.0.0.1", forwarded), expected, forwarded)

    def test_a_mapped_proxy_is_the_proxy(self) -> None:
        self.assertEqual(TRUST.real_address("::ffff:10.0.0.1", ["198.51.100.1"]), "198.51.100.1")

    def test_what_is_no_address(self) -> None:
        self.assertEqual(TRUST.real_address("", ["198.51.100.1"]), "")
        self.assertFalse(TRUST.is_trusted("/run/socket"))


class SubnetTests(SynchronousTestCase):
    def test_a_host_owns_its_whole_64(self) -> None:
        self.assertEqual(subnet("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64")
        self.assertEqual(subnet("fe80::1%eth0"), "fe80::/64")
        self.assertEqual(subnet("::ffff:192.0.2.1"), "192.0.2.1")
        self.assertEqual(subnet("192.0.2.1"), "192.0.2.1")
        self.assertEqual(subnet("?"), "?")
