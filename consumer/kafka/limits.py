"""What topics allow: partitions, record size, retention. Asked once, at start."""

from collections.abc import Iterable, Mapping

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType
from msgspec import Struct

from consumer.errors import ConfigurationError
from consumer.kafka import clients
from consumer.kafka.errors import unavailable
from consumer.settings import KafkaSettings

ASK_TIMEOUT_S = 15.0


class TopicLimits(Struct, frozen=True):
    """One topic. `retention_ms` is -1 if records are kept for ever."""

    partitions: int
    max_message_bytes: int
    retention_ms: int
    tombstones_ms: int


class Cluster(Struct, frozen=True):
    """The cluster's id, and the topics asked for."""

    cluster_id: str
    topics: dict[str, TopicLimits]


def ask(kafka: KafkaSettings, topics: Iterable[str]) -> Cluster:
    """Look the topics up. Raises ConfigurationError for one that doesn't exist, Unreachable, Refused."""
    admin = AdminClient(clients.common(kafka, "capi-limits"), logger=clients.LOG)
    wanted = list(topics)
    try:
        known = admin.list_topics(timeout=ASK_TIMEOUT_S)
        if missing := sorted(name for name in wanted if name not in known.topics):
            message = f"topic {', '.join(missing)} does not exist; `capi topics apply` makes what is ours"
            raise ConfigurationError(message)
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in wanted]
        asked = admin.describe_configs(resources, request_timeout=ASK_TIMEOUT_S)
        found = {resource.name: future.result() for resource, future in asked.items()}
    except KafkaException as error:
        raise unavailable("asking for topics", error) from None

    def number(topic: str, key: str) -> int:
        return int(found[topic][key].value)

    return Cluster(
        str(known.cluster_id),
        {
            name: TopicLimits(
                partitions=len(known.topics[name].partitions),
                max_message_bytes=number(name, "max.message.bytes"),
                retention_ms=number(name, "retention.ms"),
                tombstones_ms=number(name, "delete.retention.ms"),
            )
            for name in wanted
        },
    )


def check_equal(partitions: Mapping[str, int]) -> None:
    """Refuse topics, by name, that have not equally many partitions. Raises ConfigurationError."""
    if len(set(partitions.values())) > 1:
        told = ", ".join(f"{name} has {count}" for name, count in partitions.items())
        message = (
            f"{told} partitions: they must have equally many, or an order and its checkout don't meet. Partition "
            "counts can't shrink: make new topics with equal counts and name them in topics"
        )
        raise ConfigurationError(message)
