"""The table from header names to decoders."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip import fields
from gosip_py.sip.decode import DECODERS, decode, decode_all
from gosip_py.sip.digest import Challenge, Credentials
from gosip_py.sip.errors import ParseError
from gosip_py.sip.fields import Accepted, Reason, WarningValue
from gosip_py.sip.headers import Address, CSeq
from gosip_py.sip.names import SPELLINGS, canonical_name
from gosip_py.sip.parser import parse_head, parse_message
from tests.sip.vectors import parsed, with_headers

# RFC 3261 20.1 to 20.44
_RFC3261 = """Accept Accept-Encoding Accept-Language Alert-Info Allow Authorization Call-ID Call-Info Contact
Content-Disposition Content-Encoding Content-Language Content-Length Content-Type CSeq Date Error-Info Expires From
In-Reply-To Max-Forwards Min-Expires MIME-Version Organization Priority Proxy-Authenticate Proxy-Authorization
Proxy-Require Record-Route Reply-To Require Retry-After Route Server Subject Supported Timestamp To Unsupported
User-Agent Via Warning WWW-Authenticate""".split()

_SAMPLES = {
    "accept": "a/b",
    "alert-info": "<http://a>",
    "authorization": 'Digest username="a",realm="b",nonce="c",uri="d",response="e"',
    "call-info": "<http://a>",
    "content-type": "a/b",
    "cseq": "1 ACK",
    "date": "Thu, 01 Jan 2026 00:00:00 GMT",
    "error-info": "<http://a>",
    "join": "1;to-tag=a;from-tag=b",
    "mime-version": "1.0",
    "proxy-authenticate": 'Digest realm="a",nonce="b"',
    "rack": "1 1 INVITE",
    "replaces": "1;to-tag=a;from-tag=b",
    "via": "SIP/2.0/UDP h",
    "warning": '399 a "b"',
}
_SAMPLES |= {"proxy-authorization": _SAMPLES["authorization"], "www-authenticate": _SAMPLES["proxy-authenticate"]}


class Table(SynchronousTestCase):
    def test_every_header_of_rfc_3261(self) -> None:
        self.assertEqual([name for name in _RFC3261 if canonical_name(name) not in DECODERS], [])

    def test_names_are_canonical(self) -> None:
        for name in DECODERS:
            self.assertEqual(SPELLINGS[name], name)

    def test_each_reads_what_it_should_and_refuses_what_not(self) -> None:
        for name in DECODERS:
            good = parse_head(f"INFO sip:a SIP/2.0\r\n{name}: {_SAMPLES.get(name, '1')}")
            self.assertTrue(decode(good, name), name)
            if name not in ("organization", "server", "subject", "user-agent"):
                bad = parse_head(f'INFO sip:a SIP/2.0\r\n{name}: (x) @"')
                self.assertRaises(ParseError, decode, bad, name)


class Decoding(SynchronousTestCase):
    def test_one_and_many(self) -> None:
        message = parsed("quoted")
        self.assertEqual(decode(message, "cseq"), CSeq(1, "MESSAGE"))
        self.assertEqual(
            decode(message, "warning"),
            (
                WarningValue(301, "harbour.example", 'use "other", please'),
                WarningValue(399, "192.0.2.9:5060", "second"),
            ),
        )

    def test_missing(self) -> None:
        message = parsed("ok")
        self.assertIsNone(decode(message, "subject"))
        self.assertEqual(decode(message, "allow"), ())

    def test_unknown_headers_give_their_text(self) -> None:
        self.assertEqual(decode(parsed("trunk"), "x-trunk-callsid"), "CA0123")

    def test_kept_type(self) -> None:
        message = parse_message(
            with_headers("Accept: a/b, c/d;q=0.5", 'Reason: SIP;cause=200,Q.850;cause=16;text="a, b"')
        )
        accepted = decode_all(message, "accept", fields.parse_accept)
        self.assertEqual(accepted, (Accepted("a/b"), Accepted("c/d", 500)))
        self.assertEqual(decode(message, "reason"), (Reason("SIP", 200), Reason("Q.850", 16, "a, b")))

    def test_addresses(self) -> None:
        message = parse_message(with_headers("Contact: *", "Route: <sip:a;lr>, <sip:b;lr>", "Reply-To: *"))
        self.assertEqual(decode(message, "contact"), (Address("", "*"),))
        self.assertEqual(decode(message, "route"), (Address("", "sip:a;lr"), Address("", "sip:b;lr")))
        self.assertRaises(ParseError, decode, message, "reply-to")

    def test_authentication(self) -> None:
        message = parse_message(
            with_headers(
                f"Authorization: {_SAMPLES['authorization']}", f"WWW-Authenticate: {_SAMPLES['www-authenticate']}"
            )
        )
        credentials, challenge = decode(message, "authorization"), decode(message, "www-authenticate")
        assert isinstance(credentials, Credentials)
        assert isinstance(challenge, Challenge)
        self.assertEqual((credentials.username, challenge.nonce), ("a", "b"))
