"""Three and four baresip phones: groups, pickup, parking, do not disturb, forwards. Tones prove who talks to whom."""

from __future__ import annotations

from typing import Any

from tests.conformance import conforms
from tests.interop.baresip import BaresipPhone
from tests.interop.switchboard import MD5, SwitchCase
from tests.running import RunningServer, Settings, serving, until

PARK_SECONDS = 1.5
PARKING: Settings = {**MD5, "parking": {"timeout_seconds": PARK_SECONDS, "ring_seconds": 5.0}}
IMPATIENT: Settings = {**MD5, "sip": {"ring_seconds": 3.0}}
ELSEWHERE = 'Reason: SIP;cause=200;text="Call completed elsewhere"'


class FeatureCase(SwitchCase):
    """Everybody's phone is answered by hand, unless it is said."""

    async def phones(self, server: RunningServer, *users: str, auto: tuple[str, ...] = ()) -> list[BaresipPhone]:
        """Their phones, in this order."""
        return [await self.phone(server, user, answer="auto" if user in auto else "manual") for user in users]

    async def person(self, server: RunningServer, login: str) -> dict[str, Any]:
        """The user of this login."""
        (found,) = [user for user in await server.api.rows("/api/users") if user["login"] == login]
        return found

    async def linked(self, server: RunningServer, kind: str) -> None:
        """The call that went on, and the one that was made to take it: each row names the other."""
        taken, taking = await self.journal(server, 2)
        self.assertEqual([row["result"] for row in (taken, taking)], ["answered", "answered"])
        for row, other in ((taken, taking), (taking, taken)):
            self.assertEqual(row["linked_to"], [other["id"]])
            self.assertIn((kind, "carol", other["id"]), [(n["kind"], n["by"], n["call_id"]) for n in row["history"]])

    async def established(self, *phones: BaresipPhone) -> None:
        """Wait until they talk."""
        for phone in phones:
            await phone.heard("CALL_ESTABLISHED")


class GroupTests(FeatureCase):
    @conforms("RFC 3326 2")
    async def test_who_loses_hears_that_it_was_answered_elsewhere(self) -> None:
        async with serving(self, MD5) as server:
            alice, bob, carol, dave = await self.phones(server, "alice", "bob", "carol", "dave")
            members = [{"user_id": (await self.person(server, name))["id"]} for name in ("bob", "carol", "dave")]
            group = await server.api.create("/api/ring_groups", {"number": "600", "name": "desk", "members": members})
            alice.dial("600")
            for phone in (bob, carol, dave):
                await phone.heard("CALL_INCOMING")
            carol.accept()
            await self.established(alice, carol)
            for loser in (bob, dave):
                await loser.heard("CALL_CLOSED")
                self.assertTrue(loser.has_seen(ELSEWHERE), loser.user)
            self.assertFalse(carol.has_seen("CANCEL sip:"))
            await self.speak()
            carol.hang_up()
            await self.over(alice, bob, carol, dave)
            self.assertEqual((alice.hears(carol, bob), carol.hears(alice)), (["carol"], ["alice"]))
            (row,) = await self.journal(server)
            self.assertEqual((row["result"], row["ended_by"]), ("answered", "callee"))
            counted = (await server.api.read(f"/api/ring_groups/{group['id']}/statistics"))["data"]
            self.assertEqual((counted["offered"], counted["answered"]), (1, 1))


class PickupTests(FeatureCase):
    async def picked_up(self, dialled: str) -> None:
        """Bob's phone rings, Carol takes the call."""
        async with serving(self, MD5) as server:
            alice, bob, carol = await self.phones(server, "alice", "bob", "carol")
            members = [{"user_id": (await self.person(server, name))["id"]} for name in ("bob", "carol")]
            await server.api.create("/api/ring_groups", {"number": "600", "name": "desk", "members": members})
            await self.ring(alice, bob)
            carol.dial(dialled)
            await self.established(alice, carol)
            await bob.heard("CALL_CLOSED")
            self.assertTrue(bob.has_seen(ELSEWHERE))
            await self.has_audio(alice, carol)
            alice.hang_up()
            await self.over(alice, bob, carol)
            self.assertEqual((alice.hears(carol, bob), carol.hears(alice)), (["carol"], ["alice"]))
            await self.linked(server, "pickup")

    async def test_directed(self) -> None:
        await self.picked_up("*8bob")

    async def test_of_the_own_group(self) -> None:
        await self.picked_up("*8")


class ParkTests(FeatureCase):
    async def parked(self, server: RunningServer) -> tuple[BaresipPhone, BaresipPhone, BaresipPhone, str]:
        """Alice called Bob, who parked her; and the orbit."""
        alice, bob, carol = await self.phones(server, "alice", "bob", "carol")
        alice.dial("bob")
        await bob.heard("CALL_INCOMING")
        bob.accept()
        await self.established(alice, bob)
        await self.speak()
        bob.transfer("*68")
        await bob.heard("CALL_CLOSED")
        (call,) = await self.live(server, lambda rows: bool(rows) and rows[0]["state"] == "parked")
        self.assertEqual(alice.control.all("CALL_CLOSED"), [])
        return alice, bob, carol, call["orbit"]

    async def test_parked_and_retrieved(self) -> None:
        async with serving(self, MD5) as server:
            alice, bob, carol, orbit = await self.parked(server)
            self.assertEqual(orbit, "701")
            carol.dial(orbit)
            await self.established(carol)
            await self.has_audio(alice, carol)
            carol.hang_up()
            await alice.heard("CALL_CLOSED")
            await self.over(alice, bob, carol)
            self.assertEqual(carol.hears(alice, bob), ["alice"])
            await self.linked(server, "retrieve")

    async def test_nobody_retrieves_it_and_it_comes_back(self) -> None:
        async with serving(self, PARKING) as server:
            alice, bob, carol, _ = await self.parked(server)
            await bob.heard("CALL_INCOMING", 2)
            bob.accept()
            await bob.heard("CALL_ESTABLISHED", 2)
            await self.has_audio(alice, bob)
            alice.hang_up()
            await bob.heard("CALL_CLOSED", 2)
            await self.over(alice, bob, carol)
            self.assertEqual(bob.hears(alice), ["alice", "alice"])
            await self.journal(server)

    async def test_who_is_parked_hangs_up(self) -> None:
        async with serving(self, MD5) as server:
            alice, bob, carol, orbit = await self.parked(server)
            alice.hang_up()
            await self.live(server, lambda rows: not rows)
            carol.dial(orbit)
            await carol.heard("CALL_CLOSED")
            await self.over(alice, bob, carol)


class AwayTests(FeatureCase):
    async def test_do_not_disturb(self) -> None:
        async with serving(self, MD5) as server:
            alice, bob = await self.phones(server, "alice", "bob")
            await self.change(server, "bob", dnd=True)
            alice.dial("bob")
            await alice.heard("CALL_CLOSED")
            self.assertEqual(bob.control.all("CALL_INCOMING"), [])
            await self.change(server, "bob", dnd=False)
            await self.ring(alice, bob)
            bob.hang_up()
            await alice.heard("CALL_CLOSED", 2)
            await self.over(alice, bob)
            self.assertEqual([row["result"] for row in await self.journal(server, 2)][1], "rejected")

    async def forwarded(self, settings: Settings, rings_first: bool, **forward: str) -> None:
        """A call for Bob ends at Carol's phone."""
        async with serving(self, settings) as server:
            alice, bob, carol = await self.phones(server, "alice", "bob", "carol", auto=("carol",))
            await self.change(server, "bob", **forward)
            alice.dial("bob")
            if rings_first:
                await bob.heard("CALL_INCOMING")
            if "forward_busy" in forward:
                bob.hang_up()
            await self.established(alice, carol)
            await self.speak()
            self.assertEqual(bool(bob.control.all("CALL_INCOMING")), rings_first)
            alice.hang_up()
            await self.over(alice, bob, carol)
            self.assertEqual((alice.hears(carol, bob), carol.hears(alice)), (["carol"], ["alice"]))
            (row,) = await self.journal(server)
            self.assertEqual((row["result"], row["ended_by"]), ("answered", "caller"))

    async def test_forward_always(self) -> None:
        await self.forwarded(MD5, False, forward_always="carol")

    async def test_forward_when_busy(self) -> None:
        await self.forwarded(MD5, True, forward_busy="carol")

    async def test_forward_when_nobody_answers(self) -> None:
        await self.forwarded(IMPATIENT, True, forward_no_answer="carol")

    async def test_set_and_unset_by_code(self) -> None:
        """Bob dials the codes himself; each is answered and hung up by the server."""
        async with serving(self, MD5) as server:
            alice, bob, carol = await self.phones(server, "alice", "bob", "carol", auto=("carol",))

            async def is_forwarded() -> str:
                return str((await self.person(server, "bob"))["forward_always"])

            bob.dial("*72carol")
            await bob.heard("CALL_CLOSED")
            await until(is_forwarded, lambda target: target == "carol")
            await self.talk(alice, carol, dialled="bob")
            alice.hang_up()
            await alice.heard("CALL_CLOSED")
            bob.dial("*73")
            await bob.heard("CALL_CLOSED", 2)
            await until(is_forwarded, lambda target: target == "")
            await self.over(alice, bob, carol)
