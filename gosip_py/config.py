"""Settings: one TOML file, environment variables over it, frozen values out.

Only tap, service and the command line read this; every other room is handed the values that it uses. An unknown key or
a bad value is refused with the path of the key, before anything is opened.
"""

from __future__ import annotations

import ipaddress
import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

__all__ = ["BadSettings", "Settings", "load", "parse_listen"]

ENVIRONMENT_PREFIX = "GOSIP_"
# Variables that start with the prefix but are no option: read where they are used.
RESERVED = frozenset(("GOSIP_ADMIN_EMAIL", "GOSIP_ADMIN_PASSWORD", "GOSIP_TEST_REQUIRE"))


class BadSettings(ValueError):
    """The settings cannot be used; the text has one line for each thing that is wrong, with the path of its key."""


def parse_listen(text: str) -> tuple[str, int]:
    """``host:port`` or ``[v6]:port`` with a numeric host as (host without brackets, port)."""
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        raise ValueError(
            "an address:port with a numeric address is asked for, as in 0.0.0.0:5060 or [::]:5060"
        ) from None
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError("the port is a number from 0 to 65535")
    if (address.version == 6) != host.startswith("["):
        raise ValueError("an IPv6 address stands in brackets")
    return str(address), int(port)


def _checked_listen(text: str) -> str:
    parse_listen(text)
    return text


def _checked_network(text: str) -> str:
    return str(ipaddress.ip_network(text, strict=False))


def _checked_address(text: str) -> str:
    return text and str(ipaddress.ip_address(text))


Listen = Annotated[str, AfterValidator(_checked_listen)]
Network = Annotated[str, AfterValidator(_checked_network)]
NumericAddress = Annotated[str, AfterValidator(_checked_address)]
E164 = Annotated[str, Field(pattern=r"^(\+[1-9][0-9]{5,14})?$")]
Digits = Annotated[str, Field(pattern=r"^[0-9]{2,15}$")]
Seconds = Annotated[float, Field(gt=0, le=604800)]


class Section(BaseModel):
    """One table of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class Sip(Section):
    domain: str = Field(default="", max_length=253, pattern=r"^[A-Za-z0-9.\-]*$")
    udp: tuple[Listen, ...] = ("0.0.0.0:5060",)
    tcp: tuple[Listen, ...] = ("0.0.0.0:5060",)
    tls: tuple[Listen, ...] = ("0.0.0.0:5061",)
    ws: tuple[Listen, ...] = ()
    wss: tuple[Listen, ...] = ()
    ws_origins: tuple[str, ...] = ()
    advertised_address: NumericAddress = ""
    local_networks: tuple[Network, ...] = (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "127.0.0.0/8",
        "fc00::/7",
        "fe80::/10",
        "::1/128",
    )
    timer_t1: Seconds = 0.5
    timer_t2: Seconds = 4.0
    timer_t4: Seconds = 5.0
    timer_c: Seconds = 181.0
    ring_seconds: Seconds = 30.0
    dns_servers: tuple[Listen, ...] = ()
    tls_certificate: str = ""
    tls_private_key: str = ""
    tls_verify_peer: bool = True
    tls_allow_wildcards: bool = False
    tls_certificates: tuple[tuple[str, str], ...] = ()
    tls_client_ca: str = ""
    tls_client_required: bool = False

    @model_validator(mode="after")
    def _certificate_has_its_key(self) -> Sip:
        if bool(self.tls_certificate) != bool(self.tls_private_key):
            raise ValueError("tls_certificate and tls_private_key go together")
        return self


class Auth(Section):
    realm: str = Field(default="gosip", min_length=1, max_length=128, pattern=r'^[^"\\\x00-\x1f]*$')
    nonce_seconds: int = Field(default=300, ge=1, le=86400)
    algorithms: tuple[Literal["SHA-256", "MD5"], ...] = Field(default=("SHA-256", "MD5"), min_length=1)
    trusted_networks: tuple[Network, ...] = ()


class Registrar(Section):
    default_expires: int = Field(default=1800, ge=1, le=604800)
    min: int = Field(default=60, ge=1, le=604800)
    max: int = Field(default=7200, ge=1, le=604800)
    max_contacts: int = Field(default=10, ge=1, le=1000)
    flow_timer: int = Field(default=120, ge=0, le=86400)
    service_route: tuple[str, ...] = ()
    keepalive: Literal["crlf", "options", "off"] = "crlf"
    keepalive_seconds: Seconds = 25.0

    @model_validator(mode="after")
    def _rising(self) -> Registrar:
        if not self.min <= self.default_expires <= self.max:
            raise ValueError("min <= default_expires <= max does not hold")
        return self


class SessionTimers(Section):
    mode: Literal["off", "accept", "require"] = "accept"
    min_se: int = Field(default=90, ge=1, le=86400)
    session_expires: int = Field(default=1800, ge=1, le=604800)
    max_se: int = Field(default=7200, ge=1, le=604800)

    @model_validator(mode="after")
    def _rising(self) -> SessionTimers:
        if not self.min_se <= self.session_expires <= self.max_se:
            raise ValueError("min_se <= session_expires <= max_se does not hold")
        return self


class Trunk(Section):
    uri: str = Field(default="", pattern=r"^(sips?:[^@\s]+)?$")
    username: str = ""
    password: str = Field(default="", repr=False)
    caller_id: E164 = ""
    from_domain: str = ""
    passes_caller_id: bool = False
    calls_per_second: float = Field(default=1.0, ge=0, le=1000)
    max_calls: int = Field(default=0, ge=0)


class Emergency(Section):
    numbers: tuple[Digits, ...] = ("112", "911")
    caller_id: E164 = ""
    locations: tuple[tuple[Network, E164], ...] = ()


class DialPlan(Section):
    country_code: str = Field(default="", pattern=r"^([1-9][0-9]{0,2})?$")
    international_prefix: str = Field(default="00", pattern=r"^[0-9]*$")
    national_prefix: str = Field(default="", pattern=r"^[0-9]*$")


class Parking(Section):
    first_orbit: int = Field(default=701, ge=1, le=10**9)
    last_orbit: int = Field(default=720, ge=1, le=10**9)
    timeout_seconds: Seconds = 90.0
    ring_seconds: Seconds = 30.0
    retries: int = Field(default=2, ge=0, le=100)

    @model_validator(mode="after")
    def _rising(self) -> Parking:
        if not self.first_orbit <= self.last_orbit < self.first_orbit + 1000:
            raise ValueError("first_orbit <= last_orbit < first_orbit + 1000 does not hold")
        return self


class Messages(Section):
    keep_days: float = Field(default=7.0, gt=0, le=365)


class Http(Section):
    listen: tuple[Listen, ...] = ("0.0.0.0:8080",)
    public_url: str = Field(default="", pattern=r"^(https?://[^/]+)?$")
    trusted_proxies: tuple[Network, ...] = ()


class Store(Section):
    url: str = Field(default="", pattern=r"^(sqlite:///.+|postgres(ql)?://.+)?$", repr=False)
    journal_days: int = Field(default=365, ge=1, le=36500)
    session_days: int = Field(default=30, ge=1, le=36500)
    ladder_days: int = Field(default=14, ge=1, le=36500)


class Limits(Section):
    transactions: int = Field(default=200_000, ge=100)
    connections: int = Field(default=10_000, ge=1)
    connections_per_address: int = Field(default=200, ge=1)
    idle_seconds: Seconds = 3600.0
    call_seconds: Seconds = 43200.0
    drain_seconds: float = Field(default=10.0, ge=0, le=86400)
    calls_per_device: int = Field(default=10, ge=0)
    calls_per_account: int = Field(default=20, ge=0)
    ping_seconds: Seconds = 60.0


class Settings(Section):
    """Everything that can be set before the start."""

    sip: Sip = Sip()
    auth: Auth = Auth()
    registrar: Registrar = Registrar()
    session_timers: SessionTimers = SessionTimers()
    trunk: Trunk = Trunk()
    emergency: Emergency = Emergency()
    dialplan: DialPlan = DialPlan()
    parking: Parking = Parking()
    messages: Messages = Messages()
    http: Http = Http()
    store: Store = Store()
    limits: Limits = Limits()


def load(path: Path | None, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of the file at ``path`` (None: defaults) with the environment over it.

    BadSettings when they cannot be used.
    """
    tree = _read(path) if path is not None else {}
    for name, value in sorted(environment.items()):
        if name.startswith(ENVIRONMENT_PREFIX) and name not in RESERVED:
            _overlay(tree, name, value)
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise BadSettings("\n".join(_explain(fault) for fault in error.errors())) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadSettings(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSettings(f"{path}: {error}") from None


def _overlay(tree: dict[str, Any], name: str, value: str) -> None:
    section, separator, option = name.removeprefix(ENVIRONMENT_PREFIX).lower().partition("__")
    if not separator or not option:
        raise BadSettings(f"{name}: an option's variable is GOSIP_SECTION__OPTION")
    table = tree.setdefault(section, {})
    if not isinstance(table, dict):
        raise BadSettings(f"{section}: a table is asked for")
    table[option] = _read_list(name, value) if _is_list(section, option) else value


def _is_list(section: str, option: str) -> bool:
    field = Settings.model_fields.get(section)
    declared = getattr(field.annotation, "model_fields", {}).get(option) if field is not None else None
    return declared is not None and isinstance(declared.default, tuple)


def _read_list(name: str, value: str) -> list[Any]:
    """A list is written as JSON or with commas."""
    if not value.lstrip().startswith("["):
        return [item.strip() for item in value.split(",") if item.strip()]
    try:
        items = json.loads(value)
    except ValueError:
        # an IPv6 listen address starts with a bracket too
        return [item.strip() for item in value.split(",") if item.strip()]
    if not isinstance(items, list):
        raise BadSettings(f"{name}: a list is asked for")
    return items


def _explain(fault: Any) -> str:
    path = ".".join(str(part) for part in fault["loc"]) or "settings"
    if fault["type"] == "extra_forbidden":
        return f"{path}: there is no such option"
    return f"{path}: {fault['msg'].removeprefix('Value error, ')}"
