"""A flow to where nothing can be sent, for whoever asks for one: it fails like any other, when it is used."""

from __future__ import annotations

from collections.abc import Callable

from gosip_py.sip.headers import Via
from gosip_py.transport.addressing import Identity
from gosip_py.transport.flow import Address, Flow

__all__ = ["UnreachableFlow"]


class UnreachableFlow(Flow):
    """Never open; each send is told to ``fail(flow, reason)``."""

    __slots__ = ("_fail", "_reason")

    is_open = False

    def __init__(
        self, identity: Identity, local: Address, remote: Address, reason: str, fail: Callable[[Flow, str], None]
    ) -> None:
        self.transport = "UDP"
        self.local = local
        self.remote = remote
        self.via_head = identity.via_head
        self.sent_by = identity.sent_by
        self.record_route = identity.record_route
        self._reason = reason
        self._fail = fail

    def send(self, data: bytes) -> None:
        self._fail(self, self._reason)

    def answering(self, via: Via) -> Flow:
        return self
