"""A group's coordinator that moves: real brokers do so at will, so here its answer is put in front of the real one."""

from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from consumer.errors import Unreachable
from consumer.kafka import reader as module
from consumer.kafka.reader import Committed, Reader
from consumer.model import TopicPartition
from consumer.settings import KafkaSettings

MOVING = [
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
]


class Moving(Consumer):
    """A real consumer whose first answers about offsets are these errors."""

    errors: list[int]
    asked = 0

    def committed(self, partitions: list[KafkaPartition], timeout: float = -1) -> list[KafkaPartition]:
        """An error as long as there are any."""
        self.asked += 1
        if self.errors:
            raise KafkaException(KafkaError(self.errors.pop(0)))
        return super().committed(partitions, timeout)


@pytest.fixture
def group(kafka: KafkaSettings, prefix: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """A reader whose consumer can be told to fail."""
    monkeypatch.setattr(module, "Consumer", Moving)
    found = Reader(kafka, f"{prefix}.group")
    yield found
    found.close()


def moving(reader: Reader, errors: list[int]) -> Moving:
    """Let its coordinator answer so."""
    consumer = reader._consumer
    assert isinstance(consumer, Moving)
    consumer.errors = errors
    return consumer


def test_a_coordinator_on_its_way_is_asked_again(group: Reader, make_topic: Callable[..., str]) -> None:
    """Each of its excuses passes, and the answer is the real one."""
    at = TopicPartition(make_topic("orders"), 0)
    moving(group, [])
    group.commit({at: Committed(7, "beside")})
    consumer = moving(group, list(MOVING))
    assert group.committed([at]) == {at: Committed(7, "beside")}
    assert consumer.asked == len(MOVING) + 1


def test_one_that_never_arrives_is_unreachable(group: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking again ends, and other errors are told at once."""
    monkeypatch.setattr(module, "ASK_TIMEOUT_S", 0.3)
    moving(group, [KafkaError.NOT_COORDINATOR] * 1000)
    with pytest.raises(Unreachable, match="NOT_COORDINATOR"):
        group.committed([TopicPartition("orders", 0)])
    consumer = moving(group, [KafkaError._TIMED_OUT])
    asked = consumer.asked
    with pytest.raises(Unreachable, match="_TIMED_OUT"):
        group.committed([TopicPartition("orders", 0)])
    assert consumer.asked == asked + 1
