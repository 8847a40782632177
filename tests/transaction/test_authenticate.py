"""Who a request is from."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.metrics import Metrics
from gosip_py.sip.digest import (
    Algorithm,
    Challenge,
    NonceFactory,
    answer_challenge,
    ha1,
    legacy_response,
    parse_challenge,
    parse_credentials,
)
from gosip_py.sip.message import Request
from gosip_py.sip.parser import parse_message
from gosip_py.transaction.authenticate import Authenticator, Identity, NonceCounts
from gosip_py.transaction.validation import Refusal
from tests.conformance import conforms

NOW = 1_800_000_000.0
REALM = "gosip"
URI = "sip:example.com"
ALICE = Identity("alice", 10, 1)


@attrs.frozen
class Account:
    id: int
    user_id: int
    username: str
    enabled: bool
    realm: str
    ha1_md5: str
    ha1_sha256: str


@attrs.frozen
class Person:
    enabled: bool = True


class Accounts:
    """A source of credentials."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.people: dict[int, Person] = {}
        self.asked: list[str] = []

    def add(self, id: int, user_id: int, username: str, password: str, realm: str = REALM, **others: Any) -> None:
        md5, sha256 = ha1(Algorithm.MD5, username, realm, password), ha1(Algorithm.SHA_256, username, realm, password)
        self.accounts[username] = attrs.evolve(Account(id, user_id, username, True, realm, md5, sha256), **others)
        self.people[user_id] = Person()

    def device_by_username(self, username: str) -> Account | None:
        self.asked.append(username)
        return self.accounts.get(username)

    def user(self, user_id: int) -> Person | None:
        return self.people.get(user_id)


def register(*headers: str, uri: str = URI) -> Request:
    lines = (
        f"REGISTER {uri} SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.5:5060;branch=z9hG4bK1",
        "From: <sip:alice@example.com>;tag=f1",
        "To: <sip:alice@example.com>",
        "Call-ID: c1",
        "CSeq: 1 REGISTER",
        *headers,
        "",
        "",
    )
    message = parse_message("\r\n".join(lines).encode())
    assert isinstance(message, Request)
    return message


class AuthenticatorCase(SynchronousTestCase):
    algorithms: tuple[Algorithm, ...] = (Algorithm.SHA_256, Algorithm.MD5)

    def setUp(self) -> None:
        self.now = NOW
        self.metrics = Metrics()
        self.accounts = Accounts()
        self.accounts.add(10, 1, "alice", "secret")
        self.authenticator = self.make(b"the secret of this run")

    def make(self, secret: bytes) -> Authenticator:
        nonces = NonceFactory(secret, 300)
        return Authenticator(self.accounts, REALM, nonces, self.metrics, lambda: self.now, self.algorithms)

    def challenges(self, refusal: Identity | Refusal, name: str = "www-authenticate") -> list[Challenge]:
        assert isinstance(refusal, Refusal), refusal
        self.assertEqual({header for header, _ in refusal.headers}, {name}, refusal)
        return [parse_challenge(value) for _, value in refusal.headers]

    def fresh(self, algorithm: Algorithm = Algorithm.MD5) -> Challenge:
        found = self.challenges(self.authenticator.authenticate(register(), False))
        return next(challenge for challenge in found if challenge.algorithm is algorithm)

    def answer(
        self, challenge: Challenge, username: str = "alice", password: str = "secret", count: int = 1, uri: str = URI
    ) -> str:
        key = ha1(challenge.algorithm, username, challenge.realm, password)
        return str(answer_challenge(challenge, username, key, "REGISTER", uri, "c0ffee", count))

    def ask(self, *credentials: str, uri: str = URI, proxy: bool = False) -> Identity | Refusal:
        name = "Proxy-Authorization" if proxy else "Authorization"
        return self.authenticator.authenticate(register(*(f"{name}: {value}" for value in credentials), uri=uri), proxy)

    def refusal(self, *credentials: str, **others: Any) -> Refusal:
        answer = self.ask(*credentials, **others)
        assert isinstance(answer, Refusal), answer
        return answer

    def assert_stale(self, answer: Identity | Refusal, is_stale: bool = True) -> None:
        self.assertEqual({challenge.is_stale for challenge in self.challenges(answer)}, {is_stale})

    def failures(self) -> dict[str, float]:
        return {labels[0]: cell.value for labels, cell in self.metrics.auth_failures.series.items()}


class ChallengeTests(AuthenticatorCase):
    @conforms("RFC 8760 2.3", "RFC 3261 22.2")
    def test_one_for_each_algorithm_the_strongest_first(self) -> None:
        refusal = self.refusal()
        self.assertEqual(refusal.status, 401)
        found = self.challenges(refusal)
        self.assertEqual([challenge.algorithm for challenge in found], [Algorithm.SHA_256, Algorithm.MD5])
        self.assertEqual(
            {(challenge.realm, challenge.qop, challenge.is_stale) for challenge in found}, {(REALM, "auth", False)}
        )
        self.assertEqual(self.failures(), {})

    @conforms("RFC 3261 22.3")
    def test_of_a_proxy(self) -> None:
        refusal = self.refusal(proxy=True)
        self.assertEqual(refusal.status, 407)
        self.assertEqual(len(self.challenges(refusal, "proxy-authenticate")), 2)

    def test_each_has_a_nonce_of_its_own(self) -> None:
        self.assertNotEqual(self.fresh().nonce, self.fresh().nonce)

    def test_no_algorithm_at_all(self) -> None:
        self.algorithms = ()
        self.assertRaises(ValueError, self.make, b"x")


class OneAlgorithmTests(AuthenticatorCase):
    algorithms: tuple[Algorithm, ...] = (Algorithm.MD5,)

    def test_only_what_is_configured_is_offered_and_taken(self) -> None:
        challenge = self.fresh()
        self.assertEqual(len(self.refusal().headers), 1)
        stronger = attrs.evolve(challenge, algorithm=Algorithm.SHA_256)
        self.assert_stale(self.ask(self.answer(stronger)), False)
        self.assertEqual(self.ask(self.answer(challenge)), ALICE)


class GoodTests(AuthenticatorCase):
    @conforms("RFC 8760 2.1", "RFC 8760 2.2")
    def test_each_algorithm(self) -> None:
        for algorithm in Algorithm:
            self.assertEqual(self.ask(self.answer(self.fresh(algorithm))), ALICE)
        self.assertEqual(self.failures(), {})

    def test_at_a_proxy(self) -> None:
        self.assertEqual(self.ask(self.answer(self.fresh()), proxy=True), ALICE)

    @conforms("RFC 8760 2.6")
    def test_no_algorithm_means_md5(self) -> None:
        self.assertEqual(self.ask(self.answer(self.fresh()).replace(", algorithm=MD5", "")), ALICE)

    @conforms("RFC 3261 22.3")
    def test_ours_among_others(self) -> None:
        elsewhere = self.answer(Challenge("elsewhere.example", "n1"))
        self.assertEqual(self.ask(elsewhere, "Bearer x", self.answer(self.fresh())), ALICE)

    @conforms("RFC 8760 2.4")
    def test_both_algorithms_at_once(self) -> None:
        stronger, weaker = (self.answer(self.fresh(algorithm)) for algorithm in (Algorithm.SHA_256, Algorithm.MD5))
        self.assertEqual(self.ask(weaker, stronger), ALICE)

    def test_the_spelling_of_the_uri(self) -> None:
        answer = self.answer(self.fresh(), uri="sip:EXAMPLE.com:5060;transport=udp")
        self.assertEqual(self.ask(answer), ALICE)

    def test_a_client_that_signs_the_host_alone(self) -> None:
        self.assertEqual(self.ask(self.answer(self.fresh()), uri="sip:alice@example.com"), ALICE)

    def test_a_client_that_signs_another_name_of_ours(self) -> None:
        answers = [self.answer(self.fresh(), uri=uri) for uri in ("sip:192.0.2.1:5060", "sip:bob@192.0.2.1:5060")]
        self.assertIsInstance(self.ask(answers[0]), Refusal)
        nonces = NonceFactory(b"the secret of this run", 300)
        self.authenticator = Authenticator(
            self.accounts, REALM, nonces, self.metrics, lambda: self.now, is_ours=lambda uri: uri.host == "192.0.2.1"
        )
        self.assertEqual(self.ask(answers[0]), ALICE)
        self.assertIsInstance(self.ask(answers[1]), Refusal)
        self.assertIsInstance(self.ask(self.answer(self.fresh(), uri="sip:192.0.2.2")), Refusal)

    @conforms("RFC 3261 22.3")
    def test_what_was_for_us_is_not_sent_on(self) -> None:
        ours, elsewhere = self.answer(self.fresh()), self.answer(Challenge("elsewhere.example", "n1"))
        request = register(f"Proxy-Authorization: {ours}", f"Proxy-Authorization: {elsewhere}")
        self.authenticator.strip(request)
        self.assertEqual(request.values("proxy-authorization"), [elsewhere])
        self.authenticator.strip(request)
        self.assertEqual(request.values("proxy-authorization"), [elsewhere])
        request = register(f"Proxy-Authorization: {ours}")
        self.authenticator.strip(request)
        self.assertNotIn("proxy-authorization", request)

    def test_however_it_is_written(self) -> None:
        """Whoever got it could try passwords on it."""
        ours = self.answer(self.fresh())
        realm = f'realm="{REALM}"'
        self.assertIn(realm, ours)
        for written in (f'realm = "{REALM}"', f'Realm="{REALM}"', f"realm={REALM}", f"realm\t={REALM} "):
            credentials = ours.replace(realm, written)
            self.assertEqual(parse_credentials(credentials).realm, REALM)
            request = register(f"Proxy-Authorization: {credentials}")
            self.authenticator.strip(request)
            self.assertNotIn("proxy-authorization", request.names, written)
        for written in (f'realm="{REALM}x"', f"realm={REALM}x", f'realm="x{REALM}"'):
            request = register(f"Proxy-Authorization: {ours.replace(realm, written)}")
            self.authenticator.strip(request)
            self.assertIn("proxy-authorization", request.names, written)

    def test_a_client_that_knows_no_qop(self) -> None:
        answer = self.legacy(self.fresh().nonce)
        self.assertEqual(self.ask(answer), ALICE)

    def legacy(self, nonce: str) -> str:
        key = ha1(Algorithm.MD5, "alice", REALM, "secret")
        response = legacy_response(Algorithm.MD5, key, nonce, "REGISTER", URI)
        return f'Digest username="alice", realm="{REALM}", nonce="{nonce}", uri="{URI}", response="{response}"'

    def test_a_client_that_knows_no_qop_uses_a_nonce_once(self) -> None:
        nonce = self.fresh().nonce
        self.assertEqual(self.ask(self.legacy(nonce)), ALICE)
        self.assert_stale(self.ask(self.legacy(nonce)))
        self.assert_stale(self.ask(self.answer(Challenge(REALM, nonce), count=2)))

    def test_counted_first_and_then_not(self) -> None:
        challenge = self.fresh()
        self.assertEqual(self.ask(self.answer(challenge)), ALICE)
        self.assert_stale(self.ask(self.legacy(challenge.nonce)))


class WrongTests(AuthenticatorCase):
    def test_nobody_learns_whether_the_user_exists(self) -> None:
        wrong = self.refusal(self.answer(self.fresh(), password="guess"))
        unknown = self.refusal(self.answer(self.fresh(), username="mallory"))
        self.assertEqual(
            (wrong.status, wrong.explanation, wrong.reason), (unknown.status, unknown.explanation, unknown.reason)
        )
        self.assertEqual([len(value) for _, value in wrong.headers], [len(value) for _, value in unknown.headers])
        self.assert_stale(wrong, False)
        self.assertEqual(self.failures(), {"password": 1, "unknown_user": 1})

    def test_an_unknown_user_costs_a_digest_too(self) -> None:
        """The answer for nobody is computed as any other: its stand-in secret can be told apart by nobody but us."""
        challenge = self.fresh()
        key = self.authenticator._nobody
        inside = str(answer_challenge(challenge, "mallory", key, "REGISTER", URI, "c0ffee", 1))
        self.assert_stale(self.ask(inside), False)
        self.assertEqual(self.failures(), {"unknown_user": 1})

    def test_another_method(self) -> None:
        challenge = self.fresh()
        key = ha1(Algorithm.MD5, "alice", REALM, "secret")
        answer = str(answer_challenge(challenge, "alice", key, "INVITE", URI, "c0ffee", 1))
        self.assert_stale(self.ask(answer), False)

    def test_another_uri(self) -> None:
        refusal = self.refusal(self.answer(self.fresh(), uri="sip:elsewhere.example"))
        self.assertEqual((refusal.status, self.failures()), (400, {"uri": 1}))
        refusal = self.refusal(self.answer(self.fresh(), uri="sip:bob@example.com"))
        self.assertEqual(refusal.status, 400)

    @conforms("RFC 8760 2.6")
    def test_a_uri_that_was_changed_on_the_way(self) -> None:
        answer = self.answer(self.fresh()).replace(f'uri="{URI}"', 'uri="sip:elsewhere.example"')
        self.assert_stale(self.ask(answer, uri="sip:elsewhere.example"), False)

    def test_a_disabled_device(self) -> None:
        self.accounts.add(11, 1, "desk", "secret", enabled=False)
        self.assertEqual(self.refusal(self.answer(self.fresh(), "desk")).status, 403)
        self.assertEqual(self.refusal(self.answer(self.fresh(), "desk", "guess")).status, 401)
        self.assertEqual(self.failures(), {"disabled": 1, "password": 1})

    def test_a_device_of_a_disabled_person(self) -> None:
        self.accounts.people[1] = Person(enabled=False)
        self.assertEqual(self.refusal(self.answer(self.fresh())).status, 403)
        del self.accounts.people[1]
        self.assertEqual(self.refusal(self.answer(self.fresh())).status, 403)

    def test_a_device_whose_secret_was_made_for_another_realm(self) -> None:
        self.accounts.add(11, 1, "old", "secret", realm="formerly")
        self.assert_stale(self.ask(self.answer(self.fresh(), "old")), False)
        self.assertEqual(self.failures(), {"realm": 1})

    def test_a_device_without_a_secret(self) -> None:
        self.accounts.add(11, 1, "bare", "secret", ha1_md5="")
        challenge = self.fresh()
        empty = str(answer_challenge(challenge, "bare", "", "REGISTER", URI, "c0ffee", 1))
        self.assert_stale(self.ask(empty), False)

    def test_another_realm_only(self) -> None:
        self.assert_stale(self.ask(self.answer(Challenge("elsewhere.example", "n1"))), False)
        self.assertEqual(self.accounts.asked, [])

    @conforms("RFC 8760 2.3")
    def test_what_was_not_offered_is_challenged_again(self) -> None:
        good = self.answer(self.fresh())
        for other in (
            "Basic YWxpY2U6c2VjcmV0",
            "Digest",
            good.replace("algorithm=MD5", "algorithm=MD5-sess"),
            good.replace("algorithm=MD5", "algorithm=SHA-512-256"),
        ):
            self.assert_stale(self.ask(other), False)
        self.assertEqual(self.accounts.asked, [])

    def test_malformed(self) -> None:
        good = self.answer(self.fresh())
        for bad in (
            "Digest nonsense",
            good.replace("qop=auth", "qop=auth-int"),
            good.replace("nc=00000001", "nc=1"),
            good.replace('username="alice", ', ""),
        ):
            self.assertEqual(self.refusal(bad).status, 400, bad)
        self.assertEqual(self.failures(), {"malformed": 4})


class NonceTests(AuthenticatorCase):
    @conforms("RFC 3261 22.4")
    def test_too_old(self) -> None:
        answer = self.answer(self.fresh())
        self.now += 301
        refusal = self.refusal(answer)
        self.assertEqual(refusal.status, 401)
        self.assert_stale(refusal)
        renewed = self.challenges(refusal)[1]
        self.assertEqual(self.ask(self.answer(renewed)), ALICE)
        self.assertEqual(self.failures(), {"stale": 1})

    def test_too_old_and_the_password_wrong(self) -> None:
        answer = self.answer(self.fresh(), password="guess")
        self.now += 301
        self.assert_stale(self.ask(answer), False)

    def test_used_until_it_is_old(self) -> None:
        challenge = self.fresh()
        for count in range(1, 300):
            self.assertEqual(self.ask(self.answer(challenge, count=count)), ALICE, count)
            self.now += 1

    def test_from_before_a_restart(self) -> None:
        answer = self.answer(self.fresh())
        self.authenticator = self.make(b"the secret of the next run")
        self.assert_stale(self.ask(answer))

    def test_a_secret_that_outlives_a_restart(self) -> None:
        answer = self.answer(self.fresh())
        self.authenticator = self.make(b"the secret of this run")
        self.assertEqual(self.ask(answer), ALICE)

    def test_made_up(self) -> None:
        self.assert_stale(self.ask(self.answer(Challenge(REALM, "f" * 56))))
        self.assert_stale(self.ask(self.answer(Challenge(REALM, ""))))

    def test_replayed(self) -> None:
        answer = self.answer(self.fresh())
        self.assertEqual(self.ask(answer), ALICE)
        self.assert_stale(self.ask(answer))
        self.assertEqual(self.failures(), {"replay": 1})

    def test_datagrams_that_overtake_each_other(self) -> None:
        challenge = self.fresh()
        for count in (1, 4, 2, 3, 70, 8, 7):
            self.assertEqual(self.ask(self.answer(challenge, count=count)), ALICE, count)
        for count in (1, 2, 3, 4, 6, 7, 8, 70):
            self.assert_stale(self.ask(self.answer(challenge, count=count)))


class NonceCountsTests(SynchronousTestCase):
    @conforms("RFC 7616 3.4")
    def test_every_count_once(self) -> None:
        """Against a set: what is behind the window is refused, all else exactly once."""
        counts = NonceCounts(300)
        seen: set[int] = set()
        for count in (1, 1, 3, 2, 2, 66, 2, 3, 4, 4, 65, 66, 1000, 937, 936, 999, 0xFFFFFFFF, 1000, 0xFFFFFFFE):
            expected = count not in seen and count > max(seen, default=0) - 64
            self.assertEqual(counts.accept("n", count, NOW), expected, count)
            seen.add(count)

    def test_nonces_do_not_mix(self) -> None:
        counts = NonceCounts(300)
        self.assertEqual([counts.accept(nonce, 1, NOW) for nonce in ("a", "b", "a")], [True, True, False])

    def test_remembered_for_a_lifetime_and_then_forgotten(self) -> None:
        counts = NonceCounts(300)
        counts.accept("a", 1, NOW)
        for seconds in range(0, 301, 50):
            self.assertFalse(counts.accept("a", 1, NOW + seconds))
        counts.accept("b", 1, NOW + 301)
        self.assertFalse(counts.accept("a", 1, NOW + 302))
        counts.accept("c", 1, NOW + 603)
        self.assertEqual(len(counts), 2)

    def test_bounded(self) -> None:
        counts = NonceCounts(300, limit=10)
        for number in range(1000):
            counts.accept(str(number), 1, NOW + number / 100)
        self.assertLessEqual(len(counts), 20)
        self.assertGreater(counts.oldest, NOW)

    def test_given_up_before_its_time_a_nonce_is_stale(self) -> None:
        accounts = Accounts()
        accounts.add(10, 1, "alice", "secret")
        now = [NOW]
        nonces = NonceFactory(b"s", 300)
        authenticator = Authenticator(accounts, REALM, nonces, Metrics(), lambda: now[0])
        authenticator._counts = NonceCounts(300, limit=4)
        key = ha1(Algorithm.MD5, "alice", REALM, "secret")
        answers = []
        for _ in range(20):
            challenge = Challenge(REALM, nonces.make(now[0]))
            answers.append(
                register(f"Authorization: {answer_challenge(challenge, 'alice', key, 'REGISTER', URI, 'c', 1)}")
            )
            self.assertEqual(authenticator.authenticate(answers[-1], False), ALICE)
            now[0] += 1
        for answer in answers:
            self.assertIsInstance(authenticator.authenticate(answer, False), Refusal)
