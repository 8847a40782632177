"""Makes `twistd gosip` known. There is no __init__.py beside this file, or Twisted's own plugins would vanish."""

from __future__ import annotations

from twisted.application.service import ServiceMaker

gosip = ServiceMaker("gosip", "gosip_py.tap", "A telephony server: SIP registrar and proxy.", "gosip")
