"""Bounded reading: the records between two offsets of partitions, in no group, so that nobody's position moves."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import TypeAlias, TypeVar

from consumer.errors import Unreachable
from consumer.kafka.errors import OffsetOutOfRange
from consumer.kafka.reader import Reader
from consumer.model import Record, TopicPartition

POLL_MAX_RECORDS = 1_000
POLL_TIMEOUT_S = 0.05
SILENT_MAX_S = 15.0
SPARE = 20
"""Offsets have gaps where transactions end: so many more are looked at for each record wanted, at first."""
WIDER = 4
"""How much further back each look goes than the one before."""

Spans: TypeAlias = Mapping[TopicPartition, tuple[int, int]]
"""By partition the first offset, and the one behind the last."""
T = TypeVar("T")


def spans_of(reader: Reader, topics: Iterable[str]) -> dict[TopicPartition, tuple[int, int]]:
    """All that can be read of these topics now. Raises ConfigurationError, Unreachable, Refused."""
    partitions = [TopicPartition(topic, n) for topic in topics for n in range(reader.partitions_of(topic))]
    return {at: reader.watermarks(at) for at in partitions}


def records_in(reader: Reader, spans: Spans) -> Iterator[Record]:
    """The records of these spans, in order per partition. Raises Unreachable, Refused.

    What retention deletes meanwhile is passed over.
    """
    ends = {at: end for at, (first, end) in spans.items() if first < end}
    to_read = {at: spans[at][0] for at in ends}
    _assign(reader, to_read)
    heard_s = time.monotonic()
    while to_read:
        try:
            batch = reader.poll(POLL_MAX_RECORDS, POLL_TIMEOUT_S)
        except OffsetOutOfRange as gone:
            to_read[gone.partition] = max(to_read[gone.partition], reader.watermarks(gone.partition)[0])
            to_read = {at: offset for at, offset in to_read.items() if offset < ends[at]}
            _assign(reader, to_read)
            continue
        for record in batch.records:
            at = TopicPartition(record.topic, record.partition)
            if record.offset >= to_read.get(at, record.offset + 1):
                to_read[at] = record.offset + 1
                if record.offset < ends[at]:
                    yield record
        to_read.update({at: offset for at, offset in batch.ends if at in to_read})
        if done := [at for at, offset in to_read.items() if offset >= ends[at]]:
            reader.pause(done)
            to_read = {at: offset for at, offset in to_read.items() if at not in done}
        heard_s = _still_heard(heard_s, heard=bool(batch.records or batch.ends))
    reader.assign({})


def _assign(reader: Reader, positions: Mapping[TopicPartition, int]) -> None:
    """Read from there; what a look before has paused would stay so."""
    reader.assign(positions)
    reader.resume(positions)


def _still_heard(heard_s: float, *, heard: bool) -> float:
    now_s = time.monotonic()
    if not heard and now_s - heard_s > SILENT_MAX_S:
        raise Unreachable("a topic can't be read to its end: nothing comes any more")
    return now_s if heard else heard_s


def newest(reader: Reader, spans: Spans, count: int, take: Callable[[Record], T | None]) -> list[T]:
    """What `take` makes of the newest `count` records that it takes, by their timestamps, oldest first.

    Each partition is read backwards, further and further, until it has given `count` or is read in full.
    """
    found: dict[TopicPartition, list[tuple[int, T]]] = {at: [] for at in spans}
    unread = {at: span for at, span in spans.items() if span[0] < span[1]}
    back = count + SPARE
    while unread:
        looks = {at: (max(first, end - back), end) for at, (first, end) in unread.items()}
        taken = {at: deque[tuple[int, T]](maxlen=count - len(found[at])) for at in looks}
        for record in records_in(reader, looks):
            if (made := take(record)) is not None:
                taken[TopicPartition(record.topic, record.partition)].append((record.timestamp_ms, made))
        for at, some in taken.items():
            found[at] = [*some, *found[at]]
        unread = {
            at: (unread[at][0], start)
            for at, (start, _) in looks.items()
            if start > unread[at][0] and len(found[at]) < count
        }
        back *= WIDER
    in_order = sorted(chain.from_iterable(found.values()), key=lambda pair: pair[0])
    return [made for _, made in in_order[-count:]]
