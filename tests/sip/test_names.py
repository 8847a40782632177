"""Header names in every spelling."""

from __future__ import annotations

import sys

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip.names import COMMA_SEPARATED, SINGLE, SPELLINGS, canonical_name, wire_name


class Canonical(SynchronousTestCase):
    def test_any_case(self) -> None:
        for written in ("Call-ID", "call-id", "CALL-ID", "cAlL-iD", "i", "I", "Call-ID \t"):
            self.assertEqual(canonical_name(written), "call-id")

    def test_compact_forms(self) -> None:
        # the compact forms that IANA lists
        pairs = {
            "a": "accept-contact",
            "b": "referred-by",
            "c": "content-type",
            "d": "request-disposition",
            "e": "content-encoding",
            "f": "from",
            "i": "call-id",
            "j": "reject-contact",
            "k": "supported",
            "l": "content-length",
            "m": "contact",
            "n": "identity-info",
            "o": "event",
            "r": "refer-to",
            "s": "subject",
            "t": "to",
            "u": "allow-events",
            "v": "via",
            "x": "session-expires",
            "y": "identity",
        }
        self.assertEqual({short: canonical_name(short) for short in pairs}, pairs)

    def test_unknown_names_keep_their_letters(self) -> None:
        self.assertEqual(canonical_name("X-Twilio-CallSid"), "x-twilio-callsid")

    def test_known_names_are_one_object(self) -> None:
        self.assertIs(canonical_name("VIA"), canonical_name("v"))
        self.assertIs(canonical_name("vIa"), sys.intern("via"))

    def test_tables_hold_canonical_names(self) -> None:
        for name in COMMA_SEPARATED | SINGLE:
            self.assertEqual(SPELLINGS[name], name)
        self.assertFalse(COMMA_SEPARATED & SINGLE)


class Written(SynchronousTestCase):
    def test_known(self) -> None:
        for written in ("CSeq", "Call-ID", "WWW-Authenticate", "MIME-Version", "RAck", "Min-SE", "SIP-ETag"):
            self.assertEqual(wire_name(canonical_name(written)), written)

    def test_unknown(self) -> None:
        self.assertEqual(wire_name("x-trunk-id"), "X-Trunk-Id")
