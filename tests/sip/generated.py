"""Messages of every known header, in every spelling that the grammar allows (hypothesis strategies)."""

from __future__ import annotations

from hypothesis import strategies as st

from gosip_py.sip.grammar import is_token
from gosip_py.sip.names import COMMA_SEPARATED, METHODS, SPELLINGS, wire_name
from gosip_py.sip.status import REASON_PHRASES

__all__ = ["VALUES", "has_names", "heads", "known_messages", "near_valid"]

_ADDRESSES = (
    "sip:ruth@harbour.example",
    "<sip:ruth@harbour.example>",
    '"Ruth, of the \\"Harbour\\"; <here>" <sips:r%75th@[2001:db8::5]:5061;transport=tcp;lr?Subject=a%20b>;tag=r1',
    'Рут <sip:ruth@harbour.example>;note="é, ;";flag',
    "<tel:+1-555-0100;phone-context=harbour.example>;q=0.25",
)
_TOKENS = ("timer", "100rel", "x*y'z`~")
_REFERENCES = ("<https://harbour.example/ring?a=b,c>;purpose=icon", "<cid:1@harbour.example>")
_CREDENTIALS = (
    'Digest username="ruth", realm="a \\"b\\"", nonce="n,;", uri="sip:harbour.example", response="00ff", algorithm=MD5',
    'Digest username="r", realm="x", nonce="y", uri="sip:z", response="e", qop=auth, nc=00000001, cnonce="c"',
)
_CHALLENGES = ('Digest realm="harbour", nonce="n, 1", algorithm=SHA-256, qop="auth,auth-int", stale=FALSE, opaque="o"',)
_SECONDS = ("0", "60", "4294967295")

# Good values of every header that has a grammar of its own.
VALUES: dict[str, tuple[str, ...]] = {
    "accept": ("application/sdp;level=1;q=0.5", "*/*", "text/*"),
    "accept-encoding": ("gzip;q=1.0", "identity"),
    "accept-language": ("da", "en-gb;q=0.8"),
    "alert-info": _REFERENCES,
    "allow": ("INVITE", "M%45"),
    "allow-events": ("presence", "dialog.winfo"),
    "authorization": _CREDENTIALS,
    "call-id": ("a84b4c76e66710@harbour.example", "word%Z`)(><:\\/\"][?}{"),
    "call-info": _REFERENCES,
    "contact": _ADDRESSES,
    "content-disposition": ("session;handling=optional", "render"),
    "content-encoding": ("gzip",),
    "content-language": ("fr",),
    "content-type": ('multipart/mixed;boundary="a b"', "application/sdp"),
    "cseq": ("1 INVITE", "2147483647 M%45", "0009\tBYE"),
    "date": ("Sat, 13 Nov 2010 23:29:00 GMT",),
    "diversion": ("<sip:ruth@harbour.example>;reason=unconditional;counter=1",),
    "error-info": _REFERENCES,
    "event": ("dialog;id=4;call-id=\"a;b\"", "message-summary"),
    "expires": _SECONDS,
    "flow-timer": _SECONDS,
    "from": _ADDRESSES,
    "history-info": ("<sip:ruth@harbour.example?Reason=SIP%3Bcause%3D302>;index=1.1",),
    "in-reply-to": ("70710@saturn.harbour.example", "17320"),
    "join": ("1@h;to-tag=a;from-tag=b",),
    "max-breadth": ("60",),
    "max-forwards": ("70", "000", "255"),
    "mime-version": ("1.0",),
    "min-expires": _SECONDS,
    "min-se": ("90;x=y", "1800"),
    "organization": ("The Harbour, Inc. ; é",),
    "p-asserted-identity": ("<sip:ruth@harbour.example>", "<tel:+15550100>"),
    "p-preferred-identity": ('"R" <sip:ruth@harbour.example>',),
    "path": ("<sip:p1.harbour.example;lr;ob>",),
    "priority": ("emergency",),
    "privacy": ("id;critical", "none"),
    "proxy-authenticate": _CHALLENGES,
    "proxy-authorization": _CREDENTIALS,
    "proxy-require": _TOKENS,
    "rack": ("776656 1 INVITE",),
    "reason": ('SIP;cause=200;text="Call completed elsewhere, ; done"', "Q.850;cause=16"),
    "record-route": ("<sip:p2.harbour.example;lr>;x",),
    "refer-to": ("<sip:zoe@mill.example?Replaces=1%40h%3Bto-tag%3Da>",),
    "referred-by": ("<sip:omar@mill.example>;cid=\"1@mill\"",),
    "replaces": ("1@h;to-tag=a;from-tag=b;early-only",),
    "reply-to": ("Ruth <sip:ruth@harbour.example>",),
    "require": _TOKENS,
    "retry-after": ("18000;duration=3600", "120 (I'm in a (short) meeting\\) )", "5"),
    "route": ("<sip:p3.harbour.example;lr>",),
    "rseq": ("1", "4294967295"),
    "server": ("Harbour/1.0 (pier (7))",),
    "service-route": ("<sip:p4.harbour.example;lr>",),
    "session-expires": ("1800;refresher=uac", "90;refresher=UAS;x", "4000"),
    "sip-etag": ("dx200xyz",),
    "sip-if-match": ("dx200xyz",),
    "subject": ("Boats, and more boats; \"é", "你好 🙂"),
    "subscription-state": ("active;expires=600", "terminated;reason=timeout"),
    "supported": _TOKENS,
    "timestamp": ("54", "54.5 0.25", "1. .5"),
    "to": _ADDRESSES,
    "unsupported": _TOKENS,
    "user-agent": ("Pier/2 \"x\"",),
    "via": (
        "SIP/2.0/UDP harbour.example;branch=z9hG4bK1;rport",
        "SIP / 2.0 / TLS [2001:db8::5] : 5061 ;received=192.0.2.1; note=\"a,b\"",
        "SIP/7.0/PIGEON h;branch=x",
    ),
    "warning": ('399 harbour.example "say \\"please\\", thrice"', '301 [::1]:5060 ""'),
    "www-authenticate": _CHALLENGES,
}  # fmt: skip

_SPELLED: dict[str, tuple[str, ...]] = {
    name: tuple(spelling for spelling, canonical in SPELLINGS.items() if canonical == name) for name in VALUES
}
_SPACES = st.sampled_from(("", "", " ", "\t", "  "))
# What one space between words may be written as: a fold among others (RFC 3261 25.1, LWS).
_FOLDS = st.sampled_from((" ", " ", "\r\n ", " \r\n\t", "\r\n  \t "))
_BODIES = st.binary(max_size=60) | st.sampled_from((b"\r\n\r\n", b"v=0\r\n", b"SIP/2.0 200 OK\r\n\r\n"))


def _folded(draw: st.DrawFn, value: str) -> str:
    first, *rest = value.split(" ")
    return first + "".join([draw(_FOLDS) + piece for piece in rest])


@st.composite
def _lines(draw: st.DrawFn, name: str) -> tuple[str, list[str]]:
    """One header line, and the values in it as somebody who asks must see them."""
    several = name in COMMA_SEPARATED
    values = draw(st.lists(st.sampled_from(VALUES[name]), min_size=1, max_size=3 if several else 1))
    written = draw(st.sampled_from((*_SPELLED[name], wire_name(name).swapcase())))
    value = draw(st.sampled_from((",", ", ", " ,\r\n "))).join([_folded(draw, value) for value in values])
    opening = draw(st.sampled_from(("", " ", "\t", "\r\n ")))
    return f"{written}{draw(_SPACES)}:{opening}{value}{draw(_SPACES)}", values


@st.composite
def heads(draw: st.DrawFn) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Header lines, and (canonical name, values) of each."""
    names = draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=12))
    lines, expected = [], []
    for name in names:
        line, values = draw(_lines(name))
        lines.append(line)
        expected.append((name, values))
    return lines, expected


@st.composite
def known_messages(draw: st.DrawFn) -> tuple[bytes, list[tuple[str, list[str]]]]:
    """A message of known headers, its Content-Length among them, and what its headers say."""
    lines, expected = draw(heads())
    body = draw(_BODIES)
    status = draw(st.sampled_from(sorted(REASON_PHRASES)))
    method = draw(st.sampled_from(sorted(METHODS)))
    start = draw(st.sampled_from((f"SIP/2.0 {status} {REASON_PHRASES[status]} é", f"{method} sip:r%75th@h;x SIP/2.0")))
    at = draw(st.integers(0, len(lines)))
    length = draw(st.sampled_from(("Content-Length", "l", "L", "content-length")))
    lines.insert(at, f"{length}{draw(_SPACES)}:{draw(_SPACES)}{len(body)}")
    expected.insert(at, ("content-length", [str(len(body))]))
    return "\r\n".join((start, *lines, "", "")).encode() + body, expected


def has_names(value: object) -> bool:
    """Whether every parameter of the value has a token for a name. A peer may invent others; nobody writes them."""
    return all(map(is_token, getattr(value, "parameters", ())))


@st.composite
def near_valid(draw: st.DrawFn) -> tuple[str, str]:
    """The name of a header, and a good value of it with a few characters changed, cut or doubled."""
    name = draw(st.sampled_from(sorted(VALUES)))
    text = draw(st.sampled_from(VALUES[name]))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        end = min(len(text), at + draw(st.integers(0, 4)))
        piece = draw(
            st.sampled_from(("", text[at:end] * 2, *'"\\<>;,=@:()[]%/ \t?*0', "\0", "\udcff", "é", "99999999999"))
        )
        text = text[:at] + piece + text[end:]
    return name, text
