"""What the whole server does about every message of RFC 4475 and RFC 5118, as whoever sends it sees it.

The texts of the RFCs are read where they are at hand; test_tortuous.py plays the same tricks with words of our own.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip.message import Request
from gosip_py.sip.parser import parse_message
from tests.conformance import conforms
from tests.sip.torture import DROPPED, FORWARDED, NEXT_HOP, Scene, Seen, archive, mended

Check = Callable[[SynchronousTestCase, Request, Seen], None]


# -- what is looked at beside the outcome ------------------------------------------------------------------------------


def untouched(*names: str) -> Check:
    """These headers go on as they came, octet for octet."""

    def check(case: SynchronousTestCase, sent: Request, seen: Seen) -> None:
        for name in names:
            lines = [line for each, line in zip(sent.names, sent.lines, strict=True) if each == name]
            left = [line for each, line in zip(seen.request.names, seen.request.lines, strict=True) if each == name]
            case.assertEqual(left[-len(lines) :], lines, name)
        case.assertEqual(seen.request.body, sent.body)

    return check


def contacts(*values: str) -> Check:
    """The registrar gives back these bindings, but for the seconds that are left."""

    def check(case: SynchronousTestCase, sent: Request, seen: Seen) -> None:
        found = [str(address.uri_text) for address in seen.response.addresses("contact")]
        case.assertEqual(sorted(found), sorted(values))
        for address in seen.response.addresses("contact"):
            case.assertEqual(set(address.parameters), {"expires"})

    return check


def says(name: str, *words: str) -> Check:
    """A header of the answer holds these words."""

    def check(case: SynchronousTestCase, sent: Request, seen: Seen) -> None:
        for word in words:
            case.assertIn(word, ", ".join(seen.response.values(name)))

    return check


def goes_to(host: str, uri_text: str = "") -> Check:
    """It leaves for this address, with this Request-URI."""

    def check(case: SynchronousTestCase, sent: Request, seen: Seen) -> None:
        case.assertEqual(seen.packet.destination[0], host)
        case.assertEqual(seen.request.uri_text, uri_text or sent.uri_text)

    return check


# -- the tables --------------------------------------------------------------------------------------------------------


@attrs.frozen
class Row:
    """A message by its name in the RFC, its section, and what may become of it.

    ``member`` is the device whose credentials it bears, its owner's login ``login`` or the same, ``callee`` whoever has
    a phone. A second outcome is one that the RFC leaves open too.
    """

    name: str
    section: str
    outcomes: int | str | tuple[int | str, ...]
    member: str = ""
    callee: str = "user"
    checks: tuple[Check, ...] = ()
    login: str = ""
    sender: str = "192.0.2.10"

    @property
    def allowed(self) -> tuple[int | str, ...]:
        return self.outcomes if isinstance(self.outcomes, tuple) else (self.outcomes,)


_UNUSUAL = "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"

RFC_4475 = (
    Row("wsinv", "3.1.1.1", FORWARDED, checks=(
        untouched("newfangledheader", "unknownheaderwithunusualvalue", "contact", "subject", "from", "to", "cseq"),
        goes_to(NEXT_HOP),
    )),
    Row("intmeth", "3.1.1.2", FORWARDED, callee=_UNUSUAL, checks=(
        untouched("to", "from", "extensionheader-!.%*+_`'~"),
    )),
    Row("esc01", "3.1.1.3", FORWARDED, "I have spaces", checks=(untouched("to", "from", "contact"), goes_to(NEXT_HOP))),
    Row("escnull", "3.1.1.4", 200, "desk", login="null-\0-null", checks=(
        contacts("sip:%00@host5.example.com", "sip:%00%00@host5.example.com"),
    )),
    Row("esc02", "3.1.1.5", FORWARDED, "resource", checks=(untouched("contact", "c%6fntact", "to"), goes_to(NEXT_HOP))),
    Row("lwsdisp", "3.1.1.6", FORWARDED, checks=(untouched("from"),)),
    Row("longreq", "3.1.1.7", FORWARDED, checks=(untouched("to", "from", "call-id", "contact"),)),
    # The INVITE behind it, in the same datagram, is noise.
    Row("dblreq", "3.1.1.8", 200, "j.user", checks=(contacts("sip:j.user@host.example.com"),)),
    Row("semiuri", "3.1.1.9", FORWARDED, callee="user;par=u@example.net"),
    Row("transports", "3.1.1.10", FORWARDED),
    # Its Route knows no "lr": the next hop comes into the request line (RFC 3261 16.6 item 6).
    Row("mpart01", "3.1.1.11", FORWARDED, "fluffy", checks=(
        untouched("identity", "content-type"), goes_to("127.0.0.1", "sip:127.0.0.1:5080"),
    )),
    # Well formed, but the answers to requests of somebody else.
    Row("unreason", "3.1.1.12", DROPPED),
    Row("noreason", "3.1.1.13", DROPPED),
    Row("badinv01", "3.1.2.1", 400),
    Row("clerr", "3.1.2.2", 400),
    Row("ncl", "3.1.2.3", 400),
    Row("scalar02", "3.1.2.4", 400),
    Row("scalarlg", "3.1.2.5", DROPPED),
    Row("quotbal", "3.1.2.6", 400),
    Row("ltgtruri", "3.1.2.7", 400),
    Row("lwsruri", "3.1.2.8", 400),
    Row("lwsstart", "3.1.2.9", 400),
    Row("trws", "3.1.2.10", 400),
    Row("escruri", "3.1.2.11", 400),
    # Nothing here looks at a Date.
    Row("baddate", "3.1.2.12", FORWARDED, checks=(untouched("date"),)),
    Row("regbadct", "3.1.2.13", 400, "user"),
    Row("badaspec", "3.1.2.14", 400, "a.g.bell"),
    Row("baddn", "3.1.2.15", 400),
    Row("badvers", "3.1.2.16", 505),
    Row("mismatch01", "3.1.2.17", 400),
    Row("mismatch02", "3.1.2.18", (501, 400)),
    Row("bigcode", "3.1.2.19", DROPPED),
    # Matched by the rules of RFC 2543, as the RFC allows in place of a 400.
    Row("badbranch", "3.2.1", FORWARDED),
    Row("insuf", "3.3.1", 400, checks=(says("warning", "To", "From", "Call-ID"),)),
    Row("unkscm", "3.3.2", 416),
    Row("novelsc", "3.3.3", 416),
    Row("unksm2", "3.3.4", 400, "user"),
    Row("bext01", "3.3.5", 420, checks=(says("unsupported", "noProxiesSupportThis", "norDoAnyProxiesSupportThis"),)),
    Row("invut", "3.3.6", FORWARDED, checks=(untouched("content-type"),)),
    Row("regaut01", "3.3.7", 401, checks=(says("www-authenticate", "Digest"),)),
    Row("multi01", "3.3.8", 400),
    Row("mcl01", "3.3.9", 400),
    Row("bcast", "3.3.10", DROPPED),
    Row("zeromf", "3.3.11", 483),
    Row("cparam01", "3.3.12", 200, "watson", checks=(contacts("sip:+19725552222@gw1.example.net"),)),
    Row("cparam02", "3.3.13", 200, "watson", checks=(contacts("sip:+19725552222@gw1.example.net;unknownparam"),)),
    # Its contact is the address of record itself, which a registrar need not take: it leads round in a circle.
    # test_tortuous.py registers headers with another contact.
    Row("regescrt", "3.3.14", (200, 403), "user", callee="nobody"),
    # A proxy answers no INVITE in the callee's place.
    Row("sdp01", "3.3.15", FORWARDED, checks=(untouched("accept"),)),
    Row("inv2543", "3.4.1", FORWARDED, callee="UserB", checks=(untouched("from", "to"),)),
)  # fmt: skip

_SIX = "2001:db8::9:1"
_REGISTRAR = 404  # [2001:db8::10] can be read, and is no name of the server in these tests

RFC_5118 = (
    Row("ipv6-good", "4.1", _REGISTRAR, sender=_SIX),
    Row("ipv6-bad", "4.2", 400, sender=_SIX),
    Row("port-ambiguous", "4.3", _REGISTRAR, sender=_SIX),
    Row("port-unambiguous", "4.4", _REGISTRAR, sender=_SIX),
    Row("via-received-param-with-delim", "4.5", FORWARDED, sender=_SIX, checks=(goes_to("2001:db8::10"),)),
    Row("via-received-param-no-delim", "4.5", FORWARDED, "user", sender=_SIX, checks=(goes_to("2001:db8::10"),)),
    Row("ipv6-in-sdp", "4.6", FORWARDED, "user", sender="2001:db8::20", checks=(
        untouched("contact"), goes_to("2001:db8::10"),
    )),
    Row("mult-ip-in-header", "4.7", FORWARDED, sender=_SIX, checks=(goes_to(NEXT_HOP),)),
    Row("mult-ip-in-sdp", "4.8", FORWARDED, "user", sender=_SIX, checks=(untouched("contact"),)),
    Row("ipv4-mapped-ipv6", "4.9", FORWARDED, checks=(untouched("contact"),)),
    Row("ipv6-bug-abnf-3-colons", "4.10", FORWARDED, "user", checks=(
        goes_to("2001:db8::192.0.2.1", "sip:user@[2001:db8:::192.0.2.1]"),
    )),
    Row("ipv6-correct-abnf-2-colons", "4.10", FORWARDED, "user", checks=(goes_to("2001:db8::192.0.2.1"),)),
)  # fmt: skip


# Their rows leave room for something else than the RFC asks for, and show nothing.
_NOT_SHOWN = frozenset(("regescrt",))


class TortureCase(SynchronousTestCase):
    """One test for each row: its outcome, and a server that is as it was."""

    def play(self, octets: bytes, row: Row) -> None:
        scene = Scene(row.member, login=row.login, callee=row.callee, sender=row.sender)
        seen = scene.send(octets)
        self.assertIn(seen.outcome, row.allowed, [packet.data for packet in seen.sent])
        for check in row.checks:
            sent = parse_message(octets)
            assert isinstance(sent, Request)
            check(self, sent, seen)
        self.assertEqual(list(scene.faults()), [])


def _test_of(number: int, row: Row) -> Callable[[TortureCase], None]:
    def test(case: TortureCase) -> None:
        case.play(mended(archive(number)[row.name]), row)

    return test if row.name in _NOT_SHOWN else conforms(f"RFC {number} {row.section}")(test)


def one_test_each(number: int, rows: tuple[Row, ...]) -> Callable[[type[TortureCase]], type[TortureCase]]:
    def add(kind: type[TortureCase]) -> type[TortureCase]:
        for row in rows:
            setattr(kind, f"test_{row.section.replace('.', '_')}_{row.name.replace('-', '_')}", _test_of(number, row))
        return kind

    return add


@one_test_each(4475, RFC_4475)
class Rfc4475(TortureCase):
    def test_every_message_has_a_row(self) -> None:
        # One message of the archive is of no section, and of no version of SIP.
        self.assertEqual(sorted(row.name for row in RFC_4475), sorted(archive(4475).keys() - {"test"}))
        self.play(archive(4475)["test"], Row("test", "", DROPPED))

    def test_each_as_it_is_archived(self) -> None:
        scene = Scene()
        for octets in archive(4475).values():
            scene.send(octets)
        self.assertEqual(list(scene.faults()), [])

    @conforms("RFC 4475 3.1.1.4")
    def test_a_name_is_not_cut_at_a_null(self) -> None:
        self.assertEqual(Scene("null-").send(archive(4475)["escnull"]).outcome, 403)


@one_test_each(5118, RFC_5118)
class Rfc5118(TortureCase):
    def test_every_message_has_a_row(self) -> None:
        self.assertEqual(sorted(row.name for row in RFC_5118), sorted(archive(5118)))

    def test_each_as_it_is_archived(self) -> None:
        scene = Scene()
        for octets in archive(5118).values():
            self.assertEqual(scene.send(octets).outcome, DROPPED)
        self.assertEqual(list(scene.faults()), [])
