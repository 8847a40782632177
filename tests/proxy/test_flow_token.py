"""Flow tokens (RFC 5626 5.2, 5.3), and who needs one."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.proxy.flow_token import FlowTokens, asks_for_its_flow, is_token
from gosip_py.sip.headers import parse_address
from gosip_py.sip.uri import parse_uri
from gosip_py.transaction.validation import Refusal
from gosip_py.transport.flow import Address, Flow
from tests.conformance import conforms
from tests.network import MemoryFlow, MemoryNetwork
from tests.registrar.fakes import StillFlow
from tests.transaction.fakes import request

SECRET = b"a secret of these tests"


class Sockets:
    """UDP sockets at these addresses."""

    def __init__(self, *local: Address) -> None:
        self._local = local

    def datagram_flow(self, local: Address, remote: Address) -> Flow | None:
        return StillFlow("UDP", remote, local) if local in self._local else None


class TokenCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.sockets = Sockets(("192.0.2.1", 5060), ("192.0.2.1", 5080), ("2001:db8::1", 5060))
        self.tokens = FlowTokens(SECRET, self.sockets)

    def token(self, flow: Flow) -> str:
        return parse_address(self.tokens.route(flow)).uri.user

    def refused(self, token: str) -> int:
        found = self.tokens.find(token)
        assert isinstance(found, Refusal), found
        return found.status


@conforms("RFC 5626 5.2")
class TokenTests(TokenCase):
    def test_a_route_of_ours_with_the_token_as_user(self) -> None:
        for transport in ("UDP", "TCP"):
            flow = StillFlow(transport, ("203.0.113.9", 40001))
            route = parse_address(self.tokens.route(flow))
            self.assertTrue(is_token(route.uri.user))
            self.assertEqual(route.uri_text.replace(f"{route.uri.user}@", ""), flow.record_route[1:-1])

    def test_a_datagram_flow_is_found_by_its_addresses(self) -> None:
        for local, remote in (
            (("192.0.2.1", 5060), ("203.0.113.9", 1)),
            (("192.0.2.1", 5080), ("203.0.113.9", 65535)),
            (("2001:db8::1", 5060), ("2001:db8::77", 40001)),
        ):
            found = self.tokens.find(self.token(StillFlow("UDP", remote, local)))
            assert isinstance(found, Flow)
            self.assertEqual((found.transport, found.local, found.remote), ("UDP", local, remote))

    def test_it_survives_a_restart_with_the_secret(self) -> None:
        token = self.token(StillFlow("UDP", ("203.0.113.9", 40001)))
        self.tokens = FlowTokens(SECRET, self.sockets)
        self.assertIsInstance(self.tokens.find(token), Flow)
        self.tokens = FlowTokens(b"another secret", self.sockets)
        self.assertEqual(self.refused(token), 403)

    def test_a_connection_is_found_while_it_stands(self) -> None:
        for transport in ("TCP", "TLS"):
            flow = StillFlow(transport, ("203.0.113.9", 40001))
            token = self.token(flow)
            self.assertIs(self.tokens.find(token), flow)
            flow.has_failed = True
            self.assertEqual(self.refused(token), 430)

    def test_a_connection_does_not_survive_a_restart(self) -> None:
        token = self.token(StillFlow("TCP"))
        self.tokens = FlowTokens(SECRET, self.sockets)
        self.assertEqual(self.refused(token), 430)

    def test_two_flows_have_two_tokens(self) -> None:
        flows = [
            StillFlow("UDP", ("203.0.113.9", 40001)),
            StillFlow("TCP", ("203.0.113.9", 40001)),
            StillFlow("UDP", ("203.0.113.9", 40002)),
            StillFlow("UDP", ("203.0.113.8", 40001)),
            StillFlow("UDP", ("203.0.113.9", 40001), ("192.0.2.1", 5080)),
        ]
        self.assertEqual(len({self.token(flow) for flow in flows}), 5)

    @conforms("RFC 5626 5.3.1")
    def test_one_that_was_tampered_with(self) -> None:
        token = self.token(StillFlow("UDP", ("203.0.113.9", 40001)))
        for at in range(len("flow."), len(token)):
            other = "A" if token[at] != "A" else "B"
            self.assertEqual(self.refused(token[:at] + other + token[at + 1 :]), 403, at)
        for nonsense in ("flow.", "flow.x", "flow.AAAA", "flow.====", "flow.\u00e4", token + "AAAA", token[:-4]):
            self.assertEqual(self.refused(nonsense), 403, nonsense)

    @conforms("RFC 5626 5.3.1")
    def test_a_socket_that_was_closed(self) -> None:
        token = self.token(StillFlow("UDP", ("203.0.113.9", 40001), ("192.0.2.9", 5060)))
        self.assertEqual(self.refused(token), 430)

    def test_closed_connections_are_not_kept(self) -> None:
        for port in range(10_000):
            flow = StillFlow("TCP", ("203.0.113.9", port + 1))
            self.token(flow)
            flow.has_failed = True
        self.assertLess(len(self.tokens._connections), 200)


class TakeTests(TokenCase):
    def setUp(self) -> None:
        super().setUp()
        self.phone = StillFlow("UDP", ("203.0.113.9", 40001))
        self.other = StillFlow("UDP", ("192.0.2.10", 5060))

    @conforms("RFC 5626 5.3")
    def test_an_incoming_request(self) -> None:
        message = request("NOTIFY", more=(f"Route: {self.tokens.route(self.phone)}, <sip:next.example;lr>",))
        found = self.tokens.take(message, self.other)
        assert isinstance(found, Flow)
        self.assertEqual(found.remote, self.phone.remote)
        self.assertEqual(message.values("route"), ["<sip:next.example;lr>"])

    @conforms("RFC 5626 5.3")
    def test_an_outgoing_request(self) -> None:
        message = request("BYE", more=(f"Route: {self.tokens.route(self.phone)}",))
        self.assertIsNone(self.tokens.take(message, self.phone))
        self.assertEqual(message.values("route"), [])

    def test_routes_of_others_are_left_alone(self) -> None:
        for route in ("<sip:next.example;lr>", "<sip:alice@192.0.2.1;lr>", '"flow." <sip:next.example;lr>'):
            message = request("BYE", more=(f"Route: {route}",))
            self.assertIsNone(self.tokens.take(message, self.other))
            self.assertEqual(message.values("route"), [route])
        self.assertIsNone(self.tokens.take(request("BYE"), self.other))


class NeedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.transport = MemoryNetwork(Clock()).transport("192.0.2.1")

    def asks(
        self, contact: str, via: str = "10.0.0.7:5060;rport", behind: tuple[str, ...] = (), kind: str = "UDP"
    ) -> bool:
        flow: MemoryFlow = self.transport.flow_of(kind, ("203.0.113.9", 40001))
        message = request("SUBSCRIBE", more=(f"Contact: {contact}",))
        message.set("via", f"SIP/2.0/{kind} {via};branch=z9hG4bKx")
        for value in behind:
            message.add("via", value)
        return asks_for_its_flow(message, flow)

    @conforms("RFC 5626 5.3.2")
    def test_who_says_so(self) -> None:
        self.assertTrue(self.asks("<sip:alice@203.0.113.9:40001;ob>", "203.0.113.9:40001;rport"))
        self.assertTrue(self.asks("<sip:alice@198.51.100.9;ob>"))
        self.assertFalse(self.asks("<sip:alice@203.0.113.9:40001;obscure>", "203.0.113.9:40001;rport"))

    def test_who_is_behind_a_nat(self) -> None:
        self.assertTrue(self.asks("<sip:alice@10.0.0.7:5060>"))
        self.assertTrue(self.asks("<sip:alice@10.0.0.7;transport=tcp>", "10.0.0.7:5060", kind="TCP"))
        self.assertTrue(self.asks("<sip:alice@df7jal23ls0d.invalid;transport=ws>", "df7jal23ls0d.invalid", kind="TCP"))
        # the port alone was changed
        self.assertTrue(self.asks("<sip:alice@203.0.113.9:5060>", "203.0.113.9:5060;rport"))

    def test_who_is_not(self) -> None:
        self.assertFalse(self.asks("<sip:alice@203.0.113.9:40001>", "203.0.113.9:40001;rport"))
        self.assertFalse(self.asks("sip:alice@203.0.113.9:40001", "203.0.113.9:40001;rport"))
        # one that listens at another port than it sends from
        self.assertFalse(self.asks("<sip:alice@203.0.113.9:5060>", "203.0.113.9:5060"))
        # the port of a connection is no port to call
        self.assertFalse(self.asks("<sip:alice@203.0.113.9:5062>", "203.0.113.9:5062", kind="TCP"))

    def test_whose_contact_is_a_third_party(self) -> None:
        self.assertFalse(self.asks("<sip:alice@198.51.100.7>"))

    def test_whom_others_stand_before(self) -> None:
        self.assertFalse(self.asks("<sip:alice@10.0.0.7;ob>", behind=("SIP/2.0/UDP 10.0.0.7;branch=z9hG4bKy",)))
        self.assertFalse(self.asks("<sip:alice@10.0.0.7;ob>", "192.0.2.50, SIP/2.0/UDP 10.0.0.7:5060"))

    def test_what_cannot_be_read(self) -> None:
        for contact in ("<sip:alice@10.0.0.7;ob", "*", "<mailto:a@b;ob>", "", ","):
            self.assertFalse(self.asks(contact), contact)

    def test_without_a_contact(self) -> None:
        flow = self.transport.flow_of("UDP", ("203.0.113.9", 40001))
        message = request("SUBSCRIBE")
        message.remove("contact")
        self.assertFalse(asks_for_its_flow(message, flow))


class UriTests(SynchronousTestCase):
    def test_only_a_user_that_begins_so_is_a_token(self) -> None:
        for uri, expected in (("sip:flow.x@h", True), ("sip:flower@h", False), ("sip:h", False)):
            self.assertEqual(is_token(parse_uri(uri).user), expected)
