"""The settings: file, environment, refusals."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.config import BadSettings, Settings, load, parse_listen

SHIPPED = Path(__file__).parents[1] / "etc" / "gosip.toml"


class ShippedFile(SynchronousTestCase):
    def test_it_loads_and_changes_nothing(self) -> None:
        self.assertEqual(load(SHIPPED, {}), Settings())

    def test_it_names_every_option_with_its_default(self) -> None:
        """An option that is missing there, or stands there with another default, is found by taking the marks off."""
        text = re.sub(r"^#(\w+ = )", r"\1", SHIPPED.read_text("utf-8"), flags=re.MULTILINE)
        written = tomllib.loads(text)
        defaults = Settings().model_dump(mode="json")
        self.assertEqual(written, {name: {**table} for name, table in defaults.items()})


class File(SynchronousTestCase):
    def write(self, text: str) -> Path:
        path = Path(self.mktemp())
        path.write_text(text, "utf-8")
        return path

    def refusal(self, text: str) -> str:
        return str(self.assertRaises(BadSettings, load, self.write(text), {}))

    def test_a_value_is_read(self) -> None:
        self.assertEqual(load(self.write('[sip]\ndomain = "example.org"\n'), {}).sip.domain, "example.org")

    def test_an_unknown_option_is_refused_by_its_path(self) -> None:
        self.assertEqual(self.refusal("[sip]\nudpp = []\n"), "sip.udpp: there is no such option")

    def test_an_unknown_section_is_refused(self) -> None:
        self.assertEqual(self.refusal("[sipp]\n"), "sipp: there is no such option")

    def test_a_bad_value_is_refused_by_its_path(self) -> None:
        self.assertIn("registrar.max_contacts: ", self.refusal("[registrar]\nmax_contacts = 0\n"))
        self.assertIn("sip.tcp.0: an address:port", self.refusal('[sip]\ntcp = ["localhost:5060"]\n'))
        self.assertIn("auth.algorithms.0: ", self.refusal('[auth]\nalgorithms = ["SHA-1"]\n'))

    def test_values_that_do_not_go_together_are_refused(self) -> None:
        self.assertIn("registrar: min <= default_expires <= max", self.refusal("[registrar]\nmin = 7000\n"))
        self.assertIn("go together", self.refusal('[sip]\ntls_certificate = "a.pem"\n'))

    def test_a_file_that_is_no_toml_is_refused(self) -> None:
        self.assertIn("line 1", self.refusal("[sip\n"))

    def test_a_missing_file_is_refused(self) -> None:
        self.assertIn("No such file", str(self.assertRaises(BadSettings, load, Path("nowhere.toml"), {})))

    def test_a_store_url_stays_out_of_repr_and_refusals(self) -> None:
        settings = load(self.write('[store]\nurl = "postgresql://u:secret@h/d"\n'), {})
        self.assertNotIn("secret", repr(settings))
        self.assertNotIn("secret", self.refusal('[store]\nurl = "mysql://u:secret@h/d"\n'))


class Environment(SynchronousTestCase):
    def test_it_wins_over_the_file(self) -> None:
        path = Path(self.mktemp())
        path.write_text('[sip]\ndomain = "file.example"\n', "utf-8")
        self.assertEqual(load(path, {"GOSIP_SIP__DOMAIN": "env.example"}).sip.domain, "env.example")

    def test_lists_are_written_with_commas_or_as_json(self) -> None:
        for text in ("127.0.0.1:1,[::1]:2", '["127.0.0.1:1", "[::1]:2"]'):
            self.assertEqual(load(None, {"GOSIP_SIP__UDP": text}).sip.udp, ("127.0.0.1:1", "[::1]:2"))

    def test_a_single_address_in_brackets_is_no_json(self) -> None:
        self.assertEqual(load(None, {"GOSIP_SIP__UDP": "[::1]:5060"}).sip.udp, ("[::1]:5060",))

    def test_an_empty_list_turns_a_transport_off(self) -> None:
        self.assertEqual(load(None, {"GOSIP_SIP__TLS": ""}).sip.tls, ())

    def test_numbers_and_switches_are_read_from_text(self) -> None:
        settings = load(None, {"GOSIP_REGISTRAR__MAX_CONTACTS": "3", "GOSIP_SIP__TLS_VERIFY_PEER": "false"})
        self.assertEqual((settings.registrar.max_contacts, settings.sip.tls_verify_peer), (3, False))

    def test_an_unknown_variable_is_refused(self) -> None:
        for name in ("GOSIP_SIP__NOPE", "GOSIP_NOPE__X", "GOSIP_DOMAIN"):
            self.assertRaises(BadSettings, load, None, {name: "1"})

    def test_the_first_administrator_and_the_tests_are_no_options(self) -> None:
        environment = {"GOSIP_ADMIN_EMAIL": "a@example.org", "GOSIP_ADMIN_PASSWORD": "x", "GOSIP_TEST_REQUIRE": "all"}
        self.assertEqual(load(None, environment), Settings())


class ListenAddress(SynchronousTestCase):
    def test_numeric_addresses(self) -> None:
        self.assertEqual(parse_listen("0.0.0.0:5060"), ("0.0.0.0", 5060))
        self.assertEqual(parse_listen("[::1]:0"), ("::1", 0))

    def test_others_are_refused(self) -> None:
        for text in (
            "",
            "5060",
            "localhost:5060",
            "127.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:70000",
            "::1:5060",
            "127.0.0.1:٣",
            "[127.0.0.1]:1",
        ):
            self.assertRaises(ValueError, parse_listen, text)
