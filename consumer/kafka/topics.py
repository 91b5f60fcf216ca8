"""The topics that are ours: what they must be, how far the cluster is from it, and closing the gap.

Partition counts are fixed for life where keys matter: another count would send a key elsewhere. So nothing
here ever shrinks a topic, and only topics that nobody reads by key grow.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeAlias

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewPartitions, NewTopic
from msgspec import Struct

from consumer.errors import ConfigurationError, Unreachable
from consumer.kafka import clients
from consumer.kafka.errors import unavailable
from consumer.settings import KafkaSettings, Settings

ASK_TIMEOUT_S = 20.0
SEEN_EVERY_S = 0.05
PARTITIONS = 6
"""Enough for a laptop. A production cluster does well with 48: the count is fixed for life, processes are not."""
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
LETTER_MAX_BYTES = 8 * 1024 * 1024
"""Larger than what the shop's topics usually take, so that its records stay whole, also in a letter."""
AT_LEAST = frozenset({"retention.ms", "delete.retention.ms", "max.message.bytes"})
"""Settings of which more is as good: an operator's larger value is left alone."""


class TopicSpec(Struct, frozen=True):
    """What a topic must be. `grows` if more partitions do no harm to it."""

    name: str
    partitions: int
    config: Mapping[str, str]
    grows: bool = False


class Found(Struct, frozen=True):
    """What a topic is."""

    partitions: int
    config: Mapping[str, str]


class Create(Struct, frozen=True):
    """The topic is missing."""

    spec: TopicSpec

    def __str__(self) -> str:
        return f"create {self.spec.name}: {self.spec.partitions} partitions, {_listed(self.spec.config)}"


class Grow(Struct, frozen=True):
    """The topic has too few partitions, and more do no harm."""

    name: str
    found: int
    partitions: int

    def __str__(self) -> str:
        return f"grow {self.name}: {self.found} partitions to {self.partitions}"


class Alter(Struct, frozen=True):
    """Some of the topic's settings differ."""

    name: str
    found: Mapping[str, str]
    config: Mapping[str, str]

    def __str__(self) -> str:
        changes = (f"{key} {self.found[key] or 'none'} to {value}" for key, value in self.config.items())
        return f"alter {self.name}: {', '.join(changes)}"


class Refuse(Struct, frozen=True):
    """The topic has another number of partitions, and keys would move."""

    name: str
    found: int
    partitions: int

    def __str__(self) -> str:
        return (
            f"refuse {self.name}: it has {self.found} partitions, not {self.partitions}: keys would move; "
            f"ask for --partitions {self.found}, or choose another topics.prefix"
        )


Change: TypeAlias = Create | Grow | Alter | Refuse


def specs(settings: Settings, partitions: int, *, shop: bool = False) -> list[TopicSpec]:
    """All topics that these settings need; with `shop`, the shop's own two as well."""
    prefix = settings.topics.prefix
    window_s = max(settings.state.dedupe_window_s, settings.state.context_ttl_s, settings.join.wait_s)
    appended = {"message.timestamp.type": "LogAppendTime"}
    state = {
        "cleanup.policy": "compact,delete",
        **appended,
        "retention.ms": str(2 * window_s * 1000),
        "delete.retention.ms": str(7 * DAY_MS),
        "max.compaction.lag.ms": str(DAY_MS),
        "segment.bytes": str(64 * 1024 * 1024),
        "segment.ms": str(6 * HOUR_MS),
    }
    large = {"max.message.bytes": str(LETTER_MAX_BYTES)}
    letters = {**_kept(14), **appended, **large}
    platforms = sorted({destination.platform for destination in settings.destinations})
    # By the broker's clock: a backlog of older orders would be deleted before it was read.
    by_checkout = {**_kept(1), **appended, "max.message.bytes": str(LETTER_MAX_BYTES)}
    rekeyed = [] if settings.topics.orders_keyed_by_checkout else [settings.topics.orders_by_checkout]
    ours = [
        *(TopicSpec(name, partitions, by_checkout) for name in rekeyed),
        TopicSpec(f"{prefix}.state", partitions, state),
        TopicSpec(f"{prefix}.ingest-replay", partitions, {**_kept(7), **large}),
        TopicSpec(f"{prefix}.conversions", partitions, _kept(30)),
        TopicSpec(f"{prefix}.endings", partitions, _kept(30), grows=True),
        TopicSpec(f"{prefix}.later", partitions, {**_kept(30), **appended, **large}),
        TopicSpec(f"{prefix}.replay", partitions, {**_kept(7), **large}),
        TopicSpec(f"{prefix}.receipts", partitions, _kept(30), grows=True),
        TopicSpec(f"{prefix}.control", 1, {"cleanup.policy": "compact"}),
        TopicSpec(f"{prefix}.audit", 1, {**_kept(90), **appended}, grows=True),
        *(TopicSpec(f"{prefix}.dlq.{of}", 1, letters, grows=True) for of in ("ingest", *platforms)),
    ]
    theirs = [TopicSpec(name, partitions, {}) for name in (settings.topics.orders, settings.topics.checkouts)]
    return [*theirs, *ours] if shop else ours


def changes(wanted: Iterable[TopicSpec], found: Mapping[str, Found]) -> list[Change]:
    """What separates the cluster from what is wanted; nothing if all is well."""
    return [change for spec in wanted for change in _changes(spec, found.get(spec.name))]


def _changes(spec: TopicSpec, found: Found | None) -> Iterable[Change]:
    if found is None:
        yield Create(spec)
        return
    if found.partitions < spec.partitions and spec.grows:
        yield Grow(spec.name, found.partitions, spec.partitions)
    elif found.partitions != spec.partitions and not (spec.grows and found.partitions > spec.partitions):
        yield Refuse(spec.name, found.partitions, spec.partitions)
    has = {key: found.config.get(key, "") for key in spec.config}
    differing = {key: value for key, value in spec.config.items() if not _suffices(key, has[key], value)}
    if differing:
        yield Alter(spec.name, {key: has[key] for key in differing}, differing)


def _suffices(key: str, has: str, wanted: str) -> bool:
    """Say if a setting will do as it is.

    >>> _suffices("retention.ms", "-1", "1000"), _suffices("retention.ms", "900", "1000")
    (True, False)
    >>> _suffices("cleanup.policy", "delete,compact", "compact,delete")
    True
    """
    if key in AT_LEAST and has.lstrip("-").isdigit():
        return int(has) == -1 or int(has) >= int(wanted)
    return set(has.split(",")) == set(wanted.split(","))


class Topics:
    """The cluster's topics, asked for and changed."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._admin = AdminClient(clients.common(kafka, "capi-topics"), logger=clients.LOG)

    def found(self, names: Iterable[str]) -> dict[str, Found]:
        """Those of the names that exist. Raises Unreachable, Refused."""
        try:
            known = self._admin.list_topics(timeout=ASK_TIMEOUT_S).topics
            there = [name for name in names if name in known]
            resources = [ConfigResource(ResourceType.TOPIC, name) for name in there]
            asked = self._admin.describe_configs(resources, request_timeout=ASK_TIMEOUT_S) if there else {}
            configs = {resource.name: future.result() for resource, future in asked.items()}
        except KafkaException as error:
            raise unavailable("asking for topics", error) from None
        return {
            name: Found(
                len(known[name].partitions), {key: str(entry.value) for key, entry in configs[name].items()}
            )
            for name in there
        }

    def beginning_with(self, start: str) -> list[str]:
        """The names of all topics that begin so, in order. Raises Unreachable, Refused."""
        try:
            known = self._admin.list_topics(timeout=ASK_TIMEOUT_S).topics
        except KafkaException as error:
            raise unavailable("asking for topics", error) from None
        return sorted(name for name in known if name.startswith(start))

    def plan(self, wanted: Sequence[TopicSpec]) -> list[Change]:
        """What `apply` would do. Raises Unreachable, Refused."""
        return changes(wanted, self.found(spec.name for spec in wanted))

    def apply(self, wanted: Sequence[TopicSpec], replication_factor: int) -> list[Change]:
        """Do what the plan says; -1 takes the cluster's own replication factor. What was done.

        Raises ConfigurationError if anything is refused, before anything is changed; Unreachable, Refused.
        """
        planned = self.plan(wanted)
        if refused := [change for change in planned if isinstance(change, Refuse)]:
            raise ConfigurationError("\n".join(str(change) for change in refused))
        try:
            for change in planned:
                self._do(change, replication_factor)
        except KafkaException as error:
            raise unavailable("changing topics", error) from None
        if planned:
            self._await_seen(wanted)
        return planned

    def _await_seen(self, wanted: Sequence[TopicSpec]) -> None:
        """A broker tells of a change a moment after it was made; whoever starts right now must find the topics."""
        deadline_s = time.monotonic() + ASK_TIMEOUT_S
        while left := self.plan(wanted):
            if time.monotonic() > deadline_s:
                message = (
                    f"the cluster took the changes, and does not show them: {left[0]}; look at its controller"
                )
                raise Unreachable(message)
            time.sleep(SEEN_EVERY_S)

    def _do(self, change: Change, replication_factor: int) -> None:
        match change:
            case Create(spec):
                new = NewTopic(
                    spec.name,
                    spec.partitions,
                    replication_factor=replication_factor,
                    config=dict(spec.config),
                )
                _await(self._admin.create_topics([new]))
            case Grow(name, _, partitions):
                _await(self._admin.create_partitions([NewPartitions(name, partitions)]))
            case Alter(name, _, config):
                entries = [
                    ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
                    for key, value in config.items()
                ]
                resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
                _await(self._admin.incremental_alter_configs([resource]))
            case Refuse():
                raise ConfigurationError(str(change))


def partitions_of(kafka: KafkaSettings, topic: str) -> int | None:
    """How many partitions a topic has; None if it doesn't exist. Raises Unreachable, Refused."""
    found = Topics(kafka).found([topic]).get(topic)
    return found.partitions if found else None


def _await(asked: Mapping[Any, Future[Any]]) -> None:
    for future in asked.values():
        future.result(ASK_TIMEOUT_S)


def _kept(days: int) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(days * DAY_MS)}


def _listed(config: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in config.items()) or "the cluster's own settings"
