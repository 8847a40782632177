"""A peer whose datagrams arrive mangled: whatever it seems to say, nothing raises and nothing is left of it."""

from __future__ import annotations

from random import Random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.dialog.ends import End
from tests.dialog.test_chaos import HOSTS, Play
from tests.network import MemoryFlow, MemoryNetwork

LINES = (
    b"Contact: *", b"Contact: <sip:x", b"Contact: <sip:a@192.0.2.9>, <sip:b@192.0.2.9>", b"RSeq: 99999999999",
    b"RSeq: 1", b"Require: 100rel", b"RAck: 1 1", b"Record-Route: <sip:x@192.0.2.9>", b"Record-Route: <",
    b"Session-Expires: 1;refresher=uas", b"Session-Expires: x", b"Min-SE: 99999", b"Retry-After: 1", b"Allow: INVITE",
    b"Supported: ,,,", b"Replaces: x", b"Refer-To: <sip:x@y?Replaces=%0d%0a>", b"Event: refer;id=9",
    b"Subscription-State: terminated", b"Content-Encoding: gzip", b"Content-Type: multipart/mixed;boundary=x",
    b'WWW-Authenticate: Digest realm="r", nonce="n"', b"Reason: x;;;", b"Expires: -1", b"Route: <sip:z>",
)  # fmt: skip
STATUSES = (100, 180, 183, 199, 200, 202, 302, 401, 407, 408, 422, 481, 491, 500, 503, 603, 699)
NUMBERS = (0, 1, 2, 3, 7, 2**31 - 1, 2**33)


class MangledNetwork(MemoryNetwork):
    """A quarter of what the second host sends arrives with other, fewer or broken lines."""

    def __init__(self, seed: int) -> None:
        MemoryNetwork.__init__(self, Clock(), seed, delay=(0.001, 0.2))
        self.chance = Random(seed)
        self.mangled = 0

    def carry_datagram(self, flow: MemoryFlow, data: bytes) -> None:
        if flow.local[0] == HOSTS[1] and self.chance.random() < 0.25:
            self.mangled += 1
            head, _, body = data.partition(b"\r\n\r\n")
            lines = head.split(b"\r\n")
            for _ in range(self.chance.randrange(1, 4)):
                lines = self.mangle(lines, self.chance.randrange(1, len(lines)))
            data = b"\r\n".join(lines) + b"\r\n\r\n" + body
        MemoryNetwork.carry_datagram(self, flow, data)

    def mangle(self, lines: list[bytes], at: int) -> list[bytes]:
        chance = self.chance
        line = lines[at]
        how = chance.randrange(6)
        if how == 0 and lines[0].startswith(b"SIP/"):
            return [b"SIP/2.0 %d Other" % chance.choice(STATUSES), *lines[1:]]
        if how == 1 and line.startswith(b"CSeq:"):
            line = b"CSeq: %d %b" % (chance.choice(NUMBERS), line.split()[-1])
        elif how == 2 and b";tag=" in line:
            line = line.partition(b";tag=")[0] + b";tag=%d" % chance.randrange(50)
        elif how == 3:
            line = line[: chance.randrange(len(line) + 1)]
        elif how == 4:
            line += bytes(chance.randrange(256) for _ in range(3))
        else:
            line = chance.choice(LINES)
        return [*lines[:at], line, *lines[at + chance.randrange(2) :]]


class MangledPlay(Play):
    """As it is, over such a network."""

    def make_network(self, seed: int) -> MangledNetwork:
        return MangledNetwork(seed)


class MangledTests(SynchronousTestCase):
    seeds = range(40)

    def test_nothing_is_left_of_whatever_is_said(self) -> None:
        mangled = 0
        for seed in self.seeds:
            play = MangledPlay(seed)
            play.finish(4000)  # a session that only a mangled answer knows of lives as long as that says
            self.assertEqual([error.getTraceback() for error in self.flushLoggedErrors()], [], f"seed {seed}")
            assert isinstance(play.network, MangledNetwork)
            mangled += play.network.mangled
            self.check_left(play.ends[0], seed)
        self.assertGreater(mangled, 250)

    def check_left(self, end: End, seed: int) -> None:
        left = (list(end.dialogs), end.layer.in_flight, len(end.layer.wheel), end.dialogs.active)
        self.assertEqual(left, ([], 0, 0, 0), f"seed {seed}")
