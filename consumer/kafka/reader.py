"""Reading from Kafka: one thread owns a `Reader`, and offsets are committed by whoever knows that they are settled."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as KafkaPartition
from msgspec import Struct

from consumer.errors import CapiError, ConfigurationError, Fenced, Refused
from consumer.kafka import clients
from consumer.kafka.errors import (
    FATAL,
    MOVING,
    REFUSING,
    STALE,
    VANISHED,
    OffsetOutOfRange,
    StaleMember,
    cause_of,
    code_of,
    unavailable,
)
from consumer.model import Record, TopicPartition
from consumer.settings import KafkaSettings

ASK_TIMEOUT_S = 15.0
REOPEN_WAIT_S = 1.0
MOVING_WAIT_S = 0.1
_EOF = KafkaError._PARTITION_EOF  # noqa: SLF001 (librdkafka's local codes bear an underscore)

OnAssigned: TypeAlias = Callable[[list[TopicPartition]], Mapping[TopicPartition, int]]
OnGone: TypeAlias = Callable[[list[TopicPartition]], None]
OnCommitted: TypeAlias = Callable[[CapiError | None], object]
"""Told None, or why not: StaleMember if the group has moved on, Unreachable, Refused."""


class Batch(Struct, frozen=True):
    """What one poll gave: records in order per partition, and ends of partitions with the offset of each."""

    records: list[Record]
    ends: list[tuple[TopicPartition, int]]


class Committed(Struct, frozen=True):
    """A committed position: the next offset to read, and what was written beside it."""

    offset: int
    metadata: str = ""


class _Subscription(Struct, frozen=True):
    topics: list[str]
    on_assigned: OnAssigned
    on_revoked: OnGone
    on_lost: OnGone


class Reader:
    """A consumer that reads only what was committed, and commits nothing by itself."""

    def __init__(
        self,
        kafka: KafkaSettings,
        group: str,
        *,
        instance_id: str = "",
        assignor: str = "range",
        eof: bool = False,
        client_id: str = "",
    ) -> None:
        """`instance_id` makes a static member; `eof` reports the ends of partitions."""
        self._config = clients.reader(
            kafka, group, instance_id=instance_id, assignor=assignor, eof=eof, client_id=client_id or group
        )
        self._group = group
        self._incremental = kafka.group_protocol == "consumer"
        self._committed_timeout_s = kafka.transaction_timeout_s + ASK_TIMEOUT_S
        self._refused: KafkaError | None = None
        self._problem: CapiError | None = None
        self._raised: BaseException | None = None
        self._waited = False
        self._closing = False
        self._committing: tuple[dict[TopicPartition, int], OnCommitted] | None = None
        self._subscription: _Subscription | None = None
        self._consumer = self._open()

    def _open(self) -> Consumer:
        return Consumer(
            {**self._config, "error_cb": self._on_error, "on_commit": self._on_commit}, logger=clients.LOG
        )

    def _on_error(self, error: KafkaError) -> None:
        if error.code() in REFUSING:
            self._refused = error

    def subscribe(
        self, topics: Sequence[str], *, on_assigned: OnAssigned, on_revoked: OnGone, on_lost: OnGone
    ) -> None:
        """Join the group. The callbacks run inside `poll`, and what they raise comes out of it.

        `on_assigned` returns the offset at which each of the assigned partitions starts.
        """
        self._subscription = _Subscription(list(topics), on_assigned, on_revoked, on_lost)
        self._join(self._subscription)

    def _join(self, subscription: _Subscription) -> None:
        def assigned(consumer: Consumer, partitions: list[KafkaPartition]) -> None:
            if self._closing:  # an assignment on its way; whoever closes can ask for no offsets any more
                consumer.assign([])
                return
            with self._kept():
                starts = subscription.on_assigned(_ours(partitions))
                give = consumer.incremental_assign if self._incremental else consumer.assign
                give(_theirs(starts) if partitions else [])
                # A partition that was paused when it went would come back paused.
                consumer.resume([KafkaPartition(*at) for at in starts])

        def revoked(_: Consumer, partitions: list[KafkaPartition]) -> None:
            with self._kept():
                subscription.on_revoked(_ours(partitions))

        def lost(_: Consumer, partitions: list[KafkaPartition]) -> None:
            with self._kept():
                subscription.on_lost(_ours(partitions))

        self._consumer.subscribe(subscription.topics, on_assign=assigned, on_revoke=revoked, on_lost=lost)

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """Keep what a callback raises for `poll`: the client would make a SystemError of it."""
        try:
            yield
        except BaseException as error:  # noqa: BLE001 (whatever it is, poll raises it)
            self._raised = self._raised or error

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read these partitions from these offsets, without the group's help."""
        self._consumer.assign(_theirs(positions))

    def poll(self, max_records: int, timeout_s: float) -> Batch:
        """Up to `max_records`, waiting `timeout_s` for them at most.

        Raises OffsetOutOfRange, Fenced (another process has our instance id), Refused, Unreachable. Records that came
        with an error are given first; the error comes from the next call.
        """
        if self._problem is not None:
            problem, self._problem = self._problem, None
            raise problem
        records: list[Record] = []
        ends: list[tuple[TopicPartition, int]] = []
        messages = self._consumer.consume(max_records, timeout_s)
        if self._raised is not None:
            raised, self._raised = self._raised, None
            raise raised
        for message in messages:
            error = message.error()
            if error is None:
                records.append(_record(message))
            elif error.code() == _EOF:
                ends.append((_where(message), message.offset() or 0))
            else:
                self._problem = self._problem or self._judge(error, _where(message))
        if self._problem is not None and not records:
            problem, self._problem = self._problem, None
            raise problem
        return Batch(records, ends)

    def _judge(self, error: KafkaError, at: TopicPartition) -> CapiError | None:
        """What an error that came while reading means; None for one that the client recovers from by itself."""
        code = cause_of(error)
        if code in VANISHED:
            return OffsetOutOfRange(at)
        if code == KafkaError.UNRELEASED_INSTANCE_ID:
            self._reopen()
            return None
        if code == KafkaError.FENCED_INSTANCE_ID:
            return Fenced(
                f"another process reads as {self._config.get('group.instance.id')} in {self._group}"
            )
        if code in REFUSING or code == FATAL:
            return unavailable(f"reading {at.topic or self._group}", error)
        if code == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return ConfigurationError(f"topic {at.topic} does not exist; make it with `capi topics apply`")
        clients.LOG.info("%s: %s", self._group, error)
        return None

    def _reopen(self) -> None:
        """With the consumer protocol a predecessor's session must end first; its client id is dead till then."""
        if not self._waited:
            self._waited = True
            instance = self._config.get("group.instance.id")
            clients.LOG.warning("%s: %s waits until its predecessor's session is over", self._group, instance)
        self._consumer.close()
        time.sleep(REOPEN_WAIT_S)
        self._committing = None
        self._consumer = self._open()
        if self._subscription is not None:
            self._join(self._subscription)

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Fetch no more of these; what was prefetched is thrown away. Their ends are not reported."""
        self._consumer.pause([KafkaPartition(*at) for at in partitions])

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Fetch these again, from the record after the last one given."""
        self._consumer.resume([KafkaPartition(*at) for at in partitions])

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read an assigned partition from `offset` on. Raises StaleMember if it is no longer ours."""
        try:
            self._consumer.seek(KafkaPartition(partition.topic, partition.partition, offset))
        except KafkaException as error:
            raise StaleMember(f"{self._group}: {partition.topic}[{partition.partition}]: {error}") from None

    def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Committed]:
        """The group's positions; partitions without one are absent. Raises Unreachable.

        Waits for open transactions: for a dead process's, until the cluster ends it.
        """
        asked = [KafkaPartition(*at) for at in partitions]
        found = self._committed(asked) if asked else []
        return {_own(at): Committed(at.offset, at.metadata or "") for at in found if at.offset >= 0}

    def _committed(self, asked: list[KafkaPartition]) -> list[KafkaPartition]:
        """Ask until the group's coordinator answers: while it moves or loads, the client itself does not ask again."""
        end_s = time.monotonic() + ASK_TIMEOUT_S
        while True:
            error: KafkaException | KafkaError | None = None
            try:
                found = self._consumer.committed(asked, self._committed_timeout_s)
                error = next((answer.error for answer in found if answer.error is not None), None)
            except KafkaException as raised:
                error = raised
            if error is None:
                return found
            inner = code_of(error)
            if inner is None or inner.code() not in MOVING or time.monotonic() > end_s:
                raise self._unavailable("asking for committed offsets", error) from None
            time.sleep(MOVING_WAIT_S)

    @property
    def committing(self) -> bool:
        """Whether a `commit_soon` has not ended yet."""
        return self._committing is not None

    def commit_soon(self, positions: Mapping[TopicPartition, Committed], on_done: OnCommitted) -> None:
        """Begin to commit, when no other is under way. `on_done` hears of its end inside `poll`, and must not raise.

        Never waits: a broker that is away, or hangs, keeps it under way for a minute and more.
        """
        self._committing = ({at: to.offset for at, to in positions.items()}, on_done)
        try:
            self._consumer.commit(offsets=_positions(positions), asynchronous=True)
        except KafkaException as error:
            self._committing = None
            on_done(self._not_committed(error))

    def _on_commit(self, error: KafkaError | None, partitions: list[KafkaPartition]) -> None:
        """Also called for commits that were waited for: those are not the one under way."""
        if self._committing is None or self._committing[0] != {_own(at): at.offset for at in partitions}:
            return
        (_, on_done), self._committing = self._committing, None
        problem = error or next((at.error for at in partitions if at.error is not None), None)
        with self._kept():
            on_done(None if problem is None else self._not_committed(problem))

    def commit(self, positions: Mapping[TopicPartition, Committed]) -> None:
        """Commit and wait. Raises StaleMember if the group has moved on, Unreachable."""
        offsets = _positions(positions)
        try:
            answers = self._consumer.commit(offsets=offsets, asynchronous=False) if offsets else []
        except KafkaException as error:
            raise self._not_committed(error) from None
        for answer in answers:
            if answer.error is not None:
                raise self._not_committed(answer.error)

    def _not_committed(self, error: KafkaException | KafkaError) -> CapiError:
        inner = code_of(error)
        if inner is not None and inner.code() in STALE:
            return StaleMember(f"{self._group}: {inner.name()}")
        return self._unavailable("committing offsets", error)

    def group_metadata(self) -> object:
        """This member in its group's present generation, for `TransactionalWriter.send_positions`."""
        return self._consumer.consumer_group_metadata()

    def watermarks(self, partition: TopicPartition) -> tuple[int, int]:
        """The oldest offset, and the last stable one: what a reader of committed records can reach."""
        try:
            found = self._consumer.get_watermark_offsets(KafkaPartition(*partition), ASK_TIMEOUT_S)
        except KafkaException as error:
            raise self._unavailable(f"asking for the ends of {partition.topic}", error) from None
        return int(found[0]), int(found[1])

    def known_end(self, partition: TopicPartition) -> int | None:
        """The partition's end as of the last fetch, without asking; None if nothing was fetched yet."""
        found = self._consumer.get_watermark_offsets(KafkaPartition(*partition), cached=True)
        return int(found[1]) if found is not None and found[1] >= 0 else None

    def offsets_at(self, partitions: Iterable[TopicPartition], time_ms: int) -> dict[TopicPartition, int]:
        """The first offset of each partition with a timestamp of `time_ms` or later; the end if there is none."""
        asked = [KafkaPartition(at.topic, at.partition, time_ms) for at in partitions]
        try:
            found = self._consumer.offsets_for_times(asked, ASK_TIMEOUT_S) if asked else []
        except KafkaException as error:
            raise self._unavailable("asking for offsets by time", error) from None
        return {_own(at): at.offset if at.offset >= 0 else self.watermarks(_own(at))[1] for at in found}

    def partitions_of(self, topic: str) -> int:
        """How many partitions a topic has. Raises ConfigurationError if it does not exist, Unreachable, Refused."""
        try:
            found = self._consumer.list_topics(topic, ASK_TIMEOUT_S).topics.get(topic)
        except KafkaException as error:
            raise self._unavailable(f"asking for topic {topic}", error) from None
        if found is None or not found.partitions:
            message = f"topic {topic} does not exist; make it with `capi topics apply`"
            raise ConfigurationError(message)
        return len(found.partitions)

    def _unavailable(self, doing: str, error: KafkaException | KafkaError) -> CapiError:
        """A refused connection looks like silence to the call; the error callback knew better."""
        self._consumer.poll(0) if self._subscription is None else None
        problem = unavailable(doing, error)
        if self._refused is not None and not isinstance(problem, Refused):
            return unavailable(doing, self._refused)
        return problem

    def leave(self) -> None:
        """Give all partitions up (through `on_revoked`) and leave the group; a static member keeps its place."""
        self._subscription = None
        self._consumer.unsubscribe()

    def close(self) -> None:
        """Leave the group, unless a static member, and end the client's threads. Waits for the broker's answer."""
        self._closing = True
        self._consumer.close()

    def __repr__(self) -> str:
        held = self._consumer.assignment()
        topics = ", ".join(sorted({at.topic for at in held})) or "nothing"
        return f"<Reader {self._group}: {len(held)} partitions of {topics}>"


def _record(message: Message) -> Record:
    return Record(
        message.topic() or "",
        message.partition() or 0,
        message.offset() or 0,
        message.timestamp()[1],
        message.key(),
        message.value(),
        _headers(message),
    )


def _headers(message: Message) -> tuple[tuple[str, bytes], ...]:
    found = message.headers()
    if not found:
        return ()
    pairs = found.items() if isinstance(found, dict) else found
    return tuple((name, value.encode() if isinstance(value, str) else value or b"") for name, value in pairs)


def _where(message: Message) -> TopicPartition:
    return TopicPartition(message.topic() or "", message.partition() or 0)


def _own(partition: KafkaPartition) -> TopicPartition:
    return TopicPartition(partition.topic, partition.partition)


def _ours(partitions: Iterable[KafkaPartition]) -> list[TopicPartition]:
    return [_own(partition) for partition in partitions]


def _positions(positions: Mapping[TopicPartition, Committed]) -> list[KafkaPartition]:
    return [KafkaPartition(*at, to.offset, to.metadata) for at, to in positions.items()]


def _theirs(positions: Mapping[TopicPartition, int]) -> list[KafkaPartition]:
    return [KafkaPartition(at.topic, at.partition, offset) for at, offset in positions.items()]
