"""Whoever knows the identifiers of a dialog of others: a colleague who watched the phone when it rang (RFC 4235)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import ClassVar

from gosip_py.sip.message import Request
from tests.conformance import conforms
from tests.proxy.switchboard import DOMAIN, Dialog, Phone, SwitchboardCase
from tests.registrar.fakes import user

_numbers = count(1)


class HijackTests(SwitchboardCase):
    """Alice, without credentials in her network, talks with Bob; Carol's phone is elsewhere."""

    trusted: ClassVar[Sequence[str]] = ("192.0.2.0/24",)

    def setUp(self) -> None:
        super().setUp()
        self.thief = Phone(self.board, "198.51.100.30", "300")
        self.calling, self.called = self.talking()

    def forged(self, side: Dialog, method: str, phone: Phone | None = None) -> Request:
        """A request in the name of one side, from another phone."""
        phone = phone or self.thief
        request = side.make(method, number=500)
        request.set("via", f"SIP/2.0/{phone.via} {phone.host}:5060;rport;branch=z9hG4bKforged{next(_numbers)}")
        request.set("contact", f"<{phone.contact}>")
        phone.send(request)
        return request

    @conforms("RFC 3261 26.3.2.2")
    def test_nobody_else_hangs_up_or_takes_the_call(self) -> None:
        for side in (self.calling, self.called):
            for method in ("BYE", "INVITE", "UPDATE", "INFO", "REFER"):
                request = self.forged(side, method)
                challenge = self.thief.response(407, method)
                self.thief.again(request, challenge)  # it has credentials, but not those of either
                self.board.run()
                self.thief.response(403, method)
        self.assertEqual((self.alice.titles, self.bob.titles), (["100 INVITE"], []))
        self.hang_up(self.calling, self.bob)

    def test_nor_in_a_name_of_its_own(self) -> None:
        """It was told the tags when the phone rang, and its credentials are good: for its own calls."""
        for side in (self.calling, self.called):
            tag = side.local.partition(";tag=")[2]
            for method in ("BYE", "INVITE"):
                side.local = f"<sip:300@{DOMAIN}>;tag={tag}"
                self.thief.again(self.forged(side, method), self.thief.response(407, method))
                self.board.run()
                self.thief.response(403, method)
        self.assertEqual((self.alice.titles, self.bob.titles), (["100 INVITE"], []))
        self.hang_up(self.calling, self.bob)

    def test_a_phone_that_moved_shows_who_it_is(self) -> None:
        moved = Phone(self.board, "198.51.100.31", "200")
        request = self.forged(self.called, "UPDATE", moved)
        moved.again(request, moved.response(407, "UPDATE"))
        self.alice.respond(self.alice.request("UPDATE"), 200)
        moved.response(200, "UPDATE")
        self.forged(self.called, "INFO", moved)  # now it is known there
        self.alice.respond(self.alice.request("INFO"), 200)
        moved.response(200, "INFO")
        self.calling.target = moved.contact
        self.hang_up(self.calling, moved)


class OutsideTests(SwitchboardCase):
    def test_who_is_none_of_ours_may_send_from_elsewhere(self) -> None:
        """A trunk with several addresses: it has no credentials to show."""
        other = Phone(self.board, "198.51.100.40", "trunk")
        invite = self.alice.make("INVITE", f"sip:bob@{DOMAIN}")
        invite.set("from", "<sip:+4930123@trunk.example>;tag=out")
        self.alice.send(invite)
        self.bob.respond(self.bob.request("INVITE"), 200)
        answer = self.alice.response(200)
        calling = Dialog(self.alice, invite, answer, is_caller=True)
        self.alice.send(calling.make("ACK"))
        self.bob.request("ACK")
        bye = calling.make("BYE")
        bye.set("via", f"SIP/2.0/UDP {other.host}:5060;rport;branch=z9hG4bKother")
        other.send(bye)
        self.bob.respond(self.bob.request("BYE"), 200)
        other.response(200, "BYE")


class LegTests(SwitchboardCase):
    """The same with a call of the switch, whose caller showed who she is; Carol's phone knows her dialog."""

    def setUp(self) -> None:
        super().setUp()
        self.board.directory.apply_user(user(2, "bob", call_schema="b2bua"))
        self.desk = Phone(self.board, "198.51.100.10", "alice-desk")
        self.thief = Phone(self.board, "198.51.100.30", "300")
        sent = self.desk.ask("INVITE")
        sent = self.desk.again(sent, self.desk.response(407))
        self.bob.respond(self.bob.request("INVITE"), 200)
        self.calling = Dialog(self.desk, sent, self.desk.response(200), is_caller=True)
        self.calling.number = 2
        self.calling.send("ACK")
        self.bob.request("ACK")

    def forged(self, method: str, phone: Phone) -> Request:
        """A request with the ids of Alice's dialog, in the name of ``phone``."""
        request = self.calling.make(method)
        request.set("via", f"SIP/2.0/UDP {phone.host}:5060;rport;branch=z9hG4bKforged{next(_numbers)}")
        request.set("from", f"<sip:{phone.name}@{DOMAIN}>;tag={self.calling.local.partition(';tag=')[2]}")
        request.set("contact", f"<{phone.contact}>")
        phone.send(request)
        return phone.again(request, phone.response(401, method))

    @conforms("RFC 3261 26.3.2.2")
    def test_nobody_else_hangs_up_or_takes_the_call(self) -> None:
        for method in ("BYE", "INVITE", "UPDATE", "INFO", "REFER"):
            self.forged(method, self.thief)
            self.board.run()
            self.assertIn("somebody else's", self.thief.response(403, method).require("warning"))
        self.assertEqual(self.bob.titles, [])
        self.hang_up(self.calling, self.bob)

    def test_another_phone_of_the_same_person(self) -> None:
        soft = Phone(self.board, "198.51.100.11", "alice-soft")
        self.forged("BYE", soft)
        self.bob.respond(self.bob.request("BYE"), 200)
        soft.response(200, "BYE")
