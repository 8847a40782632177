"""What the shapes of the API are made of: bodies, queries, views, times and identifiers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
    create_model,
    model_validator,
)

from gosip_py.store.credentials import NAME_PATTERN, SHORTEST_PASSWORD

__all__ = [
    "Body",
    "Dialled",
    "Instant",
    "IsoTime",
    "ListQuery",
    "Login",
    "MailAddress",
    "Nothing",
    "Password",
    "Patch",
    "RingSeconds",
    "RowId",
    "Shown",
    "Text",
    "View",
    "iso_time",
    "one_of",
]

R = TypeVar("R", bound=BaseModel)

MAX_ID = 2**53 - 1
"""The largest whole number that JavaScript reads exactly; both databases hold it too."""


class Nothing(BaseModel):
    """No body, or no query."""

    model_config = ConfigDict(extra="forbid")


class Body(BaseModel):
    """A JSON body: exact types, no field that is not known.

    `readonly` names those that answers carry and bodies may bring back unread, so that what was got can be put.
    """

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)
    readonly: ClassVar[frozenset[str]] = frozenset()
    is_optional: ClassVar[bool] = False
    """Whether the request may come without it."""

    @model_validator(mode="before")
    @classmethod
    def _drop_readonly(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if name not in cls.readonly}


class Patch(Body, Generic[R]):
    """`Patch[UserReplace]` is the twin of that body in which every field may be missing.

    A missing field is told from null, which is checked like any other value.
    """

    def changes(self) -> dict[str, Any]:
        """The fields that were named."""
        return {name: getattr(self, name) for name in self.model_fields_set}

    @classmethod
    def __class_getitem__(cls, replaced: Any) -> type[BaseModel]:
        return _patch_of(replaced)


@cache
def _patch_of(replaced: type[Body]) -> type[BaseModel]:
    fields: dict[str, Any] = {
        name: (Annotated[field.annotation, Field(), *field.metadata], Field(default_factory=_unset, repr=field.repr))
        for name, field in replaced.model_fields.items()
    }
    name = replaced.__name__.removesuffix("Replace") + "Patch"
    patch = create_model(name, __base__=Patch, __doc__=f"Any of the fields of {replaced.__name__}.", **fields)
    patch.readonly = replaced.readonly
    return patch


def _unset() -> None:
    """Stands where a field was not named; `Patch.changes` leaves it out."""


class View(BaseModel):
    """What an answer shows of a record."""

    model_config = ConfigDict(from_attributes=True)


def iso_time(at: float) -> str:
    """Epoch seconds as ISO 8601 in UTC with milliseconds: 2026-01-02T03:04:05.678Z."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _printable(given: object) -> object:
    """Text without the undecodable bytes that a peer may have sent, which JSON does not hold."""
    if not isinstance(given, str) or given.isascii():
        return given
    return given.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _instant(given: object) -> float:
    if not isinstance(given, str):
        raise ValueError("a time is written in ISO 8601, as in 2026-01-02T03:04:05Z")
    try:
        moment = datetime.fromisoformat(given)
        # Without an offset it is UTC, as all times of the API are.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError("a time is written in ISO 8601, as in 2026-01-02T03:04:05Z") from None


def one_of(names: Iterable[str]) -> tuple[AfterValidator, WithJsonSchema]:
    """The annotations of a text that is one of `names`."""
    allowed = sorted(names)

    def check(value: str) -> str:
        if value not in allowed:
            raise ValueError(f"one of {', '.join(allowed)} is asked for")
        return value

    return AfterValidator(check), WithJsonSchema({"type": "string", "enum": allowed})


_TIME_SCHEMA = WithJsonSchema({"type": "string", "format": "date-time"})
# A folded or NUL character has no place in a name, and PostgreSQL refuses the latter.
_PRINTABLE = r"^[^\x00-\x1f\x7f]*$"

IsoTime = Annotated[float, PlainSerializer(iso_time, return_type=str), _TIME_SCHEMA]
Instant = Annotated[float, BeforeValidator(_instant), _TIME_SCHEMA]
Shown = Annotated[str, BeforeValidator(_printable)]
RowId = Annotated[int, Field(ge=1, le=MAX_ID)]
Text = Annotated[str, StringConstraints(max_length=255, pattern=_PRINTABLE)]
# The user part of a SIP URI that needs no escaping (RFC 3261 19.1.1); a colon would end the username in a digest.
Login = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=NAME_PATTERN)]
# What somebody may dial: a name, a number or a feature code; "" for nothing.
Dialled = Annotated[str, StringConstraints(max_length=64, pattern=r"^[0-9A-Za-z_+*#][0-9A-Za-z._+*#\-]*$|^$")]
RingSeconds = Annotated[int, Field(ge=0, le=600)]
MailAddress = Annotated[
    str, StringConstraints(max_length=254, pattern=r"^([^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+)?$")
]
Password = Annotated[str, StringConstraints(min_length=SHORTEST_PASSWORD, max_length=1024)]


class ListQuery(BaseModel):
    """The query of a list; the fields that a subclass adds are filters, but for `sort` and `order`."""

    model_config = ConfigDict(extra="forbid")
    page: int = Field(1, ge=1, le=10_000_000)
    per_page: int = Field(20, ge=1, le=100)
    order: Literal["asc", "desc"] = "asc"

    @property
    def offset(self) -> int:
        """How many rows stand before the page."""
        return (self.page - 1) * self.per_page

    @property
    def is_descending(self) -> bool:
        """Whether the largest comes first."""
        return self.order == "desc"

    def filters(self) -> dict[str, object]:
        """The filters that were given."""
        given = self.model_dump(exclude={"page", "per_page", "sort", "order"}, exclude_none=True)
        return cast("dict[str, object]", given)
