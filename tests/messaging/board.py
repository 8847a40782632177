"""The message relay between the real proxy and a shelf in memory, on the virtual clock of a switchboard."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from twisted.internet.defer import Deferred

from gosip_py.call.correspondents import Correspondents
from gosip_py.call.router import Destination, ExtensionRouter, Unavailable
from gosip_py.messaging.mailbox import Mailboxes
from gosip_py.messaging.recipient import MessageLimits, Recipient
from gosip_py.messaging.relay import MessageRelay
from gosip_py.proxy.route import ProxyTarget
from gosip_py.registrar.domains import Domains
from gosip_py.sip.message import Request
from gosip_py.store.database import DatabaseUnavailable
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transport.flow import Flow
from tests.messaging.shelf import MemoryShelf
from tests.proxy.switchboard import DOMAIN, Phone, Switchboard, SwitchboardCase
from tests.registrar.fakes import Addresses

LIMITS = MessageLimits(per_recipient=5, total=8, at_once=2)


class Exchange:
    """Hands each MESSAGE outside of a dialog to the relay, as the core does, and the rest to the core."""

    def __init__(self, board: Switchboard, router: ExtensionRouter, relay: MessageRelay) -> None:
        self._board = board
        self._router = router
        self._relay = relay

    def receive_request(self, transaction: ServerTransaction) -> None:
        request = transaction.request
        if request.method != "MESSAGE" or request.to_tag:
            self._board.core.receive_request(transaction)
            return
        found = self._router.find(request.uri, self._board.now())
        assert isinstance(found, Destination | Unavailable)
        targets = found.targets if isinstance(found, Destination) else ()
        self._relay.receive(
            transaction,
            request,
            Recipient(found.user.id, found.device.id if found.device is not None else None),
            tuple(ProxyTarget(each.uri_text, each.target, each.path, each.q) for each in targets),
            found.user.enabled,
        )

    def receive_ack(self, ack: Request, flow: Flow) -> None:
        self._board.core.receive_ack(ack, flow)


class RelayCase(SwitchboardCase):
    """Alice writes to Bob, who is away until he is told to `come`; after each test nothing is under way."""

    def setUp(self) -> None:
        self.board = Switchboard(trusted=self.trusted)
        self.alice = Phone(self.board, "192.0.2.10", "alice")
        self.bob = Phone(self.board, "192.0.2.20", "bob")
        self.shelf = MemoryShelf()
        self.start()

    def start(self, limits: MessageLimits = LIMITS) -> None:
        """The relay, on what lies on the shelf."""
        board = self.board
        domains = Domains(DOMAIN, Addresses(("192.0.2.1", 5060)))
        router = ExtensionRouter(board.directory, board.location, domains)
        self.mailboxes = Mailboxes(
            shelf=self.shelf,
            sender=board.sender,
            correspondents=Correspondents(board.directory, router, domains, board.now),
            bus=board.bus,
            metrics=board.metrics,
            now=board.now,
            limits=limits,
        )
        self.relay = MessageRelay(
            proxy=board.proxy,
            mailboxes=self.mailboxes,
            wheel=board.layer.wheel,
            metrics=board.metrics,
            now=board.now,
            limits=limits,
        )
        board.layer.user = Exchange(board, router, self.relay)
        self.successResultOf(Deferred.fromCoroutine(self.relay.open()))

    def stop(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.relay.close()))

    def tearDown(self) -> None:
        self.shelf.write()
        self.stop()
        super().tearDown()

    # -- what happens -------------------------------------------------------------------------------------------------

    def come(self, phone: Phone | None = None, aor_user: str = "bob", device_id: int = 20) -> None:
        """A phone of Bob's registers."""
        (phone or self.bob).register(aor_user, device_id)
        self.board.run(0.2)

    def say(self, text: str, *more: str, to: str = "bob", kind: str = "text/plain") -> Request:
        """Alice sends a message."""
        request = self.alice.make("MESSAGE", f"sip:{to}@{DOMAIN}", f"Content-Type: {kind}", *more, body=text)
        request.remove("contact")
        self.alice.send(request)
        return request

    def keep(self, *texts: str) -> None:
        """Alice sends these, and each is kept."""
        for text in texts:
            self.say(text)
            self.alice.response(202, "MESSAGE")

    def hear(self, phone: Phone | None = None, status: int = 200) -> str:
        """What the next message says, which the phone answers so."""
        phone = phone or self.bob
        request = phone.request("MESSAGE")
        phone.respond(request, status)
        self.board.run()
        return request.body.decode()

    def refresh(self, phone: Phone | None = None) -> None:
        """Bob's phone registers again before its time."""
        (contact, *_) = self.board.location.lookup(f"sip:bob@{DOMAIN}", self.board.now())
        flow = self.board.transport.flow_of("UDP", (phone or self.bob).flow.local)
        again = attrs.evolve(contact.binding, cseq=contact.binding.cseq + 1)
        self.board.location.refresh(contact, again, flow, self.board.now())

    # -- what is so ---------------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> float:
        """The gauge."""
        (family,) = self.board.metrics.messages_waiting.exposed()
        return family.samples[0].value

    def outcomes(self) -> dict[str, float]:
        return {labels[0]: cell.value for labels, cell in self.board.metrics.messages_kept.series.items()}

    def assert_empty(self) -> None:
        """Nothing lies on the shelf and nobody is waited for."""
        self.assertEqual((self.shelf.rows, self.waiting, self.mailboxes._boxes), ({}, 0, {}))

    def lying(self) -> Sequence[str]:
        """What the messages on the shelf say, in the order of arrival."""
        return [row.request.rpartition(b"\r\n\r\n")[2].decode() for row in self.shelf.rows.values()]


AWAY = DatabaseUnavailable("the store is away")
