"""Who calls, as a router and the phones of whoever is called see them."""

from __future__ import annotations

from gosip_py.call.attempts import Attempts
from gosip_py.events import Direction
from gosip_py.proxy.session import Caller
from gosip_py.sip.message import Request
from gosip_py.sip.parser import parse_message
from tests.proxy.switchboard import DOMAIN, SwitchboardCase


class PartyTests(SwitchboardCase):
    def setUp(self) -> None:
        super().setUp()
        self.attempts = Attempts(self.board.directory, self.board.domains, self.board.now)

    def shown(self, user: str, direction: Direction, device_id: int | None = None) -> str:
        """The address that stands for somebody whose From has this name."""
        invite = f"INVITE sip:bob@{DOMAIN} SIP/2.0\r\nFrom: <sip:{user}@elsewhere.test>;tag=1\r\n\r\n"
        request = parse_message(invite.encode())
        assert isinstance(request, Request)
        return self.attempts.party(request, Caller(user, direction, device_id)).uri

    def test_one_of_ours(self) -> None:
        self.assertEqual(self.shown("alice", "internal", 10), f"sip:alice@{DOMAIN}")

    def test_who_calls_in_has_their_own_name(self) -> None:
        self.assertEqual(self.shown("+4930123", "inbound"), "sip:+4930123@elsewhere.test")
        self.assertEqual(self.shown("alice", "internal"), "sip:alice@elsewhere.test")

    def test_and_not_that_of_somebody_here(self) -> None:
        for name in ("alice", "200"):
            self.assertEqual(self.shown(name, "inbound"), "sip:anonymous@anonymous.invalid")
