"""Every knob: typed, its unit in its name, one sentence of why.

Read once at start: the environment (`CAPI_<SECTION>__<KEY>`) before the YAML file before the defaults.
Secrets are never settings: a setting names the file that holds one.
"""

import difflib
import os
import socket
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, get_args
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from consumer.errors import ConfigurationError

PREFIX = "CAPI_"
CONFIG_VARIABLE = "CAPI_CONFIG"
NOT_SETTINGS = frozenset({CONFIG_VARIABLE, "CAPI_CACHE_DIR", "CAPI_TEST_BOOTSTRAP", "CAPI_TEST_REGISTRY"})
INSTEAD_OF_EXTRA = {
    "bootstrap.servers": "kafka.bootstrap_servers",
    "metadata.broker.list": "kafka.bootstrap_servers",
    "group.protocol": "kafka.group_protocol",
    "group.instance.id": "instance_id",
    "transaction.timeout.ms": "kafka.transaction_timeout_s",
    "session.timeout.ms": "kafka.session_timeout_s",
    "queued.max.messages.kbytes": "kafka.queued_max_kbytes",
}
OWNED_BY_US = frozenset(
    {
        "acks",
        "auto.offset.reset",
        "default.topic.config",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.idempotence",
        "enable.partition.eof",
        "error_cb",
        "group.id",
        "group.remote.assignor",
        "heartbeat.interval.ms",
        "isolation.level",
        "log_cb",
        "logger",
        "oauth_cb",
        "on_commit",
        "on_delivery",
        "partition.assignment.strategy",
        "partitioner",
        "request.required.acks",
        "stats_cb",
        "throttle_cb",
        "transactional.id",
    }
)
"""Keys that promises rest on: setting them would break one, or do nothing. Those with `_` take functions."""


def safe_url(url: str) -> str:
    """Refuse plain http to anything but loopback: tokens and hashes would travel in the clear."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname or "")):
        return url
    host = parts.hostname or "the address"
    message = f"{host}: must begin with https:// (plain http:// is taken only for loopback addresses)"
    raise ValueError(message)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def as_text(start: object) -> object:
    """YAML makes a time of an unquoted RFC 3339 text; take it back."""
    return start.isoformat() if isinstance(start, date) else start


def start_point(text: str) -> str:
    """Check a start: `earliest`, `now` or an RFC 3339 time with its zone."""
    if text in {"earliest", "now"}:
        return text
    try:
        if datetime.fromisoformat(text).tzinfo is not None:
            return text
    except ValueError:
        pass
    message = f"{text!r} must be earliest, now or a time such as 2026-11-27T00:00:00Z"
    raise ValueError(message)


Url: TypeAlias = Annotated[str, AfterValidator(safe_url)]
Start: TypeAlias = Annotated[str, BeforeValidator(as_text), AfterValidator(start_point)]
Positive: TypeAlias = Annotated[int, Field(gt=0)]
EventName: TypeAlias = Literal["purchase", "refund", "begin_checkout", "add_payment_info"]
Name: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]


class Section(BaseModel):
    """A group of settings; a key that it doesn't know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class HttpSettings(Section):
    """Where health and metrics are served."""

    host: str = Field("127.0.0.1", description="Address to listen on; in a container 0.0.0.0.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")


class KafkaSettings(Section):
    """The cluster."""

    bootstrap_servers: str = Field(
        "127.0.0.1:9092", description="Brokers to ask first, host:port, comma-separated."
    )
    group_protocol: Literal["classic", "consumer"] = Field(
        "classic", description="classic keeps a restarted member's partitions; consumer moves fewer of them."
    )
    transaction_timeout_s: Positive = Field(
        20, description="How long a dead process's open transaction may hold readers back."
    )
    session_timeout_s: Positive = Field(45, description="How long a silent member keeps its partitions.")
    queued_max_kbytes: Positive = Field(16384, description="Prefetch of each consumer: bounds memory.")
    extra: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="Passed to librdkafka as it is: SASL, TLS."
    )

    @field_validator("extra")
    @classmethod
    def _not_owned(cls, extra: dict[str, str | int | float | bool]) -> dict[str, str | int | float | bool]:
        for key in extra:
            if (setting := INSTEAD_OF_EXTRA.get(key)) is not None:
                raise ValueError(f"{key} does not belong here; {setting} sets it")
            if key in OWNED_BY_US:
                raise ValueError(f"{key} is set by the product itself; leave it out")
        return extra


class RegistrySettings(Section):
    """The schema registry."""

    url: Url = Field("http://127.0.0.1:8081", description="Address of the Confluent-compatible API.")
    cache_dir: Path = Field(
        Path(".capi/schemas"), description="Schemas seen, on disk, so that a restart needs no registry."
    )
    timeout_s: Positive = Field(5, description="How long one request may take.")


class TopicSettings(Section):
    """Names of topics."""

    prefix: Name = Field(
        "capi", description="Begins the name of every topic, group and transactional id of ours."
    )
    orders: str = Field("orders", description="The shop's topic of orders.")
    checkouts: str = Field("checkouts", description="The shop's topic of checkouts.")
    orders_keyed_by_checkout: bool = Field(
        default=True,
        description="False if the key of orders is another: then capi.orders-by-checkout is read.",
    )

    @property
    def orders_by_checkout(self) -> str:
        """Where rekey writes orders that are not keyed by checkout id."""
        return f"{self.prefix}.orders-by-checkout"


class StateSettings(Section):
    """What enrich remembers."""

    dir: Path = Field(Path(".capi/state"), description="Folder of the stores; one process at a time.")
    dedupe_window_s: Positive = Field(604_800, description="An event id counts once within this stream time.")
    context_ttl_s: Positive = Field(
        604_800, description="How long a checkout's context is kept, in stream time."
    )


class JoinSettings(Section):
    """How an order meets its checkout."""

    wait_s: Positive = Field(60, description="How long an order waits for its checkout, in stream time.")
    waiting_max_orders: Positive = Field(
        100_000, description="Orders waiting in one partition; a full waiting room pauses it."
    )


class GateSettings(Section):
    """What counts as bought."""

    purchase_states: frozenset[str] = Field(
        frozenset({"PAID"}), description="States of an order in which a purchase counts."
    )
    cancelled_states: frozenset[str] = Field(
        frozenset({"CANCELLED"}),
        description="States in which a paid order was taken back: what isn't refunded yet is refunded.",
    )


class ConsentSettings(Section):
    """What silence means."""

    when_missing: Literal["deny", "allow"] = Field(
        "deny", description="What holds where nobody said anything."
    )


class Destination(Section):
    """A platform plus an account."""

    name: Name = Field(description="Yours to choose; names the consumer group and the metrics.")
    platform: str = Field(description="meta, google, ga4, tiktok, …: the README's table has all.")
    account: str = Field(description="The pixel, dataset or account id at the platform.")
    token_file: Path = Field(description="File with the token or key; polled, so a new one needs no restart.")
    base_url: Url | None = Field(
        None, description="Another address than the platform's own: a proxy or emulator."
    )
    events: frozenset[EventName] = Field(
        frozenset(get_args(EventName)), description="Events that this destination wants."
    )
    actions: dict[EventName, str] = Field(
        default_factory=dict,
        description="Event to its id at a platform that wants one: a conversion action, a rule, a tag.",
    )
    options: dict[str, str] = Field(
        default_factory=dict,
        description="What else the platform must know, by the names in the README's table.",
    )
    when: str = Field(
        "", description="Only conversions for which this holds, in CEL, such as currency in ['EUR']."
    )
    value: Literal["grand_total", "without_tax_and_shipping"] = Field(
        "grand_total", description="What the platform is told that an order is worth."
    )
    start: Start | None = Field(
        None, description="Where it starts the first time; the top-level start if absent."
    )
    batch_max_events: Positive | None = Field(
        None, description="Events in a request, at most; the platform's advice, mostly 100, if absent."
    )
    linger_ms: int | None = Field(
        None, ge=0, description="How long a batch waits for more events; the platform's advice if absent."
    )
    concurrency_max_requests: Positive = Field(8, description="Requests under way at once, at most.")
    incomplete: Literal["letter", "skip"] = Field(
        "letter",
        description="What lacks something that the platform demands, such as any identifier: a letter, or skipped.",
    )
    later_after_s: Positive = Field(
        900, description="How long a delivery that is put aside lies in the topic `later` before it is tried."
    )
    refund_after_s: int | None = Field(
        None, ge=0, description="How long a refund keeps behind its purchase; the platform's rule if absent."
    )
    diagnose_after_s: Positive | None = Field(
        None,
        description="How long after it was accepted a request is asked about; the platform's rule if absent.",
    )
    request_timeout_s: Positive = Field(10, description="How long one request may take.")
    unknown: Literal["resend", "letter"] = Field(
        "resend",
        description="After a time-out or a crash, where the platform does not dedupe: send again or write a letter.",
    )
    test_event_code: str = Field(
        "", description="Shows events in the platform's test view; they still count."
    )


class LedgerSettings(Section):
    """What became of each order, kept to be asked for."""

    enabled: bool = Field(default=False, description="Whether `capi run` without a role runs it, too.")
    dir: Path = Field(Path(".capi/ledger"), description="Folder of its file; one process at a time.")
    retention_days: Positive = Field(
        30, description="How long it remembers, in stream time; no longer than the topics keep receipts."
    )
    memory_max_mb: Positive = Field(512, description="What its database may take of memory.")
    judge_every_s: Positive = Field(15, description="How often it is checked that no delivery is missing.")


class TelemetrySettings(Section):
    """What is exported, beside /metrics."""

    otlp_endpoint: str = Field("", description="OTLP over HTTP; empty exports nothing.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level logged.")


def _instance_id() -> str:
    return socket.gethostname()


class Settings(BaseSettings):
    """All of it."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    instance_id: Name = Field(
        default_factory=_instance_id,
        description="Stable across restarts: keeps partitions and fences a twin.",
    )
    mapping: Path | None = Field(None, description="Takes the shop's own schemas onto Order and Checkout.")
    drain_timeout_s: Positive = Field(60, description="How long a stop may take.")
    http: HttpSettings = HttpSettings()
    kafka: KafkaSettings = KafkaSettings()
    registry: RegistrySettings = RegistrySettings()
    topics: TopicSettings = TopicSettings()
    state: StateSettings = StateSettings()
    join: JoinSettings = JoinSettings()
    gate: GateSettings = GateSettings()
    consent: ConsentSettings = ConsentSettings()
    ledger: LedgerSettings = LedgerSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    start: Start = Field("earliest", description="Where a group without offsets starts: once, recorded.")
    destinations: tuple[Destination, ...] = Field((), description="Where conversions go.")

    @field_validator("destinations")
    @classmethod
    def _distinct(cls, destinations: tuple[Destination, ...]) -> tuple[Destination, ...]:
        names = [destination.name for destination in destinations]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            message = f"two destinations are named {twice[0]}; names must differ"
            raise ValueError(message)
        return destinations

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over file; nothing else."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings


def load(path: Path | None) -> Settings:
    """Read the settings from `path` (or `CAPI_CONFIG`) and the environment.

    Raises ConfigurationError, with the nearest known key for an unknown one.
    """
    named = path or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    _check_environment(os.environ)
    values = _read(named) if named else {}
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise ConfigurationError("\n".join(_sentences(error))) from None


def _read(path: Path) -> dict[str, object]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"{path}: {error.strerror}; name a readable file with --config or {CONFIG_VARIABLE}"
        raise ConfigurationError(message) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not YAML{_line(error)}") from None
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        message = f"{path} must be a mapping of settings, each with its name"
        raise ConfigurationError(message)
    return values


def _line(error: Exception) -> str:
    """Where the trouble is, without the text around it: credentials may stand there."""
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    return f": look at line {mark.line + 1}" if mark is not None else ""


def _check_environment(environment: Mapping[str, str]) -> None:
    """Refuse a CAPI_ variable that sets nothing: pydantic-settings would pass over it."""
    known = set(_paths(Settings))
    for variable in environment:
        if not variable.upper().startswith(PREFIX) or variable in NOT_SETTINGS:
            continue
        path = variable[len(PREFIX) :].lower().replace("__", ".")
        if path not in known and not path.startswith(("kafka.extra.", "destinations.")):
            message = f"{variable} sets nothing{_nearest(path, known, as_variable=True)}"
            raise ConfigurationError(message)


def _paths(model: type[BaseModel], within: str = "") -> Iterable[str]:
    for name, field in model.model_fields.items():
        yield within + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _paths(field.annotation, f"{within}{name}.")


def _sentences(error: ValidationError) -> Iterable[str]:
    known = {*_paths(Settings), *(f"destinations.{name}" for name in Destination.model_fields)}
    for detail in error.errors(include_input=False, include_url=False):
        path = ".".join(str(part) for part in detail["loc"]) or "the environment, which must hold JSON here"
        if detail["type"] == "extra_forbidden":
            plain = ".".join(str(part) for part in detail["loc"] if not isinstance(part, int))
            yield f"unknown setting {path}{_nearest(plain, known)}"
        else:
            yield f"{path}: {detail['msg'].removeprefix('Value error, ')}"


def _nearest(path: str, known: Iterable[str], *, as_variable: bool = False) -> str:
    found = difflib.get_close_matches(path, sorted(known), n=1, cutoff=0.5)
    if not found:
        return ""
    nearest = PREFIX + found[0].upper().replace(".", "__") if as_variable else found[0]
    return f"; did you mean {nearest}?"
