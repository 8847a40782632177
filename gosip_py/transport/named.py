"""A UDP flow to a host whose address is still being looked up."""

from __future__ import annotations

from collections.abc import Callable

from gosip_py.sip.headers import Via
from gosip_py.transport.addressing import Identity
from gosip_py.transport.flow import Address, Flow
from gosip_py.transport.resolve import Addresses
from gosip_py.transport.udp import UdpFlow

__all__ = ["NamedFlow"]

_MOST_QUEUED = 32


class NamedFlow(UdpFlow):
    """Queues until `found` is told the host's addresses, then goes where the flow goes that ``choose`` gives for them.

    Its Via names the address towards the default route, for nobody knows yet where the host is. ``fail(flow, reason)``
    takes note of a host that cannot be reached.
    """

    __slots__ = ("_choose", "_fail", "_is_found", "_queue", "_reason")

    def __init__(
        self,
        identity: Identity,
        local: Address,
        remote: Address,
        choose: Callable[[Addresses, int], UdpFlow | None],
        fail: Callable[[Flow, str], None],
    ) -> None:
        self.transport = "UDP"
        self.local = local
        self.remote = remote
        self.via_head = identity.via_head
        self.sent_by = identity.sent_by
        self.record_route = identity.record_route
        self._choose = choose
        self._fail = fail
        self._is_found = False
        self._reason = ""
        self._queue: list[bytes] = []

    @property
    def is_open(self) -> bool:
        return self._socket.is_open if self._is_found else not self._reason

    def send(self, data: bytes) -> None:
        if self._is_found:
            self._socket.send(data, self)
        elif self._reason:
            self._fail(self, self._reason)
        elif len(self._queue) < _MOST_QUEUED:
            self._queue.append(data)

    def answering(self, via: Via) -> Flow:
        return super().answering(via) if self._is_found else self

    def found(self, addresses: Addresses) -> None:
        """What the resolver says; none is a failure."""
        flow = self._choose(addresses, self.remote[1])
        queue, self._queue = self._queue, []
        if flow is None:
            self._reason = f"{self.remote[0]} has no address that our UDP sockets can reach"
            self._fail(self, self._reason)
            return
        self.local, self.remote = flow.local, flow.remote
        self.address, self._socket = flow.address, flow._socket
        self._is_found = True
        for data in queue:
            self._socket.send(data, self)
