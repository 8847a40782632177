"""The dialogs of a user: the lamp beside a colleague's name (RFC 4235).

The whole state each time. A colleague sees that there is a call, which way it goes, and who of this office is at the
other end; the identifiers of the dialog only while it rings, for whoever wants to pick it up. An owner sees everything.
Of a number that is nobody's own, a park orbit or a ring group, there is to see that somebody is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from gosip_py.notifier.calls import CallStates, LiveCall
from gosip_py.notifier.lines import LineStates
from gosip_py.notifier.markup import DECLARATION, node, text_of
from gosip_py.notifier.package import EventPackage, Watch, is_colleague, is_owner
from gosip_py.notifier.people import People
from gosip_py.transaction.validation import Refusal

__all__ = ["Dialogs"]

NAMESPACE = "urn:ietf:params:xml:ns:dialog-info"
MOST_DIALOGS = 50
"""Of one user in one document, the newest: the busiest switchboard's document fits into a datagram."""

_IDENTIFYING = ("call-id", "to-tag", "from-tag")


class Dialogs(EventPackage):
    """The package ``dialog``."""

    name = "dialog"
    content_type = "application/dialog-info+xml"
    default_expires = 3600  # 3.4
    interval = 1.0  # 3.10
    has_lines = True

    def __init__(self, calls: CallStates, lines: LineStates, people: People, aor: Callable[[str], str]) -> None:
        super().__init__()
        self._calls = calls
        self._lines = lines
        self._people = people
        self._aor = aor

    def begin(self) -> None:
        self._calls.listen(self.changed)
        self._lines.changed = self.changed

    def cease(self) -> None:
        self._calls.unlisten(self.changed)

    def refuse(self, watch: Watch) -> Refusal | None:
        """Everybody of this office may watch everybody; a single dialog is for its owner (3.6, 3.7.2)."""
        if not is_colleague(watch.watcher):
            return Refusal(403, "subscribe with a device of this office")
        if not is_owner(watch.watcher, watch.resource) and any(name in watch.parameters for name in _IDENTIFYING):
            return Refusal(403, "subscribe to all dialogs: leave call-id, to-tag and from-tag out of Event")
        return None

    def document(self, watch: Watch, version: int) -> bytes:
        resource = watch.resource
        attributes = {"xmlns": NAMESPACE, "version": version, "state": "full", "entity": resource.aor}
        dialogs = self._at_line(resource.line) if resource.line else self._of_user(watch)
        return (DECLARATION + node("dialog-info", attributes, *dialogs)).encode()

    def _at_line(self, line: str) -> Iterable[str]:
        for call, state in islice(self._lines.at(line).items(), MOST_DIALOGS):
            yield node("dialog", {"id": call, "direction": "recipient"}, node("state", {}, state))

    def _of_user(self, watch: Watch) -> Iterable[str]:
        resource = watch.resource
        views = (_View(call, side) for call in self._calls.newest(resource.user_id) for side in (True, False))
        shown = (view for view in views if view.user == resource.user_id and view.matches(watch))
        return (self._dialog(view, watch) for view in islice(shown, MOST_DIALOGS))

    def _dialog(self, view: _View, watch: Watch) -> str:
        owns = is_owner(watch.watcher, watch.resource)
        attributes: dict[str, object] = {"id": view.id}
        if owns or view.call.state in ("trying", "early"):
            attributes |= {"call-id": view.call_id, "local-tag": view.local_tag or None}
            attributes["remote-tag"] = view.remote_tag or None
        attributes["direction"] = view.direction
        local = self._party(view.user, view.local_uri)
        remote = self._party(view.other, view.remote_uri if owns else "")
        return node("dialog", attributes, view.state, node("local", {}, local), remote and node("remote", {}, remote))

    def _party(self, user_id: int | None, otherwise: str) -> str:
        """Who a party is: one of ours by name, others by the URI that may be shown, or not at all."""
        user = None if user_id is None else self._people.user(user_id)
        if user is not None:
            return node("identity", {"display": user.display_name or None}, text_of(self._aor(user.login)))
        return node("identity", {}, text_of(otherwise)) if otherwise else ""


class _View:
    """A call as one of its ends sees it."""

    def __init__(self, call: LiveCall, is_caller: bool) -> None:
        self.call = call
        self.user, self.other = (call.caller, call.callee) if is_caller else (call.callee, call.caller)
        started = call.started
        self.id = started.id + ("i" if is_caller else "r")
        self.direction = "initiator" if is_caller else "recipient"
        ids = (started.call_id, started.from_tag, call.to_tag) if is_caller or not call.leg else call.leg
        self.call_id, *tags = ids
        self.local_tag, self.remote_tag = tags if is_caller else tags[::-1]
        uris = (started.caller_uri, started.callee_uri)
        self.local_uri, self.remote_uri = uris if is_caller else uris[::-1]

    def matches(self, watch: Watch) -> bool:
        """Whether it is among the dialogs that the Event header names (3.2): by default all are."""
        asked = watch.parameters
        named = zip(_IDENTIFYING, (self.call_id, self.local_tag, self.remote_tag), strict=True)
        return all(asked[name] == value for name, value in named if name in asked)

    @property
    def state(self) -> str:
        """The state element (4.1.2)."""
        call = self.call
        code = call.code if call.code >= 100 else None
        if call.ended is None:
            return node("state", {"code": code}, call.state)
        if call.was_answered:
            return node("state", {"event": self._farewell(call.ended.ended_by)}, "terminated")
        event = "cancelled" if call.ended.result == "cancelled" else "rejected"
        return node("state", {"event": event, "code": code}, "terminated")

    def _farewell(self, ended_by: str) -> str:
        """3.7.1: what ended a dialog that was confirmed."""
        if ended_by == "system":
            return "timeout"
        return "local-bye" if (ended_by == "caller") == (self.direction == "initiator") else "remote-bye"
