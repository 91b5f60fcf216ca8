"""One turn of the loop after another: poll, plan, commit.

Rebalance callbacks run only inside `poll`, so none falls into an open transaction. After any failure all pairs forget
what isn't committed and come back through a restore, once the callbacks have had their say in the next poll.
"""

from collections import Counter

import structlog

from consumer.clock import Clock
from consumer.enrich.checks import Ground
from consumer.enrich.intake import Intake
from consumer.enrich.pair import Pair
from consumer.enrich.pairs import Pairs
from consumer.enrich.planned import Happened, Refused
from consumer.enrich.tally import Tally
from consumer.enrich.transactions import Transactions
from consumer.errors import SchemaUnavailable, Unreachable
from consumer.kafka.backoff import Backoff
from consumer.kafka.errors import StaleMember
from consumer.kafka.reader import Batch, Reader
from consumer.model import TopicPartition

POLL_MAX_RECORDS = 1_000
POLL_TIMEOUT_S = 0.05
WORK_MAX_RECORDS = 1_000
BUFFERED_MAX_RECORDS = 100_000
BUFFERED_MAX_BYTES = 256 << 20
EXPIRE_EVERY_S = 0.25
EXPIRE_MAX_KEYS = 500
FLUSH_EVERY_S = 120.0
LAG_EVERY_S = 5.0


class Cycle:
    """What the loop does, turn by turn."""

    def __init__(
        self,
        ground: Ground,
        reader: Reader,
        pairs: Pairs,
        transactions: Transactions,
        clock: Clock,
        tally: Tally,
    ) -> None:
        self._ground = ground
        self._reader = reader
        self._pairs = pairs
        self._transactions = transactions
        self._clock = clock
        self._tally = tally
        self._log = structlog.get_logger("enrich")
        self._paused: set[TopicPartition] = set()
        self._rewind_due = False
        self._backoff = Backoff()
        self._busy = False
        self._turns = 0
        self._expire_at_s = self._flush_at_s = self._lag_at_s = clock.monotonic_s()

    def join(self) -> None:
        """Join the group."""
        self._reader.subscribe(
            self._ground.topics.inputs,
            on_assigned=self._assigned,
            on_revoked=self._revoked,
            on_lost=self._revoked,
        )

    def _assigned(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        self._paused.difference_update(partitions)
        return self._pairs.assigned(partitions, self._reader.committed)

    def _revoked(self, partitions: list[TopicPartition]) -> None:
        self._pairs.revoked(partitions)
        self._paused.difference_update(partitions)

    def turn(self) -> None:
        """Poll, plan what is ready, commit it. Raises what ends the process."""
        batch = self._reader.poll(POLL_MAX_RECORDS, 0.0 if self._busy else POLL_TIMEOUT_S)
        if self._rewind_due:
            self._rewind()
        else:
            self._take(batch)
        self._activate()
        self._pause()
        now_s = self._clock.monotonic_s()
        if self._backoff.is_over(now_s) and not self._rewind_due and self._transactions.ready():
            self._work(now_s)
        self._look(now_s)

    def _take(self, batch: Batch) -> None:
        held = self._pairs.held
        for record in batch.records:
            pair = held.get(record.partition)
            if pair is not None:
                pair.intakes[TopicPartition(record.topic, record.partition)].add(record)
        for at, offset in batch.ends:
            pair = held.get(at.partition)
            if pair is not None:
                pair.intakes[at].end(offset)

    def _activate(self) -> None:
        for pair in self._pairs.activate():
            positions = {at.topic: offset for at, offset in pair.positions.items()}
            self._log.info("partition_active", partition=pair.number, positions=positions)
        for number in self._pairs.moved_aside:
            self._log.warning("state_moved_aside", partition=number)
        self._pairs.moved_aside.clear()

    def _pause(self) -> None:
        """Fetch only for active pairs, and no further ahead of a sister than the buffers hold."""
        most = max(200, BUFFERED_MAX_RECORDS // max(1, 2 * len(self._pairs.held)))
        most_bytes = BUFFERED_MAX_BYTES // max(1, 2 * len(self._pairs.held))
        wanted: set[TopicPartition] = set()
        for pair in self._pairs.held.values():
            for at, intake in pair.intakes.items():
                if pair.memory is None or self._full(at, intake, most, most_bytes):
                    wanted.add(at)
        if pausing := wanted - self._paused:
            self._reader.pause(pausing)
        if resuming := self._paused - wanted:
            self._reader.resume(resuming)
        self._paused = wanted

    def _full(self, at: TopicPartition, intake: Intake, most: int, most_bytes: int) -> bool:
        """Pausing throws the prefetch away, so a full intake is emptied well before it is filled again."""
        share = 4 if at in self._paused else 1
        return len(intake) >= most // share or intake.bytes >= most_bytes // share

    def _work(self, now_s: float) -> None:
        now_ms, active = self._clock.now_ms(), self._pairs.active
        expired = self._expire(active, now_s)
        happened: list[Happened] = []
        try:
            for pair in active:
                happened += pair.work(WORK_MAX_RECORDS, now_ms, now_s)
        except SchemaUnavailable as error:
            self._failed(str(error))
            return
        touched = [pair for pair in active if pair.touched]
        self._busy = bool(happened)
        if not touched:
            return
        if not self._transactions.commit(touched, happened, self._reader.group_metadata()):
            self._failed("not committed")
            return
        self._backoff.succeeded()
        self._count(happened, expired)

    def _failed(self, why: str) -> None:
        """Rewind after the next poll; ever later, as long as nothing succeeds."""
        self._pairs.suspend()
        self._rewind_due = True
        self._busy = False
        self._backoff.failed(self._clock.monotonic_s())
        self._log.warning("rewinding", reason=why, failures=self._backoff.failures)

    def _rewind(self) -> None:
        """Go back to what is committed. If the cluster can't be asked now, the next turn tries again."""
        if not self._transactions.ready():
            return
        try:
            positions = self._pairs.rewind(self._reader.committed)
        except Unreachable as error:
            self._log.warning("rewind_unavailable", error=str(error))
            return
        try:
            for at, offset in positions.items():
                self._reader.seek(at, offset)
        except StaleMember as error:
            self._log.warning("rewind_unavailable", error=str(error))
            return
        self._rewind_due = False

    def _expire(self, active: list[Pair], now_s: float) -> int:
        """Sweep a few keys of one pair: each in its turn."""
        if not active or now_s < self._expire_at_s:
            return 0
        self._expire_at_s = now_s + EXPIRE_EVERY_S
        self._turns += 1
        return active[self._turns % len(active)].expire(EXPIRE_MAX_KEYS)

    def _count(self, happened: list[Happened], expired: int) -> None:
        self._tally.expired += expired
        letters: Counter[str] = Counter()
        for each in happened:
            if isinstance(each.planned, Refused):
                letters[each.planned.reason] += 1
        self._tally.count((each.record, each.planned) for each in happened)
        for reason, count in letters.items():
            self._log.warning("letter_written", topic=self._ground.topics.letters, reason=reason, count=count)

    def _look(self, now_s: float) -> None:
        """Refresh what people see, and put stores on disk now and then."""
        active = self._pairs.active
        self._tally.waiting = sum(pair.memory.waiting for pair in active if pair.memory is not None)
        self._tally.active_partitions = len(active)
        self._tally.restore_left = self._pairs.restore_left
        self._tally.restore_eta_s = self._pairs.restore_eta_s
        for pair in active:
            if pair.unavailable is not None:
                self._log.warning(
                    "schema_unavailable", partition=pair.number, schema_id=pair.unavailable.schema_id
                )
                pair.unavailable = None
        if now_s >= self._flush_at_s + FLUSH_EVERY_S:
            self._flush_at_s = now_s
            for pair in active:
                pair.store.flush()
        if now_s >= self._lag_at_s:
            self._lag_at_s = now_s + LAG_EVERY_S
            self._tally.lag = self._lag(active)

    def _lag(self, active: list[Pair]) -> dict[str, int]:
        lag: Counter[str] = Counter()
        for pair in active:
            for at, position in pair.positions.items():
                end = self._reader.known_end(at)
                lag[at.topic] += max(0, end - position) if end is not None else 0
        return dict(lag)

    def __repr__(self) -> str:
        return f"<Cycle: {self._pairs!r}, {len(self._paused)} paused>"
