"""Signing in and out, and one's own password."""

from __future__ import annotations

from typing import Annotated

import attrs
from pydantic import Field, StringConstraints

from gosip_py.events import Bus, UserChanged
from gosip_py.store.directory import Directory
from gosip_py.store.passwords import Passwords
from gosip_py.store.records import User
from gosip_py.store.users import Users
from gosip_py.web.access import Access
from gosip_py.web.endpoint import Call, Done, One, endpoint
from gosip_py.web.lockout import Lockout
from gosip_py.web.peer import subnet
from gosip_py.web.problem import Detail, invalid, locked_out, unauthenticated
from gosip_py.web.shapes import Body, Nothing, Password
from gosip_py.web.users import UserView

__all__ = ["Auth", "AuthResource", "LoginBody", "PasswordBody"]

# Whatever was allowed when a password was set, trying one is bounded only against abuse.
GivenPassword = Annotated[str, StringConstraints(max_length=1024)]


class LoginBody(Body):
    """The address or the login of a user, and the password."""

    email: Annotated[str, StringConstraints(min_length=1, max_length=254)]
    password: GivenPassword = Field(repr=False)


class PasswordBody(Body):
    """The password of now and the one from now on."""

    current_password: GivenPassword = Field(repr=False)
    new_password: Password = Field(repr=False)


@attrs.frozen
class Auth:
    """Checks people's passwords, with lock-out."""

    users: Users
    passwords: Passwords
    lockout: Lockout

    async def check(self, user: User | None, password: str, account: str, address: str, now: float) -> bool:
        """Whether it is the password of the user, who may be nobody; raises a 429 when there were too many failures."""
        keys = (f"account {account}", f"address {subnet(address)}")
        wait = self.lockout.begin(keys, now)
        if wait:
            raise locked_out(wait)
        try:
            is_right = await self.passwords.verify(user.password_hash if user and user.enabled else None, password)
        except BaseException:
            self.lockout.withdraw(keys)
            raise
        if is_right:
            self.lockout.succeed(keys[0], keys)
        else:
            self.lockout.fail(keys, now)
        return is_right


class AuthResource:
    """login, logout, me and password."""

    def __init__(self, auth: Auth, access: Access, directory: Directory, bus: Bus) -> None:
        self._auth = auth
        self._access = access
        self._directory = directory
        self._bus = bus

    @endpoint("POST", "/api/auth/login", role="nobody")
    async def login(self, call: Call[LoginBody, Nothing]) -> One[UserView]:
        """Sign in: sets the session's cookie."""
        body = call.body
        user = await self._auth.users.by_login(body.email)
        # An address and a login of one user are one account, and a name that nobody has is one too.
        account = f"#{user.id}" if user else body.email.casefold()
        if not await self._auth.check(user, body.password, account, call.request.peer, call.now) or user is None:
            raise unauthenticated("The name or the password is wrong")
        if self._auth.passwords.needs_rehash(user.password_hash):
            user = await self._store_password(user, body.password, call.now)
        await self._access.sign_in(call.request, user, call.now)
        return One(UserView.model_validate(user))

    @endpoint("POST", "/api/auth/logout", role="nobody")
    async def logout(self, call: Call[Nothing, Nothing]) -> Done:
        """Sign out: ends the browser's session, if there is one."""
        await self._access.sign_out(call.request)
        return Done()

    @endpoint("GET", "/api/auth/me", role="user")
    async def me(self, call: Call[Nothing, Nothing]) -> One[UserView]:
        """Who is signed in."""
        return One(UserView.model_validate(call.user))

    @endpoint("POST", "/api/auth/password", role="user")
    async def password(self, call: Call[PasswordBody, Nothing]) -> Done:
        """Change one's own password; every other session of the user ends."""
        user, body = call.user, call.body
        if not await self._auth.check(user, body.current_password, f"#{user.id}", call.request.peer, call.now):
            raise invalid(Detail("current_password", "is not the password"))
        await self._store_password(user, body.new_password, call.now)
        await self._access.sessions.delete_of_user(user.id, keep=call.identity.session_hash)
        return Done()

    async def _store_password(self, user: User, password: str, now: float) -> User:
        password_hash = await self._auth.passwords.hash(password)
        changed = await self._auth.users.update(user.id, {"password_hash": password_hash}, now)
        if changed is None:
            raise unauthenticated("This user is gone")
        self._directory.apply_user(changed)
        self._bus.publish(UserChanged(user.id))
        return changed
