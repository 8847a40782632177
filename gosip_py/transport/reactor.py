"""What the transports need of the reactor, as one interface."""

from __future__ import annotations

from twisted.internet.interfaces import (
    IReactorFDSet,
    IReactorPluggableNameResolver,
    IReactorSocket,
    IReactorTCP,
    IReactorTime,
)

__all__ = ["ITransportReactor"]


class ITransportReactor(IReactorTime, IReactorTCP, IReactorFDSet, IReactorSocket, IReactorPluggableNameResolver):
    """Time, sockets and names; every reactor of Twisted's on a Unix system has them."""
