"""Bounded reading on a real cluster: exactly what lies between two offsets, and the newest of many partitions."""

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from confluent_kafka import Producer
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient

from consumer.errors import ConfigurationError
from consumer.kafka.reader import Reader
from consumer.kafka.spans import newest, records_in, spans_of
from consumer.kafka.tail import tail
from consumer.kafka.writer import TransactionalWriter
from consumer.model import Record, TopicPartition
from consumer.settings import KafkaSettings

MakeTopic = Callable[..., str]


@pytest.fixture
def reader(kafka: KafkaSettings, prefix: str) -> Iterator[Reader]:
    """A reader that tells of ends, in no group."""
    with closing(Reader(kafka, f"{prefix}.spans", eof=True)) as made:
        yield made


def fill(bootstrap: str, topic: str, partition: int, values: range, step_ms: int = 1) -> None:
    """Write numbers, each at its own time: as many steps after the epoch's first second."""
    producer = Producer({"bootstrap.servers": bootstrap})
    for number in values:
        producer.produce(topic, str(number), partition=partition, timestamp=1_000 + number * step_ms)
    assert producer.flush(30) == 0


def number(record: Record) -> int:
    """What was written."""
    return int(record.value or b"")


def test_a_span_is_read_and_no_more(
    reader: Reader, kafka: KafkaSettings, bootstrap: str, make_topic: MakeTopic
) -> None:
    """Neither what lies before nor what lies behind; empty spans give nothing, and a reader can be used again."""
    topic = make_topic("many", 3)
    fill(bootstrap, topic, 0, range(5_000))
    fill(bootstrap, topic, 1, range(5_000, 5_010))
    at = [TopicPartition(topic, place) for place in range(3)]
    assert spans_of(reader, [topic]) == {at[0]: (0, 5_000), at[1]: (0, 10), at[2]: (0, 0)}
    asked = {at[0]: (40, 1_700), at[1]: (3, 3), at[2]: (0, 0)}
    assert [number(record) for record in records_in(reader, asked)] == list(range(40, 1_700))
    found = [number(record) for record in records_in(reader, spans_of(reader, [topic]))]
    assert sorted(found) == list(range(5_010))
    assert kafka.bootstrap_servers == bootstrap


def test_gaps_and_open_ends_are_no_trouble(
    reader: Reader, kafka: KafkaSettings, prefix: str, make_topic: MakeTopic
) -> None:
    """A span may begin, end or lie within what is no record: marks of transactions, and what was aborted."""
    topic = make_topic("gaps")
    with closing(TransactionalWriter(kafka, f"{prefix}.gaps")) as writer:
        for round_ in range(4):
            writer.begin()
            writer.produce(topic, str(round_).encode(), partition=0)
            writer.flush(10)
            if round_ % 2:
                writer.abort()
            else:
                writer.commit()
    at = TopicPartition(topic, 0)
    assert spans_of(reader, [topic]) == {at: (0, 8)}
    for first, end in [(0, 8), (0, 1), (1, 8), (1, 4), (2, 3), (4, 8), (5, 8), (6, 7), (3, 5)]:
        found = [record.offset for record in records_in(reader, {at: (first, end)})]
        assert found == [offset for offset in (0, 4) if first <= offset < end], (first, end)


def test_what_was_deleted_meanwhile_is_passed_over(
    reader: Reader, bootstrap: str, make_topic: MakeTopic
) -> None:
    """Retention may take the oldest records between asking and reading."""
    topic = make_topic("deleted", 2)
    fill(bootstrap, topic, 0, range(10))
    fill(bootstrap, topic, 1, range(10, 20))
    spans = spans_of(reader, [topic])
    admin = AdminClient({"bootstrap.servers": bootstrap})
    asked = [KafkaPartition(topic, 0, 4), KafkaPartition(topic, 1, 10)]
    for deleted in admin.delete_records(asked).values():
        deleted.result(30)
    assert [number(record) for record in records_in(reader, spans)] == list(range(4, 10))


def test_the_newest_come_from_all_partitions(reader: Reader, bootstrap: str, make_topic: MakeTopic) -> None:
    """By time, wherever they lie: a partition of many old records doesn't crowd out one of few new ones."""
    topic = make_topic("newest", 3)
    fill(bootstrap, topic, 0, range(3_000))
    fill(bootstrap, topic, 1, range(2_995, 3_003))
    spans = spans_of(reader, [topic])
    looked: list[int] = []

    def take(record: Record) -> int:
        looked.append(record.offset)
        return number(record)

    assert newest(reader, spans, 5, take) == [2_999, 2_999, 3_000, 3_001, 3_002]
    assert len(looked) < 100
    assert sorted(newest(reader, spans, 9_999, number)) == sorted([*range(3_000), *range(2_995, 3_003)])


def test_the_newest_of_a_kind_are_looked_for_further_back(
    reader: Reader, bootstrap: str, make_topic: MakeTopic
) -> None:
    """What is rare is found, and what is not there is sought to the beginning, each record looked at once."""
    topic = make_topic("rare", 2)
    fill(bootstrap, topic, 0, range(4_000))
    fill(bootstrap, topic, 1, range(4_000, 4_010))
    spans = spans_of(reader, [topic])
    looked: list[int] = []

    def take(record: Record) -> int | None:
        looked.append(number(record))
        return number(record) if number(record) in {7, 3_000, 4_001} else None

    assert newest(reader, spans, 2, take) == [3_000, 4_001]
    looked.clear()
    assert newest(reader, spans, 9, take) == [7, 3_000, 4_001]
    assert sorted(looked) == list(range(4_010))


def test_the_tail_of_a_topic(kafka: KafkaSettings, bootstrap: str, make_topic: MakeTopic) -> None:
    """The last records, oldest first; all of them if there are fewer; a topic that isn't there is told."""
    topic = make_topic("tail", 2)
    assert tail(kafka, topic, 3) == []
    fill(bootstrap, topic, 1, range(50))
    assert [number(record) for record in tail(kafka, topic, 3)] == [47, 48, 49]
    assert len(tail(kafka, topic, 99)) == 50
    with pytest.raises(ConfigurationError, match="does not exist"):
        tail(kafka, f"{topic}.other", 3)
