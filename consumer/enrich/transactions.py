"""Transactions around the work on pairs, and what to do when one fails.

| what failed | what follows |
|---|---|
| a call that asks for an abort | abort, rewind to the committed offsets |
| fenced, or the outcome unknown | another writer (taking the id over ends what was open), then rewind |
| fenced three times in five minutes | end: two processes share an id |
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import structlog

from consumer.clock import Clock
from consumer.deadletter.letter import ingest_letter
from consumer.enrich.checks import Ground
from consumer.enrich.pair import Happened, Pair
from consumer.enrich.planned import Also, Converted, Refused
from consumer.enrich.tally import Tally
from consumer.errors import Fenced, Unreachable
from consumer.kafka.errors import TransactionAborted, TransactionLost
from consumer.kafka.writer import TransactionalWriter
from consumer.model import Headers, TopicPartition
from consumer.settings import KafkaSettings
from consumer.state.store import Checkpoint
from consumer.telemetry.traces import span, traceparent

FENCINGS_MAX = 3
FENCINGS_WITHIN_S = 300.0
AGAIN_TIMEOUT_S = 20.0
"""How long one try for another writer may take: the loop must turn in between, or it seems to be stuck."""

OnStep: TypeAlias = Callable[[str], None]
"""Called in the loop's thread once each step is done: `begun`, `produced`, `positions_sent`, `committed`, `stored`."""


class Transactions:
    """The transactional writer, replaced when it is of no more use."""

    def __init__(
        self,
        kafka: KafkaSettings,
        transactional_id: str,
        ground: Ground,
        clock: Clock,
        tally: Tally,
        on_step: OnStep,
    ) -> None:
        self._kafka = kafka
        self._id = transactional_id
        self._ground = ground
        self._clock = clock
        self._tally = tally
        self._on_step = on_step
        self._log = structlog.get_logger("enrich")
        self._fencings: deque[float] = deque(maxlen=FENCINGS_MAX)
        self._writer: TransactionalWriter | None = None

    def ready(self) -> bool:
        """Have a writer, or try to; False if the cluster can't be asked now. Raises Refused."""
        if self._writer is None:
            try:
                self._writer = TransactionalWriter(
                    self._kafka,
                    self._id,
                    batch_max_bytes=self._ground.batch_max_bytes,
                    init_timeout_s=AGAIN_TIMEOUT_S,
                )
            except Unreachable as error:
                self._log.warning("writer_unavailable", error=str(error))
                return False
        return True

    def open(self) -> None:
        """Take the id over, at start. Raises Unreachable, Refused."""
        self._writer = TransactionalWriter(
            self._kafka, self._id, batch_max_bytes=self._ground.batch_max_bytes
        )

    def commit(self, pairs: Sequence[Pair], happened: Sequence[Happened], group: object) -> bool:
        """Write what happened and the changes of these pairs, and store them; False if all must be rewound.

        Raises Fenced if that has happened too often.
        """
        writer = self._writer
        if writer is None:
            return False
        try:
            with span("enrich", {"capi.role": "enrich"}, _traceparents(happened)) as made:
                if made.is_recording():
                    made.set_attributes(_counts(pairs, happened))
                self._commit(writer, pairs, happened, group, traceparent(made))
        except TransactionAborted as error:
            self._tally.aborted += 1
            self._log.warning("transaction_aborted", error=str(error))
            self._abort(writer)
            return False
        except (Fenced, TransactionLost) as error:
            self._lost(error)
            return False
        return True

    def _commit(
        self,
        writer: TransactionalWriter,
        pairs: Sequence[Pair],
        happened: Sequence[Happened],
        group: object,
        trace: Headers,
    ) -> None:
        began_ms = self._clock.now_ms()
        positions: dict[TopicPartition, int] = {}
        writer.begin()
        self._on_step("begun")
        self._write(writer, happened, began_ms, trace)
        offsets = {pair.number: self._write_changes(writer, pair) for pair in pairs}
        self._on_step("produced")
        for pair in pairs:
            positions.update(pair.positions)
        writer.send_positions(positions, group)
        self._on_step("positions_sent")
        writer.commit()
        self._on_step("committed")
        for pair in pairs:
            pair.committed(_checkpoint(pair, offsets[pair.number], began_ms))
        self._on_step("stored")
        self._tally.transactions += 1
        self._tally.last_commit_ms = self._clock.now_ms()

    def _write(
        self, writer: TransactionalWriter, happened: Iterable[Happened], now_ms: int, trace: Headers
    ) -> None:
        topics = self._ground.topics
        for each in happened:
            match each.planned:
                case Converted(_, key, payload) | Also(Converted(_, key, payload)):
                    writer.produce(topics.conversions, payload, key=key, headers=trace)
                case Refused(reason, message) if each.record is not None:
                    letter = ingest_letter(
                        each.record, reason, message, now_ms, self._ground.letter_max_bytes
                    )
                    headers = (*letter.headers, *trace)
                    writer.produce(topics.letters, letter.value, key=letter.key, headers=headers)
                case _:
                    pass

    def _write_changes(self, writer: TransactionalWriter, pair: Pair) -> list[int | None]:
        """Write a pair's changes to the changelog. The list gets the offset of the last one once it is delivered."""
        delivered: list[int | None] = []
        left = len(pair.overlay.changes)
        for key, value in pair.overlay.changes.items():
            left -= 1
            report = delivered.append if left == 0 else None
            writer.produce(
                self._ground.topics.state, value, key=key, partition=pair.number, on_delivered=report
            )
        return delivered

    def _abort(self, writer: TransactionalWriter) -> None:
        try:
            writer.abort()
        except (Fenced, TransactionLost) as error:
            self._lost(error)

    def _lost(self, error: Exception) -> None:
        """Give the writer up. Raises Fenced if it was fenced too often."""
        if isinstance(error, Fenced):
            self._tally.fenced += 1
            self._log.warning("fenced", error=str(error))
            now_s = self._clock.monotonic_s()
            self._fencings.append(now_s)
            if len(self._fencings) == FENCINGS_MAX and now_s - self._fencings[0] < FENCINGS_WITHIN_S:
                message = (
                    f"{self._id} was fenced {FENCINGS_MAX} times in {FENCINGS_WITHIN_S:.0f} s: another process has the "
                    "same instance_id; give each its own"
                )
                raise Fenced(message) from None
        else:
            self._log.warning("transaction_lost", error=str(error))
        self.close()

    def close(self) -> None:
        """End the writer; what isn't committed never counts."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def __repr__(self) -> str:
        return f"<Transactions {self._id}: {'open' if self._writer else 'no writer'}>"


def _traceparents(happened: Iterable[Happened]) -> Iterator[bytes]:
    """Whose work this goes on with: what producers put into the headers of their records."""
    for each in happened:
        for name, value in each.record.headers if each.record is not None else ():
            if name == "traceparent":
                yield value


def _counts(pairs: Sequence[Pair], happened: Iterable[Happened]) -> Mapping[str, int]:
    kinds = Counter(type(each.planned) for each in happened)
    records = {each.record.origin for each in happened if each.record is not None}
    return {
        "capi.partitions": len(pairs),
        "capi.records": len(records),
        "capi.conversions": kinds[Converted],
        "capi.letters": kinds[Refused],
    }


def _checkpoint(pair: Pair, delivered: list[int | None], began_ms: int) -> Checkpoint | None:
    """The next changelog offset of a committed pair; None if it changed nothing."""
    if not pair.overlay.changes:
        return None
    if not delivered or delivered[0] is None:
        message = f"the changelog of {pair!r} was committed without a delivery report"
        raise TransactionLost(message)
    return Checkpoint(delivered[0] + 1, began_ms)
