"""Opens the notifier with every event package that this server can tell of."""

from __future__ import annotations

from gosip_py.notifier.calls import CallStates
from gosip_py.notifier.lines import LineStates
from gosip_py.notifier.notifier import Notifier
from gosip_py.notifier.packages.dialog import Dialogs
from gosip_py.notifier.packages.message_summary import MessageSummary, WaitingMessages
from gosip_py.notifier.packages.presence import Presence
from gosip_py.notifier.packages.reg import Registrations
from gosip_py.notifier.people import People
from gosip_py.notifier.publication import PublicationLimits, Publications
from gosip_py.notifier.subscriptions import SubscriptionLimits
from gosip_py.registrar.domains import Domains
from gosip_py.registrar.location import Location
from gosip_py.service.ground import Ground
from gosip_py.store.directory import Directory
from gosip_py.transaction.sending import Sender

__all__ = ["open_notifier"]


class NoMailboxes:
    """An office without voicemail: nothing ever waits, and a phone that asks may turn its lamp off."""

    def waiting(self, user_id: int) -> WaitingMessages:
        return WaitingMessages()


def open_notifier(
    ground: Ground, sender: Sender, location: Location, domains: Domains, directory: Directory
) -> Notifier:
    """From now on changes are told to whoever subscribes."""
    people = People(directory, domains)
    calls = CallStates(ground.bus, people, ground.now)
    publications = Publications(sender.layer.wheel, PublicationLimits(), ground.metrics)
    packages = (
        Registrations(location, ground.bus, people, ground.now),
        Dialogs(calls, LineStates(ground.bus), people, domains.aor),
        MessageSummary(NoMailboxes(), people),
        Presence(
            publications=publications, location=location, calls=calls, people=people, bus=ground.bus, now=ground.now
        ),
    )
    notifier = Notifier(
        sender=sender,
        packages=packages,
        publications=publications,
        limits=SubscriptionLimits(),
        directory=directory,
        bus=ground.bus,
        now=ground.now,
        metrics=ground.metrics,
    )
    notifier.start()
    ground.closing.callback(notifier.stop)
    return notifier
