"""Devices: phones and their SIP credentials. A password is given, or made here and shown once; its HA1s are kept."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from gosip_py.events import Bus, DeviceChanged
from gosip_py.store import credentials
from gosip_py.store import devices as store
from gosip_py.store.directory import Directory
from gosip_py.store.records import Device
from gosip_py.web.endpoint import Call, Created, Done, One, Paged, endpoint
from gosip_py.web.live import LiveRegistrations, end_bindings_of_device
from gosip_py.web.problem import Detail, conflict, forbidden, invalid, not_found
from gosip_py.web.shapes import Body, IsoTime, ListQuery, Login, Nothing, Password, Patch, RowId, Text, View, one_of

__all__ = ["DeviceCreated", "DeviceQuery", "DeviceReplace", "DeviceResource", "DeviceView"]

OWN_FIELDS = frozenset({"name", "password"})
"""What the owner may change without being an administrator."""

CREDENTIALS = frozenset({"username", "user_id", "ha1_md5", "ha1_sha256"})
"""Columns after whose change a phone must register anew."""


class DeviceView(View):
    """A device."""

    id: RowId
    user_id: RowId
    name: str
    username: str
    type: str
    enabled: bool
    recording_enabled: bool
    created_at: IsoTime
    updated_at: IsoTime


class DeviceCreated(DeviceView):
    """A new device; `password` is the one made for it, shown this once, or null when it was given."""

    password: str | None = Field(repr=False)


class DeviceReplace(Body):
    """All of a device; what is missing gets its default, but for the password, which stays."""

    readonly = frozenset({"id", "created_at", "updated_at"})
    user_id: RowId
    name: Text = ""
    username: Login
    password: Password | None = Field(None, repr=False)
    type: Annotated[Text, Field(min_length=1, max_length=32)] = "softphone"
    enabled: bool = True
    recording_enabled: bool = False

    def changes(self) -> dict[str, Any]:
        """Every field, but for a password that is not given."""
        return self.model_dump(exclude={"password"} if self.password is None else None)


class DeviceQuery(ListQuery):
    """Filters of the list of devices."""

    sort: Annotated[str, *one_of(store.LISTING.sorts)] = "id"
    user_id: RowId | None = None
    username: Text | None = None
    type: Text | None = None
    enabled: bool | None = None
    recording_enabled: bool | None = None
    search: Text | None = Field(None, description="A part of the name or the username.")


class DeviceResource:
    """list, create, get, put, patch and delete. `realm` is the one that phones are challenged with."""

    def __init__(
        self, devices: store.Devices, directory: Directory, registrations: LiveRegistrations, bus: Bus, realm: str
    ) -> None:
        self._devices = devices
        self._directory = directory
        self._registrations = registrations
        self._bus = bus
        self._realm = realm

    @endpoint("GET", "/api/devices", role="user")
    async def index(self, call: Call[Nothing, DeviceQuery]) -> Paged[DeviceView]:
        """A page of devices; a user sees the own ones."""
        query, filters = call.query, call.query.filters()
        if not call.is_admin and filters.setdefault("user_id", call.user.id) != call.user.id:
            return Paged([], 0, query.page, query.per_page)
        page = await self._devices.list(
            offset=query.offset, limit=query.per_page, sort=query.sort, descending=query.is_descending, filters=filters
        )
        return Paged([DeviceView.model_validate(row) for row in page.rows], page.total, query.page, query.per_page)

    @endpoint("POST", "/api/devices")
    async def create(self, call: Call[DeviceReplace, Nothing]) -> Created[DeviceCreated]:
        """Add a device; without a password one is made, which only this answer shows."""
        made = credentials.device_password() if call.body.password is None else None
        columns = self._columns(call.body.changes() | ({"password": made} if made else {}), call.body.username)
        device = await self._devices.create(**columns, now=call.now)
        self._tell(device)
        shown = dict(DeviceView.model_validate(device))
        return Created(DeviceCreated(**shown, password=made), f"/api/devices/{device.id}")

    @endpoint("GET", "/api/devices/{id}", role="user")
    async def get(self, call: Call[Nothing, Nothing], id: int) -> One[DeviceView]:
        """A device."""
        return One(DeviceView.model_validate(await self._visible(call, id)))

    @endpoint("PUT", "/api/devices/{id}")
    async def put(self, call: Call[DeviceReplace, Nothing], id: int) -> One[DeviceView]:
        """Replace a device."""
        return One(await self._change(await self._visible(call, id), call.body.changes(), call.now))

    @endpoint("PATCH", "/api/devices/{id}", role="user")
    async def patch(self, call: Call[Patch[DeviceReplace], Nothing], id: int) -> One[DeviceView]:
        """Change some fields of a device; its owner may change name and password."""
        device, changes = await self._visible(call, id), call.body.changes()
        beyond = sorted(changes.keys() - OWN_FIELDS)
        if beyond and not call.is_admin:
            details = [Detail(field, "only an administrator may change this") for field in beyond]
            raise forbidden("Only an administrator may change this", *details)
        return One(await self._change(device, changes, call.now))

    @endpoint("DELETE", "/api/devices/{id}")
    async def delete(self, call: Call[Nothing, Nothing], id: int) -> Done:
        """Remove a device; its registrations end."""
        device = await self._visible(call, id)
        if not await self._devices.delete(id):
            raise not_found("device")
        self._directory.forget_device(id)
        end_bindings_of_device(self._registrations, device)
        self._bus.publish(DeviceChanged(id))
        return Done()

    async def _visible(self, call: Call[Any, Any], device_id: int) -> Device:
        device = await self._devices.get(device_id)
        if device is None or not (call.is_admin or device.user_id == call.user.id):
            raise not_found("device")
        return device

    async def _change(self, before: Device, changes: dict[str, Any], now: float) -> DeviceView:
        username = changes.get("username", before.username)
        if username != before.username and changes.get("password") is None:
            # The name is part of what was hashed (RFC 7616 3.4.2).
            raise invalid(Detail("password", "a new username needs the password again"))
        device = await self._devices.update(before.id, self._columns(changes, username), now)
        if device is None:
            raise not_found("device")
        self._tell(device)
        if not device.enabled or any(getattr(before, name) != getattr(device, name) for name in CREDENTIALS):
            end_bindings_of_device(self._registrations, before)
        return DeviceView.model_validate(device)

    def _columns(self, fields: dict[str, Any], username: str) -> dict[str, Any]:
        """The columns of these fields: a password becomes its two HA1s and the realm they are for."""
        if "username" in fields and self._directory.group_by_number(username) is not None:
            raise conflict("username", "is the number of a ring group")
        columns = {name: value for name, value in fields.items() if name != "password"}
        password = fields.get("password")
        if password is not None:
            columns["realm"] = self._realm
            columns.update(credentials.device_hashes(username, self._realm, password))
        return columns

    def _tell(self, device: Device) -> None:
        self._directory.apply_device(device)
        self._bus.publish(DeviceChanged(device.id))
