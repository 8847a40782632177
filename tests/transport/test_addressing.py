"""Under which address a peer finds us."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.transport.addressing import Addressing, Advertising, route_source


class IdentityTests(SynchronousTestCase):
    def test_what_each_transport_writes(self) -> None:
        addressing = Addressing(Advertising())
        udp = addressing.identity("UDP", "192.0.2.1", 5060, "192.0.2.7")
        self.assertEqual(udp.via_head, "SIP/2.0/UDP 192.0.2.1:5060;rport;branch=")
        self.assertEqual((udp.sent_by, udp.record_route), ("192.0.2.1:5060", "<sip:192.0.2.1:5060;lr>"))
        tls = addressing.identity("TLS", "2001:db8::1", 5061, "2001:db8::2")
        self.assertEqual(tls.via_head, "SIP/2.0/TLS [2001:db8::1]:5061;branch=")
        self.assertEqual(tls.record_route, "<sip:[2001:db8::1]:5061;transport=tls;lr>")
        self.assertEqual(addressing.issued, {"192.0.2.1:5060", "[2001:db8::1]:5061"})

    def test_the_same_identity_is_shared(self) -> None:
        addressing = Addressing(Advertising())
        first = addressing.identity("UDP", "192.0.2.1", 5060, "192.0.2.7")
        self.assertIs(first, addressing.identity("UDP", "192.0.2.1", 5060, "192.0.2.8"))

    def test_behind_a_nat_only_the_local_networks_see_our_own_address(self) -> None:
        networks = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
        addressing = Addressing(Advertising("203.0.113.5", networks))
        self.assertEqual(addressing.local_host("10.0.0.1", "10.9.9.9"), "10.0.0.1")
        self.assertEqual(addressing.local_host("10.0.0.1", "198.51.100.7"), "203.0.113.5")
        self.assertEqual(addressing.local_host("10.0.0.1", "trunk.example.com"), "203.0.113.5")
        self.assertEqual(addressing.local_host("127.0.0.1", "127.0.0.1"), "127.0.0.1")
        self.assertEqual(addressing.local_host("fd00::1", "fd00::7"), "fd00::1")

    def test_a_socket_bound_to_everything_asks_the_routing_table(self) -> None:
        addressing = Addressing(Advertising())
        self.assertEqual(addressing.local_host("0.0.0.0", "127.0.0.1"), "127.0.0.1")
        self.assertEqual(addressing.local_host("::", "::1"), "::1")
        towards_world = addressing.local_host("0.0.0.0", "not-resolved.example.com")
        self.assertEqual(towards_world, route_source(ip_address("192.0.2.1")))

    def test_what_the_routing_table_said_is_bounded_and_forgotten(self) -> None:
        addressing = Addressing(Advertising())
        for number in range(5000):
            addressing.source_towards(f"127.{number // 250}.0.{number % 250 + 1}")
        self.assertLess(len(addressing._sources), 4097)
        addressing.forget()
        self.assertEqual(len(addressing._sources), 0)


class NamesSocketTests(SynchronousTestCase):
    def test_bound_to_one_address(self) -> None:
        addressing = Addressing(Advertising("pbx.example.com"))
        for host in ("192.0.2.1", "PBX.example.com"):
            self.assertTrue(addressing.names_socket(host, "192.0.2.1"), host)
        for host in ("192.0.2.2", "127.0.0.1", "other.example.com", ""):
            self.assertFalse(addressing.names_socket(host, "192.0.2.1"), host)

    def test_bound_to_everything(self) -> None:
        addressing = Addressing(Advertising())
        own = route_source(ip_address("192.0.2.1"))
        for host in ("127.0.0.1", "127.8.8.8", own):
            self.assertTrue(addressing.names_socket(host, "0.0.0.0"), host)
        for host in ("192.0.2.77", "[::1]", "example.com", ""):
            self.assertFalse(addressing.names_socket(host, "0.0.0.0"), host)
        self.assertTrue(addressing.names_socket("[::1]", "::"))
