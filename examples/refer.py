"""A blind transfer: alice calls bob, and refers him to carol."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import react

from gosip_py.dialog.user_agent import Call, Network, UserAgent

SDP = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
HERE = Network(listen=("udp://127.0.0.1:0",))


def answer(call: Call) -> None:
    print(f"{call.remote} calls, referred by {call.header('Referred-By') or 'nobody'}")
    call.accept(SDP)


def tell(status: int, reason: str) -> None:
    print(f"bob reports {status} {reason}")


async def main(reactor: Any) -> None:
    alice = UserAgent(reactor, "sip:alice@example.com", network=HERE)
    bob = UserAgent(reactor, "sip:bob@example.com", network=HERE)
    carol = UserAgent(reactor, "sip:carol@example.com", network=HERE)
    # Bob follows a REFER by himself: set on_refer to decide, and to report what comes of it.
    bob.on_incoming_call = carol.on_incoming_call = answer
    alice.start()
    (at_bob,) = bob.start()
    (at_carol,) = carol.start()

    call = alice.make_call(f"sip:bob@127.0.0.1:{at_bob.port}", SDP)
    await call.until_answered()
    status = await call.send_refer(f"sip:carol@127.0.0.1:{at_carol.port}", progress=tell)
    print(f"the transfer ended with {status}")
    await call.hang_up()
    print(f"bob has {bob.statistics.active_dialogs} dialog, with {bob.calls[0].remote.partition('@')[0]}")

    for agent in (alice, bob, carol):
        await agent.stop()


if __name__ == "__main__":
    react(main)
