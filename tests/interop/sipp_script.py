"""SIPp scenarios put together from steps: what a phone sends, and what it must get, with what in it.

The XML of SIPp spells every message out; here one line stands for each, so that a scenario can be read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape

Checks = Mapping[str, str]

OFFERS = {"caller": 40000, "callee": 40002}
CONTACT = "Contact: <sip:[user]@[local_ip]:[contact_port];transport=[uri_transport]>"
KEPT = (("Via", "via"), ("From", "from"), ("To", "to"), ("CSeq", "number"))
VIA = "Via: SIP/2.0/[via] [local_ip]:[local_port];branch=[branch];rport"


def sdp(port: int, direction: str = "sendrecv", version: int = 1) -> str:
    """A session description as SIPp fills it in."""
    lines = ["v=0", f"o=- {port} {version} IN IP4 [local_ip]", "s=-", "c=IN IP4 [local_ip]", "t=0 0"]
    lines += [f"m=audio {port} RTP/AVP 0 101", "a=rtpmap:0 PCMU/8000", "a=rtpmap:101 telephone-event/8000"]
    return "\n".join([*lines, f"a={direction}"])


def copied(header: str, variable: str) -> str:
    """The action that puts the value of a header into a variable."""
    return f'      <ereg regexp=".*" search_in="hdr" header="{header}:" assign_to="{variable}"/>'


class Script:
    """The steps of one phone, in their order. `own` and `peer` are its From and To once the call is up."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.own = "<sip:[user]@[domain]>;tag=[pid]c[call_number]"
        self.peer = ""
        self._steps: list[str] = []
        self._checks = 0
        self._number = self._invited = 0
        self._is_up = False
        self._asked = self._sent = ""

    @property
    def xml(self) -> str:
        """The scenario."""
        # SIPp refuses a scenario with a variable that nothing reads.
        names = dict.fromkeys(re.findall('assign_to="(.*?)"', "".join(self._steps)))
        used = [f'  <Reference variables="{",".join(names)}"/>'] if names else []
        head = ['<?xml version="1.0" encoding="UTF-8"?>', f'<scenario name="{self.name}">']
        return "\n".join([*head, *self._steps, *used, "</scenario>", ""])

    # -- what it sends -----------------------------------------------------------------------------------------------

    def call(self, *headers: str, body: str = sdp(OFFERS["caller"])) -> Script:
        """INVITE, with the credentials that the 407 asks for."""
        uri = "sip:[peer]@[domain]"
        self.peer = "<sip:[peer]@[domain]>"
        self._own_request("INVITE", 1, uri, (CONTACT, *headers), body)
        self.take(100, optional=True)
        self._steps.append('  <recv response="407" auth="true"/>')
        self.peer += "[peer_tag_param]"
        self._own_request("ACK", 1, uri, (), "", branch="[branch-3]")
        self.peer = "<sip:[peer]@[domain]>"
        self._own_request("INVITE", 2, uri, (CONTACT, *headers, "[authentication]"), body)
        self.peer += "[peer_tag_param]"
        self._number = self._invited = 2
        return self.take(100, optional=True)

    def request(self, method: str, *headers: str, body: str = "", number: int = 0) -> Script:
        """A request within the dialog, with the next CSeq unless a number is given; an INVITE bears the Contact."""
        self._number = self._number if number else self._number + 1
        self._invited = self._number if method == "INVITE" else self._invited
        lines = (CONTACT, *headers) if method in ("INVITE", "UPDATE") else headers
        self._own_request(method, number or self._number, "[next_url]", ("[routes]", *lines), body)
        return self

    def ack(self, *, body: str = "") -> Script:
        """Acknowledge the 2xx to the last INVITE of ours."""
        self._is_up = True
        return self.request("ACK", body=body, number=self._invited)

    def cancel(self) -> Script:
        """CANCEL the INVITE of `call`: the branch is the one of that request, which SIPp numbers by its place."""
        self._own_request("CANCEL", self._invited, "sip:[peer]@[domain]", (), "", branch=f"[branch-{self._since_call}]")
        return self

    def ack_refusal(self) -> Script:
        """Acknowledge the refusal of the last INVITE of ours, hop by hop."""
        is_first = not self._is_up
        uri, routes = ("sip:[peer]@[domain]", ()) if is_first else ("[next_url]", ("[routes]",))
        self._own_request("ACK", self._invited, uri, routes, "", branch=f"[branch-{self._since_call}]")
        return self

    def answer_kept(self, status: int, *headers: str, body: str = "") -> Script:
        """Answer the request that was kept by `await_(..., keep=True)`, whatever came since."""
        lines = [f"SIP/2.0 {status} Said", "Via:[$kept_via]", "From:[$kept_from]", "To:[$kept_to]"]
        lines += ["Call-ID: [call_id]", "CSeq:[$kept_number]", CONTACT, *headers]
        return self._send(lines, body, is_repeated=True)

    def respond(self, status: int, *headers: str, body: str = "", tag: bool = True) -> Script:
        """Answer the last request; `tag` puts ours into To, for requests that bear none."""
        lines = [f"SIP/2.0 {status} Said", "[last_Via:]", "[last_Record-Route:]", "[last_From:]"]
        lines += ["[last_To:];tag=[pid]s[call_number]" if tag else "[last_To:]", "[last_Call-ID:]", "[last_CSeq:]"]
        lines += [CONTACT, *headers]
        # SIPp repeats what it sends until something comes that it waits for: the ACK.
        return self._send(lines, body, is_repeated=self._asked == "INVITE" and status >= 200)

    # -- what it must get --------------------------------------------------------------------------------------------

    def take(
        self,
        status: int,
        *,
        optional: bool = False,
        checks: Checks | None = None,
        copies: Mapping[str, str] | None = None,
        body: str = "",
    ) -> Script:
        """A response; `checks` are header names with what must stand in them, `body` what must stand in the body.

        `copies` are headers whose values are put into variables.
        """
        attributes = f'response="{status}"' + (' optional="true"' if optional else "")
        attributes += ' rrs="true"' if 100 < status < 300 and self._sent == "INVITE" else ""
        return self._receive(attributes, checks, body, [copied(*pair) for pair in (copies or {}).items()])

    def await_(self, method: str, *, keep: bool = False, checks: Checks | None = None, body: str = "") -> Script:
        """A request; it can be answered later when it is kept."""
        actions = [copied(name, f"kept_{variable}") for name, variable in KEPT] if keep else []
        self._asked = method
        return self._receive(f'request="{method}"', checks, body, actions)

    def called(self, *, keep: bool = False, checks: Checks | None = None, body: str = "") -> Script:
        """The INVITE that calls this phone; requests of its own go to whoever sent it."""
        actions = [copied("From", "caller"), copied("To", "callee")]
        actions += [copied(name, f"kept_{variable}") for name, variable in KEPT] if keep else []
        self.own, self.peer = "[$callee];tag=[pid]s[call_number]", "[$caller]"
        self._is_up, self._asked = True, "INVITE"
        return self._receive('request="INVITE" rrs="true"', checks, body, actions)

    def pause(self, milliseconds: int = 0) -> Script:
        """Wait, by default as long as the call shall be held."""
        self._steps.append(f'  <pause milliseconds="{milliseconds}"/>' if milliseconds else "  <pause/>")
        return self

    # -- XML ---------------------------------------------------------------------------------------------------------

    @property
    def _since_call(self) -> int:
        """How many steps ago the last INVITE was sent."""
        last = max(place for place, step in enumerate(self._steps) if "\nINVITE " in step)
        return len(self._steps) - last

    def _own_request(
        self, method: str, number: int, uri: str, headers: tuple[str, ...], body: str, branch: str = "[branch]"
    ) -> None:
        self._sent = method
        lines = [f"{method} {uri} SIP/2.0", VIA.replace("[branch]", branch), "Max-Forwards: 70"]
        lines += [f"From: {self.own}", f"To: {self.peer}", "Call-ID: [call_id]", f"CSeq: {number} {method}"]
        self._send([*lines, *headers], body, is_repeated=method != "ACK")

    def _send(self, lines: list[str], body: str, is_repeated: bool) -> Script:
        kind = ["Content-Type: application/sdp"] if body and not any("Content-Type" in line for line in lines) else []
        text = "\n".join([*lines, *kind, "Content-Length: [len]", "", body])
        repeats = ' retrans="500"' if is_repeated else ""
        self._steps.append(f"  <send{repeats}><![CDATA[\n{text}\n]]></send>")
        return self

    def _receive(self, attributes: str, checks: Checks | None, body: str, actions: list[str] | None = None) -> Script:
        steps = list(actions or ())
        for name, wanted in (checks or {}).items():
            steps.append(self._check(wanted, f'search_in="hdr" header="{name}:"'))
        if body:
            steps.append(self._check(body, 'search_in="body"'))
        inside = "\n".join(["    <action>", *steps, "    </action>"])
        self._steps.append(f"  <recv {attributes}>\n{inside}\n  </recv>" if steps else f"  <recv {attributes}/>")
        return self

    def _check(self, wanted: str, where: str) -> str:
        self._checks += 1
        text = escape(wanted, quote=True)
        return f'      <ereg regexp="{text}" {where} check_it="true" assign_to="check{self._checks}"/>'
