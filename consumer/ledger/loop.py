"""The ledger as a role: topics into the file, and the law judged every so often.

It is nobody's gate: what goes wrong here stops no delivery. It says so, and tries again.
"""

import shutil
import threading
from collections import Counter
from collections.abc import Callable, Sequence

import duckdb
import structlog
from msgspec import Struct

from consumer.clock import Clock, SystemClock
from consumer.errors import CapiError, SchemaUnavailable, StateUnusable
from consumer.kafka.errors import OffsetOutOfRange
from consumer.kafka.reader import Batch, Reader
from consumer.ledger.conservation import account
from consumer.ledger.hearing import Hearing, Hearings
from consumer.ledger.rows import Rows
from consumer.ledger.store import Store
from consumer.ledger.tables import Row
from consumer.ledger.tally import Account, LedgerSnapshot
from consumer.model import Record, TopicPartition
from consumer.settings import Settings

POLL_MAX_RECORDS = 20_000
POLL_TIMEOUT_S = 0.5
JUDGE_SHARE = 10
"""Judging takes a tenth of the time at most."""
AGAIN_S = 10.0
SCHEMA_AGAIN_S = 1.0
SPACE_MIN_BYTES = 256 * 1024 * 1024


class Judged(Struct, frozen=True):
    """The accounts as of one moment, what they were judged by, and who could not be judged, with why."""

    at_ms: int
    accounts: Sequence[Account]
    hearing: Hearing


class LedgerLoop:
    """Reads and judges until told to stop; what it knows may be asked for from any thread."""

    def __init__(
        self, settings: Settings, schema_by_id: Callable[[int], str], clock: Clock | None = None
    ) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._prefix = settings.topics.prefix
        self._rows = Rows(self._prefix, schema_by_id)
        self._log = structlog.get_logger("ledger")
        self._beat_s = self._clock.monotonic_s()
        self._reached: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._count = 0
        self._suspect = 0
        self._halted = ""
        self.store: Store | None = None
        self.judged: Judged | None = None

    def run(self, stop: threading.Event) -> None:
        """Keep the file up to date until `stop` is set. Raises nothing."""
        while not stop.is_set():
            try:
                self._serve(stop)
            except Exception as error:  # noqa: BLE001 (a bug in the ledger must not stop the deliveries)
                self._suspect += isinstance(error, duckdb.Error)
                self._halted = str(error) if isinstance(error, CapiError) else type(error).__name__
                self._log.error("ledger_halted", exc_info=error)
                self._wait(stop, AGAIN_S)

    def _wait(self, stop: threading.Event, seconds: float) -> None:
        until_s = self._clock.monotonic_s() + seconds
        while not stop.wait(0.2) and self._clock.monotonic_s() < until_s:
            self._beat()

    def _beat(self) -> None:
        self._beat_s = self._clock.monotonic_s()

    def _serve(self, stop: threading.Event) -> None:
        ledger = self._settings.ledger
        store = Store(ledger.dir, self._prefix, ledger.memory_max_mb)
        reader: Reader | None = None
        hearings = Hearings(self._settings)
        try:
            if self._suspect > 1:
                self._mend(store)
            reader = Reader(self._settings.kafka, f"{self._prefix}.ledger", eof=True)
            self._begin(store, reader, hearings)
            self.store, self._halted = store, ""
            while not stop.is_set():
                self._beat()
                if not self._turn(store, reader, hearings, stop):
                    return
        finally:
            self.store = None
            if reader is not None:
                reader.close()
            store.close()

    def _mend(self, store: Store) -> None:
        """It failed again and again without taking a record: damaged, unless the disk is full."""
        if shutil.disk_usage(store.file.parent).free < SPACE_MIN_BYTES:
            message = f"the disk of {store.file.parent} is full; make room, or set ledger.dir to another"
            raise StateUnusable(message)
        store.begin_anew("damaged")
        self._suspect = 0

    def _begin(self, store: Store, reader: Reader, hearings: Hearings) -> None:
        """Go on where the file ends; what was deleted unread is passed over, and other topics make another file."""
        marks = {at: reader.watermarks(at) for at in hearings.partitions(reader)}
        if any(store.positions.get(at, 0) > end for at, (_, end) in marks.items()):
            store.begin_anew("topics")
        starts = {}
        for at, (low, _) in marks.items():
            starts[at] = max(low, store.positions.get(at, low))
            if at in store.positions and store.positions[at] < low:
                gap = low - store.positions[at]
                self._log.warning("ledger_gap", topic=at.topic, partition=at.partition, count=gap)
        self._reached, self._ends = dict(starts), {at: end for at, (_, end) in marks.items()}
        reader.assign(starts)

    def _turn(self, store: Store, reader: Reader, hearings: Hearings, stop: threading.Event) -> bool:
        """Read what there is, judge if it is time; False to begin again, since the topics are others."""
        try:
            batch = reader.poll(POLL_MAX_RECORDS, POLL_TIMEOUT_S)
        except OffsetOutOfRange:
            return False
        if batch.records:
            rows = self._made(batch.records, stop)
            if rows is None:
                return False
            self._count += store.take(batch.records, rows)
            self._suspect = 0
        self._note(batch)
        hearing = hearings.due(self._clock, reader, self._reached)
        if hearing is None:
            return True
        self._ends = dict(hearing.ends)
        if hearing.partitions != self._reached.keys():
            return False
        self._judge(store, hearing, hearings)
        return True

    def _made(self, records: Sequence[Record], stop: threading.Event) -> list[Row | None] | None:
        """The rows; None if told to stop while the registry can't be asked."""
        while not stop.is_set():
            try:
                return [self._rows.of(record) for record in records]
            except SchemaUnavailable as error:
                self._log.warning("schema_unavailable", schema_id=error.schema_id)
                self._wait(stop, SCHEMA_AGAIN_S)
        return None

    def _note(self, batch: Batch) -> None:
        for record in batch.records:
            self._reached[TopicPartition(record.topic, record.partition)] = record.offset + 1
        for at, offset in batch.ends:
            self._reached[at] = max(offset, self._reached.get(at, 0))

    def _judge(self, store: Store, hearing: Hearing, hearings: Hearings) -> None:
        begun_s = self._clock.monotonic_s()
        now_ms = self._clock.now_ms()
        store.sweep(now_ms, self._settings.ledger.retention_days)
        cursor = store.cursor()
        try:
            found = [account(cursor, bounds, f"{self._prefix}.conversions") for bounds in hearing.bounds]
        finally:
            cursor.close()
        known = set(self.judged.accounts) if self.judged is not None else set()
        for each in found:
            if not each.holds and each not in known:
                self._log.error("not_conserved", destination=each.destination, count=each.missing)
        self.judged = Judged(now_ms, found, hearing)
        took_s = self._clock.monotonic_s() - begun_s
        hearings.next_at_s = self._clock.monotonic_s() + max(
            self._settings.ledger.judge_every_s, JUDGE_SHARE * took_s
        )

    @property
    def name(self) -> str:
        """As the health page calls it."""
        return "ledger"

    @property
    def heartbeat_s(self) -> float:
        """Monotonic time of the last sign of life."""
        return self._beat_s

    @property
    def ready(self) -> bool:
        """It is open, and was once up to date."""
        return self.store is not None and self.judged is not None

    @property
    def lag(self) -> dict[str, int]:
        """Offsets still to be read, by topic, as of the last look at the topics' ends."""
        reached, left = dict(self._reached), Counter[str]()
        for at, end in dict(self._ends).items():
            left[at.topic] += max(0, end - reached.get(at, 0))
        return left

    def snapshot(self) -> LedgerSnapshot:
        """For the metrics."""
        judged = self.judged
        accounts = judged.accounts if judged is not None else ()
        return LedgerSnapshot(accounts, len(self._reached), self.lag)

    def status(self) -> dict[str, object]:
        """For people and probes: where it stands, and each destination's account that doesn't hold."""
        judged = self.judged
        return {
            "halted": self._halted,
            "assignment": len(self._reached),
            "lag": self.lag,
            "rows": self._count,
            "foreign": dict(self._rows.foreign),
            "judged_at_ms": judged.at_ms if judged is not None else 0,
            "holds": judged is not None and all(each.holds for each in judged.accounts),
            "broken": {
                each.destination: {"missing": each.missing, "first_missing": each.first_missing}
                for each in (judged.accounts if judged is not None else ())
                if not each.holds
            },
            "not_judged": dict(judged.hearing.not_judged) if judged is not None else {},
        }

    def __repr__(self) -> str:
        return f"<LedgerLoop: {self._halted or f'{self._count} rows, {sum(self.lag.values())} behind'}>"
