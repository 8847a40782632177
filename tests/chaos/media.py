"""Session descriptions of phones: what one end says of itself, and what it hears of the other (RFC 3264)."""

from __future__ import annotations

__all__ = ["Hearing", "Speech", "direction"]

_WAYS = ("sendonly", "recvonly", "inactive")
_ANSWERS = {"sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}
# 6.1: what may answer each direction
_FITTING = {
    "sendrecv": ("sendrecv", "sendonly", "recvonly", "inactive"),
    "sendonly": ("recvonly", "inactive"),
    "recvonly": ("sendonly", "inactive"),
    "inactive": ("inactive",),
}
_LARGE = "a=x:" * 400  # too large for a datagram (RFC 3261 18.1.1)


def direction(sdp: bytes) -> str:
    """That of its first stream."""
    return next((way for way in _WAYS if b"\r\na=" + way.encode() + b"\r\n" in sdp), "sendrecv")


class Speech:
    """What one end says: the same ``o=`` line always, but for its version. ``way`` is what it said last."""

    def __init__(self, host: str, number: int, is_large: bool = False) -> None:
        self.way = "sendrecv"
        self._host = host
        self._number = number
        self._version = 0
        self._is_large = is_large

    def say(self, way: str = "") -> bytes:
        """A description in this direction, or in that of before; its version grows when that is another."""
        if way and way != self.way:
            self.way = way
            self._version += 1
        host = self._host
        lines = [
            "v=0",
            f"o=phone {self._number} {self._version} IN IP4 {host}",
            "s=-",
            f"c=IN IP4 {host}",
            "t=0 0",
            f"m=audio {10000 + 2 * self._number} RTP/AVP 0 8",
            f"a={self.way}",
        ]
        if self._is_large:
            lines.append(_LARGE)
        return "".join(line + "\r\n" for line in lines).encode()

    def answer(self, offer: bytes) -> bytes:
        """What fits to this offer."""
        return self.say(_ANSWERS[direction(offer)])


class Hearing:
    """What the other side of one dialog says. Each method tells what is wrong with it, or nothing."""

    def __init__(self) -> None:
        self.said = b""
        self._session = ""
        self._version = -1

    def offered(self, sdp: bytes) -> str:
        return self._hear(sdp)

    def answered(self, offer: bytes, sdp: bytes) -> str:
        """``sdp`` answers ``offer`` of ours."""
        asked, found = direction(offer), direction(sdp)
        if found not in _FITTING[asked]:
            return f"an offer to be {asked} was answered with {found}"
        return self._hear(sdp)

    def _hear(self, sdp: bytes) -> str:
        """8: one session all the time, and a version that grows with each change."""
        lines = sdp.decode().split("\r\n")
        origins = [line.split() for line in lines if line.startswith("o=")]
        if lines[0] != "v=0" or len(origins) != 1 or sum(line.startswith("m=") for line in lines) != 1:
            return f"no session description of one stream: {sdp!r}"
        _, session, version = origins[0][:3]
        before, self.said = self.said, sdp
        said_version, self._version = self._version, int(version)
        if not self._session:
            self._session = session
        elif session != self._session:
            return f"session {self._session} became {session}"
        if before and before != sdp and int(version) <= said_version:
            return f"the description changed, and its version went from {said_version} to {version}"
        return ""
