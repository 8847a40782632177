"""Where what the transports receive goes: to the transactions, and of a lost connection to whoever counted on it."""

from __future__ import annotations

from typing import Protocol

from gosip_py.registrar.location import Location
from gosip_py.transaction.layer import TransactionLayer
from gosip_py.transport.flow import Flow

__all__ = ["Closed", "Reception"]


class Counting(Protocol):
    """Somebody else who counts on flows: the notifier."""

    def flow_failed(self, flow: Flow) -> None:
        """A flow is gone."""


class Reception:
    """The user of the transports."""

    def __init__(self, layer: TransactionLayer, location: Location, notifier: Counting) -> None:
        # Bound methods of the layer, so that a message costs no call more.
        self.receive_request = layer.receive_request
        self.receive_response = layer.receive_response
        self.receive_fault = layer.receive_fault
        self._layer = layer
        self._location = location
        self._notifier = notifier

    def flow_failed(self, flow: Flow, reason: str) -> None:
        """The registrations first: whoever is called again because of it must not be called on this flow."""
        self._location.flow_failed(flow)
        self._notifier.flow_failed(flow)
        self._layer.flow_failed(flow, reason)


class Closed:
    """The user of the transaction layer until the core is there: nothing is received before the ports are open."""

    def receive_request(self, transaction: object) -> None:
        raise RuntimeError("a request came before the ports were open")

    def receive_ack(self, ack: object, flow: object) -> None:
        raise RuntimeError("an ACK came before the ports were open")
