"""Who a GRUU stands for within a dialog, as the proxy is told."""

from __future__ import annotations

from gosip_py.call.dereference import dereference_by
from gosip_py.proxy.route import ProxyTarget
from gosip_py.sip.uri import parse_uri
from gosip_py.transaction.validation import Refusal
from tests.call.test_router import INSTANCE, RouterCase
from tests.conformance import conforms
from tests.registrar.fakes import NOW


@conforms("RFC 5627 6.1")
class DereferenceTests(RouterCase):
    def look(self, uri: str) -> ProxyTarget | Refusal | None:
        return dereference_by(self.router, lambda: NOW)(parse_uri(uri))

    def test_a_phone(self) -> None:
        self.register("alice", "sip:desk@192.0.2.5:5060", 10, instance=INSTANCE)
        found = self.look(f"sip:alice@example.com;gr={INSTANCE[1:-1]}")
        assert isinstance(found, ProxyTarget)
        self.assertEqual((found.uri_text, found.is_direct), ("sip:desk@192.0.2.5:5060", True))

    def test_what_cannot_be_reached(self) -> None:
        for uri, status in (
            ("sip:alice@example.com;gr=urn:uuid:1", 480),
            ("sip:nobody@example.com;gr=urn:uuid:1", 404),
            ("sip:tgruu.x@example.com;gr", 404),
        ):
            found = self.look(uri)
            assert isinstance(found, Refusal)
            self.assertEqual(found.status, status, uri)

    def test_what_is_none(self) -> None:
        self.assertIsNone(self.look("sip:alice@example.com"))
