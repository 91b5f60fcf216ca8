"""One turn of the loop after another: poll, decide, and move what was read in one transaction with its positions.

Rebalance callbacks run only inside `poll`, so none falls into an open transaction. There is no state but positions:
after any failure all partitions go back to what is committed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

import structlog

from consumer.clock import Clock
from consumer.errors import Unreachable
from consumer.ingest.rekey import ReadHead
from consumer.kafka.backoff import Backoff
from consumer.kafka.errors import StaleMember
from consumer.kafka.lasting import LastingWriter
from consumer.kafka.reader import Batch, Reader
from consumer.kafka.start import OffsetsVanished
from consumer.kafka.writer import TransactionalWriter
from consumer.model import Record, TopicPartition
from consumer.rekey.checks import Ground
from consumer.rekey.move import TOO_LARGE, Move, decide, write
from consumer.rekey.progress import Progress
from consumer.rekey.tally import RekeyTally

POLL_MAX_RECORDS = 1_000
POLL_TIMEOUT_S = 0.05
LAG_EVERY_S = 5.0

OnStep: TypeAlias = Callable[[str], None]
"""Called in the loop's thread once each step is done: `begun`, `produced`, `positions_sent`, `committed`."""


class Cycle:
    """What the loop does, turn by turn."""

    def __init__(
        self,
        ground: Ground,
        group: str,
        reader: Reader,
        writer: LastingWriter,
        read_head: ReadHead,
        clock: Clock,
        tally: RekeyTally,
        on_step: OnStep,
    ) -> None:
        self._ground = ground
        self._group = group
        self._reader = reader
        self._writer = writer
        self._read_head = read_head
        self._clock = clock
        self._tally = tally
        self._on_step = on_step
        self._log = structlog.get_logger("rekey")
        self._held: dict[TopicPartition, Progress] = {}
        self._paused: set[TopicPartition] = set()
        self._backoff = Backoff()
        self._rewind_due = False
        self._lag_at_s = clock.monotonic_s()
        self.was_assigned = False

    @property
    def held(self) -> list[int]:
        """The partitions that the group gave us."""
        return sorted(at.partition for at in list(self._held))

    def join(self) -> None:
        """Join the group."""
        self._reader.subscribe(
            [self._ground.topics.orders],
            on_assigned=self._assigned,
            on_revoked=self._revoked,
            on_lost=self._revoked,
        )

    def _assigned(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        positions = self._positions(partitions)
        self._held.update({at: Progress(offset) for at, offset in positions.items()})
        self._paused.difference_update(partitions)
        self.was_assigned = True
        return positions

    def _revoked(self, partitions: list[TopicPartition]) -> None:
        for at in partitions:
            self._held.pop(at, None)
        self._paused.difference_update(partitions)

    def _positions(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """What is committed. Raises OffsetsVanished, Unreachable."""
        wanted = list(partitions)
        committed = self._reader.committed(wanted)
        if missing := [at for at in wanted if at not in committed]:
            raise OffsetsVanished(self._group, missing)
        return {at: committed[at].offset for at in wanted}

    def turn(self) -> None:
        """Poll and move what was read. Raises what ends the process."""
        batch = self._reader.poll(POLL_MAX_RECORDS, POLL_TIMEOUT_S)
        if self._rewind_due:
            self._rewind()
        else:
            self._take(batch)
        now_s = self._clock.monotonic_s()
        if not self._rewind_due and self._backoff.is_over(now_s) and self._writer.ready():
            self._work(now_s)
        self._pause()
        self._look(now_s)

    def _take(self, batch: Batch) -> None:
        for record in batch.records:
            progress = self._held.get(TopicPartition(record.topic, record.partition))
            if progress is not None:
                progress.add(record)
        for at, offset in batch.ends:
            progress = self._held.get(at)
            if progress is not None:
                progress.end(offset)

    def _work(self, now_s: float) -> None:
        moves: list[Move] = []
        for progress in self._held.values():
            moves += progress.moves(self._decide, now_s)
        positions = {
            at: progress.position
            for at, progress in self._held.items()
            if progress.position != progress.committed
        }
        if not positions:
            return
        if not self._writer.attempt(lambda writer: self._move(writer, moves, positions)):
            self._rewind_due = True
            self._backoff.failed(now_s)
            self._log.warning("rewinding", reason="not committed", failures=self._backoff.failures)
            return
        self._backoff.succeeded()
        for at, position in positions.items():
            self._held[at].committed = position
        self._count(moves)

    def _decide(self, record: Record) -> Move:
        return decide(record, self._read_head, self._ground)

    def _move(
        self, writer: TransactionalWriter, moves: Sequence[Move], positions: Mapping[TopicPartition, int]
    ) -> None:
        now_ms = self._clock.now_ms()
        writer.begin()
        self._on_step("begun")
        for move in moves:
            write(writer, move, self._ground, now_ms)
        self._on_step("produced")
        writer.send_positions(positions, self._reader.group_metadata())
        self._on_step("positions_sent")
        writer.commit()
        self._on_step("committed")

    def _count(self, moves: Sequence[Move]) -> None:
        self._tally.rekeyed.update(move.to.by for move in moves if move.fits)
        letters = sum(not move.fits for move in moves)
        self._tally.transactions += 1
        self._tally.last_commit_ms = self._clock.now_ms()
        if letters:
            self._tally.letters[TOO_LARGE] += letters
            self._log.warning(
                "letter_written", topic=self._ground.topics.letters, reason=TOO_LARGE, count=letters
            )

    def _rewind(self) -> None:
        """Go back to what is committed. If the cluster can't be asked now, the next turn tries again."""
        if not self._writer.ready():
            return
        try:
            for at, offset in self._positions(self._held).items():
                self._reader.seek(at, offset)
                self._held[at] = Progress(offset)
        except (Unreachable, StaleMember) as error:
            self._log.warning("rewind_unavailable", error=str(error))
            return
        self._rewind_due = False

    def _pause(self) -> None:
        """Fetch nothing more of a partition whose records wait: for a schema, or for the cluster."""
        wanted = {at for at, progress in self._held.items() if len(progress)}
        if pausing := wanted - self._paused:
            self._reader.pause(pausing)
        if resuming := self._paused - wanted:
            self._reader.resume(resuming)
        self._paused = wanted

    def _look(self, now_s: float) -> None:
        """Refresh what people see."""
        self._tally.partitions = len(self._held)
        for at, progress in self._held.items():
            if progress.unavailable is not None:
                self._log.warning(
                    "schema_unavailable", partition=at.partition, schema_id=progress.unavailable.schema_id
                )
                progress.unavailable = None
        if now_s >= self._lag_at_s:
            self._lag_at_s = now_s + LAG_EVERY_S
            ends = ((self._reader.known_end(at), progress) for at, progress in self._held.items())
            self._tally.lag = sum(
                max(0, end - progress.position) for end, progress in ends if end is not None
            )

    def __repr__(self) -> str:
        waiting = sum(len(progress) for progress in list(self._held.values()))
        return f"<Cycle: {len(self._held)} partitions, {waiting} waiting, {len(self._paused)} paused>"
