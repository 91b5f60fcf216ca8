"""The topics, read from their beginning to their end: what really came of the records, whatever anyone counted."""

import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Self, TypeAlias

from msgspec import Struct

from consumer.errors import Unreachable
from consumer.kafka.reader import Reader
from consumer.model import Outcome, Receipt, Record, TopicPartition
from consumer.settings import KafkaSettings

POLL_MAX_RECORDS = 1_000
POLL_TIMEOUT_S = 0.1
SILENT_MAX_S = 30.0

Place: TypeAlias = tuple[int, int]
"""A conversion's partition and offset."""
_PRECEDENCE = {outcome.value: rank for rank, outcome in enumerate(Outcome)}


class Deliveries(Struct, frozen=True):
    """What the topics say of one destination's deliveries.

    `outcomes` and `skipped` (by reason) count the first receipt of each conversion, in their order of precedence, and
    `delivered` its deliveries by event. `repeated` counts the receipts beyond those, `strays` receipts of conversions
    that are not in the topic. Without a receipt are the conversions `in_flight`, and those `missing`: they lie below
    the committed offset.
    """

    owed: int
    outcomes: Mapping[str, int]
    skipped: Mapping[str, int]
    delivered: Mapping[str, int]
    in_flight: int
    missing: int
    repeated: int
    strays: int


def deliveries(
    conversions: Collection[Place], receipts: Iterable[Receipt], committed: Mapping[int, int]
) -> Deliveries:
    """Settle the account of one destination from its receipts; `committed` is by partition of the conversions."""
    firsts: dict[Place, Receipt] = {}
    read = strays = 0
    for receipt in receipts:
        place = receipt.conversion_partition, receipt.conversion_offset
        if place not in conversions:
            strays += 1
            continue
        read += 1
        known = firsts.get(place)
        if known is None or _rank(receipt) < _rank(known):
            firsts[place] = receipt
    silent = [place for place in conversions if place not in firsts]
    missing = sum(offset < committed.get(partition, 0) for partition, offset in silent)
    ended = [receipt for receipt in firsts.values() if receipt.outcome != Outcome.SKIPPED]
    return Deliveries(
        owed=len(conversions),
        outcomes=Counter(receipt.outcome for receipt in firsts.values()),
        skipped=Counter(receipt.reason for receipt in firsts.values() if receipt.outcome == Outcome.SKIPPED),
        delivered=Counter(receipt.event_name for receipt in ended if receipt.outcome == Outcome.DELIVERED),
        in_flight=len(silent) - missing,
        missing=missing,
        repeated=read - len(firsts),
        strays=strays,
    )


def _rank(receipt: Receipt) -> tuple[bool, int]:
    """What a platform found later wins, else the order of precedence; what is of neither comes last."""
    return not receipt.late, _PRECEDENCE.get(receipt.outcome, len(_PRECEDENCE))


class ReadBack:
    """Reads whole topics and asks for groups' positions, without joining a group; a context manager."""

    def __init__(self, kafka: KafkaSettings, client_id: str) -> None:
        self._kafka = kafka
        self._client_id = client_id
        self._readers: dict[str, Reader] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reader in self._readers.values():
            reader.close()

    def records(self, topic: str) -> Iterator[Record]:
        """All records that were committed, in order a partition. Raises Unreachable, ConfigurationError."""
        reader = self._of(self._client_id)
        marks = {at: reader.watermarks(at) for at in self._partitions(topic)}
        left = {at for at, (low, end) in marks.items() if end > low}
        reader.assign({at: marks[at][0] for at in left})
        heard_s = time.monotonic()
        while left:
            batch = reader.poll(POLL_MAX_RECORDS, POLL_TIMEOUT_S)
            yield from batch.records
            left -= {at for at, offset in batch.ends if at in marks and offset >= marks[at][1]}
            if batch.records or batch.ends:
                heard_s = time.monotonic()
            elif time.monotonic() - heard_s > SILENT_MAX_S:
                message = f"{topic} can't be read to its end: nothing came for {SILENT_MAX_S:.0f} s"
                raise Unreachable(message)
        reader.assign({})

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """A group's next offset, by partition. Raises Unreachable, ConfigurationError."""
        found = self._of(group).committed(self._partitions(topic))
        return {at.partition: position.offset for at, position in found.items()}

    def unread(self, group: str, topic: str) -> int:
        """How far a group's positions are from the topic's ends, in offsets. Raises Unreachable, ConfigurationError."""
        committed, reader = self.committed(group, topic), self._of(group)
        ends = {at.partition: reader.watermarks(at) for at in self._partitions(topic)}
        return sum(max(0, end - committed.get(number, low)) for number, (low, end) in ends.items())

    def _of(self, group: str) -> Reader:
        """A client that may ask for this group's positions."""
        if group not in self._readers:
            self._readers[group] = Reader(self._kafka, group, eof=True, client_id=self._client_id)
        return self._readers[group]

    def _partitions(self, topic: str) -> list[TopicPartition]:
        count = self._of(self._client_id).partitions_of(topic)
        return [TopicPartition(topic, number) for number in range(count)]

    def __repr__(self) -> str:
        return f"<ReadBack {self._client_id}: {len(self._readers)} clients>"
