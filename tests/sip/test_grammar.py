"""Tokens, quoted strings, parameters, commas."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip.errors import ParseError
from gosip_py.sip.grammar import (
    Parameters,
    is_token,
    parse_digits,
    parse_parameters,
    quote,
    split_commas,
    split_outside_quotes,
    unfold,
    unquote,
    write_parameters,
)


class Tokens(SynchronousTestCase):
    def test_every_token_character(self) -> None:
        self.assertTrue(is_token("azAZ09-.!%*_+`'~"))

    def test_what_is_none(self) -> None:
        for text in ("", "a b", "a\n", 'a"', "a;b", "a@b", "é", "a/b"):
            self.assertFalse(is_token(text), text)


class Digits(SynchronousTestCase):
    def test_up_to_the_limit(self) -> None:
        self.assertEqual(parse_digits("0", "n", 10), 0)
        self.assertEqual(parse_digits("00010", "n", 10), 10)

    def test_refused(self) -> None:
        for text in ("", "-1", "+1", " 1", "1 ", "1.0", "0x1", "1_0", "\u0661", "²", "11", "9" * 30):
            self.assertRaises(ParseError, parse_digits, text, "n", 10)

    def test_names_the_number(self) -> None:
        error = self.assertRaises(ParseError, parse_digits, "x", "CSeq", 10)
        self.assertEqual(error.reason, "CSeq is not a number")


class Quoting(SynchronousTestCase):
    def test_there_and_back(self) -> None:
        for text in ("", "plain", 'a "b" c', "back\\slash", '\\"', "tab\there", "é 你"):
            self.assertEqual(unquote(quote(text)), text)

    def test_written(self) -> None:
        self.assertEqual(quote('a"b\\c'), '"a\\"b\\\\c"')

    def test_no_line_end_gets_out(self) -> None:
        self.assertEqual(quote("a\r\nX-Evil: 1"), '"a  X-Evil: 1"')

    def test_text_without_quotes_stays(self) -> None:
        for text in ("", "a", '"', 'a"', '"a'):
            self.assertEqual(unquote(text), text)

    def test_unfold(self) -> None:
        self.assertEqual(unfold("a \r\n\t b\r\n c"), "a b c")
        self.assertEqual(unfold("a  b"), "a  b")


class Splitting(SynchronousTestCase):
    def test_commas(self) -> None:
        self.assertEqual(split_commas(""), [])
        self.assertEqual(split_commas(" a "), ["a"])
        self.assertEqual(split_commas("a, b ,,c,"), ["a", "b", "c"])
        self.assertEqual(
            split_commas('"x, \\", y" <sip:a,b@c>;k="1,2", <sip:d>'), ['"x, \\", y" <sip:a,b@c>;k="1,2"', "<sip:d>"]
        )

    def test_what_is_not_closed(self) -> None:
        for text in ('"a, b', "<a, b", 'a, "b\\"'):
            self.assertRaises(ParseError, split_commas, text)

    def test_semicolons(self) -> None:
        self.assertEqual(split_outside_quotes("a; b ;c"), ["a", "b", "c"])
        self.assertEqual(split_outside_quotes('a="1;2";b'), ['a="1;2"', "b"])
        self.assertRaises(ParseError, split_outside_quotes, 'a="1;2')


class ParameterLists(SynchronousTestCase):
    def test_read(self) -> None:
        self.assertEqual(parse_parameters(";lr;X=Y;e="), {"lr": None, "x": "Y", "e": ""})
        self.assertEqual(parse_parameters('; a = "b; c" ; D'), {"a": "b; c", "d": None})

    def test_the_first_of_two_stands(self) -> None:
        self.assertEqual(parse_parameters(";tag=1;TAG=2"), {"tag": "1"})
        self.assertEqual(parse_parameters(';tag="1";TAG=2'), {"tag": "1"})

    def test_nothing_in_them(self) -> None:
        for text in ("", ";", ";;", "; ;", ";=x", '; ="x"'):
            self.assertEqual(parse_parameters(text), {}, text)

    def test_there_and_back(self) -> None:
        lists: tuple[Parameters, ...] = (
            {"lr": None, "branch": "z9hG4bK-1"},
            {"a": "x y", "b": '"', "c": "[::1]:5060", "d": ""},
        )
        for parameters in lists:
            self.assertEqual(parse_parameters(write_parameters(parameters)), parameters)

    def test_quoted_only_where_needed(self) -> None:
        self.assertEqual(write_parameters({"a": "b", "c": "d e", "f": None}), ';a=b;c="d e";f')
