"""What must hold for each message on the wire, looked at as it is sent.

Octets are searched and not parsed: this is done for every packet of ten thousand runs.
"""

from __future__ import annotations

from collections.abc import Callable, Container

from tests.network import Packet

__all__ = ["Wire"]

_Branch = tuple[bytes, bytes]


class Wire:
    """``breach`` hears what does not hold. ``stateless`` are hosts that pass responses on in any order."""

    def __init__(self, breach: Callable[[str], object], stateless: Container[str]) -> None:
        self._breach = breach
        self._stateless = stateless
        self._hops: dict[_Branch, int] = {}
        self._finals: dict[_Branch, int] = {}

    def see(self, packet: Packet) -> None:
        """One packet that its sender was right to send."""
        data = packet.data
        if data.startswith(b"SIP/2.0 "):
            self._see_response(packet, int(data[8:11]))
        else:
            self._see_request(data)

    def _see_request(self, data: bytes) -> None:
        """Max-Forwards goes down by one at each hop (RFC 3261 16.6 item 3)."""
        method = data[: data.find(b" ")]
        at = data.find(b"\r\nMax-Forwards: ") + 16
        hops = int(data[at : data.find(b"\r", at)])
        first = data.find(b";branch=") + 8
        self._hops[_token(data, first), method] = hops
        second = data.find(b"\r\nVia: ", first)
        if second < 0:
            return
        before = self._hops.get((_token(data, data.find(b";branch=", second) + 8), method))
        if before is not None and hops != before - 1:
            self._breach(f"Max-Forwards of a {method.decode()} went from {before} to {hops}")

    def _see_response(self, packet: Packet, status: int) -> None:
        data = packet.data
        start = data.find(b"\r\nVia: ") + 7
        via = data[start : data.find(b"\r", start)]
        host = packet.destination[0].encode()
        if via[via.find(b" ") + 1 :].partition(b":")[0] != host and b";received=" + host not in via:
            self._breach(f"a {status} to {host.decode()} has the Via {via.decode()} on top")
        at = data.find(b"\r\nCSeq: ") + 8
        method = data[at : data.find(b"\r", at)].partition(b" ")[2]
        if status >= 200 or packet.source[0] not in self._stateless:
            self._compare(status, (_token(via, via.find(b"branch=") + 7), method))

    def _compare(self, status: int, branch: _Branch) -> None:
        """A request has one final response; only 2xx to an INVITE may be several (17.2.1, 13.3.1.4)."""
        final = self._finals.get(branch)
        if final is None:
            if status >= 200:
                self._finals[branch] = status
        elif status < 200:
            self._breach(f"a {status} to {branch[1].decode()} after its {final}")
        elif status != final and not (status < 300 and final < 300):
            self._breach(f"a {status} to {branch[1].decode()} that was answered with {final}")


def _token(data: bytes, start: int) -> bytes:
    """The parameter value that begins there."""
    ends = (data.find(b";", start), data.find(b"\r", start))
    end = min((end for end in ends if end >= 0), default=len(data))
    return data[start:end]
