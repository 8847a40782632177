"""Users: people, who sign in, own devices and have an address of record."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, model_validator
from twisted.internet.defer import Deferred, DeferredLock

from gosip_py.events import Bus, DeviceChanged, UserChanged
from gosip_py.store import users as store
from gosip_py.store.accounts import WebSessions
from gosip_py.store.directory import Directory
from gosip_py.store.passwords import Passwords
from gosip_py.store.records import User
from gosip_py.web.endpoint import Call, Created, Done, One, Paged, endpoint
from gosip_py.web.live import LiveRegistrations, end_bindings_of_user
from gosip_py.web.problem import Detail, conflict, forbidden, invalid, not_found
from gosip_py.web.shapes import (
    Body,
    Dialled,
    IsoTime,
    ListQuery,
    Login,
    MailAddress,
    Nothing,
    Password,
    Patch,
    RingSeconds,
    RowId,
    Text,
    View,
    one_of,
)

__all__ = ["UserCreate", "UserQuery", "UserReplace", "UserResource", "UserView", "login_of"]

T = TypeVar("T")

OWN_FIELDS = frozenset({"display_name", "dnd", "ring_seconds", *store.FORWARDS})
"""What a user who is no administrator may change."""


class UserView(View):
    """A user. The forwards are what is dialled instead, or ""; `ring_seconds` 0 leaves it to the server."""

    id: RowId
    login: str
    email: str
    display_name: str
    role: Literal["admin", "user"]
    enabled: bool
    call_schema: Literal["proxy", "redirect", "b2bua"]
    dnd: bool
    forward_always: str
    forward_busy: str
    forward_no_answer: str
    ring_seconds: int
    created_at: IsoTime
    updated_at: IsoTime


class UserReplace(Body):
    """All of a user; what is missing gets its default, but for the password, which stays."""

    readonly = frozenset({"id", "created_at", "updated_at"})
    login: Login
    email: MailAddress = ""
    display_name: Text = ""
    role: Literal["admin", "user"] = "user"
    enabled: bool = True
    call_schema: Literal["proxy", "redirect", "b2bua"] = "b2bua"
    dnd: bool = False
    forward_always: Dialled = ""
    forward_busy: Dialled = ""
    forward_no_answer: Dialled = ""
    ring_seconds: RingSeconds = 0
    password: Password | None = Field(None, repr=False)

    def changes(self) -> dict[str, Any]:
        """Every field, but for a password that is not given."""
        return self.model_dump(exclude={"password"} if self.password is None else None)


class UserCreate(UserReplace):
    """A new user.

    Without a login it is the part of the address before the @; without a password nobody signs in as this user.
    """

    login: Login = Field(default_factory=str)

    @model_validator(mode="before")
    @classmethod
    def _default_login(cls, given: Any) -> Any:
        return login_of(given)


def login_of(given: Any) -> Any:
    """The fields as given, with a login made of the address where there is none."""
    if not isinstance(given, dict) or "login" in given:
        return given
    return {**given, "login": str(given.get("email", "")).partition("@")[0]}


class UserQuery(ListQuery):
    """Filters of the list of users."""

    sort: Annotated[str, *one_of(store.LISTING.sorts)] = "id"
    login: Text | None = None
    email: Text | None = None
    role: Literal["admin", "user"] | None = None
    enabled: bool | None = None
    call_schema: Literal["proxy", "redirect", "b2bua"] | None = None
    dnd: bool | None = None
    search: Text | None = Field(None, description="A part of the login, the address or the name.")


class UserResource:
    """list, create, get, put, patch and delete."""

    def __init__(
        self,
        users: store.Users,
        sessions: WebSessions,
        directory: Directory,
        passwords: Passwords,
        registrations: LiveRegistrations,
        bus: Bus,
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._directory = directory
        self._passwords = passwords
        self._registrations = registrations
        self._bus = bus
        # Two administrators must not demote each other at the same moment.
        self._one_at_a_time = DeferredLock()

    @endpoint("GET", "/api/users")
    async def index(self, call: Call[Nothing, UserQuery]) -> Paged[UserView]:
        """A page of users."""
        query = call.query
        page = await self._users.list(
            offset=query.offset,
            limit=query.per_page,
            sort=query.sort,
            descending=query.is_descending,
            filters=query.filters(),
        )
        return Paged([UserView.model_validate(row) for row in page.rows], page.total, query.page, query.per_page)

    @endpoint("POST", "/api/users")
    async def create(self, call: Call[UserCreate, Nothing]) -> Created[UserView]:
        """Add a user."""
        user = await self.add(call.body, call.now)
        return Created(UserView.model_validate(user), f"/api/users/{user.id}")

    async def add(self, body: UserCreate, now: float) -> User:
        """Store a new user and tell everybody; raises IntegrityError when the login or the address is taken."""
        self._check_names(body.login, body.changes())
        user = await self._users.create(**await self._columns(body.changes()), now=now)
        self._directory.apply_user(user)
        self._bus.publish(UserChanged(user.id))
        return user

    @endpoint("GET", "/api/users/{id}", role="user")
    async def get(self, call: Call[Nothing, Nothing], id: int) -> One[UserView]:
        """A user; everybody may see himself."""
        return One(UserView.model_validate(await self._visible(call, id)))

    @endpoint("PUT", "/api/users/{id}")
    async def put(self, call: Call[UserReplace, Nothing], id: int) -> One[UserView]:
        """Replace a user."""
        return One(await self._change(id, call.body.changes(), call))

    @endpoint("PATCH", "/api/users/{id}", role="user")
    async def patch(self, call: Call[Patch[UserReplace], Nothing], id: int) -> One[UserView]:
        """Change some fields of a user; everybody may change the own display_name, dnd, forwards and ring_seconds."""
        await self._visible(call, id)
        changes = call.body.changes()
        beyond = sorted(changes.keys() - OWN_FIELDS)
        if beyond and not call.is_admin:
            details = [Detail(field, "only an administrator may change this") for field in beyond]
            raise forbidden("Only an administrator may change this", *details)
        return One(await self._change(id, changes, call))

    @endpoint("DELETE", "/api/users/{id}")
    async def delete(self, call: Call[Nothing, Nothing], id: int) -> Done:
        """Remove a user with the devices, tokens and sessions; their registrations end."""
        return await self._alone(self._delete(id))

    async def _delete(self, user_id: int) -> Done:
        user = await self._keep_an_admin(user_id, {"enabled": False})
        if not await self._users.delete(user_id):
            raise not_found("user")
        devices = self._directory.devices_of(user_id)
        end_bindings_of_user(self._registrations, self._directory, user)
        self._directory.forget_user(user_id)
        for device in devices:
            self._bus.publish(DeviceChanged(device.id))
        self._bus.publish(UserChanged(user_id))
        return Done()

    async def _visible(self, call: Call[Any, Any], user_id: int) -> User:
        user = await self._users.get(user_id) if call.is_admin or call.user.id == user_id else None
        if user is None:
            raise not_found("user")
        return user

    async def _change(self, user_id: int, changes: dict[str, Any], call: Call[Any, Any]) -> UserView:
        columns = await self._columns(changes)
        return await self._alone(self._update(user_id, columns, call))

    async def _update(self, user_id: int, columns: dict[str, Any], call: Call[Any, Any]) -> UserView:
        before = await self._keep_an_admin(user_id, columns)
        self._check_names(columns.get("login", before.login), columns)
        user = await self._users.update(user_id, columns, call.now)
        if user is None:
            raise not_found("user")
        if not user.enabled or user.login != before.login:
            end_bindings_of_user(self._registrations, self._directory, before)
        self._directory.apply_user(user)
        self._bus.publish(UserChanged(user.id))
        if not user.enabled or "password_hash" in columns:
            await self._sessions.delete_of_user(user.id, keep=call.identity.session_hash if user.enabled else "")
        return UserView.model_validate(user)

    def _check_names(self, login: str, changes: dict[str, Any]) -> None:
        """Refuse the number of a group as a login, and forwards that lead nowhere but back."""
        if "login" in changes and self._directory.group_by_number(login) is not None:
            raise conflict("login", "is the number of a ring group")
        for field in store.FORWARDS:
            if changes.get(field, "").casefold() == login.casefold():
                raise invalid(Detail(field, "leads back to this user"))

    async def _columns(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The columns of these fields: a password becomes its hash."""
        columns = {name: value for name, value in fields.items() if name != "password"}
        if fields.get("password") is not None:
            columns["password_hash"] = await self._passwords.hash(fields["password"])
        return columns

    async def _keep_an_admin(self, user_id: int, changes: dict[str, Any]) -> User:
        """The user as it is; raises a 409 when the change would leave nobody to administer."""
        user = await self._users.get(user_id)
        if user is None:
            raise not_found("user")
        for field, kept in (("enabled", True), ("role", "admin")):
            is_lost = user.role == "admin" and user.enabled and changes.get(field, kept) != kept
            if is_lost and await self._users.count({"role": "admin", "enabled": True}) == 1:
                raise conflict(field, "this is the last administrator")
        return user

    async def _alone(self, change: Coroutine[Deferred[Any], Any, T]) -> T:
        result: T = await self._one_at_a_time.run(Deferred.fromCoroutine, change)
        return result
