"""Whatever a peer writes into what is read here, it gives a value or a ParseError, and nothing grows without end."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.dialog.credentials import ClientAuthentication, ClientCredentials
from gosip_py.dialog.described import answer_to, next_version, turned
from gosip_py.dialog.reference import Reference, read_refer, status_of
from gosip_py.dialog.replaces import TakeOver, read_take_over
from gosip_py.sip.compose import compose
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Request
from gosip_py.sip.reply import reply
from gosip_py.transaction.validation import Refusal

# Pieces that mean something to one of the readers, to be put together at random.
PIECES = (
    "<", ">", "sip:", "sips:", "tel:", "a@b", "?", "&", "=", ";", ",", '"', "\\", "%", "%0D%0A", "%4", "Replaces",
    "Join", "to-tag=", "from-tag=", "early-only", "method=INVITE", "method=", "Digest ", "realm=", "nonce=", "qop=",
    '"auth"', "stale=true", "algorithm=", "MD5", "SHA-256", "-sess", "\udcff", "\x00", " ", "x" * 300, "false", "1",
)  # fmt: skip
LINES = (
    b"v=0", b"o=- 1 1 IN IP4 1", b"o=", b"s=-", b"c=", b"t=0 0", b"m=", b"m=audio 4000 RTP/AVP 0", b"m=audio 0 x",
    b"a=", b"a=sendonly", b"a=inactive", b"m=video " + b"9" * 5000 + b" RTP/AVP 1 2", b"\xff",
    b"o=a b 99999999999999999999 c",
)  # fmt: skip


class HostileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.random = random.Random(4)

    def text(self) -> str:
        return "".join(self.random.choices(PIECES, k=self.random.randrange(1, 14)))

    def request(self, name: str) -> Request:
        headers = [(name, self.text()) for _ in range(self.random.choice((1, 1, 1, 2)))]
        return compose(
            "INVITE", "sip:b@b", from_="<sip:a@b>;tag=1", to="<sip:b@b>", call_id="c", cseq=1, headers=headers
        )

    def test_refers_and_replaces(self) -> None:
        kinds: set[type] = set()
        for _ in range(4000):
            kinds.add(type(read_refer(self.request("refer-to"))))
            kinds.add(type(read_take_over(self.request(self.random.choice(("replaces", "join"))))))
        self.assertEqual(kinds, {Reference, Refusal} | (kinds & {TakeOver}))

    def test_challenges(self) -> None:
        answered = 0
        for _ in range(4000):
            response = reply(self.request("subject"), self.random.choice((401, 407)))
            name = "proxy-authenticate" if response.status == 407 else "www-authenticate"
            response.add(name, f"Digest realm=r, nonce=n, {self.text()}" if self.random.random() < 0.7 else self.text())
            request = self.request("subject")
            answered += ClientAuthentication(ClientCredentials("a", "b")).answer(request, response)
            self.assertEqual(request.to_bytes().count(b"\r\n\r\n"), 1)
        self.assertGreater(answered, 10)

    def test_fragments(self) -> None:
        for _ in range(4000):
            body = b"SIP/2.0 " + self.text().encode("utf-8", "surrogateescape")
            try:
                status, reason = status_of(body)
            except ParseError:
                continue
            self.assertTrue(100 <= status < 700 and "\n" not in reason)

    def test_descriptions(self) -> None:
        for _ in range(4000):
            one, other = (
                b"\r\n".join(self.random.choices(LINES, k=self.random.randrange(12))) + b"\r\n" for _ in range(2)
            )
            answer = answer_to(one, other)
            self.assertLess(len(answer), 4 * (len(one) + len(other)) + 100)
            turned(next_version(one), is_held=True)
