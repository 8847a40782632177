"""`twistd gosip`: the dropin is found, its options parse, and it makes a service."""

from __future__ import annotations

from pathlib import Path

from twisted.application.service import IService, IServiceMaker
from twisted.plugin import getPlugins
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject


class PluginTests(SynchronousTestCase):
    def setUp(self) -> None:
        (self.maker,) = [maker for maker in getPlugins(IServiceMaker) if maker.tapname == "gosip"]
        self.directory = Path(self.mktemp())
        self.directory.mkdir()

    def test_the_plugin_is_complete(self) -> None:
        self.assertTrue(verifyObject(IServiceMaker, self.maker))
        self.assertIn("telephony", self.maker.description)

    def test_twisteds_own_plugins_are_still_there(self) -> None:
        self.assertIn("web", [maker.tapname for maker in getPlugins(IServiceMaker)])

    def test_the_options_parse(self) -> None:
        options = self.maker.options()
        options.parseOptions(["--data-dir", str(self.directory)])
        self.assertEqual(str(options["data-dir"]), str(self.directory))

    def test_an_unknown_option_is_refused(self) -> None:
        with self.assertRaises(UsageError):
            self.maker.options().parseOptions(["--no-such-option"])

    def test_a_config_file_that_does_not_exist_is_refused(self) -> None:
        with self.assertRaises((UsageError, SystemExit)):
            options = self.maker.options()
            options.parseOptions(["--config", str(self.directory / "none.toml")])
            self.maker.makeService(options)

    def test_it_makes_a_service(self) -> None:
        options = self.maker.options()
        options.parseOptions(["--data-dir", str(self.directory)])
        service = self.maker.makeService(options)
        self.assertTrue(verifyObject(IService, service))
        self.assertFalse(service.running)
