"""Codes that change whoever dials them, through the real switch."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, cast

import attrs
from twisted.internet.defer import Deferred

from gosip_py.background import Background
from gosip_py.call.feature_codes import CATALOGUE
from gosip_py.call.self_service import ANSWER_SECONDS, SelfService, StoredAccounts
from gosip_py.call.verdict import UseFeature
from gosip_py.events import Bus, UserChanged
from gosip_py.store.database import DatabaseUnavailable
from gosip_py.store.devices import Devices
from gosip_py.store.directory import Directory
from gosip_py.store.records import User
from gosip_py.store.users import Users
from tests.call.office import OfficeCase, Side
from tests.registrar.fakes import NOW, user
from tests.store.databases import DatabaseCase


class People:
    """Alice, whose changes wait until `finish`."""

    def __init__(self) -> None:
        self.alice = user(1, "alice", call_schema="b2bua")
        self.waiting: list[tuple[Deferred[bool], dict[str, object]]] = []

    def user(self, user_id: int) -> User | None:
        return self.alice if user_id == 1 else None

    def change(self, user_id: int, changes: Mapping[str, object]) -> Awaitable[bool]:
        done: Deferred[bool] = Deferred()
        self.waiting.append((done, dict(changes)))
        return done

    def finish(self, *, is_there: bool = True, fault: Exception | None = None) -> None:
        (done, changes) = self.waiting.pop()
        if fault is not None:
            done.errback(fault)
            return
        if is_there:
            self.alice = attrs.evolve(self.alice, **cast(Any, changes))
        done.callback(is_there)

    def takes_calls(self, user: User, dialled: str) -> bool:
        return dialled in ("bob", "+15551111")


class ServiceCase(OfficeCase):
    def setUp(self) -> None:
        super().setUp()
        self.people = People()
        self.office.switch.features = SelfService(self.people, self.people, Background())

    def dial(self, feature: str, argument: str = "", *, sdp: str | None = None) -> None:
        self.office.plan.verdicts["*1"] = UseFeature(feature, argument)
        self.invite = self.alice.call("*1", sdp=sdp)
        self.office.run()

    def pick_up(self) -> Side:
        """The 200 comes, and is acknowledged."""
        self.answer = self.alice.response(200)
        side = Side(self.alice, self.invite, self.answer, is_caller=True)
        side.send("ACK")
        return side


class ServiceTests(ServiceCase):
    def test_each(self) -> None:
        for feature, argument, changes in (
            ("dnd_on", "", {"dnd": True}),
            ("dnd_off", "", {"dnd": False}),
            ("forward_on", "bob", {"forward_always": "bob"}),
            ("forward_off", "", {"forward_always": ""}),
            ("forward_busy_on", "bob", {"forward_busy": "bob"}),
            ("forward_busy_off", "", {"forward_busy": ""}),
            ("forward_no_answer_on", "+15551111", {"forward_no_answer": "+15551111"}),
            ("forward_no_answer_off", "", {"forward_no_answer": ""}),
        ):
            self.dial(feature, argument)
            self.people.finish()
            self.assertEqual({name: getattr(self.people.alice, name) for name in changes}, changes)
            self.pick_up()
            self.office.run(ANSWER_SECONDS + 0.2)
            self.alice.respond(self.alice.request("BYE"), 200)
            self.office.run()
        self.assertEqual(self.endings, [("answered", 200, "system")] * 8)

    def test_nothing_is_said_before_it_is_done(self) -> None:
        self.dial("dnd_on")
        self.assertEqual([title for title in self.alice.titles if title != "100 INVITE"], [])
        self.people.finish()
        self.pick_up()
        self.assertIn(b"a=inactive", self.answer.body)

    def test_without_an_offer(self) -> None:
        self.dial("dnd_on", sdp="")
        self.people.finish()
        side = self.pick_up()
        self.assertIn(b"m=audio 9 RTP/AVP 0 8", self.answer.body)
        side.hang_up()
        self.alice.response(200, "BYE")
        self.assertEqual(self.endings, [("answered", 200, "caller")])

    def test_the_phone_changes_the_session_meanwhile(self) -> None:
        self.dial("dnd_on")
        self.people.finish()
        side = self.pick_up()
        side.reinvite("sendonly")
        answer = self.alice.response(200)
        self.assertIn(b"a=inactive", answer.body)
        side.send("ACK")

    def test_where_calls_cannot_go(self) -> None:
        self.dial("forward_on", "nobody")
        self.assertIn("nobody", self.alice.response(404).require("warning"))
        self.assertEqual(self.people.waiting, [])
        self.assertEqual(self.endings, [("rejected", 404, "system")])

    def test_somebody_who_is_not_known(self) -> None:
        self.office.plan.verdicts["*1"] = UseFeature("dnd_on")
        self.bob.call("*1")
        self.bob.response(403)
        self.assertEqual(self.endings, [("rejected", 403, "system")])

    def test_deleted_meanwhile(self) -> None:
        self.dial("dnd_on")
        self.people.finish(is_there=False)
        self.alice.response(403)

    def test_the_store_is_away(self) -> None:
        self.dial("dnd_on")
        self.people.finish(fault=DatabaseUnavailable("away"))
        self.assertIn("not made", self.alice.response(503).require("warning"))
        self.assertEqual(len(self.flushLoggedErrors(DatabaseUnavailable)), 1)
        self.assertEqual(self.endings, [("failed", 503, "system")])

    def test_they_give_up(self) -> None:
        self.dial("dnd_on")
        cancel = self.alice.make(
            "CANCEL", self.invite.uri_text, call_id=self.invite.call_id, number=self.invite.cseq.number
        )
        for name in ("via", "from"):
            cancel.set(name, self.invite.require(name))
        self.alice.send(cancel)
        self.alice.response(487)
        self.people.finish()
        self.assertEqual(self.endings, [("cancelled", 487, "caller")])

    def test_the_server_stops(self) -> None:
        self.dial("dnd_on")
        _ = self.office.switch.hang_up_all()
        self.people.finish()
        self.office.run()
        self.assertEqual(len(self.endings), 1)

    def test_which_are_served(self) -> None:
        served = {feature.name for feature in CATALOGUE if SelfService.serves(feature.name)}
        kinds = ("forward", "forward_busy", "forward_no_answer", "dnd")
        self.assertEqual(served, {f"{kind}_{way}" for kind in kinds for way in ("on", "off")})


class StoredTests(DatabaseCase):
    async def test_it_is_written_and_told(self) -> None:
        database = self.database
        users, bus = Users(database), Bus()
        alice = await users.create(login="alice", now=NOW)
        directory = Directory(users, Devices(database))
        await directory.load()
        told: list[UserChanged] = []
        bus.subscribe(UserChanged, told.append)
        accounts = StoredAccounts(users, directory, bus, lambda: NOW + 5)
        self.assertTrue(await accounts.change(alice.id, {"dnd": True, "forward_busy": "200"}))
        for known in (accounts.user(alice.id), await users.get(alice.id)):
            assert known is not None
            self.assertEqual((known.dnd, known.forward_busy, known.updated_at), (True, "200", NOW + 5))
        self.assertEqual(told, [UserChanged(alice.id)])
        self.assertFalse(await accounts.change(99, {"dnd": True}))
