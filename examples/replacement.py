"""An attended transfer, and a call that is taken over: INVITEs with Replaces (RFC 3891)."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import react

from gosip_py.dialog.user_agent import Call, Network, UserAgent

SDP = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
HERE = Network(listen=("udp://127.0.0.1:0",))


def answer(call: Call) -> None:
    if call.replaces is not None:
        print(f"{call.remote} takes the place of {call.replaces.remote}")
    call.accept(SDP)


async def main(reactor: Any) -> None:
    alice = UserAgent(reactor, "sip:alice@example.com", network=HERE)
    bob = UserAgent(reactor, "sip:bob@example.com", network=HERE)
    carol = UserAgent(reactor, "sip:carol@example.com", network=HERE)
    bob.on_incoming_call = carol.on_incoming_call = answer
    alice.start()
    (at_bob,) = bob.start()
    (at_carol,) = carol.start()

    # Alice talks to both of them and connects them: bob calls carol in her place.
    with_bob = alice.make_call(f"sip:bob@127.0.0.1:{at_bob.port}", SDP)
    with_carol = alice.make_call(f"sip:carol@127.0.0.1:{at_carol.port}", SDP)
    await with_bob.until_answered()
    await with_carol.until_answered()
    print(f"the transfer ended with {await with_bob.send_refer(replace=with_carol)}")
    await with_carol.until_over()
    await with_bob.hang_up()

    # Alice takes over the call that bob has with carol, in his name. The tags are as carol has them.
    (theirs,) = carol.calls
    call = alice.make_call_with_replaces(
        f"sip:carol@127.0.0.1:{at_carol.port}", SDP, theirs.call_id, theirs.local_tag, theirs.remote_tag,
        headers=(("Referred-By", "<sip:bob@example.com>"),),
    )  # fmt: skip
    await call.until_answered()
    await theirs.until_over()
    print(f"carol replaced {carol.statistics.replace_operations} calls")

    for agent in (alice, bob, carol):
        await agent.stop()


if __name__ == "__main__":
    react(main)
