"""A switchboard whose notifier serves every package there is, and phones that watch each other."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element, fromstring

import attrs

from gosip_py.events import UserChanged
from gosip_py.notifier.calls import CallStates
from gosip_py.notifier.lines import LineStates
from gosip_py.notifier.notifier import Notifier
from gosip_py.notifier.packages.dialog import Dialogs
from gosip_py.notifier.packages.message_summary import MessageSummary, WaitingMessages
from gosip_py.notifier.packages.presence import Presence
from gosip_py.notifier.packages.reg import Registrations
from gosip_py.notifier.people import People
from gosip_py.notifier.publication import PublicationLimits, Publications
from gosip_py.notifier.subscriptions import SubscriptionLimits
from gosip_py.sip.message import Request, Response
from tests.network import Packet
from tests.proxy.switchboard import DOMAIN, Phone, Switchboard, SwitchboardCase

__all__ = ["ALICE", "BOB", "CAROL", "Letterbox", "Office", "OfficeCase", "Watcher", "root_of"]

ALICE, BOB, CAROL = (f"sip:{name}@{DOMAIN}" for name in ("alice", "bob", "carol"))

LIMITS = SubscriptionLimits(total=120, per_watcher=40, farewells=20)
PUBLICATION_LIMITS = PublicationLimits(total=5, per_user=4)


class Letterbox:
    """A mailbox that holds what the test puts in."""

    def __init__(self) -> None:
        self.messages: dict[int, WaitingMessages] = {}

    def waiting(self, user_id: int) -> WaitingMessages:
        return self.messages.get(user_id, WaitingMessages())


class Office(Switchboard):
    """All packages, with small limits."""

    def _make_notifier(self) -> Notifier:
        self.people = People(self.directory, self.domains)
        self.calls = CallStates(self.bus, self.people, self.now)
        self.publications = Publications(self.layer.wheel, PUBLICATION_LIMITS, self.metrics)
        self.letterbox = Letterbox()
        self.message_summary = MessageSummary(self.letterbox, self.people)
        packages = (
            Registrations(self.location, self.bus, self.people, self.now),
            Dialogs(self.calls, LineStates(self.bus), self.people, self.domains.aor),
            Presence(
                publications=self.publications,
                location=self.location,
                calls=self.calls,
                people=self.people,
                bus=self.bus,
                now=self.now,
            ),
            self.message_summary,
        )
        notifier = Notifier(
            sender=self.sender,
            packages=packages,
            publications=self.publications,
            limits=LIMITS,
            directory=self.directory,
            bus=self.bus,
            now=self.now,
            metrics=self.metrics,
        )
        notifier.start()
        return notifier

    def change_user(self, user_id: int, **others: object) -> None:
        """As the page does it."""
        user = self.directory.user(user_id)
        assert user is not None
        self.directory.apply_user(attrs.evolve(user, **others))  # type: ignore[arg-type]  # as the record names them
        self.bus.publish(UserChanged(user_id))

    def subscriptions(self) -> dict[str, float]:
        """gosip_subscriptions by package, as somebody who scrapes sees it."""
        (family,) = self.metrics.subscriptions.exposed()
        return {sample.labels["package"]: sample.value for sample in family.samples}


class Watcher:
    """A subscription as its subscriber has it; each NOTIFY that is taken is answered with 200 unless the test says."""

    def __init__(self, phone: Phone, event: str, uri: str = ALICE, *more: str, expires: int | None = 600) -> None:
        self.phone = phone
        self.event = event
        lines = [f"Event: {event}", *more, *(() if expires is None else (f"Expires: {expires}",))]
        self.number = 1
        self.sent = phone.ask("SUBSCRIBE", uri, *lines)
        self.granted: Response | None = None

    def accepted(self) -> Response:
        """The 200."""
        self.granted = self.phone.response(200, "SUBSCRIBE")
        return self.granted

    def begun(self) -> Request:
        """The first NOTIFY, after the 200."""
        self.accepted()
        return self.told()

    def refused(self, status: int) -> Response:
        return self.phone.response(status, "SUBSCRIBE")

    def heard(self) -> Request:
        """The next NOTIFY of this subscription, not answered."""
        self.phone.board.run()
        for message in self.phone.heard:
            if isinstance(message, Request) and message.method == "NOTIFY" and message.call_id == self.sent.call_id:
                self.phone.heard.remove(message)
                return message
        raise AssertionError(f"{self.phone.name} heard no NOTIFY, but {self.phone.titles}")

    def told(self, status: int = 200) -> Request:
        """The next NOTIFY of this subscription, answered."""
        notify = self.heard()
        self.phone.respond(notify, status)
        self.phone.board.run()
        return notify

    def hears_nothing(self, seconds: float = 0.1) -> None:
        self.phone.board.run(seconds)
        heard = [each for each in self.phone.heard if each.call_id == self.sent.call_id]
        assert not heard, heard

    def make(self, method: str = "SUBSCRIBE", *more: str, number: int | None = None) -> Request:
        """A request in the dialog, not yet sent."""
        assert self.granted is not None
        self.number = self.number + 1 if number is None else number
        target = self.granted.addresses("contact")[0].uri_text
        request = self.phone.make(
            method, target, *more, to=self.granted.require("to"), call_id=self.sent.call_id, number=self.number
        )
        request.set("from", self.sent.require("from"))
        return request

    def ask(self, method: str = "SUBSCRIBE", *more: str, number: int | None = None) -> Request:
        """`make` and send."""
        request = self.make(method, *more, number=number)
        self.phone.send(request)
        return request

    def refresh(self, expires: int = 600, *more: str) -> Response:
        """A SUBSCRIBE in the dialog that is granted; the 200."""
        self.ask("SUBSCRIBE", f"Event: {self.event}", f"Expires: {expires}", *more)
        return self.accepted()


class OfficeCase(SwitchboardCase):
    """Alice, Bob and Carol; at the end no subscription, publication or timer is left."""

    def setUp(self) -> None:
        self.board = self.office = Office(trusted=self.trusted)
        self.alice = Phone(self.board, "192.0.2.10", "alice")
        self.bob = Phone(self.board, "192.0.2.20", "bob")
        self.carol = Phone(self.board, "192.0.2.30", "carol")
        self.bob.register("200", 20)

    def tearDown(self) -> None:
        self.board.notifier.stop()
        self.assertEqual(set(self.office.subscriptions().values()), {0})
        for user_id in (1, 2, 3):
            self.office.publications.remove_user(user_id)
        super().tearDown()
        self.assertEqual(len(self.board.notifier._subscriptions), 0)
        self.assertEqual(self.board.notifier._subscriptions._by_flow, {})

    def notifies(self) -> Sequence[Packet]:
        """Every NOTIFY that was sent for the first time."""
        seen: dict[str, Packet] = {}
        for packet in self.board.network.packets:
            if packet.title == "NOTIFY":
                seen.setdefault(packet.message.top_via.branch, packet)
        return tuple(seen.values())


def root_of(notify: Request) -> Element:
    """The document of a NOTIFY."""
    return fromstring(notify.body)
