"""The way in: what is counted, marked, dropped, and what no exception gets past."""

from __future__ import annotations

from typing import cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.metrics import Metrics
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Request
from gosip_py.transport.counts import TransportCounts
from gosip_py.transport.flow import Flow
from gosip_py.transport.receiver import Receiver
from tests.conformance import conforms
from tests.network import MemoryNetwork, RecordingUser
from tests.transport.peers import options

RESPONSE = (
    "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKx\r\nCSeq: {}\r\nCall-ID: 1\r\nContent-Length: 0\r\n\r\n"
)


class BrokenUser(RecordingUser):
    """Breaks over every message."""

    def receive_request(self, request: Request, flow: Flow) -> None:
        raise RuntimeError("we broke")

    def receive_fault(self, error: ParseError, flow: Flow) -> None:
        raise RuntimeError("we broke")


class ReceiverTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.metrics = Metrics()
        self.counts = TransportCounts(self.metrics)
        self.user = RecordingUser()
        self.receiver = Receiver(self.counts, {"192.0.2.1:5060"})
        self.receiver.user = self.user
        ours = MemoryNetwork(Clock()).transport("192.0.2.1")
        self.flow = ours.flow_of("UDP", ("192.0.2.9", 4711))

    def received(self, method: str) -> float:
        return self.metrics.messages.child(method, "in").value

    @conforms("RFC 3261 18.2.1")
    def test_a_request_is_marked_and_counted(self) -> None:
        self.receiver.receive_datagram(options("SIP/2.0/UDP 10.0.0.1;rport;branch=z9hG4bKx"), self.flow)
        [(request, flow)] = self.user.requests
        self.assertEqual(request.top_via.parameters["received"], "192.0.2.9")
        self.assertIs(flow, self.flow)
        self.assertEqual(self.received("OPTIONS"), 1)

    def test_an_unknown_method_is_counted_as_other(self) -> None:
        for method in ("FOO", "options", "X" * 200):
            self.receiver.receive_datagram(options("SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx", method=method), self.flow)
        self.assertEqual(self.received("OTHER"), 3)
        self.assertEqual(len(self.user.requests), 3)

    @conforms("RFC 3261 18.1.2")
    def test_a_response_to_us_is_passed_up(self) -> None:
        self.receiver.receive_datagram(RESPONSE.format("192.0.2.1:5060", "1 INVITE").encode(), self.flow)
        self.assertEqual([response.status for response, _ in self.user.responses], [200])
        self.assertEqual(self.received("INVITE"), 1)

    @conforms("RFC 3261 18.1.2")
    def test_a_response_to_somebody_else_is_dropped_and_counted(self) -> None:
        for sent_by in ("192.0.2.1", "192.0.2.1:5070", "192.0.2.2:5060"):
            self.receiver.receive_datagram(RESPONSE.format(sent_by, "1 INVITE").encode(), self.flow)
        self.assertEqual(self.user.responses, [])
        self.assertEqual(self.counts.stray_responses, 3)

    def test_a_request_without_via_is_a_fault_of_that_request(self) -> None:
        self.receiver.receive_datagram(options("").replace(b"Via: \r\n", b""), self.flow)
        [(error, _)] = self.user.faults
        self.assertEqual(error.reason, "Via is missing")
        self.assertIsInstance(error.message, Request)

    def test_a_response_without_cseq_is_a_fault(self) -> None:
        data = RESPONSE.format("192.0.2.1:5060", "").replace("CSeq: \r\n", "")
        self.receiver.receive_datagram(data.encode(), self.flow)
        self.assertEqual(len(self.user.faults), 1)

    def test_a_fault_that_the_user_finds_comes_back_with_its_request(self) -> None:
        class StrictUser(RecordingUser):
            def receive_request(self, request: Request, flow: Flow) -> None:
                request.require("contact")

        user = self.receiver.user = StrictUser()
        self.receiver.receive_datagram(options("SIP/2.0/UDP 10.0.0.1;rport;branch=z9hG4bKx"), self.flow)
        [(error, _)] = user.faults
        self.assertEqual(error.reason, "Contact is missing")
        self.assertIsInstance(error.message, Request)

    def test_a_request_with_a_fault_is_marked_so_that_it_can_be_answered(self) -> None:
        data = options("SIP/2.0/UDP 10.0.0.1;rport;branch=z9hG4bKx").replace(
            b"Content-Length: 0", b"Content-Length: 99"
        )
        self.receiver.receive_datagram(data, self.flow)
        [(error, _)] = self.user.faults
        assert error.message is not None
        self.assertEqual(error.message.top_via.parameters["rport"], "4711")

    def test_garbage_of_every_kind_is_a_fault_and_never_an_exception(self) -> None:
        request = options("SIP/2.0/UDP 10.0.0.1;rport;branch=z9hG4bKx")
        garbage = [
            b"x", b"\xff" * 1000, b"\x00" * 500, b"SIP/2.0", b"SIP/2.0 999 x\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n",
            b"INVITE sip:\xff\xfe SIP/2.0\r\nVia: \xff\r\n\r\n", request.replace(b"0\r\n\r\n", b"-1\r\n\r\n"),
            request.replace(b"Length: 0", b"Length: 99999999999999999999"), b"A" * 65535, b"\r\n" * 3000,
            b"OPTIONS sip:a SIP/2.0\r\n" + b"X: y\r\n" * 10000 + b"\r\n",
        ]  # fmt: skip
        for data in garbage:
            self.receiver.receive_datagram(data, self.flow)
        self.assertEqual(len(self.user.faults), len(garbage))
        self.assertEqual(self.counts.internal_errors, 0)

    def test_every_prefix_of_a_request_is_a_fault_or_a_request(self) -> None:
        request = options("SIP/2.0/UDP 10.0.0.1;rport;branch=z9hG4bKx", body=b"hello")
        for end in range(1, len(request)):
            self.receiver.receive_datagram(request[:end], self.flow)
        self.assertEqual((len(self.user.faults), len(self.user.requests)), (len(request) - 1, 0))

    def test_an_exception_of_the_user_is_logged_and_counted_and_goes_no_further(self) -> None:
        self.receiver.user = BrokenUser()
        self.receiver.receive_datagram(options("SIP/2.0/UDP 10.0.0.1;rport;branch=z9hG4bKx"), self.flow)
        self.receiver.receive_datagram(b"garbage", self.flow)
        self.assertEqual(self.counts.internal_errors, 2)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)

    def test_a_bug_of_the_parser_goes_no_further(self) -> None:
        self.receiver.receive_datagram(cast(bytes, None), self.flow)
        self.assertEqual((self.counts.internal_errors, len(self.flushLoggedErrors(TypeError))), (1, 1))


class CountTests(SynchronousTestCase):
    def test_what_is_sent_is_counted_by_method(self) -> None:
        metrics = Metrics()
        counts = TransportCounts(metrics)
        counts.count_sent(b"INVITE sip:a SIP/2.0\r\n\r\n")
        counts.count_sent(b"SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\n\r\n")
        counts.count_sent(b"SIP/2.0 200 OK\r\nX: CSeq\r\ncseq  : \t17   INVITE \r\n\r\n")
        counts.count_sent(b"SIP/2.0 200 OK\r\nCSEQ: 1 BYE\r\n\r\n")
        for data in (
            b"",
            b"SIP/2.0 200 OK\r\n\r\n",
            b"FOO sip:a SIP/2.0\r\n\r\n",
            b"SIP/2.0 200 OK\r\nCSeq: 1 FOO\r\n\r\n",
        ):
            counts.count_sent(data)
        sent = {method: metrics.messages.child(method, "out").value for method in ("INVITE", "BYE", "OTHER")}
        self.assertEqual(sent, {"INVITE": 3, "BYE": 1, "OTHER": 4})
