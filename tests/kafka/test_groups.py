"""How far groups have come, asked without joining one."""

from confluent_kafka import Consumer, TopicPartition

from consumer.kafka.groups import Groups
from consumer.model import TopicPartition as At
from consumer.settings import KafkaSettings
from tests.conftest import MakeTopic


def test_what_each_group_committed_is_told(bootstrap: str, prefix: str, make_topic: MakeTopic) -> None:
    """Of several groups at once; a group that never was has nothing."""
    topic = make_topic("read", 3)
    member = Consumer({"bootstrap.servers": bootstrap, "group.id": f"{prefix}.one"})
    member.commit(offsets=[TopicPartition(topic, 0, 0), TopicPartition(topic, 2, 0)], asynchronous=False)
    member.close()
    found = Groups(KafkaSettings(bootstrap_servers=bootstrap), "test").committed(
        [f"{prefix}.one", f"{prefix}.never"]
    )
    assert found == {f"{prefix}.one": {At(topic, 0): 0, At(topic, 2): 0}, f"{prefix}.never": {}}
