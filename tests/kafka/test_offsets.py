"""An operator sees where groups stand, and decides about a gap; nothing is skipped otherwise."""

from collections.abc import Callable

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from consumer.errors import ConfigurationError
from consumer.kafka.offsets import NONE, accept_gap, places
from consumer.kafka.reader import Committed, Reader
from consumer.model import TopicPartition as At
from consumer.settings import KafkaSettings

MakeTopic = Callable[..., str]


@pytest.fixture(params=["classic", "consumer"])
def gap(
    bootstrap: str, prefix: str, make_topic: MakeTopic, request: pytest.FixtureRequest
) -> tuple[KafkaSettings, str, str]:
    """Settings, a group and its topic: ten records in partition 0, committed at 2, the first five deleted."""
    topic, group = make_topic("orders", 2), f"{prefix}.enrich"
    kafka = KafkaSettings(bootstrap_servers=bootstrap, group_protocol=request.param)
    producer = Producer({"bootstrap.servers": bootstrap})
    for number in range(10):
        producer.produce(topic, str(number), partition=0)
    assert producer.flush(30) == 0
    reader = Reader(kafka, group)
    reader.commit({At(topic, 0): Committed(2)})
    reader.close()
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for deleted in admin.delete_records([TopicPartition(topic, 0, 5)]).values():
        deleted.result(30)
    return kafka, group, topic


def test_a_gap_is_shown_and_accepted_once(gap: tuple[KafkaSettings, str, str]) -> None:
    """Records deleted unread are counted; once accepted, the group goes on at the oldest one."""
    kafka, group, topic = gap
    first, second = places(kafka, group, [topic])
    assert (first.oldest, first.committed, first.end, first.lag) == (5, 2, 10, 5)
    assert first.problem == "3 offsets were deleted unread"
    assert (second.committed, second.problem) == (NONE, "no committed offset")
    assert accept_gap(kafka, group, [topic]) == [first, second]
    assert [(at.committed, at.problem) for at in places(kafka, group, [topic])] == [(5, ""), (0, "")]
    assert accept_gap(kafka, group, [topic]) == []


def test_a_group_that_runs_is_left_alone(gap: tuple[KafkaSettings, str, str]) -> None:
    """Offsets under a running process are its own: the operator is told to stop it first."""
    kafka, group, topic = gap
    member = Reader(kafka, group)
    member.subscribe(
        [topic],
        on_assigned=lambda at: {each: 0 if each.partition else 5 for each in at},
        on_revoked=lambda _: None,
        on_lost=lambda _: None,
    )
    try:
        for _ in range(100):
            if member.poll(1, 0.1).records:
                break
        with pytest.raises(ConfigurationError, match="stop its processes first"):
            accept_gap(kafka, group, [topic])
    finally:
        member.close()
    assert places(kafka, group, [topic])[0].committed == 2
