"""Headers of one's own, in an INVITE and in the answer to it."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import react

from gosip_py.dialog.user_agent import Call, CallFailed, Network, UserAgent

SDP = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
HERE = Network(listen=("udp://127.0.0.1:0",))


def answer(call: Call) -> None:
    customer = call.header("X-Customer")
    if customer is None:
        call.reject(403, explanation="Say who you are in X-Customer")
    else:
        print(f"customer {customer} calls about {call.header('Subject')}")
        call.accept(SDP, headers=(("X-Queue", "sales"),))


async def main(reactor: Any) -> None:
    alice = UserAgent(reactor, "sip:alice@example.com", network=HERE)
    bob = UserAgent(reactor, "sip:bob@example.com", network=HERE)
    bob.on_incoming_call = answer
    alice.start()
    (listener,) = bob.start()
    uri = f"sip:bob@127.0.0.1:{listener.port}"

    call = alice.make_call(uri, SDP, headers=(("X-Customer", "4711"), ("Subject", "an order")))
    await call.until_answered()
    print(f"in queue {call.header('X-Queue')}")
    await call.hang_up()

    try:
        await alice.make_call(uri, SDP).until_answered()
    except CallFailed as failure:
        print(f"without the header: {failure}")

    await alice.stop()
    await bob.stop()


if __name__ == "__main__":
    react(main)
