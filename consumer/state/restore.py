"""Bringing stores up to the end of the changelog, in a thread and with a reader of their own."""

import threading
from collections.abc import Callable, Collection, Mapping
from queue import SimpleQueue

from msgspec import Struct

from consumer.clock import Clock
from consumer.errors import StateUnusable, Unreachable
from consumer.kafka.errors import OffsetOutOfRange
from consumer.kafka.reader import Reader
from consumer.model import Record, TopicPartition
from consumer.settings import KafkaSettings
from consumer.state.store import Checkpoint, Store

POLL_MAX_RECORDS = 10_000
POLL_TIMEOUT_S = 0.1
LOOK_EVERY_S = 0.05
SILENT_MAX_S = 60.0


class Changelog(Struct, frozen=True):
    """The topic, and how long its tombstones outlive compaction: an older checkpoint may have missed some."""

    topic: str
    tombstones_ms: int


class Restore:
    """Reads the changelog on from each store's checkpoint to the last stable offset, once.

    The caller must have asked for the inputs' committed offsets before: that answer waits for older transactions, so
    that what they wrote lies before the last stable offset. While it runs the stores are this thread's.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        group: str,
        changelog: Changelog,
        stores: Mapping[int, Store],
        clock: Clock,
    ) -> None:
        self._kafka = kafka
        self._group = group
        self._changelog = changelog
        self._stores = stores
        self._clock = clock
        self._ends: dict[TopicPartition, int] = {}
        self._left: dict[int, int] = {}
        self._total: int | None = None
        self._began_s = clock.monotonic_s()
        self._restored: SimpleQueue[int] = SimpleQueue()
        self._asked_ms = clock.now_ms()
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="restore", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, finished or not; returns once the thread no longer touches a store."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def take_restored(self) -> set[int]:
        """Partitions that came up to the end since the last call. Raises what ended the thread."""
        if self._error is not None:
            raise self._error
        done: set[int] = set()
        while not self._restored.empty():
            done.add(self._restored.get())
        return done

    @property
    def left(self) -> int:
        """Changelog offsets still to read; a little more than records."""
        return sum(self._left.copy().values())

    @property
    def eta_s(self) -> float | None:
        """Seconds until all is read, at the pace so far; None as long as there is no pace to tell from."""
        left, total = self.left, self._total
        if total is None:
            return None
        read = total - left
        if left and read <= 0:
            return None
        return (self._clock.monotonic_s() - self._began_s) * left / read if left else 0.0

    def finish(self, tell: Callable[[Collection[int]], None], silent_max_s: float = SILENT_MAX_S) -> None:
        """Wait for the end of all; `tell` hears now and then which are done. Raises what ended it, and Unreachable."""
        done: frozenset[int] = frozenset()
        left, heard_s = self.left, self._clock.monotonic_s()
        while len(done) < len(self._stores):
            more = self.take_restored()
            done |= more
            tell(done)
            if more or self.left != left:
                left, heard_s = self.left, self._clock.monotonic_s()
            elif self._clock.monotonic_s() - heard_s > silent_max_s:
                raise Unreachable(
                    f"{self._changelog.topic} gave nothing for {silent_max_s:.0f} s; {left} records left"
                )
            self._stop.wait(LOOK_EVERY_S)

    def _run(self) -> None:
        try:
            reader = Reader(
                self._kafka, f"{self._group}.restore", eof=True, client_id=f"{self._group}.restore"
            )
            try:
                self._restore(reader)
            finally:
                reader.close()
        except Exception as error:  # noqa: BLE001 (whatever it is, `take_restored` raises it)
            self._error = error

    def _restore(self, reader: Reader) -> None:
        positions = self._plan(reader)
        for at in [at for at, offset in positions.items() if offset == self._ends[at]]:
            self._done(at, positions.pop(at))
        reader.assign(positions)
        while positions and not self._stop.is_set():
            try:
                batch = reader.poll(POLL_MAX_RECORDS, POLL_TIMEOUT_S)
            except OffsetOutOfRange as error:
                self._begin_again(reader, error.partition)
                continue
            self._apply(batch.records)
            for at, offset in batch.ends:
                if at in positions and offset >= self._ends[at]:
                    del positions[at]
                    self._done(at, offset)

    def _plan(self, reader: Reader) -> dict[TopicPartition, int]:
        positions: dict[TopicPartition, int] = {}
        self._asked_ms = self._clock.now_ms()
        for partition, store in self._stores.items():
            at = TopicPartition(self._changelog.topic, partition)
            low, end = reader.watermarks(at)
            positions[at] = self._start(store, low, end)
            self._ends[at] = end
            self._left[partition] = end - positions[at]
        self._total, self._began_s = self.left, self._clock.monotonic_s()
        return positions

    def _start(self, store: Store, low: int, end: int) -> int:
        checkpoint = store.checkpoint
        if checkpoint is None:
            return low
        if checkpoint.offset > end:
            message = (
                f"{store!r} is ahead of {self._changelog.topic} (its end is {end}): the topic lost records or was "
                "made anew. To believe the topic, remove the folder of the store; it is read back from the topic then"
            )
            raise StateUnusable(message)
        stale = self._clock.now_ms() - checkpoint.at_ms > self._changelog.tombstones_ms
        if checkpoint.offset < low or stale:
            store.wipe()
            return low
        return checkpoint.offset

    def _begin_again(self, reader: Reader, at: TopicPartition) -> None:
        """The log's start has moved past what was to be read next."""
        self._stores[at.partition].wipe()
        reader.seek(at, reader.watermarks(at)[0])

    def _apply(self, records: list[Record]) -> None:
        by_partition: dict[int, list[Record]] = {}
        for record in records:
            by_partition.setdefault(record.partition, []).append(record)
        for partition, own in by_partition.items():
            next_offset = own[-1].offset + 1
            changes = [(record.key, record.value) for record in own if record.key is not None]
            self._stores[partition].apply(changes, Checkpoint(next_offset, own[-1].timestamp_ms))
            self._left[partition] = max(
                0, self._ends[TopicPartition(self._changelog.topic, partition)] - next_offset
            )

    def _done(self, at: TopicPartition, offset: int) -> None:
        self._stores[at.partition].apply([], Checkpoint(offset, self._asked_ms))
        self._left[at.partition] = 0
        self._restored.put(at.partition)

    def __repr__(self) -> str:
        return f"<Restore {self._changelog.topic}: {len(self._stores)} partitions, {self.left} left>"
