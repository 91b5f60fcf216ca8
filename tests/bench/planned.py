"""Enrich without Kafka: pairs that plan the records they are given, on real stores."""

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from consumer.clock import SystemClock
from consumer.emulators.shop import Topic
from consumer.enrich.encoders import encoders
from consumer.enrich.pair import Pair, Reads
from consumer.enrich.planned import Also, Converted, Happened
from consumer.enrich.rules import Encode, Rules, rules_of
from consumer.ingest import Ingest
from consumer.kafka.registry import SchemaStore
from consumer.model import Record, TopicPartition
from consumer.settings import Settings
from consumer.state.store import Checkpoint, Store
from tests.bench.ground import PARTITIONS
from tests.bench.shop import Message

MAX_BYTES = 900_000
WORK_MAX_RECORDS = 1_000


class Turn(Struct, frozen=True):
    """What one transaction of a pair would write."""

    pair: Pair
    happened: Sequence[Happened]

    @property
    def converted(self) -> Iterator[Converted]:
        """The conversions among what happened."""
        for each in self.happened:
            match each.planned:
                case (Converted() as converted) | Also(converted):
                    yield converted
                case _:
                    pass


class Planner:
    """All pairs of a shop, with stores in a folder."""

    def __init__(self, settings: Settings, encode: Encode, reads: Reads, folder: Path) -> None:
        self._topics = settings.topics
        self._rules = rules_of(settings, encode, conversion_max_bytes=MAX_BYTES, state_max_bytes=MAX_BYTES)
        self._reads = reads
        self._folder = folder
        self._pairs: dict[int, Pair] = {}

    @property
    def rules(self) -> Rules:
        """What the settings say."""
        return self._rules

    def take(self, records: Iterable[Record]) -> int:
        """Put records into the pairs' buffers; how many."""
        count = 0
        for record in records:
            at = TopicPartition(record.topic, record.partition)
            self._pair(record.partition).intakes[at].add(record)
            count += 1
        for pair in self._pairs.values():
            for intake in pair.intakes.values():
                intake.end(1 << 60)
        return count

    def _pair(self, number: int) -> Pair:
        if number not in self._pairs:
            sisters = (
                TopicPartition(self._topics.orders, number),
                TopicPartition(self._topics.checkouts, number),
                TopicPartition(f"{self._topics.prefix}.ingest-replay", number),
            )
            store = Store(self._folder / f"{number:04d}")
            pair = self._pairs[number] = Pair(*sisters, store, self._reads, self._rules)
            pair.begin(dict.fromkeys(sisters, 0))
            pair.activate()
        return self._pairs[number]

    def turns(self, now_ms: int) -> Iterator[Turn]:
        """Plan all that is buffered. The caller stores each turn's changes before it asks for the next."""
        for pair in self._pairs.values():
            while happened := pair.work(WORK_MAX_RECORDS, now_ms, 0.0):
                yield Turn(pair, happened)

    def close(self) -> None:
        """Close the stores."""
        for pair in self._pairs.values():
            pair.store.close()


def stored(turn: Turn, offset: int) -> None:
    """Store a turn's changes, as the loop does after its commit."""
    turn.pair.committed(Checkpoint(offset, 0))


class Material(Struct, frozen=True):
    """What a shop's records come to: conversions as records, and changes of state, each a key and a value."""

    conversions: Sequence[Converted]
    changes: Sequence[tuple[bytes, bytes | None]]


def material(settings: Settings, messages: Iterable[Message], folder: Path) -> Material:
    """Plan a shop's messages without Kafka."""
    schemas = SchemaStore(settings.registry)
    encode = encoders(settings.topics.prefix, schemas.register).conversion
    planner = Planner(settings, encode, Ingest(schemas.schema), folder)
    planner.take(_records(settings, messages))
    conversions: list[Converted] = []
    changes: list[tuple[bytes, bytes | None]] = []
    for turn in planner.turns(SystemClock().now_ms()):
        conversions += turn.converted
        changes += turn.pair.overlay.changes.items()
        stored(turn, 0)
    planner.close()
    return Material(conversions, changes)


def _records(settings: Settings, messages: Iterable[Message]) -> Iterator[Record]:
    """As Kafka would give them, if it took the keys' checksums for the partitions."""
    names = {Topic.ORDERS: settings.topics.orders, Topic.CHECKOUTS: settings.topics.checkouts}
    offsets: Counter[tuple[str, int]] = Counter()
    for one in messages:
        at = (names[one.topic], zlib.crc32(one.key or b"") % PARTITIONS)
        yield Record(*at, offsets[at], one.at_ms, one.key, one.value)
        offsets[at] += 1
