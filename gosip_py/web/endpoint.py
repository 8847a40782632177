"""How an endpoint is declared, once: the decorator says method, path and role, the signature says the rest.

    @endpoint("POST", "/api/users")
    async def create(self, call: Call[UserCreate, Nothing]) -> Created[UserView]: ...

From it come the route, the validation of body and query, the check of role and scope, and the entry in the OpenAPI
document. A path parameter is an argument of its name: `int` or `str`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, Generic, Literal, TypeVar, get_args, get_origin, get_type_hints

import attrs
from pydantic import BaseModel

from gosip_py.store.records import User
from gosip_py.web.problem import unauthenticated
from gosip_py.web.request import WebRequest
from gosip_py.web.shapes import Nothing

__all__ = [
    "NOBODY",
    "Answer",
    "Call",
    "Created",
    "Document",
    "Done",
    "Endpoint",
    "Identity",
    "One",
    "Paged",
    "Role",
    "Stream",
    "endpoint",
    "endpoints_of",
]

Role = Literal["nobody", "user", "admin"]
"""The least that a caller must be."""

B = TypeVar("B", bound=BaseModel)
Q = TypeVar("Q", bound=BaseModel)
V = TypeVar("V", bound=BaseModel)
F = TypeVar("F", bound=Callable[..., Coroutine[Any, Any, Any]])


@attrs.frozen
class Identity:
    """Who calls. `session_hash` names the browser session, "" for a bearer token; no `scopes` means all of them."""

    user: User | None = None
    session_hash: str = attrs.field(default="", repr=False)
    scopes: tuple[str, ...] = ()
    is_bearer: bool = False

    @property
    def is_admin(self) -> bool:
        """Whether everything may be seen."""
        return self.user is not None and self.user.role == "admin"


NOBODY = Identity()


@attrs.frozen
class Call(Generic[B, Q]):
    """One request to an endpoint, checked. `now` is in epoch seconds."""

    body: B
    query: Q
    identity: Identity
    request: WebRequest
    now: float

    @property
    def user(self) -> User:
        """Who is signed in; raises a 401 when the endpoint is open to nobody and nobody is."""
        if self.identity.user is None:
            raise unauthenticated()
        return self.identity.user

    @property
    def is_admin(self) -> bool:
        """Whether everything may be seen."""
        return self.identity.is_admin


@attrs.frozen
class One(Generic[V]):
    """200 with one thing."""

    value: V


@attrs.frozen
class Created(Generic[V]):
    """201 with the new thing; `location` is its path."""

    value: V
    location: str


@attrs.frozen
class Paged(Generic[V]):
    """200 with a page of things, of which there are `total`."""

    rows: Sequence[V]
    total: int
    page: int
    per_page: int


@attrs.frozen
class Done:
    """204: nothing to say."""


@attrs.frozen
class Document:
    """Something that is not in the envelope of the API."""

    content: bytes
    media_type: str
    status: int = 200


@attrs.frozen
class Stream:
    """A file of unknown length, made while it is sent."""

    chunks: AsyncIterator[bytes]
    media_type: str
    filename: str


Answer = One[Any] | Created[Any] | Paged[Any] | Done | Document | Stream
SHAPES: dict[Any, int] = {One: 200, Created: 201, Paged: 200, Done: 204, Document: 200, Stream: 200}


@attrs.frozen
class _Declared:
    """What the decorator was told."""

    method: str
    path: str
    role: Role
    media_type: str
    is_page: bool


@attrs.frozen(kw_only=True)
class Endpoint:
    """Everything that is known of an endpoint.

    `shape` is the class of its answer (one of SHAPES), `view` the model in it, and `is_page` says that it is for a
    browser and not part of the API.
    """

    name: str
    method: str
    path: str
    role: Role
    summary: str
    body: type[BaseModel]
    query: type[BaseModel]
    parameters: dict[str, type]
    shape: Any
    view: type[BaseModel] | None
    media_type: str
    is_page: bool
    perform: Callable[..., Coroutine[Any, Any, Answer]]

    @property
    def tag(self) -> str:
        """The resource it belongs to."""
        parts = self.path.strip("/").split("/")
        return (parts[1] if parts[0] == "api" and len(parts) > 1 else parts[0]).partition(".")[0] or "page"

    @property
    def is_write(self) -> bool:
        """Whether it changes something (RFC 9110 9.2.1)."""
        return self.method not in ("GET", "HEAD")

    @property
    def scope(self) -> str:
        """What a token with scopes must have been given."""
        return f"{self.tag}:{'write' if self.is_write else 'read'}"

    @property
    def route(self) -> str:
        """The path as werkzeug writes it."""
        return re.sub(r"\{(\w+)\}", lambda match: self._converter(match[1]), self.path)

    def _converter(self, name: str) -> str:
        # 2 ** 53 - 1: a larger number names no row and does not fit the databases.
        return f"<int(max=9007199254740991):{name}>" if self.parameters[name] is int else f"<{name}>"


def endpoint(
    method: str, path: str, *, role: Role = "admin", media_type: str = "application/json", is_page: bool = False
) -> Callable[[F], F]:
    """Declare the decorated method of a resource as an endpoint. The first line of its docstring is the summary."""
    declared = _Declared(method, path, role, media_type, is_page)

    def declare(perform: F) -> F:
        perform.__dict__["declared"] = [*perform.__dict__.get("declared", ()), declared]
        return perform

    return declare


def endpoints_of(resource: object) -> list[Endpoint]:
    """The endpoints that the class of `resource` declares, in the order of its text.

    Raises TypeError for a signature that is not that of an endpoint.
    """
    return [
        _read(resource, name, perform, declared)
        for name, perform in vars(type(resource)).items()
        for declared in getattr(perform, "declared", ())
    ]


def _read(resource: object, name: str, perform: Callable[..., Any], declared: _Declared) -> Endpoint:
    hints = get_type_hints(perform)
    answer, call = hints.pop("return"), hints.pop("call")
    shape = get_origin(answer) or answer
    if get_origin(call) is not Call or shape not in SHAPES:
        raise TypeError(f"{type(resource).__name__}.{name}: takes a Call[body, query] and returns an answer")
    if set(hints) != set(re.findall(r"\{(\w+)\}", declared.path)):
        raise TypeError(f"{type(resource).__name__}.{name}: its arguments are not those of {declared.path}")
    body, query = get_args(call)
    return Endpoint(
        name=f"{declared.method} {declared.path}",
        **{key: getattr(declared, key) for key in ("method", "path", "role", "media_type", "is_page")},
        summary=(inspect.getdoc(perform) or "").partition("\n")[0],
        body=body,
        query=query,
        parameters=hints,
        shape=shape,
        view=next(iter(get_args(answer)), None),
        perform=getattr(resource, name),
    )


def has_body(declared: Endpoint) -> bool:
    """Whether the endpoint reads a JSON body."""
    return declared.body is not Nothing
