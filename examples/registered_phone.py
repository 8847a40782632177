"""A phone of a gosip server: registers, calls an extension over its server, and unregisters at the end.

python examples/registered_phone.py sip:alice@example.com 127.0.0.1:5060 bob      (the password is asked for)
"""

from __future__ import annotations

import sys
from getpass import getpass
from typing import Any

from twisted.internet.task import react

from gosip_py.dialog.credentials import ClientCredentials
from gosip_py.dialog.user_agent import CallFailed, Network, RegistrationFailed, UserAgent

SDP = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"


async def main(reactor: Any, uri: str, server: str, extension: str) -> None:
    user, _, domain = uri.removeprefix("sip:").partition("@")
    password = getpass("password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    phone = UserAgent(
        reactor,
        uri,
        network=Network(listen=("udp://127.0.0.1:0",), outbound_proxy=f"sip:{server}"),
        credentials=ClientCredentials(user, password),
    )
    phone.start()
    try:
        print(f"registered for {await phone.register(expires=300)} s")
        call = phone.make_call(f"sip:{extension}@{domain}", SDP)
        await call.until_answered()
        print(f"{extension} has answered")
        await call.hang_up()
    except (CallFailed, RegistrationFailed) as failure:
        print(f"refused: {failure}")
    finally:
        await phone.stop()


if __name__ == "__main__":
    react(main, sys.argv[1:4])
