"""What a carrier's trunk sends: traits that broke other servers, and recorded messages where they are at hand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from gosip_py.sip.decode import decode
from gosip_py.sip.fields import Reason
from gosip_py.sip.message import Message, Request
from gosip_py.sip.parser import parse_message
from tests.conformance import conforms
from tests.sip.vectors import octets, parsed

# Recorded messages are not ours to publish: they lie beside the checkout, or where the variable says.
_BESIDE = Path(__file__).parents[3] / "shared" / "data" / "twilio-invites"
_RECORDED = Path(os.environ.get("GOSIP_TEST_TRUNK_MESSAGES", _BESIDE))


def recorded() -> dict[str, bytes]:
    """The recorded messages by name, with the line ends and the body length that printing took from them."""
    found = {}
    for path in sorted(_RECORDED.glob("*.txt")):
        if path.stem != "README":
            head, _, body = path.read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")
            body = body.strip(b"\n").replace(b"\n", b"\r\n") + (b"\r\n" if body.strip() else b"")
            lines = [line for line in head.split(b"\n") if not line.lower().startswith(b"content-length")]
            lines.append(b"Content-Length: %d" % len(body))
            found[path.stem] = b"\r\n".join(lines) + b"\r\n\r\n" + body
    if not found:
        raise SkipTest(f"no recorded messages in {_RECORDED}")
    return found


class Traits(SynchronousTestCase):
    """An INVITE of our own with everything that the recorded ones have."""

    def setUp(self) -> None:
        self.invite = cast("Request", parsed("trunk"))

    def test_route_set(self) -> None:
        routes = self.invite.addresses("record-route")
        self.assertEqual([route.uri.transport for route in routes], ["TLS", ""])
        self.assertTrue(all("lr" in route.uri.parameters and route.uri.parameters["r2"] == "on" for route in routes))

    def test_private_contact_over_another_transport(self) -> None:
        contact = self.invite.addresses("contact")[0]
        self.assertEqual((contact.uri.host, contact.uri.transport), ("10.20.30.40", "UDP"))
        self.assertEqual(contact.uri_text, "sip:+15550100777@10.20.30.40:5060;transport=udp")

    def test_numbers(self) -> None:
        self.assertEqual(self.invite.uri.user, "+15550100123")
        self.assertEqual((self.invite.from_.uri.user, self.invite.from_.uri.port), ("+15550100777", 5060))
        self.assertEqual(self.invite.addresses("p-asserted-identity")[0].uri.host, "203.0.113.77")
        self.assertEqual(self.invite.addresses("diversion")[0].parameters, {"reason": "unconditional"})

    def test_identifiers(self) -> None:
        self.assertEqual(self.invite.from_tag, "07712002_a1b2c3d4_0f5b-11ee")
        self.assertEqual(self.invite.call_id, "4fd1e0d2c3b4a59687@0.0.0.0")
        self.assertEqual(self.invite.top_via.transport, "TLS")
        self.assertNotIn("supported", self.invite)

    @conforms("RFC 3261 16.6")
    def test_forwarded_untouched(self) -> None:
        self.assertEqual(self.invite.to_bytes(), octets("trunk"))


class Recorded(SynchronousTestCase):
    def test_each_is_read_and_written_back(self) -> None:
        for name, data in recorded().items():
            message = parse_message(data)
            self.assertEqual(message.to_bytes(), data, name)
            self.assertIn(message.cseq.method, ("INVITE", "ACK", "BYE"), name)
            self.assertTrue(message.from_tag, name)

    def test_each_header_that_was_not_blacked_out_is_decoded(self) -> None:
        for name, data in recorded().items():
            message = parse_message(data)
            for header, line in zip(message.names, message.lines, strict=True):
                if "<<" not in line and "[[" not in line:
                    single = Message([header], [line])
                    self.assertNotIn(decode(single, header), (None, ()), (name, line))

    def test_why_a_call_ended(self) -> None:
        data = recorded().get("bye-with-reason")
        if data is None:
            raise SkipTest("no recorded BYE with a Reason")
        self.assertEqual(decode(parse_message(data), "reason"), (Reason("Q.850", 16, "Normal call clearing"),))
