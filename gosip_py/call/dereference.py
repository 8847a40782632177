"""Who a GRUU stands for that is the remote target of a dialog, in the words of the proxy (RFC 5627 6.1)."""

from __future__ import annotations

from collections.abc import Callable

from gosip_py.call.initial import proxy_targets
from gosip_py.call.router import Destination, ExtensionRouter, NotFound
from gosip_py.proxy.onward import Dereference
from gosip_py.proxy.route import ProxyTarget
from gosip_py.sip.uri import Uri
from gosip_py.transaction.validation import Refusal

__all__ = ["dereference_by"]

_INVALID = Refusal(404, "this GRUU is not valid any more: ask for the current one")


def dereference_by(router: ExtensionRouter, now: Callable[[], float]) -> Dereference:
    """Ask ``router``; ``now`` tells epoch seconds."""

    def dereference(uri: Uri) -> ProxyTarget | Refusal | None:
        found = router.dereference(uri, now())
        if found is None:
            return None
        if isinstance(found, Destination):
            return proxy_targets(found)[0]
        return _INVALID if isinstance(found, NotFound) else Refusal(480, f"{found.explanation}: try again later")

    return dereference
