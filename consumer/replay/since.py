"""What has happened since letters were written, as the topics tell it.

The order of reading is what makes it safe: positions first, then what lies before them, then letters, then receipts. An
outcome is durable before its position is committed, so nothing can slip between: a delivery is either seen under way or
its outcome is.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

from msgspec import Struct

from consumer.codec import Decoder
from consumer.deadletter.read import Read
from consumer.errors import RecordError
from consumer.kafka.offsets import NONE, places
from consumer.kafka.reader import Reader
from consumer.kafka.spans import Spans, records_in, spans_of
from consumer.model import Origin, Outcome, Receipt, Record, TopicPartition
from consumer.replay.plan import DESTINATION, INGEST, LETTER, ORIGIN, Delivery, place_of
from consumer.settings import KafkaSettings

EARLIER_MS = 3_600_000
"""Receipts are looked at from so long before the oldest attempt on: clocks differ."""


class Ways(Struct, frozen=True):
    """Topics by which what is sent again comes to a destination's group, or to that of enrich."""

    group: str
    topics: tuple[str, ...]


class Lying(Struct, frozen=True):
    """What was found in those topics. `started` names the destinations whose groups have positions in all of them."""

    under_way: frozenset[Delivery]
    read_again: frozenset[Origin]
    started: frozenset[str]


def lying(kafka: KafkaSettings, reader: Reader, ways: Mapping[str, Ways]) -> Lying:
    """Look at all of it; `ways` are by destination. Raises ConfigurationError, Unreachable, Refused."""
    positions = {name: _positions(kafka, way) for name, way in ways.items()}
    under_way: set[Delivery] = set()
    read_again: set[Origin] = set()
    for record in records_in(reader, _spans(reader, positions)):
        told = dict(record.headers)
        of, destination = _place(told, ORIGIN), told.get(DESTINATION, b"").decode("utf-8", "replace")
        at = TopicPartition(record.topic, record.partition)
        if of is None or at not in positions.get(destination, {}):
            continue
        if record.offset >= positions[destination][at]:
            under_way.add(Delivery(destination, of))
        elif destination == INGEST and (letter := _place(told, LETTER)) is not None:
            read_again.add(letter)
    started = {name for name, of in positions.items() if NONE not in of.values()}
    return Lying(frozenset(under_way), frozenset(read_again), frozenset(started))


def _spans(reader: Reader, positions: Mapping[str, Mapping[TopicPartition, int]]) -> Spans:
    """What somebody has still to read; for enrich, what it has read as well."""
    asked = {at for of in positions.values() for at in of}
    whole = positions.get(INGEST, {})
    found = spans_of(reader, sorted({at.topic for at in asked}))
    return {
        at: (first if at in whole else max(first, min(of[at] for of in positions.values() if at in of)), end)
        for at, (first, end) in found.items()
        if at in asked
    }


def _positions(kafka: KafkaSettings, way: Ways) -> dict[TopicPartition, int]:
    found = places(kafka, way.group, way.topics)
    return {TopicPartition(at.topic, at.partition): at.committed for at in found}


def _place(told: Mapping[str, bytes], name: str) -> Origin | None:
    return place_of(told.get(name, b"").decode("utf-8", "replace"))


def delivered(
    reader: Reader, topic: str, decode: Decoder[Receipt], letters: Collection[Read]
) -> frozenset[Delivery]:
    """Which of these deliveries the receipts call delivered. Raises SchemaUnavailable, Unreachable, Refused."""
    if not letters:
        return frozenset()
    from_ms = min(letter.first_at_ms or letter.timestamp_ms for letter in letters) - EARLIER_MS
    wanted = {Delivery(letter.destination, letter.of) for letter in letters}
    spans = spans_of(reader, [topic])
    starts = reader.offsets_at(spans, max(0, from_ms))
    later = {at: (max(first, starts[at]), end) for at, (first, end) in spans.items()}
    return judged(_receipts(records_in(reader, later), decode), wanted)


def _receipts(records: Iterable[Record], decode: Decoder[Receipt]) -> Iterator[Receipt]:
    for record in records:
        try:
            yield decode(record.value or b"")
        except RecordError:  # somebody else's: whoever reads receipts counts those
            continue


def judged(receipts: Iterable[Receipt], wanted: Collection[Delivery]) -> frozenset[Delivery]:
    """Those that were delivered, and that the platform did not find fault with later than that."""
    delivered_ms: dict[Delivery, int] = {}
    fault_ms: dict[Delivery, int] = {}
    for receipt in receipts:
        of = Origin(receipt.conversion_topic, receipt.conversion_partition, receipt.conversion_offset)
        delivery = Delivery(receipt.destination, of)
        if delivery not in wanted:
            continue
        if receipt.outcome == Outcome.DELIVERED:
            delivered_ms[delivery] = max(delivered_ms.get(delivery, 0), receipt.settled_at_ms)
        elif receipt.late:
            fault_ms[delivery] = max(fault_ms.get(delivery, 0), receipt.settled_at_ms)
    return frozenset(of for of, at_ms in delivered_ms.items() if at_ms > fault_ms.get(of, 0))


def originals(reader: Reader, letters: Iterable[Read], topics: Collection[str]) -> dict[Origin, Record]:
    """The records behind letters that are cut, of those that are still there. Raises Unreachable, Refused."""
    found: dict[Origin, Record] = {}
    cut = {letter.of for letter in letters if letter.truncated and letter.of.topic in topics}
    spans = spans_of(reader, sorted({of.topic for of in cut}))
    for of in sorted(cut, key=lambda of: (of.topic, of.partition, of.offset)):
        at = TopicPartition(of.topic, of.partition)
        first, end = spans.get(at, (0, 0))
        if first <= of.offset < end:
            found.update(
                (record.origin, record) for record in records_in(reader, {at: (of.offset, of.offset + 1)})
            )
    return found
