"""Who is who over TLS: certificates by name, and devices that prove themselves by one (RFC 5922, RFC 6066 3)."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import tempfile
from itertools import count
from pathlib import Path
from typing import ClassVar

from cryptography import x509
from twisted.internet import reactor
from twisted.internet.endpoints import SSL4ClientEndpoint, connectProtocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.certs.authority import Authority, Issued
from tests.conformance import conforms
from tests.end_to_end.books import CallCase
from tests.end_to_end.browser_phone import listening_port
from tests.end_to_end.cases import ServerCase
from tests.end_to_end.phone import Leg, Phone, _StreamWire, message
from tests.running import LOOPBACK, Settings, until
from tests.transport.test_tls import Phone as Client

_numbers = count(1)


class _Files:
    """What the servers of this module are given."""

    def __init__(self) -> None:
        self._kept = tempfile.TemporaryDirectory(prefix="gosip-certificates-")
        self.directory = Path(self._kept.name)
        self.phones, self.web = Authority("phones"), Authority("web")
        self.clients = self.directory / "clients.pem"
        self.clients.write_bytes(self.phones.pem)
        self.pairs = [self.issue("com", "example.com"), self.issue("net", "*.example.net")]

    def issue(self, file: str, *names: str) -> list[str]:
        """A certificate of a server in files of this name, and its key."""
        return [str(path) for path in self.web.issue(file, *names).write(self.directory, file)]


FILES = _Files()


class TlsPhone(Phone):
    """A phone on a TLS connection, with a certificate of its own or without."""

    def __init__(self, wire: _StreamWire, user: str) -> None:
        super().__init__(wire, user)
        self.ended = wire.ended

    @classmethod
    async def open(cls, case: TestCase, port: int, user: str, shows: Issued | None = None) -> TlsPhone:
        """Connected."""
        wire = _StreamWire()
        wire.transport_name = "tls"
        await connectProtocol(SSL4ClientEndpoint(reactor, LOOPBACK, port, Client(shows=shows), timeout=5), wire)
        phone = cls(wire, user)
        case.addCleanup(phone.vanish)
        return phone

    def register_as(self, user: str) -> None:
        """REGISTER for this user, without credentials."""
        own = f"<sip:{user}@{LOOPBACK}>"
        number = next(_numbers)
        self.send(
            message(
                f"REGISTER sip:{LOOPBACK} SIP/2.0",
                ("Via", self.via()),
                ("Max-Forwards", "70"),
                ("From", f"{own};tag=r{number}"),
                ("To", own),
                ("Call-ID", f"certificate-{number}"),
                ("CSeq", "1 REGISTER"),
                ("Contact", f"<{self.contact}>"),
            )
        )

    def invite(self, peer: str) -> Leg:
        """INVITE without credentials."""
        leg = Leg(self, f"certificate-{next(_numbers)}", f"sip:{peer}@{LOOPBACK}")
        leg.local = f"<sip:{self.user}@{LOOPBACK}>;tag=c{next(_numbers)}"
        leg.remote = f"<{leg.target}>"
        leg.invite()
        return leg


class NameTests(ServerCase):
    """Several certificates."""

    over: ClassVar[Settings] = {"sip": {"tls_certificates": FILES.pairs}}

    async def shown(self, name: str) -> list[str]:
        """The DNS names of the certificate that a client of this name is shown; a connection that stands is left."""
        port = listening_port(self.server, "tls")

        def ask() -> bytes:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            plain = socket.create_connection((LOOPBACK, port), 5)
            with plain, context.wrap_socket(plain, server_hostname=name) as encrypted:
                return encrypted.getpeercert(True) or b""

        certificate = x509.load_der_x509_certificate(await deferToThread(ask))
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return names.get_values_for_type(x509.DNSName)

    async def test_each_name_has_its_certificate_and_a_new_one_needs_no_restart(self) -> None:
        standing = await TlsPhone.open(self, listening_port(self.server, "tls"), "nobody")
        self.assertEqual(await self.shown("example.com"), ["example.com"])
        self.assertEqual(await self.shown("sip.example.net"), ["*.example.net"])
        self.assertEqual(await self.shown("unknown.example.org"), [])
        FILES.issue("com", "example.com", "new.example.com")
        os.kill(self.server.process.pid, signal.SIGHUP)
        await until(
            lambda: self.shown("new.example.com"), lambda names: names == ["example.com", "new.example.com"], 10.0
        )
        self.assertEqual(await self.shown("sip.example.net"), ["*.example.net"])
        standing.register_as("nobody")
        await standing.expect(401)


@conforms("RFC 5922 7.4")
class ClientTests(CallCase):
    """Phones that show certificates."""

    over: ClassVar[Settings] = {"sip": {"tls_client_ca": str(FILES.clients)}}

    async def certified(self, user: str, *names: str, authority: Authority | None = None) -> TlsPhone:
        """A phone of a new user whose certificate is for these names."""
        await self.server.api.add_phone(user)
        shows = (authority or FILES.phones).issue(user, *names)
        return await TlsPhone.open(self, listening_port(self.server, "tls"), user, shows)

    async def test_a_certificate_for_a_device_stands_for_its_password(self) -> None:
        alice = await self.certified("alice", f"sip:alice@{LOOPBACK}")
        alice.register_as("alice")
        answer = await alice.final("REGISTER")
        self.assertEqual(answer.status, 200)
        bob = await self.phone()
        calling = alice.invite(bob.user)
        called = await bob.called(calling.call_id)
        called.answer()
        await calling.answered()
        await called.expect("ACK")
        called.bye()
        await calling.hung_up_on()
        row = await self.assert_closed(calling.call_id, "answered", 200, "callee")
        self.assertEqual((row["caller_user"], row["callee_user"]), ("alice", bob.user))
        back = await bob.call("alice")
        again = await alice.called(back.call_id)
        again.respond(486)
        await back.refused(486)
        await self.assert_closed(back.call_id, "rejected", 486, "callee")

    async def test_it_stands_for_nobody_else(self) -> None:
        carol = await self.certified("carol", f"sip:carol@{LOOPBACK}")
        await self.server.api.add_phone("dave")
        carol.register_as("dave")
        self.assertIn((await carol.final("REGISTER")).status, (401, 403))
        for user, names in (
            ("erin", (f"sip:frank@{LOOPBACK}",)),
            ("grace", ("sip:grace@elsewhere.example",)),
            ("heidi", (f"sip:{LOOPBACK}", "heidi")),
            ("ivan", (f"sips:ivan@{LOOPBACK}",)),
        ):
            phone = await self.certified(user, *names)
            phone.register_as(user)
            self.assertEqual((await phone.final("REGISTER")).status, 401, user)
            await phone.register()

    async def test_without_a_certificate_the_password_is_asked(self) -> None:
        await self.server.api.add_phone("judy")
        phone = await TlsPhone.open(self, listening_port(self.server, "tls"), "judy")
        phone.register_as("judy")
        await phone.expect(401)
        await phone.register()

    async def test_one_that_nobody_vouches_for_is_cut_off(self) -> None:
        phone = await self.certified("mallory", f"sip:alice@{LOOPBACK}", authority=Authority("phones"))
        phone.register_as("alice")
        await phone.ended()
        self.assertEqual(phone.heard("SIP/2.0"), 0)


class RequiredTests(ServerCase):
    """A server that wants to know everybody."""

    over: ClassVar[Settings] = {"sip": {"tls_client_ca": str(FILES.clients), "tls_client_required": True}}

    async def test_who_shows_none_is_cut_off(self) -> None:
        port = listening_port(self.server, "tls")
        phone = await TlsPhone.open(self, port, "nobody")
        phone.register_as("nobody")
        await phone.ended()
        self.assertEqual(phone.heard("SIP/2.0"), 0)
        known = await TlsPhone.open(self, port, "nobody", FILES.phones.issue("somebody", "somebody.example"))
        known.register_as("nobody")
        await known.expect(401)
