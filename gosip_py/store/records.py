"""What a row holds, as frozen values.

Times are epoch seconds (float). Text that stands for a secret never shows in a repr. The field names are the column
names: a repository builds a record with `Record(**row)` and nothing in between. Words that thousands of rows share are
kept once.
"""

from __future__ import annotations

from hashlib import blake2b
from sys import intern
from typing import Generic, TypeVar

import attrs
from attrs import field
from attrs.validators import in_

T = TypeVar("T")

ROLES = ("admin", "user")
CALL_SCHEMAS = ("proxy", "redirect", "b2bua")
SESSION_STATES = ("early", "active", "terminated")
DIRECTIONS = ("inbound", "outbound", "internal")
STRATEGIES = ("simultaneous", "sequential", "round_robin", "longest_idle")
RESULTS = ("answered", "rejected", "cancelled", "no_answer", "failed", "redirected", "voicemail", "blocked")


@attrs.frozen
class User:
    """A person: signs in to the page, owns devices, has an address of record.

    The `forward_*` are what would be dialled, "" for nowhere. `ring_seconds` is how long the phones ring before
    `forward_no_answer`; 0 leaves it to the server.
    """

    id: int
    login: str
    email: str
    display_name: str
    role: str = field(converter=intern, validator=in_(ROLES))
    enabled: bool = field(converter=bool)
    call_schema: str = field(converter=intern, validator=in_(CALL_SCHEMAS))
    dnd: bool = field(converter=bool)
    password_hash: str = field(repr=False)
    created_at: float
    updated_at: float
    forward_always: str = field(default="", converter=intern)
    forward_busy: str = field(default="", converter=intern)
    forward_no_answer: str = field(default="", converter=intern)
    ring_seconds: int = 0


@attrs.frozen
class Device:
    """A phone and its SIP credentials: HA1 for each algorithm, stored with the realm it was made for."""

    id: int
    user_id: int
    name: str
    username: str
    type: str = field(converter=intern)
    enabled: bool = field(converter=bool)
    recording_enabled: bool = field(converter=bool)
    realm: str = field(converter=intern)
    ha1_md5: str = field(repr=False)
    ha1_sha256: str = field(repr=False)
    created_at: float
    updated_at: float


@attrs.frozen
class GroupMember:
    """Who rings in a group: a person with all phones, or one device; exactly one of the two."""

    user_id: int | None = None
    device_id: int | None = None

    @property
    def key(self) -> str:
        """What its statistics are kept under: "user:7" or "device:7"."""
        return f"user:{self.user_id}" if self.user_id is not None else f"device:{self.device_id}"


@attrs.frozen
class RingGroup:
    """A number that rings several people, in the order of `members`.

    `ring_seconds` is how long each stage rings, 0 as long as the server says; `fallback` is what is dialled when nobody
    answers, "" for nothing. With `skip_busy`, who is in a call is not rung.
    """

    id: int
    number: str
    name: str
    strategy: str = field(converter=intern, validator=in_(STRATEGIES))
    ring_seconds: int
    fallback: str
    skip_busy: bool = field(converter=bool)
    created_at: float
    updated_at: float
    members: tuple[GroupMember, ...] = ()


@attrs.frozen
class GroupStatistics:
    """What is counted of a member of a group (`GroupMember.key`), or with "" as `member` of the group itself.

    A call is offered once, however often it rings the same member.
    """

    group_id: int
    member: str = ""
    offered: int = 0
    answered: int = 0
    missed: int = 0
    talk_seconds: float = 0.0
    last_answered_at: float | None = None


@attrs.frozen
class FeatureCode:
    """A feature code that was changed: what is dialled for `feature`, and whether that does anything."""

    feature: str
    code: str
    enabled: bool = field(converter=bool)
    updated_at: float


@attrs.frozen
class CallLadder:
    """The SIP messages of one call, compressed; `id` is that of its row in the journal."""

    id: str
    ended_at: float
    ladder: bytes = field(converter=bytes, repr=False)


@attrs.frozen
class BindingKey:
    """What names a binding; written on its own it means that the binding is gone."""

    aor: str
    contact: str
    flow: str = ""


@attrs.frozen
class Binding:
    """One contact of an address of record (RFC 3261 10.3).

    `q` is in thousandths, `source` and `local` are "address:port" texts, `path` is the Path header field value (RFC
    3327) or "". `flow` names one flow of a phone among the others of the address of record (RFC 5626 6) and is "" for a
    binding by the contact alone; `gruu` tells which temporary GRUUs of the phone are valid (RFC 5627 5.1).
    """

    aor: str
    contact: str
    call_id: str
    cseq: int
    q: int
    expires_at: float
    registered_at: float
    transport: str
    source: str
    local: str
    path: str = ""
    user_agent: str = ""
    instance: str = ""
    reg_id: int | None = None
    device_id: int | None = None
    flow: str = ""
    gruu: str = ""
    refreshed_at: float = 0.0

    @property
    def key(self) -> BindingKey:
        """The primary key."""
        return BindingKey(self.aor, self.contact, self.flow)

    @property
    def id(self) -> str:
        """What names it to whoever watches registrations: the same for as long as it is refreshed (RFC 3680 5.2)."""
        text = f"{self.aor}\n{self.contact}\n{self.flow}\n{self.registered_at}"
        return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()


@attrs.frozen
class CallRow:
    """One call in the journal; open while `end_at` is None.

    `id` is made by the writer and sorts by time. `ring_ms` and `talk_ms` are milliseconds. `node` names the server that
    owns the call, so that a restarting server closes its own half-open rows and nobody else's. `history` is a JSON list
    of what happened on the way (at, kind, by, target, result, call_id), `linked_to` one of the ids of other rows.
    """

    id: str
    call_id: str
    direction: str = field(validator=in_(DIRECTIONS))
    invite_at: float
    init_branch: str = ""
    from_tag: str = ""
    to_tag: str = ""
    caller_user: str = ""
    callee_user: str = ""
    caller_uri: str = ""
    callee_uri: str = ""
    did_id: int | None = None
    device_id: int | None = None
    first_18x_at: float | None = None
    answer_at: float | None = None
    end_at: float | None = None
    result: str | None = None
    final_code: int | None = None
    final_reason: str = ""
    ring_ms: int | None = None
    talk_ms: int | None = None
    ended_by: str | None = None
    rule: str = ""
    spam_score: float | None = None
    recording_id: str | None = None
    node: str = ""
    history: str = "[]"
    linked_to: str = "[]"


@attrs.frozen
class CallStats:
    """Sums over a part of the journal; the means are None when there is nothing to average."""

    total: int
    open: int
    by_result: dict[str, int]
    by_direction: dict[str, int]
    talk_ms: int
    mean_ring_ms: float | None
    mean_talk_ms: float | None


@attrs.frozen
class SessionRow:
    """A SIP dialog the server tracks (RFC 3261 12); `route_set` is a JSON list of Route values, in the order of use."""

    id: str
    call_id: str
    from_tag: str
    to_tag: str
    state: str = field(validator=in_(SESSION_STATES))
    caller_uri: str
    callee_uri: str
    created_at: float
    remote_target: str = ""
    route_set: str = "[]"
    answered_at: float | None = None
    ended_at: float | None = None
    ended_by: str | None = None
    session_expires: int | None = None
    refresher: str | None = None
    node: str = ""


@attrs.frozen
class OfflineMessage:
    """A MESSAGE that waits for somebody who is away.

    It is addressed to the person, or to one device. `request` holds its octets as they will be sent, but for what each
    hop puts on; `sender` is the URI of From.
    """

    id: int
    user_id: int
    device_id: int | None
    sender: str
    received_at: float
    expires_at: float
    request: bytes = field(converter=bytes, repr=False)


@attrs.frozen
class MessageQueue:
    """How many messages wait for a person, or for one device."""

    user_id: int
    device_id: int | None
    messages: int


@attrs.frozen
class ApiToken:
    """A bearer token of a user; only its hash is kept. Without `scopes` it may do all that its user may."""

    id: int
    user_id: int
    name: str
    token_hash: str = field(repr=False)
    scopes: tuple[str, ...]
    expires_at: float | None
    created_at: float
    last_used_at: float | None


@attrs.frozen
class WebSession:
    """A signed-in browser; only the hash of its cookie is kept."""

    token_hash: str = field(repr=False)
    user_id: int
    created_at: float
    expires_at: float
    address: str
    user_agent: str


@attrs.frozen
class Page(Generic[T]):
    """Some rows of a list, and how many there are in all."""

    rows: tuple[T, ...]
    total: int
