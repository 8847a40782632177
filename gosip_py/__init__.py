"""gosip: a telephony server on Twisted.

Reading order: docs/design.md, then bottom-up: sip (the wire), transport, transaction, registrar and proxy, call, store,
web, and last service.py, which wires them together. tap.py is where `twistd gosip` enters.
"""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
