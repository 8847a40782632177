"""Opens the directory of users and devices; on the first start sees to an administrator."""

from __future__ import annotations

import os
import secrets

from twisted.logger import Logger

from gosip_py.service.ground import Ground
from gosip_py.store.database import Database
from gosip_py.store.devices import Devices
from gosip_py.store.directory import Directory
from gosip_py.store.feature_codes import FeatureCodes
from gosip_py.store.passwords import Passwords
from gosip_py.store.ring_groups import RingGroups
from gosip_py.store.users import Users

__all__ = ["People"]


class People:
    """Who is known here. ``setup_code`` lets its holder make the first administrator; None once there is one."""

    log = Logger()

    def __init__(self, ground: Ground, database: Database) -> None:
        self._ground = ground
        self._users = Users(database)
        self.directory = Directory(self._users, Devices(database), RingGroups(database), FeatureCodes(database))
        self.passwords = Passwords(ground.reactor)
        self.setup_code: str | None = None

    async def open(self) -> None:
        """Read everybody into memory."""
        self.passwords.start()
        self._ground.closing.callback(self.passwords.stop)
        if not await self._users.count():
            await self._welcome()
        await self.directory.load()
        realm = self._ground.settings.auth.realm
        others = sum(1 for device in self.directory.all_devices() if device.realm != realm)
        if others:
            self.log.warn(
                "{count} devices were made for another realm and cannot sign in until they get a new password",
                count=others,
            )

    async def _welcome(self) -> None:
        """The first administrator: from the environment, or by whoever holds the code that is shown once."""
        email, password = os.environ.get("GOSIP_ADMIN_EMAIL", ""), os.environ.get("GOSIP_ADMIN_PASSWORD", "")
        if not (email and password):
            self.setup_code = secrets.token_urlsafe(12)
            return
        login = email.partition("@")[0]
        hashed = await self.passwords.hash(password)
        await self._users.create(
            login=login,
            email=email,
            display_name=login,
            role="admin",
            password_hash=hashed,
            now=self._ground.now(),
        )
        self.log.info("the administrator {login} was made from the environment", login=login)
