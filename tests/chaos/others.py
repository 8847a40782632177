"""Who is there besides phones that call: who writes, who watches, who sends calls on, and who breaks things."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from gosip_py.sip.message import Request, Response
from gosip_py.sip.reply import reply
from gosip_py.transport.flow import Flow
from tests.chaos.asking import Question
from tests.chaos.phone import Account, Deaf, Line, Phone
from tests.proxy.switchboard import DOMAIN

if TYPE_CHECKING:
    from tests.chaos.world import World

__all__ = ["Forwarder", "Letter", "Vandal", "Watching", "publish"]

_PACKAGES = ("presence", "dialog", "reg")
_MARK = "z9hG4bKpassed-"
_PRESENCE = (
    b'<?xml version="1.0"?><presence xmlns="urn:ietf:params:xml:ns:pidf" entity="%s">'
    b'<tuple id="t"><status><basic>open</basic></status></tuple></presence>'
)


class Letter:
    """A MESSAGE (RFC 3428) and what its sender was told: ``status`` 0 when nothing."""

    def __init__(self, phone: Phone, name: str) -> None:
        self.phone = phone
        self.name = name
        self.text = f"letter {phone.new_serial()}"
        self.status = 0
        uri = f"sip:{name}@{DOMAIN}"
        serial = phone.new_serial()
        request = phone.compose(
            "MESSAGE",
            uri,
            to=f"<{uri}>",
            from_=f"{phone.address};tag={serial}",
            call_id=f"letter@{serial}",
            number=1,
            body=self.text.encode(),
        )
        request.remove("contact")
        self._number = 1
        Question(phone, request, self._next_number, self._heard, server_answers=True)

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    def _heard(self, question: Question, response: Response | None) -> None:
        self.status = 0 if response is None else response.status


class Watching:
    """A subscription of a phone to somebody's state (RFC 6665 4.1): refreshed, ended or left to expire.

    ``is_ended`` when the notifier said so.
    """

    def __init__(self, phone: Phone, name: str) -> None:
        self.phone = phone
        chance = phone.world.chance
        self._event = chance.choice(_PACKAGES)
        self._uri = f"sip:{name}@{DOMAIN}"
        serial = phone.new_serial()
        self.call_id = f"watch@{serial}"
        self._local = f"{phone.address};tag={serial}"
        self._remote = f"<{self._uri}>"
        self._number = 0
        self._heard_number = 0
        self.notified = 0
        self.is_ended = False
        self.was_granted = False
        phone.subscriptions[self.call_id] = self.hear
        self._subscribe(chance.choice((60, 120, 600)))
        for _ in range(chance.randint(0, 2)):
            phone.later(chance.uniform(5, 100), self._again, chance.choice((0, 60, 120)))

    def _again(self, expires: int) -> None:
        if self.was_granted and not self.is_ended:
            self._subscribe(expires)

    def _subscribe(self, expires: int) -> None:
        request = self.phone.compose(
            "SUBSCRIBE",
            self._uri,
            to=self._remote,
            from_=self._local,
            call_id=self.call_id,
            number=self._next_number(),
            headers=(("event", self._event), ("expires", str(expires))),
        )
        Question(self.phone, request, self._next_number, self._answered, server_answers=True)

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    def _answered(self, question: Question, response: Response | None) -> None:
        if response is not None and response.status < 300:
            self.was_granted = True
            self._remote = response.require("to")
            self._uri = response.addresses("contact")[0].uri_text

    def hear(self, notify: Request) -> int:
        """The status that answers this NOTIFY."""
        number = notify.cseq.number
        if number == self._heard_number:
            self.phone.world.breach(f"{self.phone.name} got NOTIFY {number} of {self.call_id} twice")
        self._heard_number = max(self._heard_number, number)
        self.notified += 1
        if notify.require("subscription-state").startswith("terminated"):
            self.is_ended = True
        return 200


def publish(phone: Phone) -> None:
    """Tell the state of a person (RFC 3903), once; it expires by itself."""
    uri = f"sip:{phone.login}@{DOMAIN}"
    number = count(1)
    request = phone.compose(
        "PUBLISH",
        uri,
        to=f"<{uri}>",
        from_=f"{phone.address};tag=p",
        call_id=f"publish@{phone.new_serial()}",
        number=next(number),
        headers=(("event", "presence"), ("expires", "120")),
        body=_PRESENCE % uri.encode(),
    )
    request.set("content-type", "application/pidf+xml")

    def answered(question: Question, response: Response | None) -> None:
        if response is not None and response.status != 200:
            phone.world.breach(f"{phone.name} could not publish: {response.status} {response.value('warning')}")

    Question(phone, request, number.__next__, answered, server_answers=True)


class Forwarder(Phone):
    """A phone that sends every call on to ``goal`` through the server, as a stateless proxy does (16.11).

    Whoever it passes on comes back to the server: a spiral, and with two of them a loop.
    """

    def __init__(self, world: World, account: Account, goal: str) -> None:
        Phone.__init__(self, world, account)
        self.goal = goal
        self.transport.user = _Passing(self)


class _Passing(Line):
    """The user of the transport of a forwarder."""

    def __init__(self, forwarder: Forwarder) -> None:
        Line.__init__(self, forwarder)
        self._forwarder = forwarder
        self._take_request = self.receive_request
        self._take_response = self.receive_response
        self.receive_request = self._pass_request
        self.receive_response = self._pass_response

    def _pass_request(self, request: Request, flow: Flow) -> None:
        if request.method not in ("INVITE", "ACK", "CANCEL"):
            self._take_request(request, flow)
            return
        hops = int(request.require("max-forwards"))
        if hops == 0:
            if request.method != "ACK":
                flow.send(reply(request, 483, to_tag="no-hops").to_bytes())
            return
        forwarder = self._forwarder
        copy = request.copy()
        copy.set("max-forwards", str(hops - 1))
        copy.set_uri(f"sip:{forwarder.goal}@{DOMAIN}")
        branch = _MARK + forwarder.name + request.top_via.branch.removeprefix("z9hG4bK")
        if request.method == "INVITE":
            forwarder.world.passed(branch, hops - 1, request.call_id)
        copy.push_via(forwarder.flow.via_head + branch)
        forwarder.flow.send(copy.to_bytes())

    def _pass_response(self, response: Response, flow: Flow) -> None:
        if response.top_via.branch.startswith(_MARK):
            self._forwarder.flow.send(response.upstream().to_bytes())
        else:
            self._take_response(response, flow)


class Vandal:
    """Sends what belongs to nothing, and what belongs to something again when it is much too late."""

    def __init__(self, world: World, host: str) -> None:
        self._world = world
        self._transport = world.network.transport(host)
        self._transport.user = Deaf()
        self._host = host
        self._serial = 0

    def act(self) -> None:
        """Do one bad thing."""
        chance = self._world.chance
        if chance.random() < 0.5:
            self._repeat()
        else:
            self._make_up(chance.choice(("ACK", "BYE", "CANCEL", "INVITE", "UPDATE", "")))

    def _repeat(self) -> None:
        """What a phone said to the server some time ago."""
        world = self._world
        packets = world.network.packets
        if not packets:
            return
        packet = packets[world.chance.randrange(len(packets))]
        phone = world.phones_by_host.get(packet.source[0])
        if phone is None or packet.transport != "UDP" or not phone.is_alive or not packet.data.startswith(b"SIP"):
            return
        world.note(f"somebody repeats what {phone.name} said at {packet.time:.3f}")
        with world.vandalism():
            phone.transport.flow_of("UDP", packet.destination).send(packet.data)

    def _make_up(self, method: str) -> None:
        self._serial += 1
        start = f"{method} sip:alice@{DOMAIN} SIP/2.0" if method else "SIP/2.0 200 OK"
        via = f"{self._host}:5060" if method else f"{self._world.server[0]}:5060"
        lines = (
            start,
            f"Via: SIP/2.0/UDP {via};rport;branch=z9hG4bKvandal{self._serial}",
            "Max-Forwards: 70",
            f"From: <sip:alice@{DOMAIN}>;tag=v{self._serial}",
            f"To: <sip:alice@{DOMAIN}>" + ("" if method in ("CANCEL", "INVITE") else ";tag=nobody"),
            f"Call-ID: vandal@{self._serial}",
            f"CSeq: 1 {method or 'INVITE'}",
            f"Contact: <sip:v@{self._host}>",
            "Content-Length: 0",
        )
        with self._world.vandalism():
            flow = self._transport.flow_of("UDP", self._world.server)
            flow.send("\r\n".join((*lines, "", "")).encode())
