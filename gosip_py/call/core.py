"""The core (RFC 3261 6): takes each new request through the checks, and answers it or hands it to the room that does.

The order is syntax, session timer, authentication, the request's own logic; the first that fails answers.
"""

from __future__ import annotations

from collections.abc import Callable

from gosip_py.call.identification import NOT_YOURS, Identification
from gosip_py.call.initial import ALLOW, MERGED, InitialRequests
from gosip_py.call.leg import Leg
from gosip_py.dialog.dialog import Dialog
from gosip_py.dialog.dialogs import SUPPORTED, Dialogs
from gosip_py.notifier.notifier import Notifier
from gosip_py.proxy.proxy import Proxy
from gosip_py.proxy.route import take_routes
from gosip_py.proxy.session import Session, Sessions
from gosip_py.registrar.domains import Domains
from gosip_py.registrar.registrar import EXTENSIONS, Registrar
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Request
from gosip_py.sip.uri import parse_uri
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.session_timer import SessionTimerPolicy, session_timer
from gosip_py.transaction.validation import (
    Refusal,
    Validation,
    hops_left,
    readable_body,
    supported_extensions,
    syntax,
)
from gosip_py.transport.flow import Flow

__all__ = ["Core"]

_MEANT_FOR_US = frozenset(("proxy-authorization", "route"))


class Core:
    """The user of the transaction layer. ``is_merged`` tells whether a request reached us before by another way."""

    def __init__(
        self,
        *,
        registrar: Registrar,
        proxy: Proxy,
        sessions: Sessions,
        dialogs: Dialogs,
        initial: InitialRequests,
        identification: Identification,
        notifier: Notifier,
        domains: Domains,
        session_timers: SessionTimerPolicy,
        is_merged: Callable[[ServerTransaction], bool],
    ) -> None:
        self.initial = initial
        self._registrar = registrar
        self._proxy = proxy
        self._sessions = sessions
        self._dialogs = dialogs
        self._identification = identification
        self._grants = initial.grants
        self._notifier = notifier
        self._domains = domains
        self._is_merged = is_merged
        self._first = Validation(*syntax(), session_timer(session_timers))
        self._forwarding = Validation(hops_left(), supported_extensions((), "proxy-require"))
        self._answering = Validation(supported_extensions(()), readable_body("application/sdp"))
        self._abilities = (
            ("allow", ALLOW),
            ("allow-events", notifier.event_names),
            ("accept", "application/sdp"),
            ("accept-encoding", "identity"),
            ("accept-language", "en"),
            ("supported", ", ".join(sorted({*EXTENSIONS, *SUPPORTED}))),
        )

    # -- what the transaction layer hands up --------------------------------------------------------------------------

    def receive_request(self, transaction: ServerTransaction) -> None:
        """A new request; whatever happens, it is answered."""
        request = transaction.request
        refusal = self._first.refuse(request)
        if refusal is None:
            try:
                refusal = self._dispatch(transaction, request)
            except ParseError as error:
                refusal = Refusal(400, error.reason)
        if refusal is not None:
            refusal.send(transaction)

    def receive_ack(self, ack: Request, flow: Flow) -> None:
        """The ACK of a 2xx; one that cannot be read is dropped, for nothing may answer it."""
        if self._first.refuse(ack) is None and not self._dialogs.receive_ack(ack, flow):
            session = self._sessions.find(ack)
            copy = ack.copy()
            self._identification.strip(copy)  # 22.1: it bears the credentials of its INVITE
            self._proxy.receive_ack(copy, flow, session, session is None and self._grants.covers(ack))

    def _dispatch(self, transaction: ServerTransaction, request: Request) -> Refusal | None:
        if request.method == "REGISTER":
            return self._register(transaction, request)
        if request.method == "OPTIONS" and not request.uri.user and self._domains.contains(request.uri):
            return self._tell_abilities(transaction, request)
        if request.to_tag and self._notifier.owns(request):
            self._notifier.receive_in_dialog(transaction)
            return None
        if request.to_tag and (dialog := self._dialogs.find(request)) is not None:
            return self._receive_in_leg(transaction, request, dialog)
        refusal = self._forwarding.refuse(request)
        if refusal is not None:
            return refusal
        # RFC 3261 12.1.2: the dialog with a phone of RFC 2543 has no tag in To
        if request.to_tag or (request.method == "BYE" and self._sessions.find(request) is not None):
            return self._relay_in_dialog(transaction, request)
        return self.initial.receive(transaction, self._prepare(request, transaction.flow))

    def _receive_in_leg(self, transaction: ServerTransaction, request: Request, dialog: Dialog) -> Refusal | None:
        """In a dialog of the switch; who is heard from elsewhere shows that it is theirs."""
        if not dialog.is_from(request, transaction.flow):
            leg = dialog.user
            owner_id = leg.party.user_id if isinstance(leg, Leg) else None
            refusal = self._identification.refuse_others(transaction, request, owner_id)
            if refusal is not None:
                return refusal
        self._dialogs.receive(transaction)
        return None

    # -- requests for ourselves ---------------------------------------------------------------------------------------

    def _register(self, transaction: ServerTransaction, request: Request) -> Refusal | None:
        if not self._domains.contains(request.uri):
            return Refusal(
                404, f"register at {self._domains.canonical}; nobody is registered for {request.uri.host} here"
            )
        # One without credentials is only challenged, which leaves nothing to merge with.
        if "authorization" in request.names and self._is_merged(transaction):
            return MERGED
        self._registrar.receive_request(transaction)
        return None

    def _tell_abilities(self, transaction: ServerTransaction, request: Request) -> Refusal | None:
        """An OPTIONS for the server itself (11.2)."""
        refusal = MERGED if self._is_merged(transaction) else self._answering.refuse(request)
        if refusal is None:
            transaction.reply(200, headers=self._abilities)
        return refusal

    # -- requests that travel on --------------------------------------------------------------------------------------

    def _relay_in_dialog(self, transaction: ServerTransaction, request: Request) -> Refusal | None:
        """Along the route set of a session.

        A dialog that we do not know (we were restarted, or it is no INVITE's) needs credentials, and so does a side of
        one that is heard from elsewhere, in its own name: whoever watches a phone that rings is told its dialog
        (RFC 4235 3.6).
        """
        session = self._sessions.find(request)
        is_known = self._grants.covers(request) if session is None else session.is_from(request, transaction.flow)
        if not is_known:
            caller = self._identification.identify(transaction, request, as_proxy=True)
            if isinstance(caller, Refusal):
                return caller
            if session is not None and caller.device_id is not None and not _is_named(session, request):
                return NOT_YOURS
            self._grants.note(request)
        copy = request.copy()
        self._clean(copy, transaction.flow)
        is_ours = session is None and "route" not in copy.names and self._domains.contains(copy.uri)
        if is_ours and "gr" not in copy.uri.parameters:
            return Refusal(
                481,
                "there is no such dialog here, or not with these tags and this Call-ID: send an INVITE to begin one",
            )
        self._proxy.relay_in_dialog(transaction, copy, session)
        return None

    def _prepare(self, request: Request, flow: Flow) -> Request:
        """The request as it is forwarded; itself when there is nothing to take off."""
        if _MEANT_FOR_US.isdisjoint(request.names):
            return request
        copy = request.copy()
        self._clean(copy, flow)
        return copy

    def _clean(self, copy: Request, flow: Flow) -> None:
        """Take off Routes of ours, and the credentials that were for us (16.4, 22.3)."""
        take_routes(copy, flow, self._proxy.is_ours)
        self._identification.strip(copy)


def _is_named(session: Session, request: Request) -> bool:
    """Whether From has the name of the side whose tag it bears: its credentials are those of that name."""
    uri = session.caller_uri if request.from_tag == session.caller.tag else session.callee_uri
    return parse_uri(uri).user == request.from_.uri.user
