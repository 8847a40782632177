"""Where what the transports receive goes."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.call.reception import Closed, Reception
from gosip_py.events import Bus
from gosip_py.metrics import Metrics
from gosip_py.registrar.location import Contact, Location
from gosip_py.transaction.layer import TransactionLayer
from gosip_py.transport.flow import Flow
from tests.network import MemoryNetwork
from tests.registrar.fakes import NOW, RememberingWriter, binding
from tests.transaction.fakes import RecordingOwner, RecordingUser, request


class ReceptionTests(SynchronousTestCase):
    def setUp(self) -> None:
        network = MemoryNetwork(Clock())
        self.transport = network.transport("192.0.2.1")
        self.user = RecordingUser()
        self.layer = TransactionLayer(network.clock, self.transport, self.user, Metrics())
        self.location = Location(RememberingWriter(), Bus(), Metrics())
        self.subscribed: list[Flow] = []
        self.reception = Reception(self.layer, self.location, self)
        self.flow = self.transport.flow_of("TCP", ("192.0.2.9", 5060))

    def flow_failed(self, flow: Flow) -> None:
        """In the place of the notifier."""
        self.subscribed.append(flow)

    def test_a_request_goes_to_the_transactions(self) -> None:
        self.reception.receive_request(request(), self.flow)
        self.assertEqual([transaction.method for transaction in self.user.transactions], ["INVITE"])

    def test_a_lost_connection_is_told_to_registrations_subscriptions_and_transactions(self) -> None:
        contact = Contact(binding(transport="TCP"), self.flow)
        self.location.add(contact, NOW)
        owner = RecordingOwner()
        self.layer.start_client(request("MESSAGE"), self.flow, owner)
        self.reception.flow_failed(self.flow, "gone")
        self.assertIsNone(contact.flow)
        self.assertEqual(self.subscribed, [self.flow])
        self.assertEqual([str(each) for each in owner.told], ["Failure.TRANSPORT"])


class ClosedTests(SynchronousTestCase):
    def test_nothing_is_taken(self) -> None:
        with self.assertRaises(RuntimeError):
            Closed().receive_request(None)
        with self.assertRaises(RuntimeError):
            Closed().receive_ack(None, None)
