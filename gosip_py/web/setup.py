"""The first start: whoever holds the one-time code becomes the first administrator; then this is closed for good."""

from __future__ import annotations

import hmac
from typing import Any

from pydantic import Field, model_validator
from twisted.internet.defer import Deferred, DeferredLock

from gosip_py.store.records import User
from gosip_py.store.users import Users
from gosip_py.web.endpoint import Call, Created, One, endpoint
from gosip_py.web.lockout import Lockout
from gosip_py.web.peer import subnet
from gosip_py.web.problem import Detail, Problem, locked_out
from gosip_py.web.shapes import Body, Login, MailAddress, Nothing, Password, Text, View
from gosip_py.web.users import UserCreate, UserResource, UserView, login_of

__all__ = ["Setup", "SetupBody", "SetupResource", "SetupView"]


class SetupView(View):
    """Whether somebody has yet to set up this server."""

    is_open: bool


class SetupBody(Body):
    """The first administrator. Without a login it is the part of the address before the @."""

    code: str = Field(max_length=255, repr=False)
    email: MailAddress = ""
    login: Login = Field(default_factory=str)
    display_name: Text = ""
    password: Password = Field(repr=False)

    @model_validator(mode="before")
    @classmethod
    def _default_login(cls, given: Any) -> Any:
        return login_of(given)


class Setup:
    """Makes the first administrator. Without a `code` nobody can."""

    def __init__(self, users: Users, resource: UserResource, lockout: Lockout, code: str | None) -> None:
        self._users = users
        self._resource = resource
        self._lockout = lockout
        self._code = code
        # Two who hold the code at the same moment must not both be the first.
        self._one_at_a_time = DeferredLock()

    async def is_open(self) -> bool:
        """Whether there is a code and no user."""
        return self._code is not None and not await self._users.count()

    async def claim(self, body: SetupBody, peer: str, now: float) -> User:
        """Make the first administrator.

        Raises a 403 when the code is wrong or the server has been set up, and a 429 after five wrong codes.
        """
        user: User = await self._one_at_a_time.run(Deferred.fromCoroutine, self._claim(body, peer, now))
        return user

    async def _claim(self, body: SetupBody, peer: str, now: float) -> User:
        if not await self.is_open():
            raise Problem(403, "SETUP_CLOSED", "This server has been set up")
        keys = (f"setup {subnet(peer)}",)
        wait = self._lockout.begin(keys, now)
        if wait:
            raise locked_out(wait)
        if not hmac.compare_digest(body.code.encode(), (self._code or "").encode()):
            self._lockout.fail(keys, now)
            raise Problem(403, "FORBIDDEN", "The code is wrong", [Detail("code", "is not the one that was printed")])
        self._lockout.withdraw(keys)
        user = await self._resource.add(UserCreate(**body.model_dump(exclude={"code"}), role="admin"), now)
        self._code = None
        return user


class SetupResource:
    """Status and the one POST."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup

    @endpoint("GET", "/api/setup", role="nobody")
    async def status(self, call: Call[Nothing, Nothing]) -> One[SetupView]:
        """Whether the server waits for its first administrator."""
        return One(SetupView(is_open=await self._setup.is_open()))

    @endpoint("POST", "/api/setup", role="nobody")
    async def create(self, call: Call[SetupBody, Nothing]) -> Created[UserView]:
        """Make the first administrator, with the code that the server printed at its start."""
        user = await self._setup.claim(call.body, call.request.peer, call.now)
        return Created(UserView.model_validate(user), f"/api/users/{user.id}")
