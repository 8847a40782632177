"""The admin API and its pages, on Klein.

Reading order: endpoint (how one is declared), routing (what happens to a request), users (a typical resource), site
(the wiring). What lives outside of the store, registrations and live sessions, comes in through the Protocols of live.
"""

from __future__ import annotations
