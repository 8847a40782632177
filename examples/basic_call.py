"""Two user agents in one program: one calls the other, they talk, and the caller hangs up."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import react

from gosip_py.dialog.table import State
from gosip_py.dialog.user_agent import Call, Network, UserAgent

SDP = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
HERE = Network(listen=("udp://127.0.0.1:0",))


def answer(call: Call) -> None:
    print(f"{call.remote} is calling")
    call.ring()
    call.accept(SDP)


def tell(call: Call, previous: State, new: State) -> None:
    print(f"{previous.name} -> {new.name}")


async def main(reactor: Any) -> None:
    alice = UserAgent(reactor, "sip:alice@example.com", network=HERE)
    bob = UserAgent(reactor, "sip:bob@example.com", network=HERE)
    bob.on_incoming_call = answer
    alice.on_call_state = tell
    alice.start()
    (listener,) = bob.start()

    call = alice.make_call(f"sip:bob@127.0.0.1:{listener.port}", SDP)
    await call.until_answered()
    print(f"talking, {alice.statistics.active_dialogs} dialog")
    await call.hold()
    print("on hold")
    await call.resume()
    await call.send_dtmf("42#")
    status = await call.hang_up()
    print(f"the BYE was answered with {status}")

    await alice.stop()
    await bob.stop()


if __name__ == "__main__":
    react(main)
