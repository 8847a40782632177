"""Contacts of a 3xx: those that we give, and those that we follow (RFC 3261 8.3, 16.5, 16.7 item 4)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.proxy.redirect import contacts, follow
from gosip_py.proxy.route import ProxyTarget
from gosip_py.sip.message import Request, Response
from gosip_py.sip.uri import Uri
from gosip_py.store.records import BindingKey
from gosip_py.transport.flow import Target
from tests.conformance import conforms
from tests.proxy.switchboard import Phone, SwitchboardCase
from tests.proxy.test_loop import Relay
from tests.registrar.fakes import user


def target(uri: str, q: int = 1000) -> ProxyTarget:
    return ProxyTarget(uri, Target("UDP", "192.0.2.9", 5060), q=q)


def moved(*values: str, status: int = 302) -> Response:
    return Response(status, "Moved", ["contact"] * len(values), [f"Contact: {value}" for value in values])


class GivenTests(SynchronousTestCase):
    @conforms("RFC 3261 8.3", "RFC 3261 20.10")
    def test_every_contact_with_its_q_the_best_first(self) -> None:
        targets = [target("sip:a@192.0.2.1", 500), target("sip:b@192.0.2.2;transport=tcp"), target("sip:c@h", 1)]
        self.assertEqual(
            contacts(targets, "sip:x@example.com"),
            ["<sip:b@192.0.2.2;transport=tcp>;q=1", "<sip:a@192.0.2.1>;q=0.5", "<sip:c@h>;q=0.001"],
        )

    @conforms("RFC 3261 8.3")
    def test_but_the_one_that_was_asked_for(self) -> None:
        """ "redirect servers MUST NOT redirect a request to a URI equal to the one in the Request-URI"."""
        self.assertEqual(contacts([target("sip:a@h"), target("sip:b@h")], "sip:a@h"), ["<sip:b@h>;q=1"])


class FollowedTests(SynchronousTestCase):
    """What is taken out of a 3xx, where carol and dave are ours."""

    def lookup(self, uri: Uri) -> tuple[ProxyTarget, ...]:
        return (target(f"sip:{uri.user}@192.0.2.9"),) if uri.host == "example.com" else ()

    def followed(self, response: Response, *, is_secure: bool = False) -> tuple[list[str], list[str] | None]:
        found, left = follow(response, self.lookup, is_secure)
        return [each.uri_text for each in found], None if left is None else left.values("contact")

    @conforms("RFC 3261 16.7")
    def test_all_of_them(self) -> None:
        """ "the proxy SHOULD NOT add the resulting contactless response to the response context"."""
        found = self.followed(moved("<sip:carol@example.com>", "sip:dave@example.com;q=0.3"))
        self.assertEqual(found, (["sip:carol@192.0.2.9", "sip:dave@192.0.2.9"], None))

    @conforms("RFC 3261 16.7")
    def test_some_of_them(self) -> None:
        """ "it MUST remove them from the response before adding the response to the response context"."""
        response = moved("<mailto:carol@example.com>", "<sip:carol@example.com>", "<sip:x@far.example>;q=0.1", "*")
        left = ["<mailto:carol@example.com>", "<sip:x@far.example>;q=0.1", "*"]
        self.assertEqual(self.followed(response), (["sip:carol@192.0.2.9"], left))
        self.assertEqual(len(response.values("contact")), 4)

    def test_none_of_them(self) -> None:
        for values in (("<sip:carol@far.example>",), ("<tel:+100>",), ("nonsense <",), ()):
            response = moved(*values)
            self.assertEqual(follow(response, self.lookup, False), ([], response))

    @conforms("RFC 3261 16.7")
    def test_from_sips_to_sips_only(self) -> None:
        """ "a proxy SHOULD NOT recurse to a non-SIPS URI if the Request-URI of the original request was a SIPS URI"."""
        response = moved("<sip:carol@example.com>", "<sips:dave@example.com>")
        self.assertEqual(self.followed(response, is_secure=True), (["sip:dave@192.0.2.9"], ["<sip:carol@example.com>"]))

    @conforms("RFC 3261 21.3.4", "RFC 3261 21.3.5")
    def test_neither_a_proxy_to_use_nor_another_service(self) -> None:
        for status in (305, 380):
            response = moved("<sip:carol@example.com>", status=status)
            self.assertEqual(follow(response, self.lookup, False), ([], response))

    @conforms("RFC 3261 16.6")
    def test_in_the_order_of_q(self) -> None:
        names = {"a": "0.2", "b": "1.0", "c": "0.75", "d": "nonsense", "e": "0", "f": "2"}
        values = [f"<sip:{name}@example.com>;q={q}" for name, q in names.items()]
        found, _ = follow(moved(*values), self.lookup, False)
        self.assertEqual([each.q for each in found], [1000, 1000, 1000, 750, 200, 0])

    def test_not_without_end(self) -> None:
        found, left = self.followed(moved(*(f"<sip:p{number}@example.com>" for number in range(500))))
        self.assertEqual((len(found), len(left or ())), (16, 484))


class RecursionCase(SwitchboardCase):
    """Bob's phone sends calls on; Carol has a phone, Alice's second device is called alice-soft."""

    def setUp(self) -> None:
        super().setUp()
        self.carol = Phone(self.board, "192.0.2.30", "carol")
        self.carol.register("carol", 30)

    def moved(self, *values: str, status: int = 302) -> Request:
        """Bob's phone got the INVITE, and answered with these contacts."""
        sent = self.alice.ask("INVITE")
        self.bob.respond(self.bob.request("INVITE"), status, *(("contact", value) for value in values))
        return sent


class RecursionTests(RecursionCase):
    @conforms("RFC 3261 16.5", "RFC 3261 16.7")
    def test_one_of_ours_is_called_in_place(self) -> None:
        self.moved("<sip:carol@example.com>")
        got = self.carol.request("INVITE")
        self.assertEqual(got.uri_text, self.carol.contact)
        self.carol.respond(got, 200)
        self.assertEqual(self.alice.response(200).value("contact"), f"<{self.carol.contact}>")
        self.assertNotIn("302 INVITE", self.alice.titles)

    @conforms("RFC 3261 16.7")
    def test_nobody_else_is_called_for_a_phone(self) -> None:
        """Another domain is not ours to call on behalf of somebody who did not ask for it."""
        self.moved("<sip:carol@far.example>;q=0.5")
        answer = self.alice.response(302)
        self.assertEqual(answer.values("contact"), ["<sip:carol@far.example>;q=0.5"])
        self.assertEqual(self.board.books.endings, [("redirected", 302, "callee")])

    @conforms("RFC 3261 16.7")
    def test_ours_first_and_the_rest_goes_back(self) -> None:
        self.moved("<sip:carol@example.com>", "<sip:carol@far.example>", "<mailto:carol@example.com>")
        self.carol.respond(self.carol.request("INVITE"), 486)
        self.assertEqual(
            self.alice.response(302).values("contact"), ["<sip:carol@far.example>", "<mailto:carol@example.com>"]
        )

    @conforms("RFC 3261 16.7")
    def test_what_was_followed_does_not_count(self) -> None:
        self.moved("<sip:carol@example.com>")
        self.carol.respond(self.carol.request("INVITE"), 486)
        self.alice.response(486)
        self.assertEqual(self.board.books.endings, [("rejected", 486, "callee")])

    @conforms("RFC 3261 16.5")
    def test_round_and_round(self) -> None:
        """ "Allowing a URI to be added to the set only once ... prevents infinite recursion"."""
        self.moved("<sip:carol@example.com>")
        self.carol.respond(self.carol.request("INVITE"), 302, ("contact", "<sip:bob@example.com>"))
        self.alice.response(408)
        self.board.run()
        self.assertEqual((self.bob.titles, self.carol.titles), (["ACK"], ["ACK"]))

    def test_to_somebody_who_has_no_phone(self) -> None:
        self.board.location.remove_key(
            BindingKey("sip:carol@example.com", self.carol.contact), "test", self.board.now()
        )
        self.moved("<sip:carol@example.com>")
        self.alice.response(302)

    @conforms("RFC 3261 16.7")
    def test_while_others_ring(self) -> None:
        """The new ones ring together with those that do already, and one answer ends it for all."""
        second = Phone(self.board, "192.0.2.21", "bob")
        second.register("bob", 20)
        self.alice.ask("INVITE")
        ringing = second.request("INVITE")
        second.respond(ringing, 180)
        self.bob.respond(self.bob.request("INVITE"), 302, ("contact", "<sip:carol@example.com>"))
        got = self.carol.request("INVITE")
        self.assertEqual(got.values("max-breadth"), ["30"])
        self.carol.respond(got, 200)
        self.alice.response(200)
        second.respond(second.request("CANCEL"), 200)
        second.respond(ringing, 487)

    @conforms("RFC 3261 16.6", "RFC 3261 16.7")
    def test_in_the_order_of_q(self) -> None:
        soft = Phone(self.board, "192.0.2.31", "soft")
        soft.register("alice-soft", 11)
        self.moved("<sip:carol@example.com>;q=0.2", "<sip:alice-soft@example.com>;q=0.9")
        got = soft.request("INVITE")
        self.assertEqual(self.carol.titles, [])
        soft.respond(got, 486)
        self.carol.respond(self.carol.request("INVITE"), 200)
        self.alice.response(200)

    @conforms("RFC 3261 16.7")
    def test_not_after_a_6xx(self) -> None:
        second = Phone(self.board, "192.0.2.21", "bob")
        second.register("bob", 20)
        self.alice.ask("INVITE")
        got = self.bob.request("INVITE")
        second.respond(second.request("INVITE"), 600)
        self.bob.respond(got, 302, ("contact", "<sip:carol@example.com>"))
        self.alice.response(600)
        self.assertEqual(self.carol.titles, [])

    @conforms("RFC 3261 16.10")
    def test_not_after_a_cancel(self) -> None:
        sent, got = self.ringing()
        self.alice.ask(
            "CANCEL", sent.uri_text, from_tag=sent.from_tag, call_id=sent.call_id, branch=sent.top_via.branch
        )
        self.bob.request("CANCEL")
        self.bob.respond(got, 302, ("contact", "<sip:carol@example.com>"))
        self.alice.response(302)
        self.assertEqual(self.carol.titles, [])
        self.assertEqual(self.board.books.endings, [("cancelled", 302, "caller")])

    @conforms("RFC 3261 16.5")
    def test_not_where_the_request_uri_is_not_ours(self) -> None:
        """ "If the proxy is not responsible for that URI, it will not recurse on 3xx"."""
        far = Phone(self.board, "192.0.2.50", "far")
        caller = Phone(self.board, "198.51.100.7", "alice-desk")
        refused = caller.ask("INVITE", "sip:dave@192.0.2.50")
        caller.again(refused, caller.response(407))
        far.respond(far.request("INVITE"), 302, ("contact", "<sip:carol@example.com>"))
        caller.response(302)
        self.assertEqual(self.carol.titles, [])

    def test_not_where_it_is_switched_off(self) -> None:
        self.board.proxy._recurses = False
        self.moved("<sip:carol@example.com>")
        self.alice.response(302)
        self.assertEqual(self.carol.titles, [])

    def test_other_requests_are_sent_on_as_well(self) -> None:
        self.alice.ask("OPTIONS")
        self.bob.respond(self.bob.request("OPTIONS"), 302, ("contact", "<sip:carol@example.com>"))
        self.carol.respond(self.carol.request("OPTIONS"), 200)
        self.alice.response(200, "OPTIONS")

    @conforms("RFC 5393 4.1", "RFC 5393 4.2.2")
    def test_a_request_that_is_sent_on_is_forked(self) -> None:
        """The second contact makes it a fork, and from there on loops are looked for."""
        relay = Relay(self.board, "192.0.2.40", "relay")
        relay.register("alice-soft", 11)
        self.moved("<sip:alice-soft@example.com>")
        got = relay.request("INVITE")
        self.assertIn(".", got.top_via.branch)
        relay.send_back(got, "sip:bob@example.com")
        self.bob.respond(self.bob.request("INVITE"), 302, ("contact", "<sip:alice-soft@example.com>"))
        relay.response(482)
        relay.respond(got, 482)
        self.alice.response(482)


class SpiralTests(RecursionCase):
    """A contact that names one of our own people."""

    @conforms("RFC 3261 16.5")
    def test_is_found_without_going_out(self) -> None:
        self.bob.register("alice-soft", 11, "sip:carol@example.com", is_at_source=False)
        self.board.names.known["example.com"] = ("192.0.2.1",)
        self.alice.ask("INVITE", "sip:alice-soft@example.com")
        self.board.run()
        self.board.names.answer()
        self.carol.respond(self.carol.request("INVITE"), 200)
        self.alice.response(200)

    def test_that_is_oneself_leads_nowhere(self) -> None:
        self.bob.register("alice-soft", 11, "sip:alice-soft@example.com", is_at_source=False)
        self.board.names.known["example.com"] = ("192.0.2.1",)
        self.alice.ask("INVITE", "sip:alice-soft@example.com")
        self.board.run()
        self.board.names.answer()
        self.alice.response(502)


class ModeTests(SwitchboardCase):
    """Bob's calls are redirected."""

    def setUp(self) -> None:
        super().setUp()
        self.board.directory.apply_user(user(2, "bob", call_schema="redirect"))
        self.second = Phone(self.board, "192.0.2.21", "bob", via="TCP")
        self.second.register("bob", 20, q=300)

    @conforms("RFC 3261 8.3", "RFC 3261 21.3.3", "RFC 3261 13.3.1.2")
    def test_a_call(self) -> None:
        sent = self.alice.ask("INVITE")
        answer = self.alice.response(302)
        self.assertEqual(
            answer.values("contact"), ["<sip:bob@192.0.2.20:5060>;q=1", "<sip:bob@192.0.2.21:5060;transport=tcp>;q=0.3"]
        )
        self.assertTrue(answer.to_tag)
        self.assertEqual(self.bob.titles, [])
        ack = self.alice.make(
            "ACK", sent.uri_text, to=answer.require("to"), call_id=sent.call_id, branch=sent.top_via.branch
        )
        self.alice.send(ack)
        self.board.run(2)
        self.assertEqual((self.alice.titles, self.bob.titles), ([], []))
        self.assertEqual(self.board.books.endings, [("redirected", 302, "system")])

    @conforms("RFC 3261 8.3")
    def test_whatever_else_is_asked(self) -> None:
        """ "After receiving a request other than CANCEL, the server either refuses the request or gathers the list"."""
        for method in ("MESSAGE", "OPTIONS", "REFER", "STRANGE"):
            self.alice.ask(method)
            self.assertEqual(len(self.alice.response(302, method).values("contact")), 2)
        self.assertEqual(self.bob.titles, [])

    def test_who_is_not_there(self) -> None:
        for aor, contact in (("200", self.bob.contact), ("bob", self.second.contact)):
            self.board.location.remove_key(BindingKey(f"sip:{aor}@example.com", contact), "test", self.board.now())
        self.alice.ask("INVITE")
        self.alice.response(480)

    def test_the_caller_may_go_there(self) -> None:
        """The contacts are those of the phones: the next INVITE reaches one of them directly."""
        self.alice.ask("INVITE")
        found = self.alice.response(302).addresses("contact")[0].uri
        again = self.alice.make("INVITE", str(found))
        self.alice.transport.flow_of("UDP", (found.host, found.port or 5060)).send(again.to_bytes())
        self.assertEqual(len(self.bob.request("INVITE").values("via")), 1)
