"""Digest: the arithmetic against published examples, credentials in every spelling, nonces."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip.digest import (
    Algorithm,
    Challenge,
    Credentials,
    NonceFactory,
    NonceState,
    answer_challenge,
    find_algorithm,
    ha1,
    is_answered_by,
    legacy_response,
    parse_challenge,
    parse_credentials,
    response,
)
from gosip_py.sip.errors import ParseError
from tests.conformance import conforms

# RFC 7616 3.9.1
_REALM = "http-auth@example.org"
_NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
_CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
_URI = "/dir/index.html"
_ANSWERS = {
    Algorithm.MD5: "8ca523f5e9506fed4657c9700eebdbec",
    Algorithm.SHA_256: "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
}


class Arithmetic(SynchronousTestCase):
    @conforms("RFC 8760 2.1", "RFC 8760 2.2")
    def test_rfc_7616(self) -> None:
        for algorithm, wanted in _ANSWERS.items():
            key = ha1(algorithm, "Mufasa", _REALM, "Circle of Life")
            self.assertEqual(response(algorithm, key, _NONCE, "00000001", _CNONCE, "auth", "GET", _URI), wanted)

    def test_rfc_2617(self) -> None:
        key = ha1(Algorithm.MD5, "Mufasa", "testrealm@host.com", "Circle Of Life")
        nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093"
        self.assertEqual(
            response(Algorithm.MD5, key, nonce, "00000001", "0a4f113b", "auth", "GET", _URI),
            "6629fae49393a05397450978507c4ef1",
        )

    def test_without_qop(self) -> None:
        # RFC 2069 2.4 as corrected by its erratum
        key = ha1(Algorithm.MD5, "Mufasa", "testrealm@host.com", "CircleOfLife")
        nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093"
        self.assertEqual(legacy_response(Algorithm.MD5, key, nonce, "GET", _URI), "1949323746fe6a43ef61f9606e7febea")

    def test_other_octets(self) -> None:
        self.assertNotEqual(ha1(Algorithm.MD5, "\udcff", "r", "p"), ha1(Algorithm.MD5, "ÿ", "r", "p"))

    @conforms("RFC 8760 2.7")
    def test_algorithm_names(self) -> None:
        for name, wanted in (
            (None, "MD5"),
            ("md5", "MD5"),
            ("Md5", "MD5"),
            ("SHA-256", "SHA-256"),
            ("sha-256", "SHA-256"),
        ):
            self.assertEqual(find_algorithm(name).value, wanted)
        for name in ("", "MD5-sess", "SHA-256-sess", "SHA-512-256", "SHA256", "none"):
            self.assertRaises(ParseError, find_algorithm, name)


def credentials_text(**changes: str | None) -> str:
    """Well-formed credentials with some parameters replaced (None: left out)."""
    values: dict[str, str | None] = {
        "username": '"ruth"',
        "realm": '"harbour.example"',
        "nonce": '"n1"',
        "uri": '"sip:harbour.example"',
        "response": '"aa"',
        "algorithm": "MD5",
        "qop": "auth",
        "nc": "0000002a",
        "cnonce": '"c1"',
        "opaque": '"o1"',
    }
    values.update(changes)
    return "Digest " + ", ".join(f"{name}={value}" for name, value in values.items() if value is not None)


class ReadingCredentials(SynchronousTestCase):
    def test_all_parameters(self) -> None:
        read = parse_credentials(credentials_text(algorithm="SHA-256", extra='"x"'))
        self.assertEqual(
            (read.username, read.realm, read.nonce, read.uri, read.response),
            ("ruth", "harbour.example", "n1", "sip:harbour.example", "aa"),
        )
        self.assertEqual((read.algorithm, read.qop, read.nonce_count), (Algorithm.SHA_256, "auth", 42))
        self.assertEqual((read.cnonce, read.opaque, read.parameters["extra"]), ("c1", "o1", "x"))

    def test_the_least(self) -> None:
        read = parse_credentials(credentials_text(algorithm=None, qop=None, nc=None, cnonce=None, opaque=None))
        self.assertEqual((read.algorithm, read.qop, read.nonce_count), (Algorithm.MD5, "", 0))
        self.assertEqual((read.cnonce, read.opaque), ("", ""))

    def test_spellings(self) -> None:
        wanted = parse_credentials(credentials_text())
        plain = credentials_text()
        for text in (
            plain.replace(", ", ","),
            plain.replace(", ", " ,\t "),
            plain.replace("=", " = "),
            plain.replace("=", "\t=\t"),
            plain.replace(", ", ", , "),
            plain + ", ",
            plain.replace("Digest ", "digest "),
            plain.replace("Digest ", "DIGEST   "),
            plain.replace("username", "UserName").replace("nc=", "NC=").replace("qop=auth", 'QOP="auth"'),
            plain.replace("MD5", '"MD5"'),
            plain.replace('"ruth"', '"r\\uth"'),
        ):
            self.assertEqual(parse_credentials(text), wanted, text)

    def test_commas_and_quotes_inside(self) -> None:
        read = parse_credentials(credentials_text(username='"ru, \\"th\\", nonce=\\\\"', uri='"sip:a,b=c;d=e@h"'))
        self.assertEqual((read.username, read.uri, read.nonce), ('ru, "th", nonce=\\', "sip:a,b=c;d=e@h", "n1"))
        self.assertEqual(parse_credentials(credentials_text(realm='"a, b=c"')).realm, "a, b=c")

    def test_empty_values(self) -> None:
        read = parse_credentials(credentials_text(opaque='""', username='""'))
        self.assertEqual((read.opaque, read.username, read.realm), ("", "", "harbour.example"))

    def test_incomplete(self) -> None:
        for name in ("username", "realm", "nonce", "uri", "response"):
            error = self.assertRaises(ParseError, parse_credentials, credentials_text(**{name: None}))
            self.assertIn(name, error.reason)

    def test_refused(self) -> None:
        for text in (
            "",
            "Digest",
            "Digest ",
            "Basic dTpw",
            "Digestusername=x",
            credentials_text(cnonce=None),
            credentials_text(cnonce='""'),
            credentials_text(nc=None),
            credentials_text(nc="1"),
            credentials_text(nc="0000000g"),
            credentials_text(nc="-0000001"),
            credentials_text() + ', realm="other"',
            credentials_text() + ', REALM="other"',
            credentials_text(username='"ruth'),
        ):
            self.assertRaises(ParseError, parse_credentials, text)

    def test_unknown_algorithms_show_when_they_are_asked_for(self) -> None:
        read = parse_credentials(credentials_text(algorithm="MD5-sess"))
        self.assertRaises(ParseError, lambda: read.algorithm)

    def test_nothing_is_shown(self) -> None:
        self.assertNotIn("aa", repr(parse_credentials(credentials_text())))


class Answering(SynchronousTestCase):
    def setUp(self) -> None:
        self.key = ha1(Algorithm.SHA_256, "ruth", "r", "tide")
        self.challenge = Challenge("r", "n1", Algorithm.SHA_256, opaque="o1")
        self.credentials = answer_challenge(self.challenge, "ruth", self.key, "REGISTER", "sip:h", "c1", 3)

    def changed(self, **changes: str) -> Credentials:
        return Credentials(self.credentials.parameters | changes)

    def test_right(self) -> None:
        read = parse_credentials(str(self.credentials))
        self.assertEqual(read, self.credentials)
        self.assertTrue(is_answered_by(read, self.key, "REGISTER"))
        self.assertEqual((read.nonce_count, read.opaque, read.qop), (3, "o1", "auth"))

    def test_wrong(self) -> None:
        self.assertFalse(is_answered_by(self.credentials, self.key, "INVITE"))
        self.assertFalse(is_answered_by(self.credentials, ha1(Algorithm.SHA_256, "ruth", "r", "ebb"), "REGISTER"))
        for name, value in (
            ("uri", "sip:x"),
            ("nonce", "n2"),
            ("nc", "00000004"),
            ("cnonce", "c2"),
            ("response", ""),
            ("response", "\udcff"),
        ):
            self.assertFalse(is_answered_by(self.changed(**{name: value}), self.key, "REGISTER"), name)
        self.assertFalse(is_answered_by(self.changed(algorithm="MD5"), self.key, "REGISTER"))

    def test_what_was_not_offered(self) -> None:
        self.assertRaises(ParseError, is_answered_by, self.changed(qop="auth-int"), self.key, "REGISTER")
        self.assertRaises(ParseError, is_answered_by, self.changed(algorithm="SHA-256-sess"), self.key, "REGISTER")

    def test_qop_is_hashed_as_it_was_written(self) -> None:
        made = response(Algorithm.SHA_256, self.key, "n1", "00000003", "c1", "AUTH", "REGISTER", "sip:h")
        self.assertTrue(is_answered_by(self.changed(qop="AUTH", response=made), self.key, "REGISTER"))

    def test_old_client(self) -> None:
        key = ha1(Algorithm.MD5, "ruth", "r", "tide")
        old = answer_challenge(Challenge("r", "n1", qop=""), "ruth", key, "REGISTER", "sip:h", "unused")
        self.assertNotIn("qop", old.parameters)
        self.assertTrue(is_answered_by(parse_credentials(str(old)), key, "REGISTER"))
        self.assertFalse(is_answered_by(old, key, "INVITE"))

    def test_server_without_auth(self) -> None:
        self.assertRaises(
            ParseError, answer_challenge, Challenge("r", "n", qop="auth-int"), "ruth", self.key, "INVITE", "sip:h", "c"
        )

    def test_server_with_a_choice(self) -> None:
        chosen = answer_challenge(Challenge("r", "n", qop="auth-int, Auth"), "ruth", self.key, "INVITE", "sip:h", "c")
        self.assertEqual(chosen.qop, "auth")


class Challenges(SynchronousTestCase):
    def test_written(self) -> None:
        self.assertEqual(
            str(Challenge('a "b"', "n1", Algorithm.SHA_256, is_stale=True, opaque="")),
            'Digest realm="a \\"b\\"", nonce="n1", algorithm=SHA-256, qop="auth", stale=true, opaque=""',
        )
        self.assertEqual(str(Challenge("r", "n", qop="")), 'Digest realm="r", nonce="n", algorithm=MD5')

    def test_there_and_back(self) -> None:
        for challenge in (
            Challenge("r", "n"),
            Challenge('r, "x"', "n=", Algorithm.SHA_256, True, "o", "auth,auth-int"),
            Challenge("r", "n", qop=""),
        ):
            self.assertEqual(parse_challenge(str(challenge)), challenge)

    def test_read(self) -> None:
        read = parse_challenge(
            'Digest realm="sip.trunk.example",qop="auth, auth-int",nonce="x",stale=TRUE,algorithm=md5'
        )
        self.assertEqual(read, Challenge("sip.trunk.example", "x", Algorithm.MD5, True, None, "auth, auth-int"))

    def test_refused(self) -> None:
        for text in (
            "",
            "Basic realm=x",
            'Digest realm="x"',
            'Digest nonce="x"',
            'Digest realm="x",nonce="y",algorithm=MD5-sess',
        ):
            self.assertRaises(ParseError, parse_challenge, text)


class Nonces(SynchronousTestCase):
    def setUp(self) -> None:
        self.factory = NonceFactory(b"s" * 32, 300)
        self.now = 1_790_000_000.7
        self.nonce = self.factory.make(self.now)

    def test_lifetime(self) -> None:
        for after, wanted in (
            (0, "fresh"),
            (299, "fresh"),
            (301, "stale"),
            (10**8, "stale"),
            (-299, "fresh"),
            (-302, "stale"),
        ):
            self.assertEqual(self.factory.check(self.nonce, self.now + after).value, wanted, after)

    def test_forged(self) -> None:
        for at in range(len(self.nonce)):
            other = "0" if self.nonce[at] != "0" else "1"
            forged = self.nonce[:at] + other + self.nonce[at + 1 :]
            self.assertIs(self.factory.check(forged, self.now), NonceState.FORGED, at)

    def test_other_text(self) -> None:
        for nonce in (
            "",
            "x",
            self.nonce[:-1],
            self.nonce + "0",
            self.nonce.upper() + "é",
            "\udcff" * 60,
            "0" * 56,
            "é" * 56,
        ):
            self.assertIs(self.factory.check(nonce, self.now), NonceState.FORGED, nonce)

    def test_other_secret(self) -> None:
        self.assertIs(NonceFactory(b"t" * 32, 300).check(self.nonce, self.now), NonceState.FORGED)
        self.assertIs(NonceFactory(b"s" * 32, 300).check(self.nonce, self.now), NonceState.FRESH)

    def test_none_comes_twice(self) -> None:
        self.assertEqual(len({self.factory.make(self.now) for _ in range(1000)}), 1000)

    def test_the_secret_is_not_shown(self) -> None:
        self.assertNotIn("sss", repr(self.factory))
