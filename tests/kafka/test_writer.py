"""Writers on real Kafka: durable or told, together or not at all, and one owner of an id."""

from collections.abc import Callable, Iterator
from random import Random

import pytest

from consumer.errors import Fenced
from consumer.kafka.errors import TransactionAborted
from consumer.kafka.reader import Batch, Committed, Reader
from consumer.kafka.writer import TransactionalWriter, Writer
from consumer.model import Record, TopicPartition
from consumer.settings import KafkaSettings

MakeTopic = Callable[..., str]
Until = Callable[[Reader, Callable[[Batch], bool]], list[Record]]
MURMUR2 = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"abc": 479470107,
    b"a-little-bit-long-string": -985981536,
}
"""Source: Apache Kafka, clients/src/test/java/org/apache/kafka/common/utils/UtilsTest.java, testMurmur2."""
LARGE = Random(1).randbytes(100_000)


@pytest.fixture
def writer(kafka: KafkaSettings, prefix: str) -> Iterator[TransactionalWriter]:
    """The owner of a transactional id."""
    found = TransactionalWriter(kafka, f"{prefix}.enrich.0")
    yield found
    found.close()


@pytest.fixture
def reader(kafka: KafkaSettings, prefix: str) -> Iterator[Reader]:
    """Reads what was committed."""
    found = Reader(kafka, f"{prefix}.enrich", eof=True)
    yield found
    found.close()


def committed(reader: Reader, at: TopicPartition, polled: Until) -> list[bytes | None]:
    """All committed values of a partition."""
    reader.assign({at: 0})
    return [record.value for record in polled(reader, lambda batch: bool(batch.ends))]


def test_a_key_goes_where_javas_producers_send_it(
    kafka: KafkaSettings, writer: TransactionalWriter, make_topic: MakeTopic, reader: Reader, polled: Until
) -> None:
    """The partition of a key is that of Kafka's own hash: else orders and checkouts would not meet."""
    topic = make_topic("orders", 7)
    plain = Writer(kafka, client_id="test")
    writer.begin()
    for key in MURMUR2:
        plain.produce(topic, b"v", key=key)
        writer.produce(topic, b"v", key=key)
    writer.commit()
    assert plain.flush(30) == 0
    plain.close()
    at = {TopicPartition(topic, number): 0 for number in range(7)}
    reader.assign(at)
    ended: set[TopicPartition] = set()

    def all_ended(batch: Batch) -> bool:
        ended.update(place for place, _ in batch.ends)
        return len(ended) == len(at)

    found = [(record.key or b"", record.partition) for record in polled(reader, all_ended)]
    assert sorted(found) == sorted(2 * [(key, (hashed & 0x7FFFFFFF) % 7) for key, hashed in MURMUR2.items()])


def test_what_was_delivered_is_told_by_its_offset(kafka: KafkaSettings, make_topic: MakeTopic) -> None:
    """Each record's offset once it is durable, None for what will never be; nothing is raised."""
    topic = make_topic("letters", max_message_bytes="2000")
    told: list[int | None] = []
    writer = Writer(kafka, client_id="test")
    for value in (b"1", b"2"):
        writer.produce(topic, value, on_delivered=told.append)
        assert writer.flush(30) == 0
    writer.produce(topic, LARGE, on_delivered=told.append)
    writer.produce(topic, bytes(20_000_000), on_delivered=told.append)
    assert writer.flush(30) == 0
    assert told == [0, 1, None, None]
    assert repr(writer) == "<Writer test: 0 under way>"
    writer.close()


def test_closing_gives_up_what_is_under_way(nowhere: KafkaSettings) -> None:
    """Nobody waits for a broker that doesn't answer: whoever asked is told that it won't be."""
    told: list[int | None] = []
    writer = Writer(nowhere, client_id="test")
    writer.produce("orders", b"1", on_delivered=told.append)
    assert writer.flush(0.1) == 1
    writer.close()
    assert told == [None]


def test_records_and_positions_count_together(
    writer: TransactionalWriter, reader: Reader, make_topic: MakeTopic, polled: Until
) -> None:
    """After a commit both are there, after an abort neither."""
    at = TopicPartition(make_topic("conversions"), 0)
    offsets: list[int | None] = []
    for value, position, end in (
        (b"1", 5, writer.commit),
        (b"2", 9, writer.abort),
        (b"3", 7, writer.commit),
    ):
        writer.begin()
        writer.produce(at.topic, value, partition=0, on_delivered=offsets.append)
        writer.send_positions({at: position}, reader.group_metadata())
        end()
    assert reader.committed([at]) == {at: Committed(7)}
    assert committed(reader, at, polled) == [b"1", b"3"]
    assert offsets[0] == 0
    assert offsets[-1] == reader.watermarks(at)[1] - 2


def test_an_older_owner_of_an_id_is_fenced(
    kafka: KafkaSettings,
    writer: TransactionalWriter,
    reader: Reader,
    make_topic: MakeTopic,
    prefix: str,
    polled: Until,
) -> None:
    """Whoever takes an id over ends the open transaction; the older owner can't commit, and nothing of it counts."""
    at = TopicPartition(make_topic("conversions"), 0)
    writer.begin()
    writer.produce(at.topic, b"zombie", partition=0)
    assert writer.flush(30) == 0
    successor = TransactionalWriter(kafka, f"{prefix}.enrich.0")
    with pytest.raises(Fenced):
        writer.commit()
    with pytest.raises(Fenced):
        writer.begin()
    successor.begin()
    successor.produce(at.topic, b"heir", partition=0)
    successor.commit()
    assert committed(reader, at, polled) == [b"heir"]
    successor.close()


@pytest.mark.parametrize("value", [LARGE, bytes(20_000_000)], ids=["for the topic", "for the client"])
def test_a_record_too_large_aborts_its_transaction(
    writer: TransactionalWriter, reader: Reader, make_topic: MakeTopic, polled: Until, value: bytes
) -> None:
    """It can't be committed with that record; after the abort the next one can, and the first left nothing."""
    at = TopicPartition(make_topic("conversions", max_message_bytes="2000"), 0)
    told: list[int | None] = []
    writer.begin()
    writer.produce(at.topic, b"with it", partition=0)
    writer.produce(at.topic, value, partition=0, on_delivered=told.append)
    with pytest.raises(TransactionAborted):
        writer.commit()
    writer.abort()
    assert told == [None]
    for _ in range(3):  # the client may need another attempt until its numbers are in order again
        writer.begin()
        writer.produce(at.topic, b"after it", partition=0)
        try:
            writer.commit()
            break
        except TransactionAborted:
            writer.abort()
    assert committed(reader, at, polled) == [b"after it"]


def test_positions_of_a_member_that_was_replaced_are_refused(
    kafka: KafkaSettings, writer: TransactionalWriter, make_topic: MakeTopic, prefix: str, polled: Until
) -> None:
    """What fences a zombie: its transaction is aborted, and the group's positions stay as they were."""
    at = TopicPartition(make_topic("orders"), 0)
    source = Writer(kafka, client_id="test")
    source.produce(at.topic, b"1", partition=0)
    assert source.flush(30) == 0
    source.close()

    def joined() -> Reader:
        member = Reader(kafka, f"{prefix}.enrich")
        member.subscribe(
            [at.topic],
            on_assigned=lambda partitions: dict.fromkeys(partitions, 0),
            on_revoked=lambda _: None,
            on_lost=lambda _: None,
        )
        polled(member, lambda batch: bool(batch.records))
        return member

    zombie = joined()
    stale = zombie.group_metadata()
    zombie.close()
    member = joined()
    writer.begin()
    with pytest.raises(TransactionAborted):
        writer.send_positions({at: 1}, stale)
    writer.abort()
    assert member.committed([at]) == {}
    writer.begin()
    writer.send_positions({at: 1}, member.group_metadata())
    writer.commit()
    assert member.committed([at]) == {at: Committed(1)}
    member.close()
