"""What a request must carry on its way, as pure functions over messages (RFC 3261 16.4, 16.6, RFC 5658)."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.proxy.flow_token import is_token
from gosip_py.proxy.route import ProxyTarget, aim, has_hops_left, next_hop, record_route, take_routes
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Request
from gosip_py.sip.uri import Uri
from gosip_py.transport.flow import Target
from tests.conformance import conforms
from tests.network import MemoryNetwork
from tests.transaction.fakes import request

PHONE = Target("UDP", "192.0.2.20", 5060)


TOKEN = "<sip:flow.abc@192.0.2.1:5060;lr>"


def is_ours(uri: Uri) -> bool:
    return (not uri.user or is_token(uri.user)) and uri.host == "192.0.2.1" and uri.port in (None, 5060, 5061)


class RouteCase(SynchronousTestCase):
    def setUp(self) -> None:
        transport = MemoryNetwork(Clock()).transport("192.0.2.1")
        self.udp = transport.flow_of("UDP", ("192.0.2.10", 5060))
        self.tcp = transport.flow_of("TCP", ("192.0.2.20", 5060))

    def taken(self, message: Request) -> tuple[bool, str, list[str]]:
        """Whether a Route of ours was there; the Request-URI and the Routes afterwards."""
        found = take_routes(message, self.udp, is_ours)
        return found, message.uri_text, message.values("route")


class TakeRoutesTests(RouteCase):
    def test_without_a_route_nothing_changes(self) -> None:
        self.assertEqual(self.taken(request()), (False, "sip:bob@example.org", []))

    @conforms("RFC 3261 16.4")
    def test_our_own_is_taken_off(self) -> None:
        """16.4: when the first value indicates this proxy, "the proxy MUST remove that value from the request"."""
        for ours in ("<sip:192.0.2.1:5060;lr>", "<sip:192.0.2.1;transport=tcp;lr>", '"us, here" <sip:192.0.2.1;lr>'):
            self.assertEqual(self.taken(request(more=(f"Route: {ours}",))), (True, "sip:bob@example.org", []))

    @conforms("RFC 5658 4")
    def test_both_of_a_double_record_route(self) -> None:
        """RFC 5658 4: whoever put two values in has to take two out."""
        double = "Route: <sip:192.0.2.1:5060;transport=tcp;lr>, <sip:192.0.2.1:5060;lr>"
        self.assertEqual(self.taken(request(more=(double,)))[2], [])

    @conforms("RFC 3261 16.4")
    def test_those_of_others_stay_in_order(self) -> None:
        routes = ("Route: <sip:192.0.2.1:5060;lr>,<sip:a.example;lr>", "Route: <sip:b.example;lr>")
        left = ["<sip:a.example;lr>", "<sip:b.example;lr>"]
        self.assertEqual(self.taken(request(more=routes)), (True, "sip:bob@example.org", left))

    def test_a_comma_inside_of_a_value_is_no_end(self) -> None:
        routes = ('Route: "a, b" <sip:x,y@a.example;lr>, <sip:b.example;lr>',)
        left = ['"a, b" <sip:x,y@a.example;lr>', "<sip:b.example;lr>"]
        self.assertEqual(self.taken(request(more=routes)), (False, "sip:bob@example.org", left))

    @conforms("RFC 3261 16.4")
    def test_ours_behind_that_of_another_stays(self) -> None:
        routes = ("Route: <sip:a.example;lr>, <sip:192.0.2.1:5060;lr>",)
        self.assertEqual(self.taken(request(more=routes))[2], ["<sip:a.example;lr>", "<sip:192.0.2.1:5060;lr>"])

    @conforms("RFC 3261 16.4", "RFC 3261 16.12.1.2")
    def test_what_a_strict_router_did_is_undone(self) -> None:
        """16.4: "the proxy MUST replace the Request-URI in the request with the last value" from the Route."""
        strict = request(
            "BYE",
            uri="sip:192.0.2.1:5060;lr",
            more=("Route: <sip:a.example;lr>", "Route: <sip:bob@192.0.2.20:5062>"),
        )
        self.assertEqual(self.taken(strict), (True, "sip:bob@192.0.2.20:5062", ["<sip:a.example;lr>"]))

    @conforms("RFC 5626 5.3")
    def test_the_flow_token_that_leads_onward_stays(self) -> None:
        for routes, left in (
            (f"<sip:192.0.2.1:5060;lr>, {TOKEN}", [TOKEN]),
            (f"{TOKEN}, <sip:192.0.2.1:5060;lr>", []),
            (f"{TOKEN}, <sip:192.0.2.1:5061;transport=tls;lr>", []),
            (f"{TOKEN}, <sip:flow.def@192.0.2.1;lr>", ["<sip:flow.def@192.0.2.1;lr>"]),
            (f"{TOKEN}, <sip:a.example;lr>", [TOKEN, "<sip:a.example;lr>"]),
            ("<sip:flow.abc@a.example;lr>", ["<sip:flow.abc@a.example;lr>"]),
        ):
            self.assertEqual(self.taken(request(more=(f"Route: {routes}",)))[2], left, routes)

    @conforms("RFC 5626 5.3")
    def test_a_strict_router_loses_no_flow_token(self) -> None:
        strict = request("BYE", uri=TOKEN[1:-1], more=("Route: <sip:bob@192.0.2.20:5062>",))
        self.assertEqual(self.taken(strict), (True, "sip:bob@192.0.2.20:5062", [TOKEN]))

    def test_a_route_that_cannot_be_read(self) -> None:
        with self.assertRaises(ParseError):
            self.taken(request(more=("Route: <nonsense",)))


class AimTests(RouteCase):
    def aimed(self, message: Request, target: ProxyTarget | None = None) -> Target:
        return aim(message, target or ProxyTarget("sip:bob@192.0.2.20", PHONE))

    @conforms("RFC 3261 16.6")
    def test_the_request_uri_is_replaced_with_its_parameters(self) -> None:
        """16.6 item 2: "The Request-URI in the copy's start line MUST be replaced with the URI for this target"."""
        message = request()
        self.assertEqual(self.aimed(message, ProxyTarget("sip:b@192.0.2.20:5062;ob;x=1", PHONE)), PHONE)
        self.assertEqual(message.start_line, "INVITE sip:b@192.0.2.20:5062;ob;x=1 SIP/2.0")

    @conforms("RFC 3261 16.6")
    def test_one_hop_less(self) -> None:
        """16.6 item 3: "the proxy MUST decrement its value by one (1)"."""
        for value, left in (("70", "69"), ("1", "0"), ("  007 ", "6")):
            message = request()
            message.set("max-forwards", value)
            self.aimed(message)
            self.assertEqual(message.values("max-forwards"), [left])

    @conforms("RFC 3261 16.6")
    def test_seventy_hops_when_nobody_counted(self) -> None:
        """16.6 item 3: "the proxy MUST add one with a field value, which SHOULD be 70"."""
        message = request()
        message.remove("max-forwards")
        self.aimed(message)
        self.assertEqual(message.values("max-forwards"), ["70"])

    def test_hops_that_are_no_number(self) -> None:
        message = request()
        message.set("max-forwards", "many")
        for read in (has_hops_left, self.aimed):
            with self.assertRaises(ParseError):
                read(message)

    @conforms("RFC 3261 16.3")
    def test_hops_left(self) -> None:
        message = request()
        for value, expected in (("0", False), ("000", False), ("1", True)):
            message.set("max-forwards", value)
            self.assertEqual(has_hops_left(message), expected)
        message.remove("max-forwards")
        self.assertTrue(has_hops_left(message))

    @conforms("RFC 3327 5.4")
    def test_the_path_becomes_the_route(self) -> None:
        """RFC 3327 5.4: the Path of the binding, in its order, as Route."""
        message = request()
        path = ("<sip:edge.example;lr>", "<sip:inner.example:5070;lr>")
        where = self.aimed(message, ProxyTarget("sip:bob@10.0.0.7", PHONE, path))
        self.assertEqual(message.values("route"), list(path))
        self.assertEqual(where, Target("", "edge.example", 0))

    def test_the_flow_of_the_binding_leads_to_the_edge(self) -> None:
        message = request()
        over_flow = Target("TCP", "192.0.2.20", 5060, self.tcp)
        where = self.aimed(message, ProxyTarget("sip:b@10.0.0.7", over_flow, ("<sip:edge.example;lr>",)))
        self.assertIs(where.flow, self.tcp)

    @conforms("RFC 3261 16.6", "RFC 3261 16.12.1.2")
    def test_a_strict_router_comes_next(self) -> None:
        """16.6 item 6: "The proxy MUST place the Request-URI into the Route header field as the last value"."""
        message = request(more=("Route: <sip:old.example>, <sip:b.example;lr>",))
        where = self.aimed(message, ProxyTarget(message.uri_text, PHONE))
        self.assertEqual(message.uri_text, "sip:old.example")
        self.assertEqual(message.values("route"), ["<sip:b.example;lr>", "<sip:bob@example.org>"])
        self.assertEqual(where, Target("", "old.example", 0))

    @conforms("RFC 3261 16.6")
    def test_the_next_hop(self) -> None:
        self.assertEqual(next_hop(request()).host, "example.org")
        self.assertEqual(next_hop(request(more=("Route: <sip:a.example;lr>, <sip:b.example;lr>",))).host, "a.example")


class RecordRouteTests(RouteCase):
    def recorded(self, *more: str, arrived_over_tcp: bool = False, leaves_over_tcp: bool = False) -> list[str]:
        message = request(more=more)
        record_route(message, *(self.tcp if over else self.udp for over in (arrived_over_tcp, leaves_over_tcp)))
        return message.values("record-route")

    @conforms("RFC 3261 16.6")
    def test_once_between_like_sockets(self) -> None:
        """16.6 item 4: a URI by which this element can be reached again, with lr."""
        self.assertEqual(self.recorded(), ["<sip:192.0.2.1:5060;lr>"])

    @conforms("RFC 3261 16.6")
    def test_before_those_of_others(self) -> None:
        """16.6 item 4: "before any existing Record-Route header field values"."""
        self.assertEqual(
            self.recorded("Record-Route: <sip:a.example;lr>"), ["<sip:192.0.2.1:5060;lr>", "<sip:a.example;lr>"]
        )

    @conforms("RFC 5658 3.3", "RFC 3608 6.2")
    def test_twice_where_the_transport_changes(self) -> None:
        """RFC 5658 3.3: one value for each side, that of the outgoing one on top."""
        udp, tcp = "<sip:192.0.2.1:5060;lr>", "<sip:192.0.2.1:5060;transport=tcp;lr>"
        self.assertEqual(self.recorded(leaves_over_tcp=True), [tcp, udp])
        self.assertEqual(self.recorded(arrived_over_tcp=True), [udp, tcp])
