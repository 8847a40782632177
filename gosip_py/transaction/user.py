"""What the transaction layer asks of the rooms above it, and what it is to them (RFC 3261 17, "transaction user").

What a user asks of the layer: ``wheel`` (``start(seconds, owner, kind) -> Timer``; the owner has ``timer_fired(kind)``,
the Timer ``cancel()``), ``start_client``, ``send_stateless`` (the ACK of a 2xx) and ``is_merged``; of a server
transaction ``reply``, ``respond``, ``reply_and_forget`` and ``to_tag``; of a client transaction ``cancel``.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Protocol

from gosip_py.sip.message import Request, Response
from gosip_py.transport.flow import Flow

if TYPE_CHECKING:
    from gosip_py.transaction.client import ClientTransaction
    from gosip_py.transaction.server import ServerTransaction

__all__ = ["ClientOwner", "Failure", "ServerOwner", "TransactionUser"]


class Failure(enum.Enum):
    """Why a transaction ended without its final response, or its response without an ACK."""

    TIMEOUT = "timeout"
    TRANSPORT = "transport"


class TransactionUser(Protocol):
    """Receives what starts something new."""

    def receive_request(self, transaction: ServerTransaction) -> None:
        """A new request other than ACK and CANCEL. Whoever takes it sets ``transaction.owner`` and must respond."""

    def receive_ack(self, ack: Request, flow: Flow) -> None:
        """An ACK that belongs to no server transaction: the ACK of a 2xx."""


class ServerOwner(Protocol):
    """Whoever answers a server transaction."""

    def receive_cancel(self, transaction: ServerTransaction, cancel: Request) -> None:
        """The INVITE was cancelled before its final response; the CANCEL itself has been answered with 200."""

    def server_failed(self, transaction: ServerTransaction, failure: Failure) -> None:
        """The final response could not be delivered: no ACK came, or the flow is gone."""


class ClientOwner(Protocol):
    """Whoever sent a client transaction's request."""

    def receive_response(self, transaction: ClientTransaction, response: Response) -> None:
        """A response that the machine passes up: each provisional, the final one, every 2xx to an INVITE."""

    def client_failed(self, transaction: ClientTransaction, failure: Failure) -> None:
        """No final response will come (RFC 3261 8.1.3.1: as 408 or 503)."""
