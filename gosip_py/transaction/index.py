"""Every transaction in flight, found by what a message says, and what all of them share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gosip_py.metrics import OTHER, Cell, Metrics
from gosip_py.transaction.timers import TimerWheel, Timing
from gosip_py.transport.counts import METHODS
from gosip_py.transport.flow import Flow

if TYPE_CHECKING:
    from gosip_py.transaction.client import ClientTransaction
    from gosip_py.transaction.server import ServerTransaction
    from gosip_py.transaction.transaction import Transaction
    from gosip_py.transaction.user import TransactionUser

__all__ = ["KNOWN_METHODS", "TransactionIndex", "method_label"]

KNOWN_METHODS = frozenset(METHODS)


def method_label(method: str) -> str:
    """The method as the label of a metric: what a peer invents is one series."""
    return method if method in KNOWN_METHODS else OTHER


class TransactionIndex:
    """The tables of one transaction layer.

    ``servers`` and ``clients`` are keyed by what the matching rules compare (see matching.py); ``old_acks`` finds an
    INVITE without a branch by its ACK. ``by_flow`` holds whoever wants to hear that a flow failed, the oldest first;
    ``merging`` the requests that a UAS took. ``settled`` are those whose final response was just sent, and whose
    request goes when the user is through with it. ``lengths`` are those of the timers over unreliable and over reliable
    transports.
    """

    __slots__ = (
        "by_flow",
        "clients",
        "lengths",
        "merging",
        "old_acks",
        "response_cells",
        "servers",
        "settled",
        "timing",
        "user",
        "wheel",
    )

    def __init__(self, wheel: TimerWheel, timing: Timing, user: TransactionUser, metrics: Metrics) -> None:
        self.wheel = wheel
        self.timing = timing
        self.user = user
        self.response_cells = metrics.responses.child
        self.lengths = (timing.lengths(is_reliable=False), timing.lengths(is_reliable=True))
        self.servers: dict[str, ServerTransaction] = {}
        self.clients: dict[str, ClientTransaction] = {}
        self.old_acks: dict[str, ServerTransaction] = {}
        self.merging: dict[str, ServerTransaction] = {}
        self.settled: list[ServerTransaction] = []
        self.by_flow: dict[Flow, dict[Transaction, None]] = {}

    def __len__(self) -> int:
        """How many transactions are in flight."""
        return len(self.servers) + len(self.clients)

    def response_cell(self, method: str, status: int) -> Cell:
        """Where a response that is sent is counted."""
        return self.response_cells(method if method in KNOWN_METHODS else OTHER, status)

    def watch(self, flow: Flow, transaction: Transaction) -> None:
        """Have ``transaction`` told when ``flow`` fails."""
        watching = self.by_flow.get(flow)
        if watching is None:
            self.by_flow[flow] = {transaction: None}
        else:
            watching[transaction] = None

    def unwatch(self, flow: Flow, transaction: Transaction) -> None:
        watching = self.by_flow.get(flow)
        if watching is not None:
            watching.pop(transaction, None)
            if not watching:
                del self.by_flow[flow]

    def everything(self) -> tuple[Transaction, ...]:
        return (*self.clients.values(), *self.servers.values())
