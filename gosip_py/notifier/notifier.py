"""The notifier: answers SUBSCRIBE, and hands PUBLISH to the compositor (RFC 6665 4.2).

Who sent a request is known before it comes here, and so is whose state it is about. Subscriptions live in memory: after
a restart a phone's next refresh is answered with 481, and it subscribes anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from twisted.logger import Logger

from gosip_py.events import Bus, DeviceChanged, UserChanged
from gosip_py.metrics import Metrics
from gosip_py.notifier.compositor import Compositor
from gosip_py.notifier.package import EventPackage, Resource, Watch
from gosip_py.notifier.people import Directory
from gosip_py.notifier.publication import Publications
from gosip_py.notifier.subscription import Subscription
from gosip_py.notifier.subscriptions import SubscriptionLimits, Subscriptions, watcher_key
from gosip_py.notifier.usage import DialogUsage, dialog_id
from gosip_py.proxy.session import Caller
from gosip_py.registrar.contacts import expires_header
from gosip_py.sip.decode import decode_all
from gosip_py.sip.errors import ParseError
from gosip_py.sip.fields import Event, parse_accept, parse_event
from gosip_py.sip.message import Request
from gosip_py.sip.printable import printable
from gosip_py.sip.reply import reply
from gosip_py.sip.uri import parse_uri
from gosip_py.transaction.sending import Sender
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.validation import Refusal, Validation, readable_body, supported_extensions
from gosip_py.transport.flow import Flow

__all__ = ["Notifier"]

RETRY_SECONDS = 10
_BRIEF = 3600  # seconds; only what is shorter may be refused as too brief (RFC 6665 4.2.1.1)
_RETRY_AFTER = (("retry-after", "60"),)
# RFC 3261 8.2.2.2
_MERGED = Refusal(482, "this request came before by another way and is answered there: send it by one way only")


class Notifier:
    """Serves the event packages given to it. ``now`` tells epoch seconds."""

    log = Logger()

    def __init__(
        self,
        *,
        sender: Sender,
        packages: Sequence[EventPackage],
        publications: Publications,
        limits: SubscriptionLimits,
        directory: Directory,
        bus: Bus,
        now: Callable[[], float],
        metrics: Metrics,
    ) -> None:
        self._packages = {package.name: package for package in packages}
        self._limits = limits
        self._directory = directory
        self._bus = bus
        self._publications = publications
        self._subscriptions = Subscriptions(sender, now)
        self._is_merged = sender.layer.is_merged
        self._compositors = {
            package.name: Compositor(package, publications) for package in packages if package.published_type
        }
        self._validation = Validation(supported_extensions(()), readable_body())
        self._unsubscribe: tuple[Callable[[], None], ...] = ()
        self.event_names = ", ".join(sorted(self._packages))
        for package in packages:
            metrics.subscriptions.read_from(package.name, _counting(package))

    # -- start and stop ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Hear of changes from now on."""
        for package in self._packages.values():
            package.open(_telling(self._subscriptions, package))
        self._unsubscribe = (
            self._bus.subscribe(UserChanged, self._user_changed),
            self._bus.subscribe(DeviceChanged, self._device_changed),
        )

    def stop(self, reason: str = f"probation;retry-after={RETRY_SECONDS}") -> None:
        """Tell the subscribers that it is over (RFC 6665 4.1.3), as many as can be told quickly; wait for no answer."""
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        for count, subscription in enumerate(self._subscriptions):
            if count < self._limits.farewells:
                subscription.abandon(reason)
            else:
                subscription.drop()

    # -- what is ours --------------------------------------------------------------------------------------------------

    def serves(self, request: Request) -> bool:
        """Whether a request out of dialog for somebody of ours is to be answered here.

        Every PUBLISH is, for no phone would take it. A SUBSCRIBE for another package is the phone's own, and so is one
        for a GRUU: that names a phone in order to reach no other (RFC 6665 4.5.1).
        """
        if request.method == "SUBSCRIBE":
            name = (request.value("event") or "").partition(";")[0].rstrip(" \t")
            return not name or (name in self._packages and "gr" not in request.uri.parameters)
        return request.method == "PUBLISH"

    def owns(self, request: Request) -> bool:
        """Whether a request belongs to a dialog of ours."""
        return len(self._subscriptions) > 0 and self._subscriptions.find(dialog_id(request)) is not None

    def flow_failed(self, flow: Flow) -> None:
        """A connection is gone."""
        self._subscriptions.flow_failed(flow)

    # -- what arrives --------------------------------------------------------------------------------------------------

    def receive_initial(self, transaction: ServerTransaction, caller: Caller, resource: Resource) -> None:
        """Answer a SUBSCRIBE or PUBLISH out of dialog that was asked by ``caller`` about ``resource``."""
        take = self._publish if transaction.method == "PUBLISH" else self._subscribe
        try:
            refusal = _MERGED if self._is_merged(transaction) else take(transaction, caller, resource)
        except ParseError as error:
            refusal = Refusal(400, error.reason)
        self._refuse(transaction, refusal)

    def receive_in_dialog(self, transaction: ServerTransaction) -> None:
        """Answer a request in a dialog that `owns` found. Whoever knows its tags is not asked for more."""
        try:
            refusal = self._refresh(transaction)
        except ParseError as error:
            refusal = Refusal(400, error.reason)
        self._refuse(transaction, refusal)

    def _refuse(self, transaction: ServerTransaction, refusal: Refusal | None) -> None:
        if refusal is None:
            return
        self.log.info(
            "{method} refused: {status} {explanation}",
            method=transaction.method,
            status=refusal.status,
            explanation=printable(refusal.explanation),
            call_id=transaction.request.call_id,
        )
        refusal.send(transaction)

    def _publish(self, transaction: ServerTransaction, caller: Caller, resource: Resource) -> Refusal | None:
        event = _event_of(transaction.request)
        compositor = None if event is None else self._compositors.get(event.name)
        if compositor is None:
            names = ", ".join(sorted(self._compositors))
            return Refusal(489, f"only {names or 'nothing'} can be published here", (("allow-events", names),))
        return compositor.receive(transaction, caller, resource)

    def bad_event(self) -> Refusal:
        """For an event that nobody here can tell of (RFC 6665 8.3.2)."""
        return Refusal(
            489, f"in Event name one of the packages {self.event_names}", (("allow-events", self.event_names),)
        )

    # -- SUBSCRIBE -----------------------------------------------------------------------------------------------------

    def _subscribe(self, transaction: ServerTransaction, caller: Caller, resource: Resource) -> Refusal | None:
        """4.2.1.1: a new subscription."""
        request = transaction.request
        event = _event_of(request)
        package = None if event is None else self._packages.get(event.name)
        if event is None or package is None:
            return self.bad_event()
        if resource.line and not package.has_lines:
            return Refusal(404, f"{resource.line} is nobody's own number: of it there are dialogs to watch only")
        watch = Watch(resource, caller, event.parameters)
        refusal = self._validation.refuse(request) or package.refuse(watch)
        if refusal is not None:
            return refusal
        expires = self._expires_of(request, package)
        if isinstance(expires, Refusal):
            return expires
        usage = DialogUsage(request, transaction.flow, transaction.to_tag)
        subscription = Subscription(self._subscriptions, package, watch, usage, _event_value(event))
        refusal = self._make_room(subscription)
        if refusal is not None:
            return refusal
        self._subscriptions.add(subscription)
        self._grant(transaction, subscription, expires)
        return None

    def _expires_of(self, request: Request, package: EventPackage) -> int | Refusal:
        """The duration that is granted, or 406 or 423."""
        if not _accepts(request, package.content_type):
            return Refusal(406, f"list {package.content_type} in Accept, or leave Accept out")
        expires = expires_header(request)
        if expires is None:
            expires = package.default_expires
        least = self._limits.min_expires
        if 0 < expires < min(least, _BRIEF):
            return Refusal(423, f"subscribe for at least {least} seconds", (("min-expires", str(least)),))
        return min(expires, self._limits.max_expires)

    def _make_room(self, subscription: Subscription) -> Refusal | None:
        """Why there is no room for one more, or None.

        A phone that was switched off and on subscribes anew; its former self would be told until it expires.
        """
        others = self._subscriptions.of_watcher(watcher_key(subscription.watch.watcher))
        for other in others:
            if other.is_twin_of(subscription):
                other.drop()
                return None
        if len(self._subscriptions) >= self._limits.total:
            return Refusal(503, "there are as many subscriptions as there is room for: try again later", _RETRY_AFTER)
        most = self._limits.per_watcher
        if len(others) >= most:
            return Refusal(403, f"end another subscription first: one device may have {most}")
        return None

    def _grant(self, transaction: ServerTransaction, subscription: Subscription, expires: int) -> None:
        """The 200, and after it the NOTIFY (4.2.1.2)."""
        request = transaction.request
        response = reply(request, 200, to_tag=transaction.to_tag)
        for value in request.values("record-route"):
            response.add("record-route", value)
        response.add("contact", subscription.usage.contact)
        response.add("expires", str(expires))
        response.add("allow-events", self.event_names)
        transaction.respond(response)
        subscription.subscribe(expires)

    # -- in a dialog ---------------------------------------------------------------------------------------------------

    def _refresh(self, transaction: ServerTransaction) -> Refusal | None:
        """4.2.1.4: a SUBSCRIBE of a subscription that there is."""
        request = transaction.request
        subscription = self._subscriptions.find(dialog_id(request))
        if subscription is None or not subscription.is_live:
            return Refusal(481, "that subscription is over: subscribe anew, with another Call-ID")
        usage = subscription.usage
        if request.cseq.number <= usage.remote_cseq:
            # RFC 3261 12.2.2
            return Refusal(500, "a request with a CSeq as high came before: send a higher one")
        usage.remote_cseq = request.cseq.number
        if request.method != "SUBSCRIBE":
            return self._other_request(request)
        refusal = self._refuse_refresh(request, subscription)
        if refusal is not None:
            return refusal
        expires = self._expires_of(request, subscription.package)
        if isinstance(expires, Refusal):
            return expires
        self._subscriptions.leave_flow(subscription)
        if "contact" in request.names:
            usage.refresh(request, transaction.flow)
        self._subscriptions.join_flow(subscription)
        self._grant(transaction, subscription, expires)
        return None

    def _other_request(self, request: Request) -> Refusal:
        if request.method == "NOTIFY":
            return Refusal(481, "nothing is subscribed to in this direction")
        return Refusal(405, "this dialog is one of a subscription: refresh or end it", (("allow", "SUBSCRIBE"),))

    def _refuse_refresh(self, request: Request, subscription: Subscription) -> Refusal | None:
        event = _event_of(request)
        if event is None or event.name not in self._packages:
            return self.bad_event()
        if _event_value(event) != subscription.event:
            return Refusal(403, "dialog sharing is not supported: subscribe with a Call-ID of its own")  # 4.5.2
        reason = self._why_over(subscription.watch)
        if reason:  # known by now to a server that was not told, for another one changed it
            subscription.end(reason)
            return Refusal(403, "that subscription may not go on: subscribe anew, if you still may")
        return self._validation.refuse(request) or subscription.package.refuse(subscription.watch)

    # -- people come and go --------------------------------------------------------------------------------------------

    def _user_changed(self, event: UserChanged) -> None:
        if self._directory.user(event.id) is None:
            self._publications.remove_user(event.id)
        for device in self._directory.devices_of(event.id):
            self._end_what_is_over(self._subscriptions.of_watcher(device.id))
        self._end_what_is_over(each for each in self._subscriptions if each.watch.resource.user_id == event.id)

    def _device_changed(self, event: DeviceChanged) -> None:
        self._end_what_is_over(self._subscriptions.of_watcher(event.id))
        self._end_what_is_over(each for each in self._subscriptions if each.watch.resource.device_id == event.id)

    def _end_what_is_over(self, subscriptions: Iterable[Subscription]) -> None:
        for subscription in subscriptions:
            reason = self._why_over(subscription.watch)
            if reason:
                subscription.end(reason)

    def _why_over(self, watch: Watch) -> str:
        """Why somebody may not watch any more what they were once allowed to (RFC 6665 4.1.3); empty when they may.

        Nobody watches one who is gone or has another name by now: under the old one may be somebody else. Who may not
        use the server any more watches nobody, and a phone that was given to another starts anew.
        """
        directory, resource, watcher = self._directory, watch.resource, watch.watcher
        watched = directory.user(resource.user_id)
        if not resource.line and (watched is None or watched.login.casefold() != resource.login.casefold()):
            return "noresource"
        if resource.device_id is not None and not self._is_still(resource):
            return "noresource"
        if watcher.device_id is None:
            return ""
        device = directory.device(watcher.device_id)
        owner = None if device is None else directory.user(device.user_id)
        if device is None or owner is None or not (device.enabled and owner.enabled):
            return "rejected"
        return "" if owner.login.casefold() == watcher.user.casefold() else "deactivated"

    def _is_still(self, resource: Resource) -> bool:
        """Whether the device that is watched has the name and the owner that it had."""
        device = None if resource.device_id is None else self._directory.device(resource.device_id)
        if device is None or device.user_id != resource.user_id:
            return False
        return device.username == parse_uri(resource.aor).user


def _event_of(request: Request) -> Event | None:
    value = request.value("event")
    return None if value is None else parse_event(value)


def _event_value(event: Event) -> str:
    """What Event says in a NOTIFY: the package and the id, which is all that is compared (RFC 6665 8.2.1)."""
    return f"{event.name};id={event.id}" if event.id else event.name


def _accepts(request: Request, content_type: str) -> bool:
    """Whether Accept allows this type (RFC 3261 20.1); without the header the package's own type is meant."""
    if "accept" not in request.names:
        return True
    ranges = (content_type, f"{content_type.partition('/')[0]}/*", "*/*")
    return any(each.q > 0 and each.value in ranges for each in decode_all(request, "accept", parse_accept))


def _counting(package: EventPackage) -> Callable[[], float]:
    return lambda: package.watchers


def _telling(subscriptions: Subscriptions, package: EventPackage) -> Callable[[object], bool]:
    return lambda key: subscriptions.changed(package, key)
