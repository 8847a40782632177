"""Call flows as the RFCs draw them, one line for each message, and the phones that play them."""

from __future__ import annotations

from collections.abc import Sequence

from gosip_py.sip.message import Request
from tests.call.office import Handset, Side
from tests.call.services import ServedCase, session
from tests.network import Packet

__all__ = ["ScenarioCase"]


class ScenarioCase(ServedCase):
    """``flow`` compares everything that was said so far with a drawing: ``alice > INVITE`` is sent by Alice to the
    server, ``alice < 180 INVITE`` is heard by her. A 100 is not drawn.
    """

    def setUp(self) -> None:
        ServedCase.setUp(self)
        self._drawn = 0

    def flow(self, drawing: str) -> None:
        """What was said since the last time."""
        self.office.run()
        wanted = [" ".join(line.split()) for line in drawing.splitlines() if line.strip()]
        packets, self._drawn = self.office.network.packets[self._drawn :], len(self.office.network.packets)
        said = [line for packet in packets if not (line := self._line(packet)).split(" ", 2)[2].startswith("100")]
        self.assertEqual(said, wanted, "\n" + "\n".join(said))

    def _line(self, packet: Packet) -> str:
        server = self.office.transport.address(packet.transport)
        is_heard = packet.source == server
        host = (packet.destination if is_heard else packet.source)[0]
        name = next(phone.name for phone in self.office.phones if phone.host == host)
        return f"{name} {'<' if is_heard else '>'} {packet.title}"

    # -- what phones do, without looking -------------------------------------------------------------------------------

    def rings(self, phone: Handset) -> Request:
        """It hears an INVITE, and rings."""
        invite = phone.request("INVITE")
        phone.respond(invite, 180)
        self.office.run()
        return invite

    def answers(self, phone: Handset, invite: Request) -> Side:
        """It picks up."""
        answer = phone.answer(invite, sdp=session(phone))
        phone.request("ACK")
        return Side(phone, invite, answer, is_caller=False)

    def connected(self, phone: Handset, sent: Request) -> Side:
        """Its call is answered, which it acknowledges."""
        side = Side(phone, sent, phone.response(200), is_caller=True)
        side.send("ACK")
        return side

    def resumes(self, side: Side, other: Handset) -> None:
        """The phone of ``side`` takes the other off hold."""
        side.reinvite(sdp=session(side.handset))
        self.accept_offer(other)
        side.phone.response(200)
        side.send("ACK")

    def cancelled(self, phone: Handset, invite: Request) -> None:
        """It rang, and hears that it need not."""
        phone.respond(phone.request("CANCEL"), 200)
        phone.respond(invite, 487)
        phone.request("ACK")

    def refers(self, side: Side, line: str, *more: str) -> None:
        """Its phone sends a REFER, and hears that it is being tried."""
        side.send("REFER", line, *more)
        side.phone.response(202, "REFER")
        self.notified(side.handset)

    def hangs_up(self, side: Side) -> None:
        side.send("BYE")
        side.phone.response(200, "BYE")

    def pause(self, seconds: float) -> None:
        self.office.run(seconds)

    @property
    def states(self) -> Sequence[str]:
        return [call.state for call in self.office.switch.calls.values()]
