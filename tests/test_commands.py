"""The `gosip` command as an administrator types it, each time in a process of its own."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import attrs
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from gosip_py import __version__
from gosip_py.config import Settings
from gosip_py.demo.softphone import Account, Refused, Softphone
from gosip_py.service.storage import open_store
from gosip_py.store.accounts import WebSessions
from gosip_py.store.credentials import ha1, token_hash
from gosip_py.store.database import Database
from gosip_py.store.devices import Devices
from gosip_py.store.passwords import Passwords
from gosip_py.store.records import Device, User, WebSession
from gosip_py.store.users import Users
from tests.running import LOOPBACK, ROOT, clock, serving, until

T = TypeVar("T")

FIRST, SECOND = "correct horse battery", "staple correct horse"


@attrs.frozen
class Outcome:
    """What a command printed, and its exit code."""

    out: str
    err: str
    code: int


async def gosip(*arguments: str, typed: str = "", **variables: str) -> Outcome:
    """Run the command; `typed` is its standard input."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GOSIP_")}
    out, err, code = await getProcessOutputAndValue(
        sys.executable,
        ["-m", "gosip_py", *arguments],
        env={**environment, "PYTHONPATH": str(ROOT), **variables},
        path=str(ROOT),
        stdinBytes=typed.encode(),
    )
    return Outcome(out.decode(), err.decode(), code)


def password_of(outcome: Outcome) -> str:
    """The password that `device add` shows."""
    found = re.fullmatch(r"device \S+ has the id \d+ and the password (\S+)\n", outcome.out)
    if found is None:
        raise AssertionError(outcome)
    return found[1]


class CommandCase(TestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.place = ("--data-dir", str(self.directory / "kept"))
        self.directory.mkdir(parents=True)

    async def succeed(self, *arguments: str, typed: str = "") -> Outcome:
        """Run a command at our place that must do what it is asked, silently on standard error."""
        outcome = await gosip(*arguments, *self.place, typed=typed)
        self.assertEqual((outcome.code, outcome.err), (0, ""))
        return outcome

    async def refused(self, *arguments: str, typed: str = "") -> str:
        """Run a command that must be refused: exit code 1, one line that says why."""
        outcome = await gosip(*arguments, *self.place, typed=typed)
        self.assertEqual((outcome.code, outcome.out), (1, ""), outcome.err)
        self.assertRegex(outcome.err, r"\Agosip: [^\n]+\n\Z")
        return outcome.err

    async def in_store(self, ask: Callable[[Database], Awaitable[T]]) -> T:
        """What the store of our place says, opened for this question."""
        place = self.directory / "kept"
        database = await open_store(clock(), Settings(), place)
        try:
            return await ask(database)
        finally:
            await database.close()

    async def user(self, login: str) -> User:
        user = await self.in_store(lambda database: Users(database).by_login(login))
        assert user is not None
        return user

    async def is_password_of(self, login: str, password: str) -> bool:
        """Whether this person could sign in with it."""
        passwords = Passwords(IReactorFromThreads(reactor))
        passwords.start()
        try:
            return await passwords.verify((await self.user(login)).password_hash, password)
        finally:
            passwords.stop()


class UserTests(CommandCase):
    async def test_a_person_is_added_and_can_sign_in(self) -> None:
        outcome = await self.succeed(
            "user",
            "add",
            "alice",
            "--email",
            "a@example.com",
            "--name",
            "Alice A",
            "--role",
            "admin",
            typed=f"{FIRST}\n",
        )
        user = await self.user("alice")
        self.assertEqual(outcome.out, f"user alice has the id {user.id}\n")
        self.assertEqual((user.email, user.display_name, user.role), ("a@example.com", "Alice A", "admin"))
        self.assertTrue(await self.is_password_of("alice", FIRST))
        self.assertFalse(await self.is_password_of("alice", SECOND))

    async def test_by_default_it_is_no_administrator_and_shows_the_login(self) -> None:
        await self.succeed("user", "add", "bob", typed=f"{FIRST}\n")
        user = await self.user("bob")
        self.assertEqual((user.role, user.display_name, user.email), ("user", "bob", ""))

    async def test_a_name_is_taken_once_whatever_its_case(self) -> None:
        await self.succeed("user", "add", "alice", "--email", "a@example.com", typed=f"{FIRST}\n")
        self.assertEqual(
            await self.refused("user", "add", "Alice", typed=f"{SECOND}\n"), "gosip: the login is taken already\n"
        )
        again = await self.refused("user", "add", "other", "--email", "A@Example.com", typed=f"{SECOND}\n")
        self.assertEqual(again, "gosip: the email is taken already\n")
        self.assertEqual(await self.in_store(lambda database: Users(database).count()), 1)
        self.assertTrue(await self.is_password_of("alice", FIRST))

    async def test_a_short_password_is_refused_and_makes_nobody(self) -> None:
        self.assertIn("at least 10 characters", await self.refused("user", "add", "alice", typed="short\n"))
        self.assertEqual(await self.in_store(lambda database: Users(database).count()), 0)

    async def test_no_password_is_refused(self) -> None:
        self.assertIn("at least 10 characters", await self.refused("user", "add", "alice"))

    async def test_a_name_that_no_uri_could_hold_is_refused(self) -> None:
        for name in ("", "a b", "a:b", "a@b", ".a", "a\n", "a" * 65):
            with self.subTest(name=name):
                self.assertIn("a name has 1 to 64", await self.refused("user", "add", name, typed=f"{FIRST}\n"))


class PasswordTests(CommandCase):
    async def test_a_new_password_ends_the_old_one_and_its_sessions(self) -> None:
        await self.succeed("user", "add", "alice", "--email", "a@example.com", typed=f"{FIRST}\n")
        await self.succeed("user", "add", "bob", typed=f"{FIRST}\n")
        for login in ("alice", "bob"):
            await self.in_store(self.sign_in(await self.user(login)))
        outcome = await self.succeed("user", "passwd", "a@example.com", typed=f"{SECOND}\n")
        self.assertEqual(outcome.out, "user alice has a new password\n")
        self.assertFalse(await self.is_password_of("alice", FIRST))
        self.assertTrue(await self.is_password_of("alice", SECOND))
        self.assertTrue(await self.is_password_of("bob", FIRST))
        left = [await self.in_store(self.is_signed_in(login)) for login in ("alice", "bob")]
        self.assertEqual(left, [False, True])

    async def test_nobody_of_that_name(self) -> None:
        self.assertEqual(
            await self.refused("user", "passwd", "zoe", typed=f"{FIRST}\n"), "gosip: there is no user zoe\n"
        )

    async def test_a_short_password_is_refused_and_changes_nothing(self) -> None:
        await self.succeed("user", "add", "alice", typed=f"{FIRST}\n")
        self.assertIn("at least 10 characters", await self.refused("user", "passwd", "alice", typed="short\n"))
        self.assertTrue(await self.is_password_of("alice", FIRST))

    def sign_in(self, user: User) -> Callable[[Database], Awaitable[None]]:
        now = clock().seconds()
        session = WebSession(token_hash(user.login), user.id, now, now + 3600, LOOPBACK, "a browser")
        return lambda database: WebSessions(database).create(session)

    def is_signed_in(self, login: str) -> Callable[[Database], Awaitable[bool]]:
        async def ask(database: Database) -> bool:
            return await WebSessions(database).get(token_hash(login), clock().seconds()) is not None

        return ask


class DeviceTests(CommandCase):
    async def device(self, username: str) -> Device:
        device = await self.in_store(lambda database: Devices(database).by_username(username))
        assert device is not None
        return device

    async def test_the_password_that_is_shown_is_the_one_that_is_kept(self) -> None:
        await self.succeed("user", "add", "alice", typed=f"{FIRST}\n")
        outcome = await self.succeed("device", "add", "alice", "desk", "--name", "Desk phone", "--type", "deskphone")
        password = password_of(outcome)
        device, realm = await self.device("desk"), Settings().auth.realm
        self.assertGreaterEqual(len(password), 16)
        self.assertEqual(outcome.out.count(password), 1)
        self.assertEqual(device.ha1_md5, ha1("MD5", "desk", realm, password))
        self.assertEqual(device.ha1_sha256, ha1("SHA-256", "desk", realm, password))
        self.assertEqual((device.realm, device.name, device.type), (realm, "Desk phone", "deskphone"))
        self.assertEqual(device.user_id, (await self.user("alice")).id)

    async def test_each_device_has_a_password_of_its_own(self) -> None:
        await self.succeed("user", "add", "alice", typed=f"{FIRST}\n")
        shown = [password_of(await self.succeed("device", "add", "alice", name)) for name in ("desk", "mobile")]
        self.assertNotEqual(*shown)

    async def test_the_realm_of_the_settings_is_used(self) -> None:
        config = self.directory / "gosip.toml"
        config.write_text('[auth]\nrealm = "office"\n', "utf-8")
        await self.succeed("user", "add", "alice", typed=f"{FIRST}\n")
        password = password_of(await self.succeed("device", "add", "alice", "desk", "--config", str(config)))
        device = await self.device("desk")
        self.assertEqual((device.realm, device.ha1_md5), ("office", ha1("MD5", "desk", "office", password)))

    async def test_a_device_without_an_owner_is_refused(self) -> None:
        self.assertEqual(await self.refused("device", "add", "zoe", "desk"), "gosip: there is no user zoe\n")

    async def test_a_device_is_named_once(self) -> None:
        await self.succeed("user", "add", "alice", typed=f"{FIRST}\n")
        await self.succeed("device", "add", "alice", "desk")
        before = await self.device("desk")
        self.assertEqual(await self.refused("device", "add", "alice", "desk"), "gosip: the username is taken already\n")
        self.assertEqual(await self.device("desk"), before)

    async def test_a_running_server_takes_it_up(self) -> None:
        async with serving(self) as server:
            place = ("--config", str(server.directory / "gosip.toml"), "--data-dir", str(server.directory / "kept"))
            added = await gosip("user", "add", "alice", *place, typed=f"{FIRST}\n")
            self.assertEqual(added.code, 0, added.err)
            password = password_of(await gosip("device", "add", "alice", "desk", *place))
            account = Account("desk", LOOPBACK, password)
            phone = Softphone(clock(), account, f"sip:{LOOPBACK}:{server.sip_port}", lambda *_: None)
            self.addCleanup(lambda: Deferred.fromCoroutine(phone.stop()))

            async def is_registered() -> bool:
                try:
                    await phone.register()
                except Refused:
                    return False
                return True

            await until(is_registered, bool, 8.0)
            (row,) = await server.api.rows("/api/registrations")
            self.assertEqual(row["contact"], f"sip:desk@{LOOPBACK}:{phone.port}")


class CheckTests(CommandCase):
    async def check(self, text: str, **variables: str) -> Outcome:
        config = self.directory / "gosip.toml"
        config.write_text(text, "utf-8")
        return await gosip("check-config", "--config", str(config), **variables)

    async def test_good_settings(self) -> None:
        outcome = await self.check('[sip]\ndomain = "example.com"\nudp = ["127.0.0.1:5060"]\n')
        self.assertEqual(outcome, Outcome("The settings are good.\n", "", 0))

    async def test_the_defaults_are_good(self) -> None:
        outcome = await gosip("check-config", *self.place)
        self.assertEqual(outcome, Outcome("The settings are good.\n", "", 0))
        self.assertFalse((self.directory / "kept").exists())

    async def test_each_bad_key_is_named(self) -> None:
        outcome = await self.check('[sip]\nudp = ["here:5060"]\ncolour = "red"\n[registrar]\nmax_contacts = 0\n')
        self.assertEqual((outcome.code, outcome.out), (2, ""))
        for path in ("sip.udp.0: ", "sip.colour: there is no such option", "registrar.max_contacts: "):
            self.assertIn(f"\n{path}", outcome.err)

    async def test_a_bad_variable_is_named(self) -> None:
        outcome = await self.check("", GOSIP_AUTH__NONCE_SECONDS="soon")
        self.assertEqual(outcome.code, 2)
        self.assertIn("\nauth.nonce_seconds: ", outcome.err)

    async def test_what_is_no_toml_is_told_with_its_line(self) -> None:
        outcome = await self.check("[sip\n")
        self.assertEqual(outcome.code, 2)
        self.assertRegex(outcome.err, r"gosip\.toml: .*line 1")

    async def test_a_file_that_is_not_there(self) -> None:
        outcome = await gosip("check-config", "--config", str(self.directory / "none.toml"))
        self.assertEqual(outcome.code, 2)
        self.assertIn("none.toml: No such file", outcome.err)

    async def test_other_commands_refuse_bad_settings_too(self) -> None:
        config = self.directory / "gosip.toml"
        config.write_text("[sip]\ncolour = 1\n", "utf-8")
        outcome = await gosip("user", "add", "alice", "--config", str(config), *self.place, typed=f"{FIRST}\n")
        self.assertEqual(outcome.code, 2)
        self.assertIn("sip.colour: there is no such option", outcome.err)
        self.assertFalse((self.directory / "kept").exists())


class CommandTests(CommandCase):
    async def test_the_version(self) -> None:
        self.assertEqual(await gosip("--version"), Outcome(f"gosip {__version__}\n", "", 0))

    async def test_no_command_and_an_unknown_one_are_refused(self) -> None:
        for words in ((), ("dance",), ("user",), ("user", "dance")):
            with self.subTest(words=words):
                outcome = await gosip(*words)
                self.assertEqual((outcome.code, outcome.out), (2, ""))
                self.assertIn("usage: gosip", outcome.err)

    async def test_a_store_that_is_not_there_is_told(self) -> None:
        config = self.directory / "gosip.toml"
        config.write_text('[store]\nurl = "postgresql://nobody:secret@127.0.0.1:9/none"\n', "utf-8")
        outcome = await gosip("user", "add", "alice", "--config", str(config), *self.place, typed=f"{FIRST}\n")
        self.assertEqual(outcome.code, 1, outcome.err)
        self.assertIn("gosip: the store is not there: ", outcome.err)
        self.assertNotIn("secret", outcome.err)
        self.assertNotIn("Traceback", outcome.err)
