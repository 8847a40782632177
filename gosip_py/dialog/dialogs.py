"""The dialogs of one server or user agent: how they begin, and how each message finds the one that it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from random import Random, SystemRandom

from twisted.internet.defer import Deferred

from gosip_py.dialog.credentials import ClientCredentials
from gosip_py.dialog.dialog import Dialog
from gosip_py.dialog.inside import receive_within
from gosip_py.dialog.offer import Signal as OfferSignal
from gosip_py.dialog.offer import negotiate
from gosip_py.dialog.peer import Peer
from gosip_py.dialog.session import SDP, session_of
from gosip_py.dialog.table import Signal
from gosip_py.dialog.uas import Answering
from gosip_py.dialog.user import DialogUser
from gosip_py.sip.errors import ParseError
from gosip_py.sip.fields import Reason, Replaces
from gosip_py.sip.headers import parse_address
from gosip_py.sip.ids import new_call_id, new_tag, new_token
from gosip_py.sip.message import Message, Request
from gosip_py.sip.uri import escape_user
from gosip_py.transaction.sending import Sender
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.session_timer import SessionTimerPolicy
from gosip_py.transaction.timers import Timing
from gosip_py.transaction.validation import Refusal, Validation, readable_body, supported_extensions
from gosip_py.transport.flow import Flow, Target
from gosip_py.transport.resolve import target_of

__all__ = ["ALLOW", "SUPPORTED", "Dialogs"]

ALLOW = "ACK, BYE, CANCEL, INFO, INVITE, MESSAGE, NOTIFY, OPTIONS, PRACK, REFER, SUBSCRIBE, UPDATE"
SUPPORTED = ("100rel", "norefersub", "replaces", "timer")

# Phones are hung up in turns, as a stop must not fill the sockets' buffers.
_AT_ONCE = 100
_BETWEEN = 0.05
_FAREWELL_SECONDS = 2.0


class Dialogs:
    """All dialogs of ours, early ones too, by our own tag.

    ``now`` tells epoch seconds. ``product`` goes into User-Agent and Server, ``allow`` and ``supported`` into Allow and
    Supported. ``active`` counts those that are established. ``changed`` is called when one becomes established, and
    when one that was is over.
    """

    def __init__(
        self,
        sender: Sender,
        *,
        timing: Timing,
        now: Callable[[], float],
        session_timers: SessionTimerPolicy,
        product: str = "",
        allow: str = ALLOW,
        supported: tuple[str, ...] = SUPPORTED,
        random: Random | None = None,
    ) -> None:
        self.sender = sender
        self.wheel = sender.layer.wheel
        self.timing = timing
        self.now = now
        self.session_timers = session_timers
        self.random = random if random is not None else SystemRandom()
        self.active = 0
        self.changed: Callable[[Dialog], None] = _ignore
        self.abilities: tuple[tuple[str, str], ...] = (("allow", allow), ("supported", ", ".join(supported)))
        self.ability_names: tuple[str, ...] = ("allow", "supported")
        self.ability_lines: tuple[str, ...] = (f"Allow: {allow}", f"Supported: {', '.join(supported)}")
        certain = ", ".join(option for option in supported if option != "100rel")
        self.certain_lines: tuple[str, ...] = (f"Allow: {allow}", f"Supported: {certain}")
        self._user_agent = product
        self._dialogs: dict[str, Dialog] = {}
        self._validation = Validation(supported_extensions(supported))
        self._invite_validation = Validation(
            supported_extensions(supported), readable_body(SDP, "multipart/mixed", "multipart/alternative")
        )
        self._host = new_token(12)
        self._leaving: _Wait | None = None

    def __len__(self) -> int:
        return len(self._dialogs)

    def __iter__(self) -> Iterator[Dialog]:
        return iter(tuple(self._dialogs.values()))

    # -- how they begin ------------------------------------------------------------------------------------------------

    def invite(
        self,
        user: DialogUser,
        *,
        uri: str,
        target: Target,
        routes: Sequence[str] = (),
        from_: str,
        to: str,
        contact_user: str = "",
        sdp: bytes = b"",
        headers: Iterable[tuple[str, str]] = (),
        call_id: str = "",
        max_forwards: int = 70,
        credentials: ClientCredentials | None = None,
        wants_reliable: bool = False,
        has_reliable: bool = True,
    ) -> Dialog:
        """Send an INVITE for ``uri`` to ``target``, along ``routes``; ``user`` hears nothing before this returns.

        ``from_`` and ``to`` are whole values without tags. With ``wants_reliable`` provisional responses must be
        reliable (RFC 3262 4), without ``has_reliable`` they cannot be. ParseError when ``routes`` cannot be read.
        """
        tag = new_tag()
        peer = Peer(to, "", uri, tuple(routes), None)
        dialog = Dialog(
            self,
            user,
            call_id or new_call_id(self._host),
            f"{from_};tag={tag}",
            tag,
            peer,
            is_caller=True,
            contact_user=escape_user(contact_user),
            is_secure=uri.startswith("sips:"),
            credentials=credentials,
        )
        if routes:
            hop = target_of(parse_address(routes[0]).uri)
            target = Target(hop.transport, hop.host, hop.port, target.flow, hop.domain, hop.is_secure)
        dialog.first_hop = target
        dialog.local_sdp = sdp
        request = dialog.compose("INVITE", headers=headers, body=sdp, content_type=SDP)
        request.names += self.ability_names
        request.lines += self.ability_lines if has_reliable else self.certain_lines
        if max_forwards != 70:
            request.lines[0] = f"Max-Forwards: {max_forwards}"
        if wants_reliable:
            request.add("require", "100rel")
        if self._user_agent:
            request.add("user-agent", self._user_agent)
        self._dialogs[tag] = dialog
        dialog.step(Signal.SEND_INVITE, request)
        return dialog

    def refuse(self, request: Request) -> Refusal | None:
        """Why we could not answer this request ourselves (RFC 3261 8.2.2.3, 8.2.3): 420, 415; None when we can."""
        is_about_session = request.method in ("INVITE", "PRACK", "UPDATE")
        return (self._invite_validation if is_about_session else self._validation).refuse(request)

    def take(self, transaction: ServerTransaction, user: DialogUser, contact_user: str = "") -> Dialog:
        """Begin the dialog of an initial INVITE, to be answered by `Dialog.accept` or `Dialog.reject`.

        ParseError when no request could be sent back within it; then nothing has been kept.
        """
        request, flow = transaction.request, transaction.flow
        peer = Peer.of_request(request, flow)
        tag = transaction.to_tag
        dialog = Dialog(
            self,
            user,
            request.call_id,
            f"{request.require('to')};tag={tag}",
            tag,
            peer,
            is_caller=False,
            contact_user=escape_user(contact_user),
            is_secure=request.uri_text.startswith("sips:"),
        )
        dialog.flow = flow
        dialog.contact = dialog.contact_at(flow)
        dialog.remote_sdp = session_of(request)
        dialog.note_abilities(request)
        dialog.answering = transaction.owner = Answering(dialog, transaction)
        negotiate(dialog, OfferSignal.RECEIVE_INVITE if dialog.remote_sdp else OfferSignal.RECEIVE_EMPTY_INVITE)
        self._dialogs[tag] = dialog
        dialog.step(Signal.RECEIVE_INVITE, request)
        return dialog

    # -- what arrives --------------------------------------------------------------------------------------------------

    def find(self, message: Message) -> Dialog | None:
        """The dialog that a request to us belongs to: by Call-ID and both tags (12). ParseError as in `Message.ids`."""
        call_id, from_tag, to_tag = message.ids()
        dialog = self._dialogs.get(to_tag)
        if dialog is None or dialog.call_id != call_id or dialog.peer_of(from_tag) is None:
            return None
        return dialog

    def owns(self, request: Request) -> bool:
        """Whether it is for us to answer a request with this To tag."""
        return request.to_tag in self._dialogs

    def receive(self, transaction: ServerTransaction) -> None:
        """A request with a To tag; whatever it is, it is answered, now or by the dialog's user."""
        request = transaction.request
        try:
            dialog = self.find(request)
            if dialog is None:
                transaction.reply(481, explanation=_UNKNOWN)
                return
            refusal = self.refuse(request) if "require" in request.names or request.body else None
            if refusal is not None:
                refusal.send(transaction)
            else:
                receive_within(dialog, transaction, request)
        except ParseError as error:
            transaction.reply(400, explanation=error.reason)

    def receive_ack(self, ack: Request, flow: Flow) -> bool:
        """The ACK of a 2xx; False when it belongs to no dialog of ours."""
        try:
            dialog = self.find(ack)
            if dialog is None:
                return False
            acceptance = dialog.acceptance
            if acceptance is not None and acceptance.number == ack.cseq.number:
                acceptance.stop()
                if acceptance.then is not None:
                    acceptance.then(session_of(ack))
                else:
                    dialog.step(Signal.RECEIVE_ACK, ack)
        except ParseError:
            pass  # nothing may answer an ACK; the 2xx is repeated
        return True

    def replaced_by(self, replaces: Replaces) -> Dialog | None:
        """The dialog that these ids name exactly, ``to_tag`` being ours (RFC 3891 3)."""
        dialog = self._dialogs.get(replaces.to_tag)
        if dialog is None or dialog.call_id != replaces.call_id:
            return None
        return dialog if dialog.peer_of(replaces.from_tag) is not None else None

    # -- what the dialogs tell -----------------------------------------------------------------------------------------

    def established(self, dialog: Dialog) -> None:
        self.active += 1
        self.changed(dialog)

    def over(self, dialog: Dialog) -> None:
        self.active -= 1
        self.changed(dialog)

    def forget(self, dialog: Dialog) -> None:
        self._dialogs.pop(dialog.local_tag, None)
        if self._leaving is not None and not self._dialogs:
            # not before the user of this one has heard how it ended
            self.wheel.start(0, self._leaving, 0)
            self._leaving = None

    # -- the end -------------------------------------------------------------------------------------------------------

    def hang_up_all(self, reason: Reason | None = None) -> Deferred[None]:
        """Hang up every dialog; fires when all others have answered, 2 s after the last BYE at the latest."""
        return Deferred.fromCoroutine(self._hang_up_all(reason))

    async def _hang_up_all(self, reason: Reason | None) -> None:
        for at, dialog in enumerate(self, 1):
            dialog.hang_up(reason)
            if at % _AT_ONCE == 0:
                await self._wait(_BETWEEN)
        if self._dialogs:
            await self._wait(_FAREWELL_SECONDS)

    def _wait(self, seconds: float) -> Deferred[None]:
        wait = self._leaving = _Wait()
        self.wheel.start(seconds, wait, 0)
        return wait.over

    def close(self) -> None:
        """The server stops: what is still there is ended, and nobody is waited for."""
        for dialog in self:
            dialog.step(Signal.TERMINATE)
            if dialog.references is not None:
                dialog.references.close()
            self.forget(dialog)


_UNKNOWN = "there is no such dialog here, or not with these tags and this Call-ID: send an INVITE to begin one"


def _ignore(_dialog: Dialog) -> None:
    """Nobody asked to be told."""


class _Wait:
    """Fires ``over`` after some time, or when it is told to."""

    def __init__(self) -> None:
        self.over: Deferred[None] = Deferred()

    def timer_fired(self, kind: int) -> None:
        if not self.over.called:
            self.over.callback(None)
