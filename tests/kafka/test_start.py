"""Where a group starts, on real Kafka: decided once, on record, and never guessed."""

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka.admin import AdminClient
from msgspec import json

from consumer.errors import ConfigurationError, Unreachable
from consumer.kafka.reader import Committed, Reader
from consumer.kafka.start import GroupStart, OffsetsVanished, recorded, settle_start
from consumer.kafka.writer import Writer
from consumer.model import TopicPartition
from consumer.settings import KafkaSettings

MakeTopic = Callable[..., str]
NOW_MS = 1_795_521_600_000
"""2026-11-24T12:00:00Z."""


class Ground:
    """Two topics of two partitions with five records each, one a second, the first of them at NOW_MS."""

    def __init__(self, kafka: KafkaSettings, make_topic: MakeTopic, prefix: str) -> None:
        self.kafka = kafka
        self.group = f"{prefix}.enrich"
        self.control = make_topic("control", cleanup_policy="compact")
        self.topics = [make_topic(name, 2) for name in ("orders", "checkouts")]
        self.partitions = [TopicPartition(topic, number) for topic in self.topics for number in range(2)]
        self.write(5)

    def write(self, count: int) -> None:
        """Add so many records to each partition."""
        writer = Writer(self.kafka, client_id="test")
        for at in self.partitions:
            for number in range(count):
                writer.produce(at.topic, b"v", partition=at.partition, timestamp_ms=NOW_MS + number * 1000)
        assert writer.flush(30) == 0
        writer.close()

    def settle(self, start: str = "earliest", whole: Collection[str] = ()) -> GroupStart | None:
        """Give the group its start."""
        return settle_start(self.kafka, self.control, self.group, self.topics, start, NOW_MS, whole=whole)

    def committed(self) -> list[int]:
        """The group's position in each partition that has one."""
        reader = Reader(self.kafka, self.group)
        try:
            return [found.offset for found in reader.committed(self.partitions).values()]
        finally:
            reader.close()

    def commit(self, offset: int, partitions: list[TopicPartition]) -> None:
        """As a member would."""
        reader = Reader(self.kafka, self.group)
        reader.commit(dict.fromkeys(partitions, Committed(offset)))
        reader.close()

    def recorded(self) -> GroupStart | None:
        """What the control topic says."""
        reader = Reader(self.kafka, f"{self.group}.look", eof=True)
        try:
            return recorded(reader, self.control, self.group)
        finally:
            reader.close()


@pytest.fixture
def ground(kafka: KafkaSettings, make_topic: MakeTopic, prefix: str) -> Ground:
    """A group that has not started yet."""
    return Ground(kafka, make_topic, prefix)


@pytest.mark.parametrize(("start", "offset"), [("now", 5), ("2026-11-24T12:00:02Z", 2)])
def test_a_topic_that_is_whole_is_read_from_its_first_record(ground: Ground, start: str, offset: int) -> None:
    """Whoever wrote it has obeyed the start already; the other topic obeys it now."""
    ground.settle(start, whole=[ground.topics[0]])
    assert ground.committed() == [0, 0, offset, offset]


@pytest.mark.parametrize(
    ("start", "offset"),
    [
        ("earliest", 0),
        ("now", 5),
        ("2026-11-24T12:00:02Z", 2),
        ("2026-11-24T14:00:01.500+02:00", 2),
        ("2020-01-01T00:00:00Z", 0),
        ("2030-01-01T00:00:00Z", 5),
    ],
)
def test_a_start_is_committed_for_all_partitions_and_recorded(
    ground: Ground, start: str, offset: int
) -> None:
    """Every partition starts where the setting says, before anything is read, and the control topic tells so."""
    decided = ground.settle(start)
    assert ground.committed() == [offset] * 4
    offsets = {topic: [offset, offset] for topic in ground.topics}
    assert decided == GroupStart(ground.group, start, NOW_MS, offsets)
    assert ground.recorded() == GroupStart(ground.group, start, NOW_MS, offsets, committed=True)


def test_a_start_is_decided_once(ground: Ground) -> None:
    """Another setting, or more records, move nobody who has started."""
    ground.settle("now")
    ground.write(3)
    again = ground.settle("earliest")
    assert again is not None
    assert (again.start, again.committed, ground.committed()) == ("now", True, [5] * 4)


def test_many_at_once_agree(ground: Ground) -> None:
    """Processes that start together, with different ideas even, end with one decision and its offsets."""
    with ThreadPoolExecutor(4) as pool:
        decisions = list(pool.map(ground.settle, ["now", "earliest", "now", "earliest"]))
    found = ground.recorded()
    assert found is not None
    assert {decision.start for decision in decisions if decision is not None} == {found.start}
    assert ground.committed() == [5 if found.start == "now" else 0] * 4


def test_a_crash_before_the_commit_is_made_good(ground: Ground) -> None:
    """What was decided and not committed yet is committed as it was decided, for the partitions left."""
    writer = Writer(ground.kafka, client_id="test")
    first = GroupStart(ground.group, "now", NOW_MS, {topic: [4, 4] for topic in ground.topics})
    writer.produce(ground.control, json.encode(first), key=ground.group.encode())
    assert writer.flush(30) == 0
    writer.close()
    ground.commit(2, ground.partitions[:1])
    assert ground.settle("earliest") == first
    assert ground.committed() == [2, 4, 4, 4]


def test_a_group_of_other_means_is_left_alone(ground: Ground) -> None:
    """A group whose offsets were committed by hand needs no decision."""
    ground.commit(3, ground.partitions)
    assert (ground.settle(), ground.recorded(), ground.committed()) == (None, None, [3] * 4)


def test_lost_offsets_halt_the_group(ground: Ground, bootstrap: str) -> None:
    """A group that had started and has no offsets any more is told what to do, and nothing is committed for it."""
    ground.settle("now")
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for deleted in admin.delete_consumer_groups([ground.group]).values():
        deleted.result(30)
    told = r"has lost its committed offsets \(4 partitions, .*`capi offsets show`"
    with pytest.raises(OffsetsVanished, match=told):
        ground.settle("now")
    assert ground.committed() == []


def test_some_lost_offsets_halt_the_group_too(ground: Ground) -> None:
    """Offsets for some partitions only, and nothing on record: nobody may guess where the others were."""
    ground.commit(3, ground.partitions[:3])
    with pytest.raises(OffsetsVanished, match=r"1 partitions, .*checkouts\[1\] first"):
        ground.settle()
    assert ground.committed() == [3, 3, 3]


def test_a_missing_topic_is_told_by_its_name(ground: Ground, prefix: str) -> None:
    """Neither an input nor the control topic is made by asking for it."""
    nowhere = f"{prefix}.nowhere"
    for control, topics in ((nowhere, ground.topics), (ground.control, [nowhere])):
        with pytest.raises(ConfigurationError, match=r"nowhere does not exist"):
            settle_start(ground.kafka, control, ground.group, topics, "now", NOW_MS)
    assert ground.committed() == []


def test_a_cluster_that_does_not_answer_is_unreachable(
    nowhere: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong address is told as such, in bounded time."""
    monkeypatch.setattr("consumer.kafka.reader.ASK_TIMEOUT_S", 0.5)
    with pytest.raises(Unreachable, match=r"kafka\.bootstrap_servers"):
        settle_start(nowhere, "control", "group", ["orders"], "now", NOW_MS)
