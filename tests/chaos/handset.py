"""A phone that knows more than to call and be called: hold, transfers, Replaces, reliable responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from gosip_py.sip.errors import ParseError
from gosip_py.sip.fields import parse_replaces
from gosip_py.sip.message import Request
from gosip_py.transaction.server import ServerTransaction
from tests.chaos.alert import Alert
from tests.chaos.conversation import Conversation
from tests.chaos.phone import Account, Phone
from tests.chaos.talk import Talk

if TYPE_CHECKING:
    from tests.chaos.office import Office

__all__ = ["Handset"]


class Handset(Phone):
    """``alerts`` are the calls that rang here, by Call-ID, our tag and theirs."""

    talk_type: ClassVar[type[Talk]] = Conversation

    def __init__(self, world: Office, account: Account) -> None:
        self.alerts: dict[tuple[str, str, str], Alert] = {}
        self._number = 0
        Phone.__init__(self, world, account)

    def new_number(self) -> int:
        """For a session and its port."""
        self._number += 1
        return self._number

    def called(self, transaction: ServerTransaction) -> None:
        request = transaction.request
        if "replaces" not in request.names:
            Alert(self, transaction)
            return
        try:
            replaces = parse_replaces(request.require("replaces"))
        except ParseError:
            transaction.reply(400)
            return
        talk = self.talks.get((replaces.call_id, replaces.to_tag, replaces.from_tag))
        if isinstance(talk, Conversation) and not talk.is_over:
            Alert(self, transaction, talk)
        else:
            transaction.reply(481)  # RFC 3891 3

    def serve_early(self, transaction: ServerTransaction, request: Request) -> None:
        alert = self.alerts.get((request.call_id, request.to_tag, request.from_tag))
        if alert is None:
            transaction.reply(481)
        else:
            alert.serve(transaction)
