"""What a REFER asks for, and what of it is followed."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.dialog.reference import Reference, read_refer, refer_to, status_of
from gosip_py.sip.compose import compose
from gosip_py.sip.errors import ParseError
from gosip_py.sip.fields import Replaces
from gosip_py.sip.headers import parse_address
from gosip_py.transaction.validation import Refusal
from tests.conformance import conforms


def read(*headers: tuple[str, str]) -> Reference | Refusal:
    return read_refer(
        compose("REFER", "sip:b@b", from_="<sip:a@b>;tag=1", to="<sip:b@b>;tag=2", call_id="c", cseq=1, headers=headers)
    )


def referring_to(value: str, *headers: tuple[str, str]) -> Reference:
    found = read(("refer-to", value), *headers)
    assert isinstance(found, Reference), found
    return found


class ReadTests(SynchronousTestCase):
    def assert_refused(self, status: int, *headers: tuple[str, str]) -> None:
        found = read(*headers)
        assert isinstance(found, Refusal), found
        self.assertEqual(found.status, status)
        self.assertTrue(found.explanation)

    @conforms("RFC 3515 2.1")
    def test_whom_to_call(self) -> None:
        found = referring_to('"Carol" <sip:carol@example.com;transport=tcp>')
        self.assertEqual(
            (found.target.display_name, found.target.uri_text), ("Carol", "sip:carol@example.com;transport=tcp")
        )
        self.assertEqual((found.replaces, found.headers, found.referred_by, found.is_silent), (None, (), "", False))

    def test_it_may_stand_without_brackets(self) -> None:
        self.assertEqual(referring_to("sip:carol@example.com").target.uri_text, "sip:carol@example.com")

    @conforms("RFC 3515 2.4.2")
    def test_without_or_with_several_of_them(self) -> None:
        self.assert_refused(400)
        self.assert_refused(400, ("refer-to", "<sip:c@x>, <sip:d@x>"))
        self.assert_refused(400, ("refer-to", "<sip:c@x>"), ("refer-to", "<sip:d@x>"))
        self.assert_refused(400, ("refer-to", ""))

    def test_what_cannot_be_read(self) -> None:
        for value in ("<sip:>", "<sip:c@x", "sip:c@x?a=b", "<sip:c@x?Replaces=1>", "<sip:c@x?Subject=a%0D%0AVia: x>"):
            with self.subTest(value=value):
                self.assert_refused(400, ("refer-to", value))

    @conforms("RFC 3515 2.4.2")
    def test_what_cannot_be_called(self) -> None:
        self.assert_refused(416, ("refer-to", "<http://example.com/>"))
        self.assert_refused(501, ("refer-to", "<sip:c@x;method=BYE>"))

    def test_the_method_is_not_part_of_whom_we_call(self) -> None:
        found = referring_to("<sip:a;method=b@x;method=INVITE;transport=tcp>")
        self.assertEqual(found.target.uri_text, "sip:a;method=b@x;transport=tcp")

    @conforms("RFC 3891 4", "RFC 3261 19.1.5")
    def test_the_dialog_to_replace(self) -> None:
        value = "<sip:c@x?Replaces=12%4034%3Bto-tag%3Dt%3Bfrom-tag%3Df&Require=replaces>"
        found = referring_to(value)
        self.assertEqual(found.replaces, Replaces("12@34", "t", "f"))
        self.assertEqual((found.target.uri_text, found.headers), ("sip:c@x", ()))

    def test_the_dialog_to_join(self) -> None:
        found = referring_to("<sip:c@x?Join=1%3Bto-tag%3Dt%3Bfrom-tag%3Df>")
        self.assertEqual((found.replaces, found.joins), (None, Replaces("1", "t", "f")))
        both = "<sip:c@x?Join=1%3Bto-tag%3Dt%3Bfrom-tag%3Df&Replaces=1%3Bto-tag%3Dt%3Bfrom-tag%3Df>"
        self.assert_refused(400, ("refer-to", both))

    @conforms("RFC 3261 19.1.5")
    def test_harmless_headers_are_passed_on_and_others_are_not(self) -> None:
        found = referring_to("<sip:c@x?Subject=a%20b&From=%3Csip:evil@x%3E&Route=%3Csip:y%3E&body=x&Priority=urgent>")
        self.assertEqual(found.headers, (("subject", "a b"), ("priority", "urgent")))

    def test_headers_are_bounded(self) -> None:
        self.assert_refused(400, ("refer-to", "<sip:c@x?" + "&".join(f"x{at}=1" for at in range(17)) + ">"))
        self.assert_refused(400, ("refer-to", f"<sip:c@x?Subject={'a' * 3000}>"))
        self.assert_refused(400, ("refer-to", "<sip:c@x?Subject=a&subject=b>"))

    @conforms("RFC 3892 2.1", "RFC 3892 2.2")
    def test_the_referrer_as_it_was_named(self) -> None:
        value = '"A, B" <sip:a@b>;cid="20398823.2UWQFN309shb3@referrer.example"'
        self.assertEqual(referring_to("<sip:c@x>", ("referred-by", value)).referred_by, value)
        self.assert_refused(400, ("refer-to", "<sip:c@x>"), ("referred-by", "<sip:a@b>"), ("referred-by", "<sip:c@b>"))

    @conforms("RFC 4488 4")
    def test_no_reports_may_be_wanted(self) -> None:
        self.assertTrue(referring_to("<sip:c@x>", ("refer-sub", "false;x=y")).is_silent)
        self.assertFalse(referring_to("<sip:c@x>", ("refer-sub", "TRUE")).is_silent)
        self.assert_refused(400, ("refer-to", "<sip:c@x>"), ("refer-sub", "perhaps"))


class WriteTests(SynchronousTestCase):
    def test_what_is_written_is_read(self) -> None:
        for target in ("sip:c@x", "sip:c@x?Subject=a", "sip:a?b@x"):
            for replaces in (None, Replaces('a<b>/"c"?{d}%+~@x', "t.1", "f~2", is_early_only=True)):
                with self.subTest(target=target, replaces=replaces):
                    found = referring_to(refer_to(target, replaces))
                    self.assertEqual(found.target.uri_text, target.partition("?S")[0])
                    self.assertEqual(found.replaces, replaces)

    @conforms("RFC 3515 2.1")
    def test_a_dialog_is_escaped(self) -> None:
        replaces = Replaces("12@34", "t", "f", is_early_only=True)
        value = refer_to("sip:c@x", replaces)
        self.assertEqual(value, "<sip:c@x?Replaces=12%4034%3Bto-tag%3Dt%3Bfrom-tag%3Df%3Bearly-only>")
        self.assertEqual(referring_to(value).replaces, replaces)
        parse_address(value).uri  # noqa: B018 - it is a URI


class StatusTests(SynchronousTestCase):
    @conforms("RFC 3515 2.4.5")
    def test_the_status_line_of_a_fragment(self) -> None:
        for body, wanted in {
            b"SIP/2.0 100 Trying": (100, "Trying"),
            b"SIP/2.0 200 OK\r\nTo: <sip:a@b>;tag=1\r\n": (200, "OK"),
            b"SIP/2.0 603\r\n": (603, ""),
            b"SIP/2.0 486  Besetzt \xff\n": (486, "Besetzt \ufffd"),
        }.items():
            self.assertEqual(status_of(body), wanted)

    def test_anything_else(self) -> None:
        for body in (b"", b"SIP/2.0", b"SIP/2.0 99 x", b"SIP/2.0 700 x", b"HTTP/1.1 200 OK", b"\r\nSIP/2.0 200 OK"):
            with self.subTest(body=body), self.assertRaises(ParseError):
                status_of(body)
