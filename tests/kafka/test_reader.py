"""Readers on real Kafka: only what was committed, from where they are told, and clear words for what goes wrong."""

import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient

from consumer.errors import ConfigurationError, Fenced, Unreachable
from consumer.kafka.errors import OffsetOutOfRange, StaleMember
from consumer.kafka.limits import ask
from consumer.kafka.reader import Batch, Committed, Reader
from consumer.kafka.writer import TransactionalWriter, Writer
from consumer.model import Record, TopicPartition
from consumer.settings import KafkaSettings

MakeTopic = Callable[..., str]
Until = Callable[[Reader, Callable[[Batch], bool]], list[Record]]
PROTOCOLS = ["classic", "consumer"]


@pytest.fixture
def reader(kafka: KafkaSettings, prefix: str) -> Iterator[Reader]:
    """A reader that tells of ends, in a group of its own."""
    found = Reader(kafka, f"{prefix}.group", eof=True)
    yield found
    found.close()


@pytest.fixture
def orders(kafka: KafkaSettings, make_topic: MakeTopic) -> TopicPartition:
    """A topic of one partition with the records 0 to 9."""
    topic = make_topic("orders")
    writer = Writer(kafka, client_id="test")
    for number in range(10):
        writer.produce(topic, b"%d" % number, key=b"k", timestamp_ms=1_795_521_600_000 + number)
    assert writer.flush(30) == 0
    writer.close()
    return TopicPartition(topic, 0)


def at_end(batch: Batch) -> bool:
    """Say if a batch tells of an end."""
    return bool(batch.ends)


def values(records: list[Record]) -> list[bytes | None]:
    """What the records hold."""
    return [record.value for record in records]


def test_a_record_comes_as_it_was_written(
    kafka: KafkaSettings, reader: Reader, make_topic: MakeTopic, polled: Until
) -> None:
    """Key, value, time and headers; none of them where there is none."""
    topic = make_topic("orders")
    headers = (("a", b"1"), ("a", b"\xff"), ("b", b""))
    writer = Writer(kafka, client_id="test")
    writer.produce(topic, b"v", key=b"k", timestamp_ms=1_795_521_600_000, headers=headers)
    writer.produce(topic, None, key=b"", timestamp_ms=1_795_521_600_001)
    writer.produce(topic, b"", timestamp_ms=1_795_521_600_002)
    assert writer.flush(30) == 0
    writer.close()
    reader.assign({TopicPartition(topic, 0): 0})
    assert polled(reader, at_end) == [
        Record(topic, 0, 0, 1_795_521_600_000, b"k", b"v", headers),
        Record(topic, 0, 1, 1_795_521_600_001, b"", None),
        Record(topic, 0, 2, 1_795_521_600_002, None, b""),
    ]


def test_only_what_was_committed_is_read(
    kafka: KafkaSettings, reader: Reader, make_topic: MakeTopic, polled: Until
) -> None:
    """Aborted and open transactions are hidden; the end is the last stable offset, behind the markers."""
    at = TopicPartition(make_topic("orders"), 0)
    writer = TransactionalWriter(kafka, f"{at.topic}.writer")
    for value, end in (
        (b"1", writer.commit),
        (b"2", writer.abort),
        (b"3", writer.commit),
        (b"4", writer.abort),
    ):
        writer.begin()
        writer.produce(at.topic, value, partition=0)
        assert writer.flush(30) == 0
        end()
    writer.begin()
    writer.produce(at.topic, b"5", partition=0)
    assert writer.flush(30) == 0
    ends: list[tuple[TopicPartition, int]] = []
    reader.assign({at: 0})

    def ended(batch: Batch) -> bool:
        ends.extend(batch.ends)
        return bool(ends)

    assert values(polled(reader, ended)) == [b"1", b"3"]
    assert (ends, reader.watermarks(at), reader.known_end(at)) == ([(at, 8)], (0, 8), 9)
    writer.commit()
    assert values(polled(reader, at_end)) == [b"5"]
    writer.close()


def test_a_paused_partition_rests_and_goes_on(reader: Reader, orders: TopicPartition, polled: Until) -> None:
    """Neither records nor ends while it is paused; then the record after the last one given."""
    reader.assign({orders: 0})
    first = reader.poll(1, 30.0).records
    reader.pause([orders])
    assert reader.poll(10, 0.5) == Batch([], [])
    reader.resume([orders])
    assert values(first + polled(reader, at_end)) == [b"%d" % number for number in range(10)]
    reader.seek(orders, 7)
    assert values(polled(reader, at_end)) == [b"7", b"8", b"9"]
    with pytest.raises(StaleMember):
        reader.seek(TopicPartition(orders.topic, 5), 0)


def test_positions_are_kept_with_what_is_written_beside_them(
    kafka: KafkaSettings, reader: Reader, make_topic: MakeTopic, prefix: str
) -> None:
    """Whoever asks gets the offset and the metadata back; a partition without a position is absent."""
    topic = make_topic("orders", 3)
    first, second, third = (TopicPartition(topic, number) for number in range(3))
    beside = "0:5,7:2;ü" * 300
    assert reader.committed([first, second]) == {}
    reader.commit({first: Committed(5, beside), second: Committed(0)})
    other = Reader(kafka, f"{prefix}.group")
    assert other.committed([first, second, third]) == {first: Committed(5, beside), second: Committed(0, "")}
    other.close()
    reader.commit({})
    assert reader.committed([]) == {}


def test_times_become_offsets(reader: Reader, orders: TopicPartition) -> None:
    """The first record of that time or later, the end if there is none."""
    begin_ms = 1_795_521_600_000
    wanted = {begin_ms - 1: 0, begin_ms: 0, begin_ms + 4: 4, begin_ms + 100: 10}
    assert {ms: reader.offsets_at([orders], ms)[orders] for ms in wanted} == wanted


def test_deleted_records_are_never_passed_over(
    bootstrap: str, reader: Reader, orders: TopicPartition, polled: Until
) -> None:
    """Where the record to read next is gone, before the log or behind it, the reader halts and says what to do."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for deleted in admin.delete_records([KafkaPartition(orders.topic, 0, 5)]).values():
        deleted.result(30)
    for start in (2, 50):
        reader.assign({orders: start})
        with pytest.raises(OffsetOutOfRange, match="`capi offsets accept-gap`") as caught:
            polled(reader, lambda _: False)
        assert caught.value.partition == orders
        reader.assign({})


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_member_starts_where_it_is_told(
    kafka: KafkaSettings, orders: TopicPartition, prefix: str, polled: Until, protocol: str
) -> None:
    """Partitions are given with an offset each, and taken back before the member leaves."""
    settings = kafka.model_copy(update={"group_protocol": protocol})
    told: list[tuple[str, list[TopicPartition]]] = []

    def assigned(at: list[TopicPartition]) -> dict[TopicPartition, int]:
        told.append(("assigned", at))
        return dict.fromkeys(at, 6)

    member = Reader(settings, f"{prefix}.group", eof=True)
    member.subscribe(
        [orders.topic],
        on_assigned=assigned,
        on_revoked=lambda at: told.append(("revoked", at)),
        on_lost=lambda at: told.append(("lost", at)),
    )
    assert values(polled(member, at_end)) == [b"6", b"7", b"8", b"9"]
    assert repr(member) == f"<Reader {prefix}.group: 1 partitions of {orders.topic}>"
    member.commit({orders: Committed(8, "x")})
    assert member.committed([orders]) == {orders: Committed(8, "x")}
    member.leave()
    deadline_s = time.monotonic() + 60
    while len(told) < 2:
        assert time.monotonic() < deadline_s
        member.poll(10, 0.1)
    member.close()
    assert told == [("assigned", [orders]), ("revoked", [orders])]


def test_what_a_callback_raises_comes_out_of_poll(
    kafka: KafkaSettings, orders: TopicPartition, prefix: str, polled: Until
) -> None:
    """Neither lost nor changed on its way through the client."""

    def assigned(_: list[TopicPartition]) -> dict[TopicPartition, int]:
        raise ConfigurationError("as raised")

    member = Reader(kafka, f"{prefix}.group")
    member.subscribe([orders.topic], on_assigned=assigned, on_revoked=lambda _: None, on_lost=lambda _: None)
    with pytest.raises(ConfigurationError, match="as raised"):
        polled(member, lambda _: False)
    member.close()


def joined(kafka: KafkaSettings, group: str, topic: str, polled: Until, instance_id: str = "") -> Reader:
    """A member that reads."""
    member = Reader(kafka, group, instance_id=instance_id)
    member.subscribe(
        [topic],
        on_assigned=lambda at: dict.fromkeys(at, 0),
        on_revoked=lambda _: None,
        on_lost=lambda _: None,
    )
    polled(member, lambda batch: bool(batch.records))
    return member


def test_who_is_not_of_the_group_commits_nothing(
    kafka: KafkaSettings, orders: TopicPartition, prefix: str, reader: Reader, polled: Until
) -> None:
    """A commit past the members is refused as stale, and changes nothing."""
    member = joined(kafka, f"{prefix}.group", orders.topic, polled)
    member.commit({orders: Committed(3)})
    with pytest.raises(StaleMember):
        reader.commit({orders: Committed(9)})
    assert reader.committed([orders]) == {orders: Committed(3)}
    member.close()


def test_a_twin_fences_the_first(
    kafka: KafkaSettings, orders: TopicPartition, prefix: str, polled: Until
) -> None:
    """Of two processes with one instance id the older ends with a clear word."""
    first = joined(kafka, f"{prefix}.group", orders.topic, polled, "enrich-0")
    second = joined(kafka, f"{prefix}.group", orders.topic, polled, "enrich-0")
    with pytest.raises(Fenced, match=f"another process reads as enrich-0 in {prefix}.group"):
        polled(first, lambda _: False)
    first.close()
    second.close()


def test_a_predecessor_of_the_new_protocol_is_waited_for(
    kafka: KafkaSettings, orders: TopicPartition, prefix: str, polled: Until
) -> None:
    """An instance id that is still taken refuses the successor's client; it opens another until it has the place."""
    settings = kafka.model_copy(update={"group_protocol": "consumer"})
    first = joined(settings, f"{prefix}.group", orders.topic, polled, "enrich-0")
    second = Reader(settings, f"{prefix}.group", instance_id="enrich-0")
    given: list[TopicPartition] = []

    def assigned(at: list[TopicPartition]) -> dict[TopicPartition, int]:
        given.extend(at)
        return dict.fromkeys(at, 0)

    second.subscribe([orders.topic], on_assigned=assigned, on_revoked=lambda _: None, on_lost=lambda _: None)
    client = second._consumer
    polled(second, lambda _: second._consumer is not client)
    assert given == []
    first.close()
    polled(second, lambda batch: bool(batch.records))
    assert given == [orders]
    second.close()


def test_a_topic_that_is_not_there_is_told_by_its_name(
    kafka: KafkaSettings, reader: Reader, prefix: str, polled: Until
) -> None:
    """Whether it is asked about, looked up or subscribed to."""
    topic = f"{prefix}.nowhere"
    for call in (lambda: reader.partitions_of(topic), lambda: ask(kafka, [topic])):
        with pytest.raises(ConfigurationError, match=f"{topic} does not exist.*capi topics apply"):
            call()
    reader.subscribe([topic], on_assigned=lambda _: {}, on_revoked=lambda _: None, on_lost=lambda _: None)
    with pytest.raises(ConfigurationError, match=f"{topic} does not exist"):
        polled(reader, lambda _: False)


def test_limits_are_those_of_the_topic(kafka: KafkaSettings, make_topic: MakeTopic) -> None:
    """Partitions, the largest record and how long things are kept, as the cluster has them."""
    topic = make_topic("state", 2, max_message_bytes="2000", retention_ms="-1", delete_retention_ms="5000")
    cluster = ask(kafka, [topic])
    found = cluster.topics[topic]
    assert (found.partitions, found.max_message_bytes, found.retention_ms, found.tombstones_ms) == (
        2,
        2000,
        -1,
        5000,
    )
    assert cluster.cluster_id


def test_a_wrong_address_is_told_in_bounded_time(
    nowhere: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each question ends, and says which setting to look at."""
    monkeypatch.setattr("consumer.kafka.reader.ASK_TIMEOUT_S", 0.5)
    monkeypatch.setattr("consumer.kafka.limits.ASK_TIMEOUT_S", 0.5)
    monkeypatch.setattr("consumer.kafka.writer.INIT_TIMEOUT_S", 0.5)
    at = TopicPartition("orders", 0)
    lost = Reader(nowhere.model_copy(update={"transaction_timeout_s": 1}), "group")
    for call in (
        lambda: lost.watermarks(at),
        lambda: lost.committed([at]),
        lambda: lost.offsets_at([at], 5),
        lambda: lost.partitions_of("orders"),
        lambda: ask(nowhere, ["orders"]),
        lambda: TransactionalWriter(nowhere, "id"),
    ):
        with pytest.raises(
            Unreachable, match=r"Kafka does not answer .*; check kafka\.bootstrap_servers"
        ) as caught:
            call()
        assert caught.value.exit_code == 69
    lost.close()
