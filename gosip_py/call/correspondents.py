"""Where the people are to whom messages wait."""

from __future__ import annotations

from collections.abc import Callable

from gosip_py.call.initial import proxy_targets
from gosip_py.call.router import Destination, ExtensionRouter
from gosip_py.messaging.recipient import Recipient
from gosip_py.proxy.route import ProxyTarget
from gosip_py.registrar.domains import Domains
from gosip_py.sip.uri import parse_uri
from gosip_py.store.directory import Directory

__all__ = ["Correspondents"]


class Correspondents:
    """Asks directory and router. ``now`` tells epoch seconds."""

    def __init__(
        self, directory: Directory, router: ExtensionRouter, domains: Domains, now: Callable[[], float]
    ) -> None:
        self._directory = directory
        self._router = router
        self._domains = domains
        self._now = now

    def at(self, aor: str) -> tuple[Recipient, ...]:
        """Whose messages a phone can take that registered under this address of record.

        A person's, and with the name of a device that device's too.
        """
        name = parse_uri(aor).user
        user = self._directory.user_by_login(name)
        if user is not None:
            return (Recipient(user.id),)
        device = self._directory.device_by_username(name)
        return () if device is None else (Recipient(device.user_id), Recipient(device.user_id, device.id))

    def targets(self, recipient: Recipient) -> tuple[ProxyTarget, ...]:
        """The phones of a recipient now; none when they are away, or nobody may disturb them."""
        name = self._name_of(recipient)
        if not name:
            return ()
        found = self._router.find(parse_uri(self._domains.aor(name)), self._now())
        # A login goes before a device of the same name, which may be somebody else's.
        if not isinstance(found, Destination) or found.user.id != recipient.user_id:
            return ()
        return proxy_targets(found)

    def _name_of(self, recipient: Recipient) -> str:
        """The login or the device's name; empty when they are gone."""
        if recipient.device_id is None:
            user = self._directory.user(recipient.user_id)
            return "" if user is None else user.login
        device = self._directory.device(recipient.device_id)
        return "" if device is None else device.username
