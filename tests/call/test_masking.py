"""What nobody but the two ends may know does not stay in a ladder; everything else does."""

from __future__ import annotations

from time import perf_counter

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.call.masking import mask


def masked(text: str) -> str:
    return mask([text.encode()])[0].decode()


class MaskTests(SynchronousTestCase):
    def check(self, text: str, expected: str) -> None:
        head, tail = "INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h:5060;branch=z9\r\n", "\r\nContent-Length: 0\r\n\r\n"
        self.assertEqual(masked(head + text + tail), head + expected + tail)

    def test_credentials(self) -> None:
        for name in ("Authorization", "Proxy-Authorization", "PROXY-AUTHORIZATION", "authorization "):
            self.check(f'{name}: Digest username="a", response="5ec"', f"{name}: Digest ***")
        self.check("Authorization: Basic YTpi", "Authorization: Basic ***")
        self.check("Authorization: 5ecret", "Authorization: ***")
        self.check('Authorization: Digest username="a",\r\n\tresponse="5ec",\r\n x=1', "Authorization: Digest ***")
        self.check('Authorization:\r\n Digest response="5ec"', "Authorization:\r\n Digest ***")
        self.assertEqual(
            masked('SIP/2.0 200 OK\r\nAuthentication-Info: rspauth="5ec"\r\nTo: x\r\n\r\n'),
            "SIP/2.0 200 OK\r\nAuthentication-Info: ***\r\nTo: x\r\n\r\n",
        )
        challenge = 'WWW-Authenticate: Digest realm="x", nonce="n"'
        self.check(challenge, challenge)

    def test_the_password_of_a_uri(self) -> None:
        self.check("Contact: <sip:al:5ec@h:5060>, <SIPS:b:5ec2@h>", "Contact: <sip:al:***@h:5060>, <SIPS:b:***@h>")
        for plain in ("Contact: <sip:h:5060>;x=y@z", "Contact: <sip:al@h:5060>"):
            self.check(plain, plain)

    def test_keys_of_the_media(self) -> None:
        for line, expected in (
            ("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:5ec|2^20|1:4", "inline:***|2^20|1:4"),
            ("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:5ec;inline:5ec2", "inline:***;inline:***"),
            ("k=base64:5ec", "k=base64:***"),
            ("a=key-mgmt:mikey 5ec", "a=key-mgmt:mikey***"),
            ("a=ice-pwd:5ec", "a=ice-pwd:***"),
        ):
            shown = masked(f"v=0\r\ns=-\r\n{line}\r\na=sendrecv\r\n")
            self.assertIn(expected, shown)
            self.assertNotIn("5ec", shown)
            self.assertTrue(shown.endswith("\r\na=sendrecv\r\n"))

    def test_passwords_in_bodies_and_elsewhere(self) -> None:
        for text in (
            "password=5ec&a=b",
            '{"userPassword": "5ec"}',
            "<pin>5ec</pin>",
            "X-Api-Key: 5ec",
            "access_token=5ec",
            "client_secret: 5ec",
            "passwd:5ec",
        ):
            self.assertNotIn("5ec", masked(text), text)
        for plain in ("Subject: spinning: fast", "Call-ID: token@h", "ping: 5"):
            self.check(plain, plain)

    def test_dialled_digits(self) -> None:
        self.assertEqual(masked("\r\n\r\nSignal=5\r\nDuration=160\r\n"), "\r\n\r\nSignal=***\r\nDuration=160\r\n")
        self.assertTrue(masked("Content-Type: application/dtmf\r\nX: y\r\n\r\n5").endswith("\r\n\r\n***"))

    def test_each_message_for_itself(self) -> None:
        one, two = mask([b"Authorization: Digest a", b"Subject: authorization\r\n\xff"])
        self.assertEqual((one, two), (b"Authorization: Digest ***", b"Subject: authorization\r\n\xff"))
        self.assertEqual(mask([]), [])

    def test_no_text_takes_long(self) -> None:
        words = ("sip:a:", "1-", "authorization:", "\r\n ", "token", "inline:", "api_", "k=", "passw", '"', "sips:")
        for word in words:
            for other in ("", "@", "password=", "\r\nAuthorization:", "\nk=", "inline:", "sip:"):
                text = other + word * (8192 // len(word))
                start = perf_counter()
                masked(text)
                # A pattern that were not linear would take seconds for some of these.
                self.assertLess(perf_counter() - start, 0.5, (word, other))
