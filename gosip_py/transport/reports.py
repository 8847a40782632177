"""Failures of flows, told to the user in a turn of their own, so that no send ends inside a failure."""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from gosip_py.transport.counts import TransportCounts
from gosip_py.transport.flow import Flow
from gosip_py.transport.receiver import Receiver

__all__ = ["FailureReports"]


class FailureReports:
    """Collects what failed in a turn: each flow once, with its first reason."""

    log = Logger()

    def __init__(self, clock: IReactorTime, receiver: Receiver, counts: TransportCounts) -> None:
        self._clock = clock
        self._receiver = receiver
        self._counts = counts
        self._waiting: dict[Flow, str] = {}
        self._call: IDelayedCall | None = None
        self._is_stopped = False

    def report(self, flow: Flow, reason: str) -> None:
        if self._is_stopped:
            return
        self._waiting.setdefault(flow, reason)
        if self._call is None:
            self._call = self._clock.callLater(0, self._deliver)

    def _deliver(self) -> None:
        self._call = None
        waiting, self._waiting = self._waiting, {}
        for flow, reason in waiting.items():
            try:
                self._receiver.user.flow_failed(flow, reason)
            except Exception:
                self._counts.internal_errors += 1
                self.log.failure("the failure of a flow to {host} broke us", host=flow.remote[0])

    def stop(self) -> None:
        """Tell nobody anything any more."""
        self._is_stopped = True
        self._waiting.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None
