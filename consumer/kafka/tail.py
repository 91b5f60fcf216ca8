"""The last records of a topic, without joining a group and without reading what lies before them."""

from collections.abc import Iterable

from consumer.errors import Unreachable
from consumer.kafka.reader import Reader
from consumer.model import Record, TopicPartition
from consumer.settings import KafkaSettings

POLL_TIMEOUT_S = 0.5
SILENT_MAX_POLLS = 30
SPARE = 20
"""Offsets have gaps where transactions end: so many more are read for each record wanted, at first."""


def tail(kafka: KafkaSettings, topic: str, count: int) -> list[Record]:
    """The `count` newest records by timestamp, oldest first. Raises ConfigurationError, Unreachable, Refused."""
    reader = Reader(kafka, f"{topic}.tail", eof=True)
    try:
        partitions = [TopicPartition(topic, number) for number in range(reader.partitions_of(topic))]
        marks = {at: reader.watermarks(at) for at in partitions}
        back = count + SPARE
        while True:
            starts = {at: max(low, end - back) for at, (low, end) in marks.items()}
            found = list(_read(reader, starts, {at: end for at, (_, end) in marks.items()}))
            if len(found) >= count or all(starts[at] == low for at, (low, _) in marks.items()):
                return sorted(found, key=lambda record: record.timestamp_ms)[-count:]
            back *= 10
    finally:
        reader.close()


def _read(
    reader: Reader, starts: dict[TopicPartition, int], ends: dict[TopicPartition, int]
) -> Iterable[Record]:
    left = {at for at, start in starts.items() if start < ends[at]}
    reader.assign({at: starts[at] for at in left})
    silent = 0
    while left:
        batch = reader.poll(1_000, POLL_TIMEOUT_S)
        yield from batch.records
        left -= {at for at, offset in batch.ends if at in ends and offset >= ends[at]}
        silent = 0 if batch.records or batch.ends else silent + 1
        if silent > SILENT_MAX_POLLS:
            raise Unreachable("the topic's end can't be read: nothing comes any more")
    reader.assign({})
