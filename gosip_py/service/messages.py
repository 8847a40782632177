"""Opens the keeping of messages for whoever is away."""

from __future__ import annotations

from gosip_py.messaging.mailbox import Mailboxes, Shelf
from gosip_py.messaging.recipient import Correspondents, MessageLimits
from gosip_py.messaging.relay import MessageRelay
from gosip_py.proxy.proxy import Proxy
from gosip_py.service.ground import Ground
from gosip_py.transaction.sending import Sender
from gosip_py.upkeep import DAY

__all__ = ["open_messages"]


async def open_messages(
    ground: Ground, shelf: Shelf, sender: Sender, proxy: Proxy, correspondents: Correspondents
) -> MessageRelay:
    """What waits since an earlier run is delivered from now on."""
    settings = ground.settings
    # Half of the sender's Timer F, so that it hears from us before it gives up.
    limits = MessageLimits(keep_seconds=settings.messages.keep_days * DAY, patience=32 * settings.sip.timer_t1)
    mailboxes = Mailboxes(
        shelf=shelf,
        sender=sender,
        correspondents=correspondents,
        bus=ground.bus,
        metrics=ground.metrics,
        now=ground.now,
        limits=limits,
    )
    relay = MessageRelay(
        proxy=proxy,
        mailboxes=mailboxes,
        wheel=sender.layer.wheel,
        metrics=ground.metrics,
        now=ground.now,
        limits=limits,
    )
    await relay.open()
    ground.closing.push_async_callback(relay.close)
    return relay
