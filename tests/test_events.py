"""The bus: who hears what, in which order, and what a listener that raises does to the others."""

from __future__ import annotations

import inspect

import attrs
from twisted.trial.unittest import SynchronousTestCase

from gosip_py import events
from gosip_py.events import BindingAdded, Bus, CallAnswered, DeviceChanged, UserChanged


class BusTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.bus = Bus()
        self.heard: list[object] = []

    def test_listeners_hear_their_type_in_the_order_of_subscription(self) -> None:
        self.bus.subscribe(UserChanged, lambda event: self.heard.append(("first", event.id)))
        self.bus.subscribe(UserChanged, lambda event: self.heard.append(("second", event.id)))
        self.bus.subscribe(DeviceChanged, self.heard.append)
        self.bus.publish(UserChanged(7))
        self.assertEqual(self.heard, [("first", 7), ("second", 7)])

    def test_nobody_listens(self) -> None:
        self.bus.publish(UserChanged(7))
        self.bus.subscribe(DeviceChanged, self.heard.append)
        self.bus.publish(UserChanged(7))
        self.assertEqual(self.heard, [])

    def test_a_listener_that_raises_is_logged_and_hurts_nobody(self) -> None:
        def broken(event: UserChanged) -> None:
            raise LookupError(event.id)

        self.bus.subscribe(UserChanged, broken)
        self.bus.subscribe(UserChanged, self.heard.append)
        self.bus.publish(UserChanged(7))
        self.assertEqual(self.heard, [UserChanged(7)])
        self.assertEqual(len(self.flushLoggedErrors(LookupError)), 1)

    def test_an_ended_subscription_hears_nothing(self) -> None:
        unsubscribe = self.bus.subscribe(UserChanged, self.heard.append)
        self.bus.publish(UserChanged(1))
        unsubscribe()
        unsubscribe()
        self.bus.publish(UserChanged(2))
        self.assertEqual(self.heard, [UserChanged(1)])

    def test_one_callable_subscribed_twice_leaves_once(self) -> None:
        unsubscribe = self.bus.subscribe(UserChanged, self.heard.append)
        self.bus.subscribe(UserChanged, self.heard.append)
        unsubscribe()
        unsubscribe()
        self.bus.publish(UserChanged(1))
        self.assertEqual(self.heard, [UserChanged(1)])

    def test_leaving_while_an_event_is_published(self) -> None:
        def once(event: UserChanged) -> None:
            self.heard.append(("once", event))
            unsubscribe()

        unsubscribe = self.bus.subscribe(UserChanged, once)
        self.bus.subscribe(UserChanged, self.heard.append)
        self.bus.publish(UserChanged(1))
        self.bus.publish(UserChanged(2))
        self.assertEqual(self.heard, [("once", UserChanged(1)), UserChanged(1), UserChanged(2)])

    def test_a_listener_may_publish(self) -> None:
        self.bus.subscribe(UserChanged, lambda event: self.bus.publish(DeviceChanged(event.id + 1)))
        self.bus.subscribe(DeviceChanged, self.heard.append)
        self.bus.publish(UserChanged(1))
        self.assertEqual(self.heard, [DeviceChanged(2)])

    def test_whether_anybody_listens(self) -> None:
        self.assertFalse(self.bus.has_listeners(UserChanged))
        unsubscribe = self.bus.subscribe(UserChanged, self.heard.append)
        self.assertTrue(self.bus.has_listeners(UserChanged))
        self.assertFalse(self.bus.has_listeners(DeviceChanged))
        unsubscribe()
        self.assertFalse(self.bus.has_listeners(UserChanged))


class EventTests(SynchronousTestCase):
    def test_every_event_is_a_frozen_value_and_exported(self) -> None:
        values = [kind for _, kind in inspect.getmembers(events, inspect.isclass) if attrs.has(kind)]
        self.assertGreaterEqual(len(values), 11)
        for kind in values:
            self.assertIn(kind.__name__, events.__all__)
            with self.assertRaises(TypeError):
                kind()
            fields = {field.name: "x" for field in attrs.fields(kind)}
            event = kind(**fields)
            self.assertEqual(event, kind(**fields))
            with self.assertRaises(attrs.exceptions.FrozenInstanceError):
                setattr(event, next(iter(fields)), "y")

    def test_events_name_their_time_and_subject(self) -> None:
        answered = CallAnswered(id="01", at=12.5, to_tag="b")
        self.assertEqual((answered.code, answered.reason), (200, "OK"))
        self.assertEqual(BindingAdded("sip:a@x", "sip:a@10.0.0.1", "REGISTER", 1.0).aor, "sip:a@x")
