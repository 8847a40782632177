"""Registrations: the bindings of now, from the location service."""

from __future__ import annotations

from operator import attrgetter
from typing import Annotated, Any

from pydantic import Field

from gosip_py.store.directory import Directory
from gosip_py.store.records import Binding
from gosip_py.web.endpoint import Call, Done, One, Paged, endpoint
from gosip_py.web.live import LiveRegistrations
from gosip_py.web.ownership import owns_binding
from gosip_py.web.problem import not_found
from gosip_py.web.shapes import IsoTime, ListQuery, Nothing, RowId, Shown, Text, View, one_of

__all__ = ["RegistrationQuery", "RegistrationResource", "RegistrationView"]

SORTS = ("aor", "contact", "expires_at", "registered_at", "source", "transport", "user_agent", "q")


class RegistrationView(View):
    """A contact of an address of record; `q` is from 0 to 1."""

    id: str
    aor: Shown
    contact: Shown
    transport: Shown
    source: Shown
    user_agent: Shown
    expires_at: IsoTime
    registered_at: IsoTime
    q: float
    path: Shown
    device_id: RowId | None


class RegistrationQuery(ListQuery):
    """Filters of the list of registrations."""

    sort: Annotated[str, *one_of(SORTS)] = "aor"
    aor: Text | None = None
    transport: Annotated[str, *one_of(("UDP", "TCP", "TLS", "WS", "WSS"))] | None = None
    device_id: RowId | None = None
    search: Text | None = Field(None, description="A part of the AOR, the contact, the source or the User-Agent.")

    def matches(self, binding: Binding) -> bool:
        """Whether the filters leave it."""
        if self.search is not None:
            texts = (binding.aor, binding.contact, binding.source, binding.user_agent)
            if not any(self.search.casefold() in text.casefold() for text in texts):
                return False
        exact = (("aor", self.aor), ("transport", self.transport), ("device_id", self.device_id))
        return all(wanted is None or getattr(binding, name) == wanted for name, wanted in exact)


def _view(binding: Binding) -> RegistrationView:
    shown: dict[str, Any] = {
        name: getattr(binding, name) for name in RegistrationView.model_fields if name not in ("id", "q")
    }
    return RegistrationView(id=binding.id, q=binding.q / 1000, **shown)


class RegistrationResource:
    """list, get and delete."""

    def __init__(self, registrations: LiveRegistrations, directory: Directory) -> None:
        self._registrations = registrations
        self._directory = directory

    @endpoint("GET", "/api/registrations", role="user")
    async def index(self, call: Call[Nothing, RegistrationQuery]) -> Paged[RegistrationView]:
        """A page of what is registered now; a user sees what the own phones registered."""
        query = call.query
        found = sorted(
            (binding for binding in self._visible(call) if query.matches(binding)),
            key=attrgetter(query.sort, "aor", "contact"),
            reverse=query.is_descending,
        )
        rows = [_view(binding) for binding in found[query.offset : query.offset + query.per_page]]
        return Paged(rows, len(found), query.page, query.per_page)

    @endpoint("GET", "/api/registrations/{id}", role="user")
    async def get(self, call: Call[Nothing, Nothing], id: str) -> One[RegistrationView]:
        """A registration."""
        return One(_view(self._find(call, id)))

    @endpoint("DELETE", "/api/registrations/{id}", role="user")
    async def delete(self, call: Call[Nothing, Nothing], id: str) -> Done:
        """End a binding; the phone may register again."""
        self._registrations.remove(self._find(call, id).key)
        return Done()

    def _visible(self, call: Call[Any, Any]) -> list[Binding]:
        bindings = self._registrations.list()
        if call.is_admin:
            return [*bindings]
        return [binding for binding in bindings if owns_binding(self._directory, call.user, binding)]

    def _find(self, call: Call[Any, Any], wanted: str) -> Binding:
        for binding in self._visible(call):
            if binding.id == wanted:
                return binding
        raise not_found("registration")
