"""Session descriptions: what a switch reads of them and writes into them, and that garbage passes as it is."""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.media.sdp import (
    codecs,
    direction,
    held,
    inactive_answer,
    origin_place,
    streams,
    with_direction,
    with_origin,
)
from tests.conformance import conforms
from tests.sip.profiles import examples

OFFER = (
    b"v=0\r\no=alice 2890844526 3 IN IP4 192.0.2.10\r\ns=call\r\nc=IN IP4 192.0.2.10\r\nb=AS:84\r\nt=0 0\r\n"
    b"m=audio 49170/2 RTP/AVP 0 8 96\r\nb=AS:64\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:96 opus/48000/2\r\n"
    b"a=fmtp:96 useinbandfec=1\r\na=sendrecv\r\nm=video 51372 RTP/AVP 31\r\nc=IN IP4 192.0.2.11\r\na=recvonly\r\n"
)
GARBAGE = (b"", b"hello", b"m=", b"v=0\r\nm=audio\r\n", b"\no=", b"o=1", b"\xff\x00" * 20, b"v=0\no=a b\nm=x y z w\n")


class OriginTests(SynchronousTestCase):
    @conforms("RFC 8866 5.2")
    def test_one_line_is_replaced_and_nothing_else(self) -> None:
        ours = with_origin(OFFER, 17, 4, b"IN IP4 192.0.2.1")
        self.assertEqual(ours, OFFER.replace(b"o=alice 2890844526 3 IN IP4 192.0.2.10", b"o=- 17 4 IN IP4 192.0.2.1"))
        self.assertEqual(origin_place(OFFER), b"IN IP4 192.0.2.10")

    def test_lines_may_end_in_a_line_feed_only(self) -> None:
        self.assertEqual(
            with_origin(b"v=0\no=x 1 2 IN IP4 h\ns=-\n", 5, 6, b"IN IP4 h"), b"v=0\no=- 5 6 IN IP4 h\ns=-\n"
        )

    def test_what_has_none_passes_as_it_is(self) -> None:
        for text in (b"", b"hello", b"v=0\r\ns=-\r\n", b"v=0\r\no=cut"):
            self.assertEqual(with_origin(text, 1, 2, b""), text)
            self.assertEqual(origin_place(text), b"")


class DirectionTests(SynchronousTestCase):
    def test_what_each_stream_says(self) -> None:
        audio, video = streams(OFFER)
        self.assertEqual(
            (audio.media, audio.port, audio.direction, audio.address), ("audio", 49170, "sendrecv", "192.0.2.10")
        )
        self.assertEqual((video.port, video.direction, video.address), (51372, "recvonly", "192.0.2.11"))
        self.assertEqual(audio.formats, ("0", "8", "96"))

    def test_the_session_may_say_it_for_all(self) -> None:
        self.assertEqual(direction(b"v=0\r\na=inactive\r\nm=audio 4 RTP/AVP 0\r\n"), "inactive")
        self.assertEqual(direction(b"v=0\r\nm=audio 4 RTP/AVP 0\r\n"), "sendrecv")

    @conforms("RFC 3264 8.4")
    def test_who_holds(self) -> None:
        for way, is_held in (("sendrecv", False), ("recvonly", False), ("sendonly", True), ("inactive", True)):
            changed = with_direction(OFFER, way)  # type: ignore[arg-type]  # each is one
            self.assertEqual((held(changed), direction(changed)), (is_held, way))
        self.assertTrue(held(b"v=0\r\nc=IN IP4 0.0.0.0\r\nm=audio 4 RTP/AVP 0\r\n"))
        self.assertTrue(held(b"v=0\r\nc=IN IP6 ::\r\nm=audio 4 RTP/AVP 0\r\n"))
        self.assertFalse(held(b"v=0\r\nm=audio 0 RTP/AVP 0\r\na=sendonly\r\n"))

    def test_setting_it_keeps_the_rest(self) -> None:
        changed = with_direction(OFFER, "inactive")
        self.assertEqual(changed.count(b"a=inactive\r\n"), 2)
        self.assertNotIn(b"a=sendrecv", changed)
        for line in OFFER.split(b"\r\n"):
            if line and line not in (b"a=sendrecv", b"a=recvonly"):
                self.assertIn(line + b"\r\n", changed)
        self.assertEqual(with_direction(changed, "inactive"), changed)
        self.assertEqual(with_direction(b"no streams", "inactive"), b"no streams")


class CodecTests(SynchronousTestCase):
    def test_by_name(self) -> None:
        self.assertEqual(codecs(OFFER), ("PCMU", "PCMA", "opus"))
        self.assertEqual(codecs(b"v=0\r\nm=video 4 RTP/AVP 31\r\n"), ())
        self.assertEqual(codecs(b"v=0\r\nm=audio 4 RTP/AVP 18 77\r\n"), ("G729", "77"))


class InactiveAnswerTests(SynchronousTestCase):
    @conforms("RFC 3264 6")
    def test_every_stream_is_answered_and_the_audio_is_inactive(self) -> None:
        answer = inactive_answer(OFFER)
        audio, video = streams(answer)
        self.assertEqual((audio.media, audio.port, audio.direction), ("audio", 9, "inactive"))
        self.assertEqual(audio.formats, ("0", "8", "96"))
        self.assertIn(b"a=fmtp:96 useinbandfec=1\r\n", answer)
        self.assertEqual((video.media, video.port), ("video", 0))
        self.assertTrue(answer.startswith(b"v=0\r\no=- "))

    @conforms("RFC 4568 5.1.2")
    def test_a_secure_stream_gets_a_key_of_ours(self) -> None:
        offer = (
            b"v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nt=0 0\r\nm=audio 4 RTP/SAVP 0\r\n"
            b"a=crypto:1 NO_SUCH_SUITE inline:abc\r\na=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:secretsecret\r\n"
        )
        answer = inactive_answer(offer)
        (line,) = [line for line in answer.split(b"\r\n") if line.startswith(b"a=crypto:")]
        head, _, key = line.partition(b" inline:")
        self.assertEqual(head, b"a=crypto:2 AES_CM_128_HMAC_SHA1_80")
        self.assertEqual(len(base64.b64decode(key)), 30)
        self.assertNotIn(b"secret", answer)

    def test_what_only_media_could_set_up_is_refused(self) -> None:
        answer = inactive_answer(b"v=0\r\nm=audio 4 UDP/TLS/RTP/SAVPF 111\r\na=fingerprint:x\r\n")
        self.assertEqual([stream.port for stream in streams(answer)], [0])

    def test_garbage_gets_an_answer_without_streams(self) -> None:
        self.assertEqual(streams(inactive_answer(b"hello")), ())


class GarbageTests(SynchronousTestCase):
    def check(self, text: bytes) -> None:
        with_origin(text, 1, 1, b"IN IP4 x")
        with_direction(text, "inactive")
        inactive_answer(text)
        self.assertIn(direction(text), ("sendrecv", "sendonly", "recvonly", "inactive"))
        held(text)
        codecs(text)
        streams(text)

    def test_never_raises(self) -> None:
        for text in GARBAGE:
            self.check(text)

    @examples(100)
    @given(st.binary(max_size=300))
    def test_whatever_it_is(self, text: bytes) -> None:
        self.check(text)

    @examples(100)
    @given(
        st.lists(st.sampled_from([*OFFER.split(b"\r\n"), b"m=audio x y z", b"c=", b"a=rtpmap:", b"m=audio 1 2 3/4 5"]))
    )
    def test_lines_in_any_order(self, lines: list[bytes]) -> None:
        self.check(b"\r\n".join(lines))

    def test_the_answer_is_bounded(self) -> None:
        many = b"v=0\r\n" + b"m=audio 4 RTP/AVP 0\r\n" * 5000
        self.assertLess(len(inactive_answer(many)), 2000)
        self.assertEqual(len(streams(many)), 32)
