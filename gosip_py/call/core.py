"""The core (RFC 3261 6): takes each new request through the checks, and answers it or hands it to registrar or proxy.

The order is syntax, session timer, authentication, the request's own logic; the first that fails answers.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from gosip_py.call.identification import Identification
from gosip_py.call.router import Destination, Elsewhere, ExtensionRouter, LocalTarget, NotFound, Unavailable
from gosip_py.proxy.proxy import Proxy
from gosip_py.proxy.route import ProxyTarget, take_routes
from gosip_py.proxy.session import Caller, Sessions
from gosip_py.registrar.domains import Domains
from gosip_py.registrar.registrar import Registrar
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Request
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.validation import Refusal, Validation, hops_left, supported_extensions, syntax
from gosip_py.transport.flow import Flow
from gosip_py.transport.resolve import target_of

__all__ = ["Core"]

ALLOW = "ACK, BYE, CANCEL, INFO, INVITE, MESSAGE, NOTIFY, OPTIONS, PRACK, PUBLISH, REFER, REGISTER, SUBSCRIBE, UPDATE"
_RETRY_AFTER = (("retry-after", "30"),)

# RFC 3261 8.2.2.2
_MERGED = Refusal(482, "this request came before by another way, and is answered there")


class Core:
    """The user of the transaction layer.

    ``now`` tells epoch seconds, ``is_merged`` whether a request reached us before by another way.
    """

    log = Logger()

    def __init__(
        self,
        *,
        registrar: Registrar,
        proxy: Proxy,
        sessions: Sessions,
        router: ExtensionRouter,
        identification: Identification,
        domains: Domains,
        now: Callable[[], float],
        is_merged: Callable[[ServerTransaction], bool],
    ) -> None:
        self._registrar = registrar
        self._proxy = proxy
        self._sessions = sessions
        self._router = router
        self._identification = identification
        self._domains = domains
        self._now = now
        self._is_merged = is_merged
        self._syntax = Validation(*syntax())
        self._forwarding = Validation(hops_left(), supported_extensions((), "proxy-require"))
        self._answering = Validation(supported_extensions(()))
        self.is_draining = False

    # -- what the transaction layer hands up --------------------------------------------------------------------------

    def receive_request(self, transaction: ServerTransaction) -> None:
        """A new request; whatever happens, it is answered."""
        request = transaction.request
        refusal = self._syntax.refuse(request)
        if refusal is None:
            try:
                refusal = self._dispatch(transaction, request)
            except ParseError as error:
                refusal = Refusal(400, error.reason)
        if refusal is not None:
            refusal.send(transaction)

    def receive_ack(self, ack: Request, flow: Flow) -> None:
        """The ACK of a 2xx; one that cannot be read is dropped, for nothing may answer it."""
        if self._syntax.refuse(ack) is None:
            self._proxy.receive_ack(ack, flow)

    def _dispatch(self, transaction: ServerTransaction, request: Request) -> Refusal | None:
        if request.method == "REGISTER":
            return self._register(transaction, request)
        if request.method == "OPTIONS" and not request.uri.user and self._domains.contains(request.uri):
            return self._tell_abilities(transaction, request)
        refusal = self._forwarding.refuse(request)
        if refusal is not None:
            return refusal
        # RFC 3261 12.1.2: the dialog with a phone of RFC 2543 has no tag in To
        if request.to_tag or (request.method == "BYE" and self._sessions.find(request) is not None):
            return self._relay_in_dialog(transaction, request)
        return self._relay_initial(transaction, request)

    # -- requests for ourselves ---------------------------------------------------------------------------------------

    def _register(self, transaction: ServerTransaction, request: Request) -> Refusal | None:
        if not self._domains.contains(request.uri):
            return Refusal(
                404, f"register at {self._domains.canonical}; nobody is registered for {request.uri.host} here"
            )
        # One without credentials is only challenged, which leaves nothing to merge with.
        if "authorization" in request.names and self._is_merged(transaction):
            return _MERGED
        self._registrar.receive_request(transaction)
        return None

    def _tell_abilities(self, transaction: ServerTransaction, request: Request) -> Refusal | None:
        """An OPTIONS for the server itself (11.2)."""
        refusal = _MERGED if self._is_merged(transaction) else self._answering.refuse(request)
        if refusal is None:
            headers = (("allow", ALLOW), ("accept", "application/sdp"), ("supported", "path"))
            transaction.reply(200, headers=headers)
        return refusal

    # -- requests within a dialog -------------------------------------------------------------------------------------

    def _relay_in_dialog(self, transaction: ServerTransaction, request: Request) -> Refusal | None:
        """Along the route set of a session.

        A dialog that we do not know (we were restarted, or it is no INVITE's) needs credentials.
        """
        session = self._sessions.find(request)
        if session is None:
            caller = self._identification.identify(transaction, request)
            if isinstance(caller, Refusal):
                return caller
        copy = request.copy()
        self._clean(copy, transaction.flow)
        if session is None and "route" not in copy.names and self._domains.contains(copy.uri):
            return Refusal(
                481,
                "there is no such dialog here: it has ended, or the tags and the Call-ID are not those of the dialog",
            )
        self._proxy.relay_in_dialog(transaction, copy, session)
        return None

    # -- requests that start something --------------------------------------------------------------------------------

    def _relay_initial(self, transaction: ServerTransaction, request: Request) -> Refusal | None:
        if request.method == "BYE" or request.method == "PRACK":
            return Refusal(481, "send this within a dialog: To has no tag")
        caller = self._identification.identify(transaction, request)
        if isinstance(caller, Refusal):
            return caller
        if self.is_draining and request.method == "INVITE":
            return Refusal(503, "the server is about to stop: try again soon", _RETRY_AFTER)
        forwarded = self._prepare(request, transaction.flow)
        if "route" in forwarded.names:
            return self._relay_elsewhere(transaction, forwarded, caller)
        found = self._router.find(forwarded.uri, self._now())
        if isinstance(found, Destination):
            targets = tuple(map(_proxy_target, found.targets))
            if request.method == "INVITE":
                self._proxy.start_call(transaction, forwarded, targets, caller, found.user.login)
            else:
                self._proxy.relay(transaction, forwarded, targets)
            return None
        if isinstance(found, Elsewhere):
            return self._relay_elsewhere(transaction, forwarded, caller)
        return self._nobody(transaction, request, found, caller)

    def _prepare(self, request: Request, flow: Flow) -> Request:
        """The request as it is forwarded; itself when there is nothing to take off."""
        if "route" not in request.names and "proxy-authorization" not in request.names:
            return request
        copy = request.copy()
        self._clean(copy, flow)
        return copy

    def _clean(self, copy: Request, flow: Flow) -> None:
        """Take off Routes of ours, and the credentials that were for us (16.4, 22.3)."""
        take_routes(copy, flow, self._proxy.is_ours)
        self._identification.strip(copy)

    def _relay_elsewhere(self, transaction: ServerTransaction, forwarded: Request, caller: Caller) -> Refusal | None:
        """To another domain, for our own people only: this is no open relay."""
        if caller.device_id is None:
            return Refusal(403, f"calls from this network reach users of {self._domains.canonical} only")
        targets = (ProxyTarget(forwarded.uri_text, target_of(forwarded.uri)),)
        if forwarded.method == "INVITE":
            self._proxy.start_call(transaction, forwarded, targets, caller, forwarded.uri.user)
        else:
            self._proxy.relay(transaction, forwarded, targets)
        return None

    def _nobody(
        self, transaction: ServerTransaction, request: Request, found: NotFound | Unavailable, caller: Caller
    ) -> Refusal | None:
        """404 for a name that nobody has, 480 for somebody who cannot be reached."""
        if isinstance(found, NotFound):
            refusal = Refusal(404, f"nobody here is called {found.name[:64]!r}: check the number or name")
            callee = found.name[:64]
        else:
            refusal = Refusal(480, found.explanation)
            callee = found.user.login
        if request.method != "INVITE":
            return refusal
        self._proxy.refuse_call(transaction, refusal.status, refusal.explanation, caller, callee)
        return None


def _proxy_target(target: LocalTarget) -> ProxyTarget:
    return ProxyTarget(target.uri_text, target.target, target.path, target.q, not target.path)
