"""Transfers, parking, pickups and the live calls of the API, over real sockets against the real process."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

from twisted.internet.defer import Deferred, ensureDeferred

from tests.conformance import conforms
from tests.end_to_end.phone import Leg, Phone, Received
from tests.end_to_end.switch_cases import SwitchCase, session
from tests.running import LOOPBACK

_TAG = re.compile(r";tag=([^;>\s]+)")


def tag(address: str) -> str:
    """The tag of a From or To value."""
    found = _TAG.search(address)
    assert found is not None, address
    return found[1]


def replaces(leg: Leg) -> str:
    """The Replaces value that names this leg's dialog, as the server sees it (RFC 3891 3)."""
    return f"{leg.call_id};to-tag={tag(leg.remote)};from-tag={tag(leg.local)}"


class ControlCase(SwitchCase):
    async def phones(self, number: int) -> list[Phone]:
        """So many phones that are registered."""
        found = [await self.silent_phone() for _ in range(number)]
        for phone in found:
            await phone.register()
        return found

    async def talk(self, caller: Phone, callee: Phone) -> tuple[Leg, Leg]:
        """A call that was answered; each phone is at the port of its number."""
        calling = await caller.call(callee.user, body=session(caller.port))
        called = await callee.called()
        called.respond(180)
        called.respond(200, (("Allow", "INVITE, ACK, BYE, CANCEL, MESSAGE, REFER, NOTIFY"),), body=session(callee.port))
        await calling.answered()
        await called.expect("ACK")
        return calling, called

    async def refer(self, leg: Leg, target: str, query: str = "") -> None:
        """A REFER to somebody here, which is accepted and tried."""
        leg.ask("REFER", (("Refer-To", f"<sip:{target}@{LOOPBACK}{query}>"), ("Contact", f"<{leg.phone.contact}>")))
        await leg.expect(202, "REFER")
        self.assertIn("100", await self.notified(leg))

    async def notified(self, leg: Leg) -> str:
        """The status line in the next NOTIFY."""
        notify = await leg.expect("NOTIFY")
        leg.respond(200, request=notify)
        return notify.body.decode().strip()

    async def outcome(self, leg: Leg) -> str:
        """The last of them: provisional ones are looked over."""
        while True:
            line = await self.notified(leg)
            if not line.startswith("SIP/2.0 1"):
                return line

    async def takes(self, leg: Leg, port: int) -> Received:
        """It hears a re-INVITE, and answers with its own place."""
        asked = await leg.expect("INVITE")
        way = next((way for way in ("inactive", "sendonly", "recvonly") if f"a={way}" in asked.body.decode()), "")
        mirrored = {"sendonly": "recvonly", "recvonly": "sendonly", "": "sendrecv"}.get(way, way)
        leg.respond(200, request=asked, body=session(port, mirrored))
        await leg.expect("ACK")
        return asked

    async def parts(self, one: Leg, other: Leg) -> None:
        """One hangs up, the other hears of it."""
        one.bye()
        await other.hung_up_on()
        await one.expect(200, "BYE")

    # -- the API -------------------------------------------------------------------------------------------------------

    async def live(self, phone: Phone) -> dict[str, Any]:
        """The only call of the owner of this phone."""
        rows = await self.server.api.rows("/api/calls")
        (row,) = [row for row in rows if phone.user in {leg["party"] for leg in row["legs"]}]
        return row

    def leg_of(self, row: dict[str, Any], phone: Phone) -> str:
        return str(next(leg["id"] for leg in row["legs"] if leg["party"] == phone.user))

    def command(self, row: dict[str, Any], name: str, **body: object) -> Deferred[tuple[int, Any]]:
        """What the API says to it."""
        return ensureDeferred(self._command(f"/api/calls/{row['id']}/{name}", body))

    async def _command(self, path: str, body: object) -> tuple[int, Any]:
        status, text = await self.server.api.ask("POST", path, body)
        return status, json.loads(text)


class TransferTests(ControlCase):
    @conforms("RFC 5589 6.1")
    async def test_blind(self) -> None:
        alice, bob, carol = await self.phones(3)
        calling, called = await self.talk(alice, bob)
        await self.refer(called, carol.user)
        target = await carol.called()
        self.assertIn(f"m=audio {alice.port}".encode(), target.request.body if target.request else b"")
        target.respond(180)
        target.respond(200, body=session(carol.port))
        await target.expect("ACK")
        offered = await self.takes(calling, alice.port)
        self.assertIn(f"m=audio {carol.port}".encode(), offered.body)
        self.assertEqual(await self.outcome(called), "SIP/2.0 200 OK")
        await called.hang_up()
        await self.parts(target, calling)
        row = await self.assert_closed(calling.call_id, "answered", 200, "callee")
        (note,) = [note for note in row["history"] if note["kind"] == "transfer"]
        self.assertEqual((note["by"], note["target"], note["result"]), (bob.user, carol.user, "done"))

    @conforms("RFC 5589 6.3.1")
    async def test_blind_to_somebody_busy(self) -> None:
        alice, bob, carol = await self.phones(3)
        calling, called = await self.talk(alice, bob)
        await self.refer(called, carol.user)
        target = await carol.called()
        target.respond(486)
        await target.expect("ACK")
        self.assertEqual(await self.outcome(called), "SIP/2.0 486 Said")
        await self.negotiate(called, calling, session(bob.port, version=2), session(alice.port, version=2))
        await self.parts(calling, called)

    async def test_blind_to_nobody(self) -> None:
        alice, bob = await self.phones(2)
        calling, called = await self.talk(alice, bob)
        await self.refer(called, "nobody-at-all")
        self.assertEqual(await self.outcome(called), "SIP/2.0 404 Not Found")
        await self.parts(calling, called)

    @conforms("RFC 5589 7.3")
    async def test_attended(self) -> None:
        alice, bob, carol = await self.phones(3)
        calling, called = await self.talk(alice, bob)
        consulting, consulted = await self.talk(bob, carol)
        await self.refer(called, carol.user, f"?Replaces={quote(replaces(consulting), safe='')}")
        asked = await calling.expect("INVITE")
        calling.respond(200, request=asked, body=session(alice.port, version=3))
        offered = await self.takes(consulted, carol.port)
        self.assertIn(f"m=audio {alice.port}".encode(), offered.body)
        ack = await calling.expect("ACK")
        self.assertIn(f"m=audio {carol.port}".encode(), ack.body)
        await consulting.hung_up_on()
        self.assertEqual(await self.outcome(called), "SIP/2.0 200 OK")
        await called.hang_up()
        row = await self.assert_closed(consulting.call_id, "answered", 200, "caller")
        await self.parts(calling, consulted)
        other = await self.assert_closed(calling.call_id, "answered", 200, "caller")
        self.assertEqual((row["linked_to"], other["linked_to"]), ([other["id"]], [row["id"]]))


class ParkTests(ControlCase):
    @conforms("RFC 5359 2.15")
    async def test_parked_and_fetched(self) -> None:
        alice, bob, carol = await self.phones(3)
        calling, called = await self.talk(alice, bob)
        await self.refer(called, "*68")
        held = await self.takes(calling, alice.port)
        self.assertIn(b"a=inactive", held.body)
        message = await called.expect("MESSAGE")
        called.respond(200, request=message)
        line = await self.outcome(called)
        orbit = line.rpartition(" ")[2]
        self.assertEqual((line, message.body.decode()), (f"SIP/2.0 200 Parked at {orbit}", f"Parked at {orbit}"))
        await called.hang_up()
        self.assertEqual((await self.live(alice))["orbit"], orbit)
        fetching = await carol.call(orbit, body=session(carol.port))
        offered = await self.takes(calling, alice.port)
        self.assertIn(f"m=audio {carol.port}".encode(), offered.body)
        await fetching.answered()
        await self.parts(fetching, calling)
        await self.assert_closed(calling.call_id, "answered", 200, "callee")


class PickupTests(ControlCase):
    async def rung(self) -> tuple[Leg, Leg, Phone]:
        alice, bob, carol = await self.phones(3)
        calling = await alice.call(bob.user, body=session(alice.port))
        called = await bob.called()
        called.respond(180)
        await calling.expect(180)
        return calling, called, carol

    async def taken(self, calling: Leg, called: Leg, taking: Leg) -> None:
        cancel = await called.expect("CANCEL")
        self.assertIn("cause=200", cancel["reason"])
        called.respond(200, request=cancel)
        called.respond(487)
        await calling.answered()
        offered = await self.takes(calling, calling.phone.port)
        self.assertIn(f"m=audio {taking.phone.port}".encode(), offered.body)
        await taking.answered()
        await self.parts(taking, calling)

    async def test_by_the_code(self) -> None:
        calling, called, carol = await self.rung()
        taking = await carol.call(f"*8{called.phone.user}", body=session(carol.port))
        await self.taken(calling, called, taking)
        row = await self.assert_closed(calling.call_id, "answered", 200, "callee")
        self.assertEqual([note["kind"] for note in row["history"]], ["pickup"])

    @conforms("RFC 5359 2.16")
    async def test_by_replaces(self) -> None:
        calling, called, carol = await self.rung()
        named = f"{replaces(called)};early-only"
        taking = await carol.call(called.phone.user, (("Replaces", named),), session(carol.port))
        await self.taken(calling, called, taking)

    @conforms("RFC 3891 3")
    async def test_a_dialog_that_nobody_has(self) -> None:
        calling, called, carol = await self.rung()
        taking = await carol.call(called.phone.user, (("Replaces", "none;to-tag=a;from-tag=b"),), session(carol.port))
        await taking.refused(481)
        called.respond(486)
        await calling.refused(486)


class ApiTests(ControlCase):
    async def test_hold_and_resume(self) -> None:
        alice, bob = await self.phones(2)
        calling, called = await self.talk(alice, bob)
        row = await self.live(alice)
        holding = self.command(row, "hold")
        for leg in (calling, called):
            self.assertIn(b"a=inactive", (await self.takes(leg, leg.phone.port)).body)
        status, answer = await holding
        self.assertEqual((status, answer["data"]["state"]), (200, "held"))
        resuming = self.command(row, "resume")
        asked = await called.expect("INVITE")
        called.respond(200, request=asked, body=session(bob.port, version=4))
        await self.takes(calling, alice.port)
        await called.expect("ACK")
        status, answer = await resuming
        self.assertEqual((status, answer["data"]["state"]), (200, "answered"))
        await self.parts(calling, called)

    async def test_a_phone_that_does_not_go_on_hold(self) -> None:
        alice, bob = await self.phones(2)
        calling, called = await self.talk(alice, bob)
        holding = self.command(await self.live(alice), "hold")
        asked = await calling.expect("INVITE")
        calling.respond(488, request=asked)
        self.assertEqual((await holding)[0], 409)
        await self.parts(calling, called)

    async def test_hang_up(self) -> None:
        alice, bob = await self.phones(2)
        calling, called = await self.talk(alice, bob)
        ending = self.command(await self.live(alice), "hangup")
        await calling.hung_up_on()
        self.assertFalse(ending.called)
        await called.hung_up_on()
        status, answer = await ending
        self.assertEqual((status, answer["data"]["status"]), (200, 200))
        await self.assert_closed(calling.call_id, "answered", 200, "system")

    async def test_transfer(self) -> None:
        alice, bob, carol = await self.phones(3)
        calling, called = await self.talk(alice, bob)
        row = await self.live(alice)
        moving = self.command(row, "transfer", target=carol.user, kind="blind", leg=self.leg_of(row, bob))
        target = await carol.called()
        target.respond(200, body=session(carol.port))
        await target.expect("ACK")
        self.assertFalse(moving.called)
        await self.takes(calling, alice.port)
        self.assertEqual((await moving)[0], 200)
        await called.hung_up_on()
        await self.parts(target, calling)

    async def test_a_transfer_that_fails_is_an_error(self) -> None:
        alice, bob, carol = await self.phones(3)
        calling, called = await self.talk(alice, bob)
        moving = self.command(await self.live(alice), "transfer", target=carol.user, kind="blind")
        target = await carol.called()
        target.respond(603)
        await target.expect("ACK")
        status, answer = await moving
        self.assertEqual(status, 409)
        self.assertIn("603", answer["error"]["message"])
        await self.parts(calling, called)

    async def test_park(self) -> None:
        alice, bob = await self.phones(2)
        calling, called = await self.talk(alice, bob)
        parking = self.command(await self.live(alice), "park", orbit="715")
        await self.takes(calling, alice.port)
        status, answer = await parking
        self.assertEqual((status, answer["data"]["orbit"], answer["data"]["state"]), (200, "715", "parked"))
        await called.hung_up_on()
        await calling.hang_up()

    async def test_keys(self) -> None:
        alice, bob = await self.phones(2)
        calling, called = await self.talk(alice, bob)
        row = await self.live(alice)
        pressing = self.command(row, "dtmf", digits="7", leg=self.leg_of(row, bob))
        info = await called.expect("INFO")
        self.assertIn(b"Signal=7", info.body)
        called.respond(200, request=info)
        self.assertEqual((await pressing)[0], 200)
        await self.parts(calling, called)

    async def test_click_to_call(self) -> None:
        bob, carol = await self.phones(2)
        (person,) = await self.server.api.rows("/api/users", login=bob.user)
        starting = ensureDeferred(self.server.api.create("/api/calls", {"target": carol.user, "user_id": person["id"]}))
        own = await bob.called()
        own.respond(180)
        self.assertFalse(starting.called)
        own.respond(200, body=session(bob.port))
        self.assertIn(b"a=inactive", (await own.expect("ACK")).body)
        row = await starting
        self.assertEqual((row["caller"], row["callee"]), (bob.user, carol.user))
        target = await carol.called()
        target.respond(200, body=session(carol.port))
        await target.expect("ACK")
        await self.takes(own, bob.port)
        await self.parts(own, target)

    async def test_pick_up(self) -> None:
        alice, bob = await self.phones(2)
        calling = await alice.call(bob.user, body=session(alice.port))
        called = await bob.called()
        called.respond(180)
        await calling.expect(180)
        # The administrator has no phone.
        self.assertEqual((await self.command(await self.live(bob), "pickup"))[0], 409)
        called.respond(486)
        await calling.refused(486)
