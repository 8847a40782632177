"""INVITEs that take the place of a dialog (RFC 3891) or join it (RFC 3911), at the end that has that dialog."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from gosip_py.sip.errors import ParseError
from gosip_py.sip.fields import Replaces, parse_replaces
from gosip_py.sip.headers import parse_address
from gosip_py.sip.message import Request
from gosip_py.sip.uri import parse_uri
from gosip_py.transaction.validation import Refusal
from gosip_py.transport.flow import Flow

if TYPE_CHECKING:
    from gosip_py.dialog.dialog import Dialog

__all__ = ["Departed", "TakeOver", "is_authorised", "judge", "read_take_over"]

_MOST_DEPARTED = 1024
_HEADERS = ("replaces", "join")


@attrs.frozen
class TakeOver:
    """Which dialog an INVITE is about, as its sender sees it; ``is_join``: it wants to take part, not to replace."""

    dialog: Replaces
    is_join: bool = False


def read_take_over(request: Request) -> TakeOver | Refusal | None:
    """What a request asks for; None when it asks for neither, a refusal when it asks in a way that none may."""
    names = request.names
    if "replaces" not in names and "join" not in names:
        return None
    if request.method != "INVITE":
        return Refusal(400, "Replaces and Join belong into an INVITE only (RFC 3891 3)")
    if sum(names.count(name) for name in _HEADERS) > 1:
        return Refusal(400, "send one Replaces or one Join, and not both (RFC 3891 3, RFC 3911 4)")
    is_join = "join" in names
    try:
        return TakeOver(parse_replaces(request.require("join" if is_join else "replaces")), is_join)
    except ParseError as error:
        return Refusal(400, f"{error.reason}: send Call-ID;to-tag=...;from-tag=...")


def judge(wanted: TakeOver, dialog: Dialog | None, has_ended: bool) -> Refusal | None:
    """What stands in the way, the right to do it apart.

    ``dialog`` is the one that matches, None when there is none; ``has_ended`` says that there was one lately.
    """
    if dialog is None or dialog.is_over:
        return _DEPARTED if has_ended or dialog is not None else _NO_MATCH
    if wanted.is_join:
        return None
    if dialog.is_early:
        # The caller's dialog that still rings is not the callee's to hand on.
        return None if dialog.is_caller else _NOT_OURS
    if not dialog.is_established:
        return _DEPARTED
    return _ANSWERED if wanted.dialog.is_early_only else None


_NO_MATCH = Refusal(481, "no dialog here has this Call-ID and both of these tags: it may be over")
_NOT_OURS = Refusal(481, "the dialog rings here and was not begun here: it cannot be replaced (RFC 3891 3)")
_ANSWERED = Refusal(486, "the call has been answered, and early-only asks for one that has not (RFC 3891 3)")
_DEPARTED = Refusal(603, "the dialog has just ended: nothing need be done")


def is_authorised(request: Request, flow: Flow, dialog: Dialog) -> bool:
    """Whether whoever sends ``request`` may take over ``dialog``, as far as that can be told without asking anybody.

    It comes from where the dialog's other side was heard, be that a proxy that vouches for both; it is in its name, or
    bears its name as Referred-By (RFC 3891 3). A name may be forged; but whoever knows both tags has seen the dialog,
    or was told of it.
    """
    heard = dialog.flow
    if heard is not None and (heard.transport, heard.remote) == (flow.transport, flow.remote):
        return True
    other = _name_of(dialog.remote)
    return bool(other) and other in (_name_of(request.value("from")), _name_of(request.value("referred-by")))


def _name_of(value: str | None) -> str:
    """User and host of an address, empty when it cannot be read."""
    if value is None:
        return ""
    try:
        uri = parse_uri(parse_address(value).uri_text)
    except ParseError:
        return ""
    return f"{uri.user}@{uri.host}"


class Departed:
    """The dialogs that ended lately: an INVITE that would replace one of them is declined (RFC 3891 3).

    Each is known by Call-ID, our tag and the tag of the other side. The oldest are forgotten.
    """

    def __init__(self) -> None:
        self._ids: dict[tuple[str, str, str], None] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def note(self, dialog: Dialog) -> None:
        """It is over."""
        if len(self._ids) >= _MOST_DEPARTED:
            del self._ids[next(iter(self._ids))]
        self._ids[dialog.call_id, dialog.local_tag, dialog.remote_tag] = None

    def has(self, replaces: Replaces) -> bool:
        """Whether it was the one that is meant."""
        return (replaces.call_id, replaces.to_tag, replaces.from_tag) in self._ids
