"""SIP, SIPS and tel URIs."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip.errors import ParseError
from gosip_py.sip.uri import Uri, escape_user, parse_uri
from tests.conformance import conforms


class Reading(SynchronousTestCase):
    def test_all_parts(self) -> None:
        uri = parse_uri("SIPS:al%69ce:se:cret@Mill.Example:5071;Transport=tcp;lr;x=%41?Subject=a%20b&p=1")
        self.assertEqual(
            (uri.scheme, uri.user, uri.password, uri.host, uri.port), ("sips", "alice", "se:cret", "mill.example", 5071)
        )
        self.assertEqual(uri.parameters, {"transport": "tcp", "lr": None, "x": "A"})
        self.assertEqual(uri.headers, "Subject=a%20b&p=1")
        self.assertTrue(uri.is_secure)
        self.assertEqual(uri.transport, "TCP")

    def test_user_may_hold_separators(self) -> None:
        self.assertEqual(parse_uri("sip:+1-555;isub=3?x@mill.example").user, "+1-555;isub=3?x")
        self.assertEqual(parse_uri("sip:sips%3Auser%40a.example@b.example").user, "sips:user@a.example")

    def test_no_user(self) -> None:
        uri = parse_uri("sip:mill.example")
        self.assertEqual((uri.user, uri.host, uri.port, uri.transport), ("", "mill.example", None, ""))
        self.assertFalse(uri.is_secure)

    @conforms("RFC 5118 4.9", "RFC 5118 4.10")
    def test_ipv6_in_unusual_forms(self) -> None:
        for text, host in (
            ("[::FFFF:192.0.2.1]", "[::ffff:192.0.2.1]"),
            ("[2001:db8:::192.0.2.1]", "[2001:db8::192.0.2.1]"),
            ("[2001:db8::10:5070]", "[2001:db8::10:5070]"),
        ):
            self.assertEqual(parse_uri(f"sip:ruth@{text}").host, host)

    def test_brackets_around_something_else(self) -> None:
        for host in (
            "[]",
            "[:]",
            "[1]",
            "[192.0.2.1]",
            "[::1::2]",
            "[1:2:3:4:5:6:7:8:9]",
            "[12345::]",
            f"[{'1:' * 4000}]",
            f"[fe80::1%{'1' * 60}]",
        ):
            self.assertRaises(ParseError, parse_uri, f"sip:ruth@{host}")

    def test_ipv6(self) -> None:
        uri = parse_uri("sip:ruth@[2001:DB8::10]:5070")
        self.assertEqual((uri.host, uri.port), ("[2001:db8::10]", 5070))

    def test_tel(self) -> None:
        uri = parse_uri("TEL:+1-555-0100;Phone-Context=mill.example")
        self.assertEqual((uri.scheme, uri.user, uri.host), ("tel", "+1-555-0100", ""))
        self.assertEqual(uri.parameters, {"phone-context": "mill.example"})

    def test_refused(self) -> None:
        for text in (
            "",
            "sip",
            "sip:",
            "sip:@a",
            "sip:a@",
            "sip:a b@c",
            "sip:a@b c",
            "sip:a@b:port",
            "sip:a@b:70000",
            "sip:a@b:",
            "sip:a@[::1",
            "sip:a@b@c",
            "sip:%zz@a",
            "sip:%4@a",
            "sip:a@b;x=%",
            "sip:<a@b>",
            'sip:"a"@b',
            "sip:a@b\r\nX: y",
            "sip:a@b/c",
            "tel:",
            "tel:alice",
            "tel:+1 555",
            "sip:\udcff@a",
            "sip:%ff@a",
            "sip:a@b;x=%ff",
            ":a",
            "1a:b",
        ):
            self.assertRaises(ParseError, parse_uri, text)

    def test_password_is_not_shown(self) -> None:
        self.assertNotIn("hush", repr(parse_uri("sip:a:hush@b")))

    def test_other_schemes_are_named(self) -> None:
        for text in ("http://a", "mailto:a@b", "soap.beep:x", "nobodyKnowsThisScheme:opaque"):
            error = self.assertRaises(ParseError, parse_uri, text)
            self.assertIn("unknown scheme", error.reason)


class Writing(SynchronousTestCase):
    def test_there_and_back(self) -> None:
        for text in (
            "sip:mill.example",
            "sips:ruth@mill.example:5061;transport=tcp;lr?a=b",
            "sip:a%40b%3A%25:pw@mill.example",
            "sip:%C3%A9t%C3%A9@mill.example",
            "sip:ruth@[2001:db8::1]:5060;x=[y]/%20",
            "tel:+15550100;ext=7",
        ):
            self.assertEqual(str(parse_uri(text)), text)

    def test_escaped_users(self) -> None:
        self.assertEqual(escape_user("a@b c%"), "a%40b%20c%25")
        self.assertEqual(escape_user("+1-555.0100"), "+1-555.0100")
        self.assertEqual(escape_user("é"), "%C3%A9")
        self.assertEqual(escape_user("\udcff"), "%FF")


# RFC 3261 19.1.4, each rule with values of our own
_ALIKE = (
    ("sip:%72uth@mill.example;transport=TCP", "sip:ruth@MiLL.Example;Transport=tcp"),
    ("sip:zoe@dock.example", "sip:zoe@dock.example;newparam=5"),
    ("sip:zoe@dock.example", "sip:zoe@dock.example;security=on"),
    (
        "sip:dock.example;transport=tcp;method=REGISTER?to=sip:bo%40dock.example",
        "sip:dock.example;method=REGISTER;transport=tcp?to=sip:bo%40dock.example",
    ),
    (
        "sip:al@mill.example?subject=new%20boat&priority=urgent",
        "sip:al@mill.example?priority=urgent&subject=new%20boat",
    ),
    ("tel:+1-555-0100", "tel:+1.(555).0100"),
    ("tel:0100;phone-context=Mill.Example", "TEL:01-00;PHONE-CONTEXT=mill.example"),
)
_DIFFERENT = (
    ("SIP:RUTH@mill.example;Transport=udp", "sip:ruth@mill.example;Transport=UDP"),
    ("sip:bo@dock.example", "sip:bo@dock.example:5060"),
    ("sip:bo@dock.example", "sip:bo@dock.example;transport=udp"),
    ("sip:bo@dock.example", "sip:bo@dock.example:6000;transport=tcp"),
    ("sip:zoe@dock.example", "sip:zoe@dock.example?Subject=tide"),
    ("sip:bo@pier4.dock.example", "sip:bo@192.0.2.4"),
    ("sip:bo@dock.example", "sips:bo@dock.example"),
    ("sip:bo@dock.example", "sip:dock.example"),
    ("sip:bo@dock.example", "sip:bo:pw@dock.example"),
    ("sip:bo@dock.example;maddr=192.0.2.1", "sip:bo@dock.example"),
    ("sip:bo@dock.example;ttl=1", "sip:bo@dock.example"),
    ("sip:bo@dock.example;user=phone", "sip:bo@dock.example"),
    ("sip:bo@dock.example;security=on", "sip:bo@dock.example;security=off"),
    ("sip:bo@dock.example?a=1", "sip:bo@dock.example?a=2"),
    ("tel:+15550100", "tel:5550100"),
    ("tel:0100;phone-context=a.example", "tel:0100"),
    ("tel:+15550100", "sip:+15550100@dock.example"),
)


class Comparing(SynchronousTestCase):
    def test_alike(self) -> None:
        for one, other in _ALIKE:
            self.assertTrue(parse_uri(one).is_equivalent(parse_uri(other)), (one, other))
            self.assertTrue(parse_uri(other).is_equivalent(parse_uri(one)), (other, one))

    def test_different(self) -> None:
        for one, other in _DIFFERENT:
            self.assertFalse(parse_uri(one).is_equivalent(parse_uri(other)), (one, other))
            self.assertFalse(parse_uri(other).is_equivalent(parse_uri(one)), (other, one))

    def test_each_is_like_itself(self) -> None:
        for text in {uri for pair in _ALIKE + _DIFFERENT for uri in pair}:
            self.assertTrue(parse_uri(text).is_equivalent(parse_uri(text)), text)

    def test_not_transitive(self) -> None:
        plain = Uri("sip", "zoe", "dock.example")
        on, off = evolve(plain, parameters={"s": "on"}), evolve(plain, parameters={"s": "off"})
        self.assertTrue(plain.is_equivalent(on) and plain.is_equivalent(off))
        self.assertFalse(on.is_equivalent(off))
