"""Scripted phones whose calls the switch bridges: each side has a dialog of its own, found by its own Call-ID."""

from __future__ import annotations

from itertools import count

from tests.end_to_end.books import IMPATIENT, CallCase
from tests.end_to_end.phone import Headers, Leg, Phone, Received
from tests.running import LOOPBACK, Settings

__all__ = ["BRIDGED", "RING_SECONDS", "SwitchCase", "session"]

RING_SECONDS = 2.5
BRIDGED: Settings = {
    **IMPATIENT,
    "sip": {**IMPATIENT["sip"], "ring_seconds": RING_SECONDS},
    "limits": {"call_seconds": 60.0},
}
_names = count(1)


class SwitchCase(CallCase):
    """Everybody is bridged. What the two sides of a call send is told apart by the ports in their sessions."""

    over = BRIDGED

    async def silent_phone(self, transport: str = "udp", user: str = "") -> Phone:
        """A phone that has not said anything."""
        if not user:
            user = f"bridged{next(_names)}"
            await self.server.api.add_phone(user, "b2bua")
        return await super().silent_phone(transport, user)

    async def ringing(self, caller: Phone, callee: Phone) -> tuple[Leg, Leg]:
        """A call that rings at the other side."""
        calling = await caller.call(callee.user)
        called = await callee.called()
        called.respond(180)
        await calling.expect(180)
        return calling, called

    async def hang_up(self, leg: Leg, other: Leg) -> None:
        """One says BYE, the other hears it."""
        leg.bye()
        await other.hung_up_on()
        await leg.expect(200, "BYE")

    async def negotiate(self, offering: Leg, answering: Leg, offer: bytes, answer: bytes) -> tuple[Received, Received]:
        """A re-INVITE through the switch: the request as it came, and the 200 as it came back."""
        offering.invite(body=offer)
        asked = await answering.expect("INVITE")
        answering.respond(200, request=asked, body=answer)
        agreed = await offering.expect(200, "INVITE")
        offering.ack(agreed)
        await answering.expect("ACK")
        return asked, agreed


def session(port: int, direction: str = "sendrecv", version: int = 1, extra: Headers = ()) -> bytes:
    """A session description at a port of its own."""
    lines = ["v=0", f"o=- {port} {version} IN IP4 {LOOPBACK}", "s=-", f"c=IN IP4 {LOOPBACK}", "t=0 0"]
    lines += [f"m=audio {port} RTP/AVP 0 101", "a=rtpmap:0 PCMU/8000", "a=rtpmap:101 telephone-event/8000"]
    lines += [f"a={name}:{value}" for name, value in extra] + [f"a={direction}"]
    return ("\r\n".join(lines) + "\r\n").encode()
