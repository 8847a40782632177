"""`gosip demo`: a server and two phones in one process, a call between them, and what was seen of it.

tour.py walks through it, softphone.py is a phone, sighting.py a message that passed, ladder.py draws them, api.py asks
the server what it knows.
"""

from __future__ import annotations

from gosip_py.demo.tour import Plan, run

__all__ = ["Plan", "run"]
