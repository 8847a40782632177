"""Requests that start something: whom they are for, and who takes them (RFC 3261 16.5).

Whoever is ours is served by the mode that is set for them: the switch that makes calls of its own to their phones, a
proxy that forwards, or a redirect server that tells where they are. What the server itself can answer, the state of
somebody or a message to somebody who is away, goes to the room that does.
"""

from __future__ import annotations

from collections.abc import Callable

from gosip_py.call.attempts import Attempts
from gosip_py.call.dial_plan import DialPlan
from gosip_py.call.grants import Grants
from gosip_py.call.identification import Identification
from gosip_py.call.router import Destination, Elsewhere, ExtensionRouter, LocalTarget, NotFound, Unavailable
from gosip_py.call.switch import Switch
from gosip_py.call.verdict import LeaveToProxy
from gosip_py.messaging.recipient import Recipient
from gosip_py.messaging.relay import MessageRelay
from gosip_py.notifier.notifier import Notifier
from gosip_py.notifier.package import Resource
from gosip_py.proxy.proxy import Proxy
from gosip_py.proxy.route import ProxyTarget
from gosip_py.proxy.session import Caller
from gosip_py.registrar.domains import Domains
from gosip_py.sip.fields import parse_replaces
from gosip_py.sip.message import Request
from gosip_py.sip.uri import Uri
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.validation import Refusal
from gosip_py.transport.resolve import target_of

__all__ = ["ALLOW", "MERGED", "InitialRequests", "proxy_targets"]

ALLOW = "ACK, BYE, CANCEL, INFO, INVITE, MESSAGE, NOTIFY, OPTIONS, PRACK, PUBLISH, REFER, REGISTER, SUBSCRIBE, UPDATE"
OURSELVES = "OPTIONS, PUBLISH, REGISTER, SUBSCRIBE"
"""What is served at the address of the server itself, which has no user."""

# RFC 3261 8.2.2.2
MERGED = Refusal(482, "this request came before by another way and is answered there: send it by one way only")

# RFC 3891 3
_NOTHING_TO_REPLACE = Refusal(481, "no call here has this Call-ID and both these tags: leave Replaces out to call them")

_RETRY_AFTER = (("retry-after", "30"),)
# They belong to a dialog (RFC 3261 15.1, RFC 3262 3, RFC 3311 5.1, RFC 6086 4.2.1, RFC 6665 4.1.3): a NOTIFY that
# nobody subscribed to would let any phone restart another.
_WITHIN_DIALOGS = frozenset(("BYE", "INFO", "NOTIFY", "PRACK", "UPDATE"))
# What only those in a trusted network may say of who they are (RFC 3325 5): phones are no part of it, and some show it
# in place of From.
_CLAIMS = frozenset(("p-asserted-identity", "remote-party-id"))


class InitialRequests:
    """Takes each request that belongs to no dialog. ``now`` tells epoch seconds."""

    def __init__(
        self,
        *,
        identification: Identification,
        router: ExtensionRouter,
        proxy: Proxy,
        notifier: Notifier,
        messages: MessageRelay,
        domains: Domains,
        now: Callable[[], float],
        attempts: Attempts,
        dial_plan: DialPlan,
        switch: Switch,
        is_merged: Callable[[ServerTransaction], bool],
    ) -> None:
        self._identification = identification
        self._router = router
        self._attempts = attempts
        self._dial_plan = dial_plan
        self._switch = switch
        self._is_merged = is_merged
        self._proxy = proxy
        self._notifier = notifier
        self._messages = messages
        self._domains = domains
        self._now = now
        self.grants = Grants(now)
        self.is_draining = False

    def receive(self, transaction: ServerTransaction, forwarded: Request) -> Refusal | None:
        """Serve the request of this transaction, which travels on as ``forwarded``, or say why not.

        ``forwarded`` is a copy without what was meant for us, or the request itself when there was nothing.
        """
        request = transaction.request
        if request.method in _WITHIN_DIALOGS:
            return Refusal(481, f"{request.method} belongs to a dialog, and To has no tag: send it within one")
        is_answered_here = self._notifier.serves(request) and self._domains.contains(request.uri)
        caller = self._identification.identify(transaction, request, as_proxy=not is_answered_here)
        if isinstance(caller, Refusal):
            return caller
        if caller.device_id is not None and not _CLAIMS.isdisjoint(request.names):
            forwarded = _without_claims(request, forwarded)
        if request.method == "INVITE":
            return self._receive_invite(transaction, forwarded, caller)
        return self._find(transaction, forwarded, caller)

    def _find(self, transaction: ServerTransaction, forwarded: Request, caller: Caller) -> Refusal | None:
        """For whom it is, as a proxy finds out."""
        if "route" in forwarded.names:
            return self._relay_elsewhere(transaction, forwarded, caller)
        found = self._router.find(forwarded.uri, self._now())
        if isinstance(found, Elsewhere):
            return self._relay_elsewhere(transaction, forwarded, caller)
        if isinstance(found, NotFound):
            line = self._dial_plan.line_of(forwarded.uri) if forwarded.method == "SUBSCRIBE" else ""
            if line and self._notifier.serves(forwarded):
                watched = Resource(0, line, self._domains.aor(line), line=line)
                self._notifier.receive_initial(transaction, caller, watched)
                return None
            return self._nobody(transaction, found, caller)
        return self._serve(transaction, forwarded, found, caller)

    # -- calls ---------------------------------------------------------------------------------------------------------

    def _receive_invite(self, transaction: ServerTransaction, forwarded: Request, caller: Caller) -> Refusal | None:
        """To the switch, unless whoever is called wants a proxy."""
        if "route" in forwarded.names:
            return self._refuse_new_call() or self._relay_elsewhere(transaction, forwarded, caller)
        attempt = self._attempts.of(forwarded, transaction.flow, caller)
        if "replaces" in forwarded.names:
            replaces = parse_replaces(forwarded.require("replaces"))
            leg = self._switch.leg_of(replaces)
            if leg is not None:
                refusal = self._refuse_answering(transaction)
                return refusal or self._switch.receive_replaces(transaction, forwarded, attempt, leg, replaces)
        refusal = None if self._dial_plan.is_emergency(attempt.uri) else self._refuse_new_call()
        if refusal is not None:
            return refusal
        verdict = self._dial_plan.route(attempt)
        if isinstance(verdict, LeaveToProxy):
            # what its Replaces names is a matter of the phones
            if verdict.found is not None:
                return self._serve(transaction, forwarded, verdict.found, caller)
            return self._find(transaction, forwarded, caller)
        if "replaces" in forwarded.names:
            return _NOTHING_TO_REPLACE
        refusal = self._refuse_answering(transaction)
        if refusal is None:
            self._switch.receive(transaction, forwarded, attempt, verdict)
        return refusal

    def _refuse_new_call(self) -> Refusal | None:
        if self.is_draining:
            return Refusal(503, "the server is about to stop: try again soon", _RETRY_AFTER)
        return None

    def _refuse_answering(self, transaction: ServerTransaction) -> Refusal | None:
        """What only a UAS looks at (8.2.2): it answers the INVITE itself."""
        return MERGED if self._is_merged(transaction) else self._switch.dialogs.refuse(transaction.request)

    # -- for one of ours ----------------------------------------------------------------------------------------------

    def _serve(
        self, transaction: ServerTransaction, forwarded: Request, found: Destination | Unavailable, caller: Caller
    ) -> Refusal | None:
        method = forwarded.method
        if method == "SUBSCRIBE" or method == "PUBLISH":
            if self._notifier.serves(forwarded):
                self._notifier.receive_initial(transaction, caller, self._resource(found))
                return None
        elif method == "MESSAGE":
            return self._send_message(transaction, forwarded, found, caller)
        if isinstance(found, Unavailable):
            return self._unavailable(transaction, found, caller)
        self._send_on(transaction, forwarded, found, caller)
        return None

    def _send_on(self, transaction: ServerTransaction, forwarded: Request, found: Destination, caller: Caller) -> None:
        """In the mode of whoever is called: by ourselves, or back to the sender with the contacts."""
        proxy, targets = self._proxy, proxy_targets(found)
        is_call, login = forwarded.method == "INVITE", found.user.login
        if found.user.call_schema == "redirect" and not found.is_instance:
            if is_call:
                proxy.redirect_call(transaction, forwarded, targets, caller, login)
            else:
                proxy.redirect(transaction, forwarded, targets)
        elif is_call:
            proxy.start_call(transaction, forwarded, targets, caller, login, self._lookup)
        else:
            self.grants.note(forwarded)
            proxy.relay(transaction, forwarded, targets, lookup=self._lookup)

    def _send_message(
        self, transaction: ServerTransaction, forwarded: Request, found: Destination | Unavailable, caller: Caller
    ) -> Refusal | None:
        """A MESSAGE: kept for whoever is away (RFC 3428 7), unless they are not to be reached at all."""
        if isinstance(found, Unavailable) and not _is_allowed(found):
            return self._unavailable(transaction, found, caller)
        if isinstance(found, Destination) and found.user.call_schema == "redirect" and not found.is_instance:
            self._send_on(transaction, forwarded, found, caller)
            return None
        targets = proxy_targets(found) if isinstance(found, Destination) else ()
        recipient = Recipient(found.user.id, found.device.id if found.device is not None else None)
        self._messages.receive(transaction, forwarded, recipient, targets, may_store=True)
        return None

    def _lookup(self, uri: Uri) -> tuple[ProxyTarget, ...]:
        """Whom a phone of ours sends the call on to (16.7 item 4): our own people only, for this is no open relay."""
        found = self._router.find(uri, self._now())
        return proxy_targets(found) if isinstance(found, Destination) else ()

    def _resource(self, found: Destination | Unavailable) -> Resource:
        user, device = found.user, found.device
        if device is None:
            return Resource(user.id, user.login, self._domains.aor(user.login))
        return Resource(user.id, user.login, self._domains.aor(device.username), device.id)

    # -- for nobody, or for others -------------------------------------------------------------------------------------

    def _relay_elsewhere(self, transaction: ServerTransaction, forwarded: Request, caller: Caller) -> Refusal | None:
        """To another domain, for our own people only: this is no open relay."""
        if caller.device_id is None:
            return Refusal(
                403, f"calls from this network reach users of {self._domains.canonical} only: use a registered phone"
            )
        targets = (ProxyTarget(forwarded.uri_text, target_of(forwarded.uri)),)
        if forwarded.method == "INVITE":
            self._proxy.start_call(transaction, forwarded, targets, caller, forwarded.uri.user)
        else:
            self.grants.note(forwarded)
            self._proxy.relay(transaction, forwarded, targets)
        return None

    def _nobody(self, transaction: ServerTransaction, found: NotFound, caller: Caller) -> Refusal | None:
        """404 for a name that nobody has, 484 for one that may become somebody's (21.4.22).

        The server itself has no name, and serves little.
        """
        method = transaction.method
        if not found.name:
            if method == "SUBSCRIBE" or method == "PUBLISH":
                return self._notifier.bad_event()
            if method != "INVITE":
                return Refusal(
                    405, f"{method} is not served at the address of the server: name a user", (("allow", OURSELVES),)
                )
        name = found.name[:64]
        refusal = Refusal(404, f"nobody here is called {name!r}: check the number or name")
        if found.is_incomplete:
            refusal = Refusal(484, f"the numbers here that begin with {name} are longer: add the digits that follow")
        return self._refuse(transaction, refusal, caller, name)

    def _unavailable(self, transaction: ServerTransaction, found: Unavailable, caller: Caller) -> Refusal | None:
        """480 for somebody who cannot be reached."""
        return self._refuse(
            transaction, Refusal(480, f"{found.explanation}: try again later"), caller, found.user.login
        )

    def _refuse(self, transaction: ServerTransaction, refusal: Refusal, caller: Caller, callee: str) -> Refusal | None:
        """A call that is refused has its journal row like any other."""
        if transaction.method != "INVITE":
            return refusal
        self._proxy.refuse_call(transaction, refusal.status, refusal.explanation, caller, callee)
        return None


def _without_claims(request: Request, forwarded: Request) -> Request:
    copy = request.copy() if forwarded is request else forwarded
    for name in _CLAIMS:
        copy.remove(name)
    return copy


def proxy_targets(found: Destination) -> tuple[ProxyTarget, ...]:
    """The phones of a destination as the proxy takes them."""
    return tuple(map(_proxy_target, found.targets))


def _proxy_target(target: LocalTarget) -> ProxyTarget:
    fallbacks = tuple(map(_proxy_target, target.fallbacks))
    return ProxyTarget(
        target.uri_text, target.target, target.path, target.q, not target.path, target.stays_on_flow, fallbacks
    )


def _is_allowed(found: Unavailable) -> bool:
    """Whether they are away for a while only: nothing is kept for who is disabled."""
    return found.user.enabled and (found.device is None or found.device.enabled)
