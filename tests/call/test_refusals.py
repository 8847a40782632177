"""Every refusal that the server makes, provoked: its code, the header that goes with it, and what it says to do.

`RefusalTests.test_none_is_left_out` reads the code for the numbers, so that nobody adds one without a row here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.call.park import Parking
from gosip_py.call.party import Party
from gosip_py.call.pickup import Pickups
from gosip_py.call.transfers import Transfers
from gosip_py.sip.decode import decode_all
from gosip_py.sip.fields import parse_warning
from gosip_py.sip.message import Response
from gosip_py.transaction.session_timer import SessionTimerPolicy
from tests.conformance import conforms
from tests.proxy.switchboard import DOMAIN, Dialog, Phone, SwitchboardCase, run
from tests.registrar.fakes import user

ROOT = Path(__file__).resolve().parent.parent.parent / "gosip_py"
# What speaks no SIP, or speaks it as a phone.
_OTHERS = ("demo", "web", "store", "certs")
_OF_USER_AGENTS = frozenset(("user_agent.py", "agent_user.py", "referral.py", "replaces.py"))
_ANSWERING = frozenset(
    ("Refusal", "refusal", "refuse_call", "reply", "failed", "give_up", "_refuse", "_answer_statelessly", "status")
)
# Words that tell somebody to do something.
_ADVICE = re.compile(
    r"\b(add|again|ask|change|check|correct|do without|leave|list|look for|name (a|one)|need be done|publish|register|"
    r"remove|repeat|send|sign in|subscribe|try|use|wait)\b"
)
OURSELVES = f"sip:{DOMAIN}"


class RefusalCase(SwitchboardCase):
    """``stranger`` calls from a network that must sign in."""

    def setUp(self) -> None:
        super().setUp()
        self.stranger = Phone(self.board, "198.51.100.9", "alice-desk")

    def refused(self, status: int, method: str, uri: str, *more: str, **others: object) -> Response:
        """What Alice is told, who is trusted."""
        self.alice.ask(method, uri, *more, **others)
        return self.assert_explained(self.alice.response(status, method))

    def signed(self, status: int, method: str, uri: str, *more: str, **others: object) -> Response:
        """What is told to somebody who answered the challenge."""
        asked = self.stranger.ask(method, uri, *more, **others)
        challenge = self.stranger.take(f"{401 if method == 'REGISTER' else 407} {method}")
        assert isinstance(challenge, Response)
        self.stranger.again(asked, challenge)
        return self.assert_explained(self.stranger.response(status, method))

    def assert_explained(self, response: Response, *words: str) -> Response:
        """RFC 3261 20.43: a Warning 399 with a text for a person, who is told what to do."""
        (warning,) = decode_all(response, "warning", parse_warning)
        self.assertEqual(warning.code, 399)
        self.assertRegex(warning.text.lower(), _ADVICE)
        for word in words:
            self.assertIn(word, warning.text)
        return response

    def assert_header(self, response: Response, name: str, value: str | None = None) -> None:
        """It has the header, and says this in it."""
        self.assertIn(name, response)
        if value is not None:
            self.assertEqual(", ".join(response.values(name)), value)


class SyntaxTests(RefusalCase):
    """What is wrong whoever asks."""

    @conforms("RFC 3261 21.4.1", "RFC 3261 16.3")
    def test_400(self) -> None:
        request = self.alice.make("MESSAGE")
        for name in ("to", "call-id"):
            request.remove(name)
        self.alice.send(request)
        self.assert_explained(self.alice.response(400, "MESSAGE"), "To", "Call-ID", "add")
        self.assert_explained(self.refused(400, "MESSAGE", f"sip:bob@{DOMAIN}", "Expires: 1", "Expires: 2"), "Expires")

    @conforms("RFC 3261 21.4.14", "RFC 3261 8.2.2.1", "RFC 3261 16.3")
    def test_416(self) -> None:
        self.refused(416, "MESSAGE", "http://example.com")

    @conforms("RFC 3261 21.5.6")
    def test_505(self) -> None:
        request = self.alice.make("MESSAGE")
        self.alice.flow.send(request.to_bytes().replace(b"example.com SIP/2.0", b"example.com SIP/3.0", 1))
        self.assert_explained(self.alice.response(505, "MESSAGE"), "SIP/2.0")


class TimerTests(RefusalCase):
    session_timer = SessionTimerPolicy("require", 120, 1800, 3600)

    @conforms("RFC 3261 21.4.15", "RFC 3261 8.2.4", "RFC 4028 8.1")
    def test_421(self) -> None:
        self.assert_header(self.refused(421, "INVITE", f"sip:bob@{DOMAIN}"), "require", "timer")

    @conforms("RFC 4028 6")
    def test_422(self) -> None:
        response = self.refused(422, "INVITE", f"sip:bob@{DOMAIN}", "Supported: timer", "Session-Expires: 30")
        self.assert_header(response, "min-se", "120")


class WhoTests(RefusalCase):
    """Who asks, and whether they may."""

    @conforms("RFC 3261 21.4.2", "RFC 3261 22.2")
    def test_401(self) -> None:
        self.stranger.ask("REGISTER", OURSELVES, to=f"<sip:alice@{DOMAIN}>")
        response = self.assert_explained(self.stranger.response(401, "REGISTER"))
        self.assert_header(response, "www-authenticate")

    @conforms("RFC 3261 21.4.8", "RFC 3261 22.3")
    def test_407(self) -> None:
        self.stranger.ask("MESSAGE")
        response = self.assert_explained(self.stranger.response(407, "MESSAGE"))
        self.assert_header(response, "proxy-authenticate")

    @conforms("RFC 3261 21.4.4", "RFC 3261 10.3")
    def test_403(self) -> None:
        self.signed(403, "MESSAGE", f"sip:bob@{DOMAIN}", from_user="bob")
        self.signed(403, "REGISTER", OURSELVES, to=f"<sip:carol@{DOMAIN}>")
        self.refused(403, "MESSAGE", "sip:somebody@elsewhere.example")


class RegistrationTests(RefusalCase):
    OWN = f"<sip:alice@{DOMAIN}>"

    @conforms("RFC 3261 21.4.17", "RFC 3261 10.3")
    def test_423(self) -> None:
        response = self.signed(423, "REGISTER", OURSELVES, "Expires: 5", to=self.OWN)
        self.assert_header(response, "min-expires", "60")

    @conforms("RFC 5626 6")
    def test_439(self) -> None:
        contact = 'Contact: <sip:alice@198.51.100.9>;+sip.instance="<urn:uuid:1>";reg-id=1'
        asked = self.stranger.make("REGISTER", OURSELVES, contact, "Supported: path, outbound", to=self.OWN)
        asked.set("via", f"{asked.require('via')}, SIP/2.0/UDP 198.51.100.8;branch=z9hG4bKother")
        self.stranger.send(asked)
        self.stranger.again(asked, self.stranger.response(401, "REGISTER"))
        self.assert_explained(self.stranger.response(439, "REGISTER"))

    @conforms("RFC 3261 10.3")
    def test_500(self) -> None:
        """A REGISTER that was overtaken by a later one."""
        self.register(9)
        self.stranger.response(200, "REGISTER")
        self.register(3)
        self.assert_explained(self.stranger.response(500, "REGISTER"), "higher CSeq")

    def register(self, number: int) -> None:
        asked = self.stranger.ask("REGISTER", OURSELVES, to=self.OWN, call_id="one", number=number)
        self.stranger.again(asked, self.stranger.response(401, "REGISTER"))

    def test_500_of_a_mistake_of_ours(self) -> None:
        self.patch(self.board.location, "lookup", lambda *_: 1 / 0)
        self.refused(500, "MESSAGE", f"sip:bob@{DOMAIN}")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class RoutingTests(RefusalCase):
    """Where it should go."""

    @conforms("RFC 3261 21.4.5", "RFC 3261 8.2.2.1", "RFC 3261 16.5", "RFC 3261 10.3")
    def test_404(self) -> None:
        self.refused(404, "MESSAGE", f"sip:nobody@{DOMAIN}")
        self.signed(404, "REGISTER", OURSELVES, to="<sip:alice@elsewhere.example>")

    @conforms("RFC 3261 21.4.22")
    def test_484(self) -> None:
        """Overlap dialling: bob has a phone 200, carol one that is called 300; the books know each attempt."""
        self.refused(484, "INVITE", f"sip:20@{DOMAIN}")
        self.refused(484, "INVITE", "tel:3-0")
        self.refused(484, "MESSAGE", f"sip:2@{DOMAIN}")
        for number in ("21", "2000", "alice-des"):
            self.refused(404, "INVITE", f"sip:{number}@{DOMAIN}")
        endings = [(result, code) for result, code, _ in self.board.books.endings]
        self.assertEqual(endings, [("failed", 484)] * 2 + [("failed", 404)] * 3)

    @conforms("RFC 3261 21.4.6", "RFC 3261 8.2.1")
    def test_405(self) -> None:
        self.assert_header(self.refused(405, "MESSAGE", OURSELVES), "allow")

    @conforms("RFC 3261 21.4.9")
    def test_408(self) -> None:
        self.alice.ask("INVITE")
        run(self.board.clock, 40)
        self.assert_explained(self.alice.response(408))

    @conforms("RFC 3261 21.4.18", "RFC 3261 16.5")
    def test_480(self) -> None:
        self.refused(480, "OPTIONS", f"sip:carol@{DOMAIN}")

    @conforms("RFC 3261 21.4.19", "RFC 3261 9.2")
    def test_481(self) -> None:
        for method in ("BYE", "PRACK", "UPDATE"):
            self.refused(481, method, f"sip:bob@{DOMAIN}")
        self.refused(481, "CANCEL", f"sip:bob@{DOMAIN}")
        self.refused(481, "INFO", f"sip:bob@{DOMAIN}", to=f"<sip:bob@{DOMAIN}>;tag=gone")

    @conforms("RFC 3261 21.4.20", "RFC 3261 8.2.2.2")
    def test_482(self) -> None:
        first = self.alice.make("OPTIONS", OURSELVES)
        again = first.copy()
        again.set("via", first.require("via") + "x")
        for request in (first, again):
            self.alice.send(request)
        self.alice.response(200, "OPTIONS")
        self.assert_explained(self.alice.response(482, "OPTIONS"))

    @conforms("RFC 3261 21.4.21", "RFC 3261 16.3")
    def test_483(self) -> None:
        self.refused(483, "MESSAGE", f"sip:bob@{DOMAIN}", max_forwards=0)

    @conforms("RFC 3261 21.4.25", "RFC 3261 16.10")
    def test_487(self) -> None:
        sent, _ = self.ringing()
        branch = sent.top_via.branch
        self.alice.ask("CANCEL", sent.uri_text, call_id=sent.call_id, from_tag=sent.from_tag, branch=branch)
        self.alice.response(200, "CANCEL")
        self.bob.request("CANCEL")
        run(self.board.clock, 200)
        self.assert_explained(self.alice.response(487))

    @conforms("RFC 3261 21.5.1", "RFC 3261 16.7")
    def test_500_for_an_overloaded_phone(self) -> None:
        self.alice.ask("INVITE")
        self.bob.respond(self.bob.request("INVITE"), 503)
        self.assert_explained(self.alice.response(500))

    @conforms("RFC 3261 21.5.3")
    def test_502(self) -> None:
        self.assert_explained(self.outbound(502))

    def outbound(self, status: int) -> Response:
        """What comes of a request to another domain that has no address."""
        asked = self.stranger.ask("OPTIONS", "sip:somebody@elsewhere.example")
        self.stranger.again(asked, self.stranger.response(407, "OPTIONS"))
        self.board.run()
        self.board.names.answer()
        return self.stranger.response(status, "OPTIONS")

    @conforms("RFC 3261 21.5.4")
    def test_503(self) -> None:
        self.board.core.initial.is_draining = True
        self.assert_header(self.refused(503, "INVITE", f"sip:bob@{DOMAIN}"), "retry-after")

    @conforms("RFC 5626 5.3")
    def test_430(self) -> None:
        """The dialog goes by a flow that is gone."""
        carol = Phone(self.board, "192.0.2.30", "carol", "TCP")
        carol.contact = "sip:carol@192.0.2.30:5060;transport=tcp;ob"
        sent = carol.ask("INVITE")
        got = self.bob.request("INVITE")
        answer = self.bob.respond(got, 200)
        carol.response(200)
        called = Dialog(self.bob, got, answer, is_caller=False)
        carol.flow.fail("gone")
        self.board.run()
        for session in self.board.sessions:
            self.board.sessions.ended(session, "system")
        self.assertTrue(any("@" in route for route in called.routes), called.routes)
        called.send("INFO")
        self.assert_explained(self.bob.response(430, "INFO"))
        self.assertEqual(sent.call_id, got.call_id)


class ContentTests(RefusalCase):
    """What it holds."""

    WATCH = (f"sip:alice@{DOMAIN}", "Event: presence")

    @conforms("RFC 3261 21.4.7")
    def test_406(self) -> None:
        self.refused(406, "SUBSCRIBE", *self.WATCH, "Accept: text/plain")

    @conforms("RFC 3903 6")
    def test_412(self) -> None:
        self.refused(412, "PUBLISH", *self.WATCH, "SIP-If-Match: gone")

    @conforms("RFC 3261 21.4.11")
    def test_413(self) -> None:
        self.refused(413, "PUBLISH", *self.WATCH, "Content-Type: application/pidf+xml", body="x" * 60_000)

    @conforms("RFC 3261 21.4.13", "RFC 3261 8.2.3")
    def test_415(self) -> None:
        response = self.refused(415, "PUBLISH", *self.WATCH, "Content-Type: text/plain", body="x")
        self.assert_header(response, "accept", "application/pidf+xml")
        response = self.refused(415, "PUBLISH", *self.WATCH, "Content-Encoding: gzip", body="x")
        self.assert_header(response, "accept-encoding", "identity")

    @conforms("RFC 3261 21.4.16", "RFC 3261 8.2.2.3", "RFC 3261 16.3")
    def test_420(self) -> None:
        response = self.refused(420, "MESSAGE", f"sip:bob@{DOMAIN}", "Proxy-Require: magic, 100rel")
        self.assert_header(response, "unsupported", "magic, 100rel")
        self.assert_header(self.refused(420, "OPTIONS", OURSELVES, "Require: magic"), "unsupported", "magic")

    @conforms("RFC 6665 8.3.2")
    def test_489(self) -> None:
        self.assert_header(self.refused(489, "SUBSCRIBE", OURSELVES, "Event: weather"), "allow-events")

    @conforms("RFC 3261 21.4.28")
    def test_493(self) -> None:
        self.refused(493, "PUBLISH", *self.WATCH, "Content-Type: application/pkcs7-mime", body="x")

    @conforms("RFC 3261 21.5.7")
    def test_513(self) -> None:
        self.board.messages.limits = attrs.evolve(self.board.messages.limits, octets=100)
        self.refused(513, "MESSAGE", f"sip:carol@{DOMAIN}", "Content-Type: text/plain", body="x" * 101)


class ReferTests(RefusalCase):
    """A call that goes through the switch."""

    def setUp(self) -> None:
        super().setUp()
        self.board.directory.apply_user(user(2, "bob", call_schema="b2bua"))

    @conforms("RFC 3515 2.4.2")
    def test_501(self) -> None:
        calling, _ = self.talking()
        calling.send("REFER", f"Refer-To: <sip:carol@{DOMAIN};method=BYE>")
        self.assert_explained(self.alice.response(501, "REFER"), "BYE")
        self.hang_up(calling, self.bob)

    def test_491(self) -> None:
        sent = self.alice.ask("INVITE")
        self.bob.respond(self.bob.request("INVITE"), 180)
        early = Dialog(self.alice, sent, self.alice.response(180), is_caller=True)
        early.send("REFER", f"Refer-To: <sip:carol@{DOMAIN}>")
        self.assert_explained(self.alice.response(491, "REFER"))


class TakeOverTests(RefusalCase):
    """Calls through the switch that somebody wants to take, or to park."""

    def setUp(self) -> None:
        super().setUp()
        self.board.directory.apply_user(user(2, "bob", call_schema="b2bua"))
        switch = self.board.switch
        switch.pickups = Pickups(switch, _Anybody(), lambda login: None)
        switch.transfers = Transfers(switch, Parking(switch))
        self.calling, self.called = self.talking()

    def take(self, status: int, *parameters: str) -> None:
        """Somebody wants Bob's place."""
        tags = [value.partition(";tag=")[2] for value in (self.called.remote, self.called.local)]
        named = ";".join((f"{self.called.call_id};to-tag={tags[0]};from-tag={tags[1]}", *parameters))
        self.refused(status, "INVITE", f"sip:bob@{DOMAIN}", f"Replaces: {named}")

    @conforms("RFC 3891 3")
    def test_486(self) -> None:
        self.take(486, "early-only")
        self.hang_up(self.calling, self.bob)

    @conforms("RFC 3891 3")
    def test_603(self) -> None:
        self.calling.send("BYE")
        bye = self.bob.request("BYE")
        self.take(603)
        self.bob.respond(bye, 200)

    def test_488(self) -> None:
        """Who is to be parked cannot be held: the phone that asked for it hears of that."""
        self.called.send("REFER", f"Refer-To: <sip:*68@{DOMAIN}>")
        self.bob.respond(self.bob.request("NOTIFY"), 200)
        self.alice.respond(self.alice.request("INVITE"), 488)
        notify = self.bob.request("NOTIFY")
        self.assertEqual(notify.body.strip(), b"SIP/2.0 488 The call cannot be put on hold")
        self.bob.respond(notify, 200)
        self.hang_up(self.calling, self.bob)


class _Anybody:
    """Everybody may take every call."""

    def may_pick_up(self, who: Party, called: Party) -> bool:
        return True

    def may_group_pick_up(self, who: Party, called: Party) -> bool:
        return True


class ScanTests(SynchronousTestCase):
    """No code without its test."""

    def test_none_is_left_out(self) -> None:
        shown = {
            int(name[5:8])
            for kind in RefusalCase.__subclasses__()
            for name in vars(kind)
            if re.match(r"test_[0-9]{3}(_|\Z)", name)
        }
        made = {status: where for path in _sources() for status, where in _statuses(path)}
        self.assertGreater(len(made), 25)
        self.assertEqual({status: where for status, where in made.items() if status not in shown}, {})
        self.assertEqual(sorted(status for status in shown if status not in made), [])


def _sources() -> Iterator[Path]:
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).parts
        if parts[0] not in _OTHERS and not (parts[0] == "dialog" and parts[1] in _OF_USER_AGENTS):
            yield path


def _statuses(path: Path) -> Iterator[tuple[int, str]]:
    """Each refusal code that a call makes, or that stands before its text, with its place."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        values: Sequence[ast.expr] = ()
        if isinstance(node, ast.Call) and _name(node.func) in _ANSWERING:
            values = [*node.args, *(keyword.value for keyword in node.keywords)]
        elif isinstance(node, ast.Tuple) and len(node.elts) == 2 and isinstance(node.elts[1], ast.Constant):
            values = [node.elts[0]] if isinstance(node.elts[1].value, str) else ()
        for value in values:
            for part in (value.body, value.orelse) if isinstance(value, ast.IfExp) else (value,):
                if isinstance(part, ast.Constant) and type(part.value) is int and 400 <= part.value < 700:
                    yield part.value, f"{path.relative_to(ROOT)}:{part.lineno}"


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
