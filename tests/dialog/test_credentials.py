"""Challenges are answered as RFC 3261 22 and RFC 8760 want, and never for ever."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.dialog.credentials import ClientAuthentication, ClientCredentials
from gosip_py.sip.compose import compose
from gosip_py.sip.digest import Algorithm, Challenge, Credentials, ha1, is_answered_by, parse_credentials
from gosip_py.sip.message import Request, Response
from gosip_py.sip.reply import reply
from tests.conformance import conforms

REALM = "example.com"
US = ClientCredentials("alice", "wonderland")


def request(method: str = "INVITE") -> Request:
    return compose(method, "sip:bob@example.com", from_="<sip:a@b>;tag=1", to="<sip:b@b>", call_id="c", cseq=1)


def challenged(*challenges: Challenge | str, status: int = 407) -> Response:
    response = reply(request(), status)
    for challenge in challenges:
        response.add("proxy-authenticate" if status == 407 else "www-authenticate", str(challenge))
    return response


def given(of: Request, header: str = "proxy-authorization") -> list[Credentials]:
    return [parse_credentials(value) for value in of.values(header)]


class AnswerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.ours = ClientAuthentication(US)
        self.request = request()

    def answer(self, *challenges: Challenge | str, status: int = 407) -> bool:
        return self.ours.answer(self.request, challenged(*challenges, status=status))

    @conforms("RFC 3261 22.3", "RFC 7616 3.4")
    def test_a_proxy_is_answered(self) -> None:
        self.assertTrue(self.answer(Challenge(REALM, "n1", Algorithm.SHA_256, opaque="o")))
        (answer,) = given(self.request)
        secret = ha1(Algorithm.SHA_256, "alice", REALM, "wonderland")
        self.assertTrue(is_answered_by(answer, secret, "INVITE"))
        self.assertEqual((answer.uri, answer.nonce_count, answer.opaque), ("sip:bob@example.com", 1, "o"))

    @conforms("RFC 3261 22.2")
    def test_a_registrar_is_answered_in_its_own_header(self) -> None:
        self.assertTrue(self.answer(Challenge(REALM, "n1"), status=401))
        (answer,) = given(self.request, "authorization")
        self.assertTrue(is_answered_by(answer, ha1(Algorithm.MD5, "alice", REALM, "wonderland"), "INVITE"))
        self.assertEqual(given(self.request), [])

    @conforms("RFC 8760 2.4")
    def test_the_strongest_of_a_realm_is_answered_and_what_is_not_known_ignored(self) -> None:
        unknown = f'Digest realm="{REALM}", nonce="n0", algorithm=SHA-512-256, qop="auth"'
        self.assertTrue(
            self.answer(
                unknown, "Basic realm=x", Challenge(REALM, "n1"), Challenge(REALM, "n2", Algorithm.SHA_256, qop="auth")
            )
        )
        self.assertEqual([answer.nonce for answer in given(self.request)], ["n2"])

    @conforms("RFC 3261 22.3")
    def test_each_realm_of_a_forked_request_is_answered(self) -> None:
        self.assertTrue(self.answer(Challenge("one", "n1"), Challenge("two", "n2")))
        self.assertEqual([answer.realm for answer in given(self.request)], ["one", "two"])

    def test_proxy_and_registrar_may_ask_in_one_response(self) -> None:
        response = challenged(Challenge("proxy", "n1"))
        response.add("www-authenticate", str(Challenge("home", "n2")))
        self.assertTrue(self.ours.answer(self.request, response))
        self.assertEqual(given(self.request)[0].realm, "proxy")
        self.assertEqual(given(self.request, "authorization")[0].realm, "home")

    def test_the_answers_of_one_proxy_stay_when_the_next_one_asks(self) -> None:
        self.assertTrue(self.answer(Challenge("one", "n1")))
        self.assertTrue(self.answer(Challenge("two", "n2")))
        self.assertEqual([answer.realm for answer in given(self.request)], ["one", "two"])

    @conforms("RFC 3261 22.1")
    def test_a_wrong_password_is_not_tried_again(self) -> None:
        self.assertTrue(self.answer(Challenge(REALM, "n1")))
        before = self.request.to_bytes()
        self.assertFalse(self.answer(Challenge(REALM, "n2")))
        self.assertFalse(self.answer(Challenge(REALM, "n1", is_stale=True)), "the same nonce cannot be stale and fresh")
        self.assertEqual(self.request.to_bytes(), before)

    @conforms("RFC 7616 3.3")
    def test_a_stale_nonce_is_replaced_once(self) -> None:
        self.assertTrue(self.answer(Challenge(REALM, "n1")))
        self.assertTrue(self.answer(Challenge(REALM, "n2", is_stale=True)))
        self.assertEqual([(answer.nonce, answer.nonce_count) for answer in given(self.request)], [("n2", 1)])
        self.assertFalse(self.answer(Challenge(REALM, "n3", is_stale=True)), "it would go on for ever")

    def test_nothing_to_answer_is_no_answer(self) -> None:
        for challenge in ("", "Basic realm=x", "Digest realm=x", 'Digest realm="x", nonce="n", qop="auth-int"'):
            with self.subTest(challenge=challenge):
                self.assertFalse(self.answer(challenge))
        self.assertFalse(self.ours.answer(self.request, reply(request(), 407)))
        self.assertNotIn("proxy-authorization", self.request.names)

    def test_what_is_too_long_is_not_carried_around(self) -> None:
        for realm, nonce in (("r" * 2000, "n"), ("r", "n" * 2000)):
            self.assertFalse(self.answer(Challenge(realm, nonce)))

    def test_a_peer_cannot_fill_the_memory_with_realms(self) -> None:
        for at in range(50):
            self.assertTrue(self.ours.answer(request(), challenged(Challenge(f"r{at}", "n"))))
        fresh = request()
        self.ours.dress(fresh)
        self.assertLessEqual(len(given(fresh)), 8)
        self.assertIn("r49", [answer.realm for answer in given(fresh)])

    def test_a_peer_that_asks_for_ever_new_realms_is_left(self) -> None:
        answered = [self.answer(Challenge(f"r{at}", "n")) for at in range(20)]
        self.assertEqual(answered.index(False), 8)

    def test_only_the_realm_that_is_named_learns_anything(self) -> None:
        ours = ClientAuthentication(ClientCredentials("alice", "wonderland", REALM))
        self.assertFalse(ours.answer(self.request, challenged(Challenge("evil.example", "n1"))))
        self.assertTrue(ours.answer(self.request, challenged(Challenge("evil", "n1"), Challenge(REALM, "n2"))))
        self.assertEqual([answer.realm for answer in given(self.request)], [REALM])

    def test_headers_of_others_do_no_harm(self) -> None:
        self.request.add("proxy-authorization", "Bearer abc")
        self.assertTrue(self.answer(Challenge(REALM, "n1")))
        self.assertEqual(self.request.values("proxy-authorization")[0], "Bearer abc")

    def test_the_password_is_not_shown(self) -> None:
        self.assertNotIn("wonderland", repr(US))


class ReuseTests(SynchronousTestCase):
    """RFC 3261 22.2 and 22.3: later requests bear credentials at once."""

    def setUp(self) -> None:
        self.ours = ClientAuthentication(US)
        self.first = request()
        self.ours.answer(self.first, challenged(Challenge(REALM, "n1")))
        self.second = request("BYE")
        self.ours.dress(self.second)

    @conforms("RFC 3261 22.3", "RFC 7616 3.4")
    def test_the_nonce_count_grows(self) -> None:
        (answer,) = given(self.second)
        self.assertEqual((answer.nonce, answer.nonce_count), ("n1", 2))
        self.assertTrue(is_answered_by(answer, ha1(Algorithm.MD5, "alice", REALM, "wonderland"), "BYE"))

    def test_a_nonce_that_served_before_may_be_refused_without_a_word_of_stale(self) -> None:
        self.assertTrue(self.ours.answer(self.second, challenged(Challenge(REALM, "n2"))))
        self.assertEqual([answer.nonce for answer in given(self.second)], ["n2"])
        self.assertFalse(self.ours.answer(self.second, challenged(Challenge(REALM, "n3"))))

    def test_so_it_is_with_a_server_that_knows_no_qop(self) -> None:
        ours, fresh = ClientAuthentication(US), request()
        ours.answer(request(), challenged(Challenge(REALM, "n1", qop="")))
        ours.dress(fresh)
        self.assertTrue(ours.answer(fresh, challenged(Challenge(REALM, "n2", qop=""))))
        self.assertFalse(ours.answer(fresh, challenged(Challenge(REALM, "n3", qop=""))))

    def test_nothing_is_put_on_before_anybody_asked(self) -> None:
        fresh = request()
        before = fresh.to_bytes()
        ClientAuthentication(US).dress(fresh)
        self.assertEqual(fresh.to_bytes(), before)
