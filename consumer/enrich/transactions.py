"""Transactions around the work on pairs: what is written in one, and what is stored once it counts."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from consumer.clock import Clock
from consumer.deadletter.letter import ingest_letter
from consumer.enrich.checks import Ground
from consumer.enrich.ended import EncodeEnding, endings, fitted
from consumer.enrich.pair import Pair
from consumer.enrich.planned import Also, Converted, Happened, Refused
from consumer.enrich.tally import Tally
from consumer.kafka.errors import TransactionLost
from consumer.kafka.lasting import LastingWriter
from consumer.kafka.writer import TransactionalWriter
from consumer.model import Headers, TopicPartition
from consumer.state.store import Checkpoint
from consumer.telemetry.traces import span, traceparent

OnStep: TypeAlias = Callable[[str], None]
"""Called in the loop's thread once each step is done: `begun`, `produced`, `positions_sent`, `committed`, `stored`."""


class Transactions:
    """Commits the work on pairs with a writer of its role's own."""

    def __init__(
        self,
        writer: LastingWriter,
        ground: Ground,
        encode_ending: EncodeEnding,
        clock: Clock,
        tally: Tally,
        on_step: OnStep,
    ) -> None:
        self._writer = writer
        self._ground = ground
        self._encode_ending = encode_ending
        self._clock = clock
        self._tally = tally
        self._on_step = on_step

    def ready(self) -> bool:
        """Have a writer, or try to; False if the cluster can't be asked now. Raises Refused."""
        return self._writer.ready()

    def commit(self, pairs: Sequence[Pair], happened: Sequence[Happened], group: object) -> bool:
        """Write what happened and the changes of these pairs, and store them; False if all must be rewound.

        Raises Fenced if that has happened too often.
        """

        def transaction(writer: TransactionalWriter) -> None:
            with span("enrich", {"capi.role": "enrich"}, _traceparents(happened)) as made:
                if made.is_recording():
                    made.set_attributes(_counts(pairs, happened))
                self._commit(writer, pairs, happened, group, traceparent(made))

        return self._writer.attempt(transaction)

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
        self._write_endings(writer, happened, began_ms)
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

    def _write_endings(self, writer: TransactionalWriter, happened: Sequence[Happened], now_ms: int) -> None:
        topics, most_bytes = self._ground.topics, self._ground.ending_max_bytes
        for ending in endings(happened, topics.orders, now_ms):
            key, value = fitted(ending, self._encode_ending, most_bytes)
            writer.produce(topics.endings, value, key=key)

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

    def __repr__(self) -> str:
        return f"<Transactions: {self._writer!r}>"


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
