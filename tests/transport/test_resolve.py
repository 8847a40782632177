"""Where URIs point to, and names to addresses."""

from __future__ import annotations

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IHostnameResolver, IHostResolution, IResolutionReceiver
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from gosip_py.sip.errors import ParseError
from gosip_py.sip.uri import parse_uri
from gosip_py.transport.flow import Target
from gosip_py.transport.resolve import Resolver, target_of
from tests.conformance import conforms


class TargetTests(SynchronousTestCase):
    @conforms("RFC 3263 4.1", "RFC 3263 4.2", "RFC 5630 3.1.3")
    def test_every_case(self) -> None:
        cases = {
            "sip:bob@192.0.2.1": ("UDP", "192.0.2.1", 5060),
            "sip:bob@192.0.2.1:5070": ("UDP", "192.0.2.1", 5070),
            "sip:bob@192.0.2.1;transport=TCP": ("TCP", "192.0.2.1", 5060),
            "sip:bob@192.0.2.1;transport=tls": ("TLS", "192.0.2.1", 5061),
            "sips:bob@192.0.2.1": ("TLS", "192.0.2.1", 5061),
            "sips:bob@192.0.2.1:5090;transport=tcp": ("TLS", "192.0.2.1", 5090),
            "sip:bob@[2001:db8::1]": ("UDP", "2001:db8::1", 5060),
            "sip:bob@PBX.example.com:5060": ("UDP", "pbx.example.com", 5060),
            "sips:bob@pbx.example.com:5071": ("TLS", "pbx.example.com", 5071),
            "sip:bob@example.com;maddr=192.0.2.7": ("UDP", "192.0.2.7", 5060),
        }
        for text, expected in cases.items():
            self.assertEqual(target_of(parse_uri(text)), Target(*expected), text)

    @conforms("RFC 3263 4.1", "RFC 3263 4.2")
    def test_what_is_left_open_for_dns(self) -> None:
        cases = {
            "sip:bob@PBX.example.com": Target("", "pbx.example.com", 0),
            "sip:bob@example.com;transport=tcp": Target("TCP", "example.com", 0),
            "sips:bob@example.com": Target("", "example.com", 0, is_secure=True),
            "sips:bob@example.com;transport=tcp": Target("TLS", "example.com", 0),
            "sip:bob@192.0.2.1;maddr=example.com": Target("", "example.com", 0),
        }
        for text, expected in cases.items():
            self.assertEqual(target_of(parse_uri(text)), expected, text)

    def test_the_transport_that_a_contact_was_registered_by(self) -> None:
        cases = {
            "sip:bob@192.0.2.1": Target("TCP", "192.0.2.1", 5060),
            "sip:bob@example.com": Target("TCP", "example.com", 0),
            "sip:bob@example.com;transport=udp": Target("UDP", "example.com", 0),
            "sips:bob@example.com": Target("TLS", "example.com", 0),
        }
        for text, expected in cases.items():
            self.assertEqual(target_of(parse_uri(text), "TCP"), expected, text)

    def test_what_cannot_be_served(self) -> None:
        for text in ("tel:+15551234", "sip:bob@192.0.2.1;transport=sctp"):
            self.assertRaises(ParseError, target_of, parse_uri(text))


@implementer(IHostnameResolver)
class HeldNames:
    """A resolver whose look-ups end when the test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, IResolutionReceiver]] = []

    def resolveHostName(  # type: ignore[no-untyped-def]  # the interface's other arguments are of no interest here
        self, resolutionReceiver: IResolutionReceiver, hostName: str, *args, **kwargs
    ) -> IHostResolution:
        self.asked.append((hostName, resolutionReceiver))
        return None  # type: ignore[return-value]  # nobody cancels

    def answer(self, *addresses: IAddress) -> None:
        _, receiver = self.asked.pop(0)
        for address in addresses:
            receiver.addressResolved(address)
        receiver.resolutionComplete()


class ResolverTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.names = HeldNames()
        self.resolver = Resolver(self.clock, self.names)
        self.found: list[tuple[str, ...]] = []

    def ask(self, host: str) -> None:
        self.resolver.resolve(host, self.found.append)

    def test_numeric_hosts_are_answered_at_once(self) -> None:
        for host in ("192.0.2.1", "[2001:db8:0::1]", "2001:db8::1"):
            self.ask(host)
        self.assertEqual(self.found, [("192.0.2.1",), ("2001:db8::1",), ("2001:db8::1",)])
        self.assertEqual(self.names.asked, [])

    def test_all_who_ask_at_once_share_one_look_up(self) -> None:
        self.ask("pbx.example.com")
        self.ask("PBX.example.com")
        self.assertEqual(len(self.names.asked), 1)
        four, six = IPv4Address("TCP", "192.0.2.1", 0), IPv6Address("TCP", "2001:db8::1", 0)
        self.names.answer(four, four, six)
        self.assertEqual(self.found, [("192.0.2.1", "2001:db8::1")] * 2)

    def test_an_answer_holds_for_a_while(self) -> None:
        self.ask("pbx.example.com")
        self.names.answer(IPv4Address("TCP", "192.0.2.1", 0))
        self.clock.advance(29)
        self.ask("pbx.example.com")
        self.assertEqual((len(self.found), self.names.asked), (2, []))
        self.clock.advance(2)
        self.ask("pbx.example.com")
        self.assertEqual(len(self.names.asked), 1)

    def test_a_failure_holds_shorter(self) -> None:
        self.ask("nowhere.example.com")
        self.names.answer()
        self.assertEqual(self.found, [()])
        self.clock.advance(4)
        self.assertEqual(self.resolver.known("nowhere.example.com"), ())
        self.clock.advance(2)
        self.assertIsNone(self.resolver.known("nowhere.example.com"))

    def test_what_is_remembered_is_bounded(self) -> None:
        for number in range(3000):
            self.ask(f"host{number}.example.com")
            self.names.answer()
        self.assertLess(len(self.resolver._known), 1025)
