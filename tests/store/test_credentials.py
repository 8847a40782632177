"""HA1 against the examples of the RFCs, and what is generated."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.store.credentials import device_password, ha1, token, token_hash


class Ha1Tests(SynchronousTestCase):
    def test_the_example_of_rfc_2617(self) -> None:
        # RFC 2617 3.5 gives the response only; this is its H(A1).
        self.assertEqual(
            ha1("MD5", "Mufasa", "testrealm@host.com", "Circle Of Life"), "939e7578ed9e3c518a452acee763bce9"
        )

    def test_sha_256(self) -> None:
        value = ha1("SHA-256", "Mufasa", "http-auth@example.org", "Circle of Life")
        self.assertEqual(value, "7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232")

    def test_text_beyond_ascii_is_utf_8(self) -> None:
        self.assertEqual(ha1("MD5", "jürgen", "r", "ä"), ha1("MD5", "jürgen", "r", "ä"))
        self.assertNotEqual(ha1("MD5", "jürgen", "r", "ä"), ha1("MD5", "jurgen", "r", "a"))

    def test_what_cannot_be(self) -> None:
        self.assertRaises(ValueError, ha1, "SHA-1", "u", "r", "p")
        self.assertRaises(ValueError, ha1, "MD5", "u:r", "x", "p")


class GeneratedTests(SynchronousTestCase):
    def test_device_passwords(self) -> None:
        made = {device_password() for _ in range(100)}
        self.assertEqual(len(made), 100)
        for password in made:
            self.assertTrue(re.fullmatch(r"[A-Za-z0-9_-]{20}", password), password)

    def test_tokens(self) -> None:
        value = token()
        self.assertEqual(len(value), 43)
        self.assertNotEqual(value, token())
        self.assertEqual(len(token_hash(value)), 64)
        self.assertEqual(token_hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
