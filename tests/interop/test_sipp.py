"""gosip between SIPp phones: they register with digest, call each other, and the books are right afterwards."""

from __future__ import annotations

from tests.interop import sipp_calls


class UdpTests(sipp_calls.CallTests):
    transport = "udp"


class TcpTests(sipp_calls.CallTests):
    transport = "tcp"


class TlsTests(sipp_calls.CallTests):
    """Debian's SIPp is built without TLS, so each phone stands behind a relay that speaks TLS for it."""

    transport = "tls"
