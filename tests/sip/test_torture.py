"""The torture messages of RFC 4475, out of the archive in its appendix, where the RFC is at hand.

Here only: nothing but ParseError comes out, what is well formed is read and goes out as it came, what is malformed is
noticed.
"""

from __future__ import annotations

import base64
import io
import os
import re
import tarfile
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from gosip_py.sip.decode import decode
from gosip_py.sip.errors import ParseError
from gosip_py.sip.headers import Address
from gosip_py.sip.message import Message, Request
from gosip_py.sip.parser import parse_message
from gosip_py.sip.stream import StreamFramer

_RFC = Path(os.environ.get("GOSIP_TEST_RFC4475", Path(__file__).parents[3] / "shared" / "rfc" / "rfc4475.txt"))

# 3.1.1, and of 3.2 to 3.4 those whose headers are all well formed
_WELL_FORMED = (
    "wsinv intmeth esc01 escnull esc02 lwsdisp longreq dblreq semiuri transports mpart01 unreason noreason"
    " unkscm novelsc unksm2 bext01 invut zeromf cparam01 cparam02 regescrt sdp01 badbranch insuf bcast inv2543"
).split()
# 3.1.2: noticed at the latest when every header and the Request-URI are decoded
_MALFORMED = (
    "badinv01 clerr ncl scalar02 scalarlg quotbal ltgtruri lwsruri lwsstart trws baddate regbadct badaspec baddn"
    " bigcode mcl01"
).split()


def archive() -> dict[str, bytes]:
    """Every message of the archive by its name."""
    if not _RFC.exists():
        raise SkipTest(f"no text of RFC 4475 at {_RFC}")
    text = _RFC.read_text().rpartition("-- BEGIN MESSAGE ARCHIVE --")[2].partition("-- END MESSAGE ARCHIVE --")[0]
    # page breaks stand between; the lines of the archive hold one word each
    packed = base64.b64decode("".join(re.findall(r"^[ \t]*([^ \t\n\f]+)[ \t]*$", text, re.MULTILINE)))
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        members = [(member.name, tar.extractfile(member)) for member in tar if member.isfile()]
        return {Path(name).stem: file.read() for name, file in members if file is not None}


def decode_all_of(message: Message) -> None:
    for name in message.names:
        value = decode(message, name)
        for address in value if isinstance(value, tuple) else (value,):
            if isinstance(address, Address) and address.uri_text != "*":
                address.uri  # noqa: B018  # asked for so that it is decoded
    if isinstance(message, Request):
        message.uri  # noqa: B018


class Torture(SynchronousTestCase):
    def test_the_archive_is_whole(self) -> None:
        found = archive()
        self.assertEqual(sorted({*_WELL_FORMED, *_MALFORMED} - set(found)), [])
        self.assertGreaterEqual(len(found), 49)

    def test_nothing_but_parse_errors(self) -> None:
        for data in archive().values():
            StreamFramer().feed(data)
            try:
                message: Message | None = parse_message(data)
            except ParseError as error:
                message = error.message
            for name in message.names if message is not None else ():
                assert message is not None
                try:
                    decode(message, name)
                except ParseError:
                    pass

    def test_well_formed(self) -> None:
        found = archive()
        for name in _WELL_FORMED:
            message = parse_message(found[name])
            sent = message.to_bytes()
            self.assertEqual(sent, found[name][: len(sent)], name)
            self.assertEqual(parse_message(sent).names, message.names, name)

    def test_their_headers(self) -> None:
        found = archive()
        for name in _WELL_FORMED:
            message = parse_message(found[name])
            for header in message.names:
                try:
                    decode(message, header)
                except ParseError as error:
                    self.fail(f"{name}: {header}: {error.reason}")

    def test_malformed(self) -> None:
        found = archive()
        for name in _MALFORMED:
            try:
                decode_all_of(parse_message(found[name]))
            except ParseError:
                continue
            self.fail(f"{name} was taken for well formed")

    def test_the_values_that_they_are_about(self) -> None:
        found = archive()
        wsinv = parse_message(found["wsinv"])
        self.assertEqual(
            (wsinv.call_id, wsinv.cseq.number, wsinv.value("max-forwards")),
            ("wsinv.ndaksdj@192.0.2.1", 9, "0068"),
        )
        self.assertEqual(parse_message(found["esc02"]).cseq.method, "RE%47IST%45R")
        self.assertEqual(len(parse_message(found["transports"]).values("via")), 5)
        self.assertEqual(parse_message(found["noreason"]).start_line, "SIP/2.0 100 ")
        self.assertEqual(parse_message(found["escnull"]).to.uri.user, "null-\0-null")
        semiuri = parse_message(found["semiuri"])
        assert isinstance(semiuri, Request)
        self.assertEqual((semiuri.uri.user, semiuri.uri.host), ("user;par=u@example.net", "example.com"))
        self.assertEqual(len(parse_message(found["mpart01"]).body), 553)
