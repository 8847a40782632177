"""The addresses of one host: hosts file, name servers, system."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.transport.hosts import HostAddresses
from tests.transport.zone import NEGATIVE_TTL, System, Zone

HOSTS = b"""# a comment
127.0.0.1 localhost box  # another
::1 localhost
192.0.2.50 Known.example.com alias
nonsense wrong.example.com
\xff\xff wrong.example.com
fe80::1 six.example.com
"""


class HostCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.zone = Zone()
        self.system = System()
        hosts_file = Path(self.mktemp())
        hosts_file.write_bytes(HOSTS)
        self.hosts = HostAddresses(self.zone, self.system, hosts_file)
        self.found: list[tuple[tuple[str, ...], float]] = []

    def find(self, host: str, *families: int) -> tuple[tuple[str, ...], float]:
        self.hosts.find(host, families or (4, 6), lambda *found: self.found.append(found))
        return self.found[-1]

    def test_the_hosts_file_goes_first(self) -> None:
        self.zone.put("known.example.com", "A", "192.0.2.66")
        self.assertEqual(self.find("KNOWN.example.com")[0], ("192.0.2.50",))
        self.assertEqual(self.find("localhost", 6, 4)[0], ("::1", "127.0.0.1"))
        self.assertEqual(self.find("localhost", 4)[0], ("127.0.0.1",))
        self.assertEqual((self.zone.asked, self.system.asked), ([], []))

    def test_but_not_for_a_family_that_it_does_not_name(self) -> None:
        self.zone.put("six.example.com", "A", "192.0.2.6")
        self.assertEqual(self.find("six.example.com", 4)[0], ("192.0.2.6",))

    def test_what_dns_says_holds_as_long_as_it_says(self) -> None:
        self.zone.put("a.example", "A", "192.0.2.1", "192.0.2.2", ttl=77)
        self.zone.put("a.example", "AAAA", "2001:db8::1", ttl=600)
        self.assertEqual(self.find("a.example", 4, 6), (("192.0.2.1", "192.0.2.2", "2001:db8::1"), 77))
        self.assertEqual(self.find("a.example", 6, 4)[0], ("2001:db8::1", "192.0.2.1", "192.0.2.2"))
        self.assertEqual(self.find("a.example", 6), (("2001:db8::1",), 600))
        self.assertEqual(self.system.asked, [])

    def test_one_family_is_enough(self) -> None:
        self.zone.put("a.example", "AAAA", "2001:db8::1", ttl=600)
        self.assertEqual(self.find("a.example"), (("2001:db8::1",), 600))

    def test_the_system_comes_last(self) -> None:
        self.system.known = {"printer.local": ("fe80::1", "192.0.2.9"), "box2": ("192.0.2.8",)}
        self.assertEqual(self.find("printer.local"), (("192.0.2.9", "fe80::1"), 30))
        self.assertEqual(self.zone.asked, [("printer.local", "A"), ("printer.local", "AAAA")])

    def test_a_name_of_one_word_is_not_asked_for_in_dns(self) -> None:
        self.system.known = {"box2": ("192.0.2.8",)}
        self.assertEqual(self.find("box2"), (("192.0.2.8",), 30))
        self.assertEqual(self.find("box3"), ((), 5))
        self.assertEqual(self.zone.asked, [])

    def test_nothing_holds_as_long_as_dns_says(self) -> None:
        self.assertEqual(self.find("nowhere.example"), ((), NEGATIVE_TTL))
        self.assertEqual(self.system.asked, ["nowhere.example"])

    def test_what_is_no_name(self) -> None:
        for host in ("10.1", "wrong..example", ""):
            self.assertEqual(self.find(host)[0], ())
        self.assertEqual((self.zone.asked, self.system.asked), ([], []))

    def test_a_line_that_cannot_be_read_is_nobodys(self) -> None:
        self.assertEqual(self.find("wrong.example.com")[0], ())

    def test_without_a_hosts_file(self) -> None:
        self.hosts = HostAddresses(self.zone, self.system, Path(self.mktemp()))
        self.system.known = {"localhost": ("127.0.0.1",)}
        self.assertEqual(self.find("localhost")[0], ("127.0.0.1",))
