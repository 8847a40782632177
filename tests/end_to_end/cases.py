"""The TestCase whose tests share a server, with phones that are new for each test.

Trial knows no set-up of a class, and the order of tests may be shuffled: whichever comes last looks at the gauges and
stops the server.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import ClassVar

from twisted.trial.unittest import TestCase

from tests.end_to_end.phone import Phone
from tests.end_to_end.server import Server
from tests.running import Settings

__all__ = ["ServerCase"]

TIMER_D_SECONDS = 32.0
"""A refused INVITE is kept so long over UDP, whatever T1 is (RFC 3261 17.1.1.2)."""

_names = count(1)


class ServerCase(TestCase):
    """`over` are settings of the server; the subclasses of whoever sets them share one.

    After each test no call and no dialog is left; at the end no transaction, within `lingering` seconds.
    """

    timeout = 120
    over: ClassVar[Settings] = {}
    lingering: ClassVar[float] = TIMER_D_SECONDS + 10.0
    _shared: ClassVar[Server | None] = None
    _to_come: ClassVar[set[tuple[type, str]]] = set()
    server: Server

    async def setUp(self) -> None:
        group = self._group()
        if vars(group).get("_shared") is None:
            server = Server(self.over)
            await server.start()
            group._shared = server
            group._to_come = set(_tests_of(group))
        self.server = vars(group)["_shared"]

    async def tearDown(self) -> None:
        group = self._group()
        group._to_come.discard((type(self), self._testMethodName))
        if not group._to_come:
            group._shared = None
        await self.server.nothing_goes_on()
        if not group._to_come:
            await self.server.transactions_end(self.lingering)
            await self.server.stop()

    def _group(self) -> type[ServerCase]:
        return next(kind for kind in type(self).__mro__ if "over" in vars(kind))

    async def phone(self, transport: str = "udp", user: str = "") -> Phone:
        """A registered phone, of a new user unless one is named."""
        phone = await self.silent_phone(transport, user)
        await phone.register()
        return phone

    async def silent_phone(self, transport: str = "udp", user: str = "") -> Phone:
        """A phone that has not said anything."""
        if not user:
            user = f"phone{next(_names)}"
            await self.server.api.add_phone(user)
        if transport == "udp":
            return Phone.udp(self, self.server.sip_port, user)
        return await Phone.tcp(self, self.server.sip_port, user)


def _tests_of(kind: type[ServerCase]) -> Iterator[tuple[type, str]]:
    """Those that share the server of ``kind``: a subclass with settings of its own has another."""
    yield from ((kind, name) for name in dir(kind) if name.startswith("test_"))
    for each in kind.__subclasses__():
        if "over" not in vars(each):
            yield from _tests_of(each)
