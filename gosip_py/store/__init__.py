"""The store: frozen records, two databases behind one Protocol, and one repository per aggregate.

Reading order: records, database (the Protocol), users (a typical repository), sqlite, postgres, migrate, write_behind,
directory.
"""

from __future__ import annotations
