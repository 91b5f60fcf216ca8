"""Enrich's steps one after the other: each in a plain loop over the same records, so that no profiler is needed.

What a step costs is CPU time of the whole process, librdkafka's and RocksDB's threads included, in seconds.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from msgspec import Struct

from consumer.clock import SystemClock
from consumer.enrich.encoders import encoders
from consumer.enrich.ended import EncodeEnding, endings, fitted
from consumer.enrich.planned import Converted
from consumer.enrich.rules import Encode
from consumer.errors import RecordError
from consumer.ingest import DecodedHead, Ingest, mapping
from consumer.ingest.person import Persons
from consumer.kafka.reader import Reader
from consumer.kafka.registry import SchemaStore
from consumer.kafka.writer import TransactionalWriter
from consumer.model import Checkout, Conversion, Order, Record, TopicPartition
from consumer.settings import Settings
from tests.bench.ground import PARTITIONS, Report
from tests.bench.meter import Meter
from tests.bench.planned import MAX_BYTES, Planner, Turn, stored

POLL_MAX_RECORDS = 1_000
CONSUME_MAX_S = 60.0
PAYLOAD = bytes(600)
T = TypeVar("T")


class Noted(Generic[T]):
    """What reading gave for each record, given again at no cost the next time."""

    def __init__(self, read: Callable[..., T]) -> None:
        self._read = read
        self._found: dict[int, T | RecordError] = {}
        self.asked: list[tuple[object, ...]] = []

    def __call__(self, *asked: object) -> T:
        """As `read`."""
        found = self._found.get(id(asked[0]))
        if found is None:
            try:
                found = self._read(*asked)
                self.asked.append(asked)
            except RecordError as error:
                found = error
            self._found[id(asked[0])] = found
        if isinstance(found, RecordError):
            raise found
        return found

    def again(self) -> float:
        """CPU seconds of reading all of them once more, but for those that can't be read."""
        read, meter = self._read, Meter()
        for each in self.asked:
            read(*each)
        return meter.cpu_s


class Told:
    """How records become orders and checkouts, noted."""

    def __init__(self, ingest: Ingest) -> None:
        self.has_refunds = ingest.has_refunds
        self.heads: Noted[DecodedHead | None] = Noted(ingest.order_head)
        self.orders: Noted[Order] = Noted(ingest.order)
        self.steps: Noted[Checkout | None] = Noted(ingest.checkout)

    def order_head(self, record: Record) -> DecodedHead | None:
        """As ingest's."""
        return self.heads(record)

    def order(self, record: Record, decoded: DecodedHead | None = None) -> Order:
        """As ingest's."""
        return self.orders(record, decoded)

    def checkout(self, record: Record) -> Checkout | None:
        """As ingest's."""
        return self.steps(record)


class Written(Struct, frozen=True):
    """What one transaction writes; `endings` are keys and values."""

    conversions: Sequence[Converted]
    endings: Sequence[tuple[bytes | None, bytes]]
    changes: Mapping[bytes, bytes | None]
    partition: int
    positions: Mapping[TopicPartition, int]


def steps(settings: Settings, asked: Report) -> Report:
    """CPU seconds of each step over `inputs` records, and how many records each was for."""
    records, consume_s = _consumed(settings, asked["inputs"])
    schemas = SchemaStore(settings.registry)
    told, prefix = Told(Ingest(schemas.schema)), settings.topics.prefix
    encode, encode_ending = encoders(prefix, schemas.register)
    with tempfile.TemporaryDirectory() as folder:
        turns = _turns(settings, encode, told, records, Path(folder, "one"))
        written, endings_s = _written(settings, encode_ending, turns)
        plan_s, store_s = _planned(settings, told, records, Path(folder, "two"))
    mapping._persons = Persons()  # nobody is known yet; the orders are of those known from their checkouts
    checkouts_s, orders_s = told.steps.again(), told.orders.again()
    conversions = [each.conversion for one in written for each in one.conversions]
    produce_s, commit_s = _committed(settings, written)
    return {
        "inputs": len(records),
        "steps": {
            "consume": (consume_s, len(records)),
            "decode head": (told.heads.again(), len(told.heads.asked)),
            "decode and hash order": (orders_s, len(told.orders.asked)),
            "decode and hash checkout": (checkouts_s, len(told.steps.asked)),
            "plan": (plan_s, len(records)),
            "encode": (_encoded(encode, conversions), len(conversions)),
            "tell endings": (endings_s, sum(len(one.endings) for one in written)),
            "produce": (
                produce_s,
                sum(len(one.conversions) + len(one.endings) + len(one.changes) for one in written),
            ),
            "commit": (commit_s, len(written)),
            "store": (store_s, sum(len(one.changes) for one in written)),
        },
    }


def _consumed(settings: Settings, count: int) -> tuple[list[Record], float]:
    reader = Reader(settings.kafka, f"{settings.topics.prefix}.bench", client_id="bench")
    topics = (settings.topics.orders, settings.topics.checkouts)
    starts = {TopicPartition(topic, number): 0 for topic in topics for number in range(PARTITIONS)}
    records: list[Record] = []
    meter = Meter()
    reader.assign(starts)
    while len(records) < count:
        records += reader.poll(POLL_MAX_RECORDS, 0.05).records
        if meter.clock_s > CONSUME_MAX_S:
            raise TimeoutError(f"read {len(records)} of {count} records in {CONSUME_MAX_S:.0f} s")
    cpu_s = meter.cpu_s
    reader.close()
    return records, cpu_s


def _turns(
    settings: Settings,
    encode: Callable[[Conversion], bytes],
    told: Told,
    records: Iterable[Record],
    folder: Path,
) -> Iterator[Turn]:
    """Plan all; each turn is stored once the caller has seen it."""
    planner = Planner(settings, encode, told, folder)
    planner.take(records)
    for turn in planner.turns(SystemClock().now_ms()):
        yield turn
        stored(turn, 0)
    planner.close()


def _written(settings: Settings, encode: EncodeEnding, turns: Iterable[Turn]) -> tuple[list[Written], float]:
    """What each transaction writes, and the CPU seconds of telling endings."""
    orders, now_ms, told_s, all_written = settings.topics.orders, SystemClock().now_ms(), 0.0, []
    meter = Meter()
    for turn in turns:
        began_s, pair = meter.cpu_s, turn.pair
        told = [fitted(each, encode, MAX_BYTES) for each in endings(turn.happened, orders, now_ms)]
        told_s += meter.cpu_s - began_s
        changes = dict(pair.overlay.changes)
        all_written.append(Written(list(turn.converted), told, changes, pair.number, pair.positions))
    return all_written, told_s


def _planned(settings: Settings, told: Told, records: Iterable[Record], folder: Path) -> tuple[float, float]:
    """CPU seconds of planning and of storing, with nothing decoded or encoded."""
    store_s = 0.0
    planner = Planner(settings, lambda _: PAYLOAD, told, folder)
    planner.take(records)
    meter = Meter()
    for turn in planner.turns(SystemClock().now_ms()):
        began_s = meter.cpu_s
        stored(turn, 0)
        store_s += meter.cpu_s - began_s
    plan_s = meter.cpu_s - store_s
    planner.close()
    return plan_s, store_s


def _encoded(encode: Encode, conversions: Iterable[Conversion]) -> float:
    meter = Meter()
    for each in conversions:
        encode(each)
    return meter.cpu_s


def _committed(settings: Settings, written: Iterable[Written]) -> tuple[float, float]:
    """CPU seconds of producing and of committing, in a transaction a turn."""
    prefix, produce_s, commit_s = settings.topics.prefix, 0.0, 0.0
    group = Reader(settings.kafka, f"{prefix}.steps", client_id="bench")
    writer = TransactionalWriter(settings.kafka, f"{prefix}.steps")
    meter = Meter()
    for one in written:
        began_s = meter.cpu_s
        writer.begin()
        for each in one.conversions:
            writer.produce(f"{prefix}.conversions", each.payload, key=each.key)
        for order_id, ending in one.endings:
            writer.produce(f"{prefix}.endings", ending, key=order_id)
        for key, value in one.changes.items():
            writer.produce(f"{prefix}.state", value, key=key, partition=one.partition)
        writer.flush(30)
        between_s = meter.cpu_s
        writer.send_positions(one.positions, group.group_metadata())
        writer.commit()
        produce_s += between_s - began_s
        commit_s += meter.cpu_s - between_s
    writer.close()
    group.close()
    return produce_s, commit_s
