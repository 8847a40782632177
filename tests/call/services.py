"""The office of the tests with all that can be done to a call: transfers, parking, pickups."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from gosip_py.call.orbits import Orbits
from gosip_py.call.park import Parking, ParkingTimes
from gosip_py.call.party import Party
from gosip_py.call.pickup import Pickups
from gosip_py.call.services import CallServices
from gosip_py.call.transfers import Transfers
from gosip_py.call.verdict import Attempt, UseFeature, Verdict
from gosip_py.events import CallNoted, LineChanged
from gosip_py.sip.message import Message, Request
from tests.call.office import ALLOW, DOMAIN, Handset, Office, OfficeCase, Plan, Side, offer_of

__all__ = ["ServedCase", "attempted", "media_lines", "place_of", "refer_to", "replaces", "session"]

TIMES = ParkingTimes(timeout=90.0, ring=30.0, retries=2)


class ServedPlan(Plan):
    """Knows the orbits and the codes besides."""

    def __init__(self) -> None:
        Plan.__init__(self)
        self.parking: Parking | None = None

    def route(self, attempt: Attempt) -> Verdict:
        name = attempt.dialled
        if self.parking is not None and self.parking.contains(name):
            return UseFeature("park" if attempt.is_transfer else "retrieve", name)
        if name == "*68":
            return UseFeature("park")
        if name.startswith("*8"):
            return UseFeature("pickup", name[2:]) if name[2:] else UseFeature("group_pickup")
        return Plan.route(self, attempt)


class Rule:
    """Everybody with a phone here may take the calls of the others; alone in a group are those of ``groups``."""

    def __init__(self) -> None:
        self.groups: set[frozenset[str]] = set()

    def may_pick_up(self, who: Party, called: Party) -> bool:
        return who.user_id is not None and called.user_id is not None

    def may_group_pick_up(self, who: Party, called: Party) -> bool:
        return any(who.name in group and called.name in group for group in self.groups)


class ServedCase(OfficeCase):
    """As `OfficeCase`; ``notes`` and ``lamps`` are the events of those names."""

    def setUp(self) -> None:
        OfficeCase.setUp(self)
        office: Office = self.office
        plan = ServedPlan()
        plan.phones = office.plan.phones
        office.plan = office.switch.router = plan
        switch = office.switch
        self.parking = plan.parking = Parking(switch, Orbits(701, 703), TIMES)
        self.transfers = switch.transfers = Transfers(switch, self.parking)
        self.rule = Rule()
        self.pickups = switch.pickups = Pickups(switch, self.rule, self._whose)
        switch.features = CallServices(self.parking, self.pickups)
        self.notes: list[CallNoted] = []
        self.lamps: list[LineChanged] = []
        office.bus.subscribe(CallNoted, self.notes.append)
        office.bus.subscribe(LineChanged, self.lamps.append)

    def tearDown(self) -> None:
        OfficeCase.tearDown(self)
        self.assertEqual(len(self.parking.orbits), 0)

    def _whose(self, login: str) -> int | None:
        return next((phone.party.user_id for phone in self.office.phones if phone.name == login), None)

    def talk(self, caller: Handset, callee: Handset) -> tuple[Side, Side]:
        """Both ends of a call that was answered; each phone has the session that `session` gives."""
        sent, got = self.office.ringing(caller, callee, sdp=session(caller))
        return self.pick_up(caller, sent, callee, got)

    def pick_up(self, caller: Handset, sent: Request, callee: Handset, got: Request) -> tuple[Side, Side]:
        """Both ends, once the callee has answered."""
        answer = callee.answer(got, 200, ("allow", ALLOW), sdp=session(callee))
        calling = Side(caller, sent, caller.response(200), is_caller=True)
        calling.send("ACK")
        callee.request("ACK")
        return calling, Side(callee, got, answer, is_caller=False)

    # -- what many tests do -------------------------------------------------------------------------------------------

    @property
    def noted(self) -> list[tuple[str, str]]:
        """Kind and result of each note."""
        return [(note.kind, note.what.get("result", "")) for note in self.notes]

    def accept_offer(self, phone: Handset, *, way: str = "") -> Request:
        """The phone takes the re-INVITE that it hears."""
        invite = phone.request("INVITE")
        self.assertTrue(invite.to_tag)
        phone.answer(invite, sdp=_answer(phone, invite, way))
        phone.request("ACK")
        return invite

    def notified(self, phone: Handset) -> tuple[str, str]:
        """The status line in the NOTIFY that the phone hears, which it answers, and the state of its subscription."""
        notify = phone.request("NOTIFY")
        self.assertEqual(notify.value("event"), "refer")
        self.assertTrue((notify.value("content-type") or "").startswith("message/sipfrag"))
        phone.respond(notify, 200)
        return notify.body.decode().strip(), (notify.value("subscription-state") or "").partition(";")[0]

    def goes(self, phone: Handset) -> Request:
        """The BYE that the phone hears, and answers."""
        bye = phone.request("BYE")
        phone.respond(bye, 200)
        self.office.run()
        return bye

    def hold(self, side: Side, other: Handset) -> None:
        """The phone of ``side`` puts the other on hold."""
        side.reinvite(sdp=session(side.handset, "sendonly"))
        self.accept_offer(other, way="recvonly")
        side.phone.response(200)
        side.send("ACK")
        self.office.run()


def _answer(phone: Handset, invite: Request, way: str) -> str:
    """Always the same place of this phone, in the direction that fits."""
    asked = invite.body.decode()
    fitting = {"a=sendonly": "recvonly", "a=inactive": "inactive", "a=recvonly": "sendonly"}
    chosen = way or next((answer for line, answer in fitting.items() if line in asked), "")
    return session(phone, chosen)


def refer_to(name: str, replaced: Side | None = None) -> str:
    """The Refer-To line: to somebody here, in place of the dialog of ``replaced`` as seen from its other side."""
    if replaced is None:
        return f"Refer-To: <sip:{name}@{DOMAIN}>"
    return f"Refer-To: <sip:{name}@{DOMAIN}?Replaces={quote(replaces(replaced), safe='')}>"


def replaces(side: Side) -> str:
    """The Replaces value that names the dialog of ``side`` for the server, whose own tag is the to-tag (RFC 3891 3)."""
    return f"{side.call_id};to-tag={_tag(side.remote)};from-tag={_tag(side.local)}"


def session(phone: Handset, way: str = "") -> str:
    """The session description of this phone, always the same but for its direction."""
    return offer_of(phone.host, 4000 + 10 * phone.number, way=way)


def _tag(address: str) -> str:
    return address.partition(";tag=")[2].partition(";")[0]


def attempted(attempts: Iterable[Attempt]) -> list[tuple[str, str, bool]]:
    """Who tried to reach whom, and whether that was a transfer."""
    return [(attempt.caller.name, attempt.dialled, attempt.is_transfer) for attempt in attempts]


def media_lines(message: Message) -> list[str]:
    """Where a session description wants to be sent to, and the direction."""
    lines = message.body.decode().split("\r\n")
    return [line for line in lines if line[:2] in ("c=", "m=") or line[2:] in _WAYS]


def place_of(phone: Handset) -> list[str]:
    """What `media_lines` gives for the phone itself, when it sends and receives."""
    return [f"c=IN IP4 {phone.host}", f"m=audio {4000 + 10 * phone.number} RTP/AVP 0 8"]


_WAYS = frozenset(("sendrecv", "sendonly", "recvonly", "inactive"))
