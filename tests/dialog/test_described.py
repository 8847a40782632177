"""One description of an application, as the offers and answers of a call."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.dialog.described import answer_to, next_version, turned
from gosip_py.media.sdp import direction, streams
from tests.conformance import conforms

HEAD = b"v=0\r\no=alice 12 7 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
AUDIO = b"m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
VIDEO = b"m=video 4002 RTP/AVP 96\r\n"
OURS = HEAD + AUDIO


class DescribedTests(SynchronousTestCase):
    @conforms("RFC 3264 8")
    def test_the_version_grows_by_one(self) -> None:
        self.assertEqual(next_version(OURS), OURS.replace(b"12 7 IN", b"12 8 IN"))
        self.assertEqual(next_version(b"no description"), b"no description")

    @conforms("RFC 3264 8.4")
    def test_on_hold(self) -> None:
        self.assertEqual(turned(OURS, False), OURS)
        self.assertEqual(direction(turned(OURS, True)), "sendonly")
        self.assertEqual(direction(turned(OURS + b"a=recvonly\r\n", True)), "inactive")

    @conforms("RFC 3264 6.1")
    def test_the_direction_of_an_answer(self) -> None:
        for ours, theirs, wanted in (
            ("sendrecv", "sendrecv", "sendrecv"),
            ("sendrecv", "sendonly", "recvonly"),
            ("sendrecv", "recvonly", "sendonly"),
            ("sendrecv", "inactive", "inactive"),
            ("sendonly", "sendrecv", "sendonly"),
            ("sendonly", "sendonly", "inactive"),
            ("recvonly", "sendrecv", "recvonly"),
        ):
            with self.subTest(ours=ours, theirs=theirs):
                answer = answer_to(OURS + f"a={theirs}\r\n".encode(), OURS + f"a={ours}\r\n".encode())
                self.assertEqual(direction(answer), wanted)

    @conforms("RFC 3264 6")
    def test_every_stream_of_the_offer_is_answered(self) -> None:
        answer = answer_to(HEAD + AUDIO + VIDEO, OURS)
        self.assertEqual([(stream.media, stream.port) for stream in streams(answer)], [("audio", 4000), ("video", 0)])
        answer = answer_to(HEAD + AUDIO, OURS + VIDEO)
        self.assertEqual([(stream.media, stream.port) for stream in streams(answer)], [("audio", 4000)])

    def test_nothing_in_common(self) -> None:
        for offer in (HEAD + VIDEO, HEAD, b"", b"m=audio 0 RTP/AVP 0\r\n", b"m=audio\r\n"):
            self.assertEqual(answer_to(offer, OURS), b"")
        self.assertEqual(answer_to(OURS, b""), b"")
