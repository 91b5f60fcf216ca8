"""Removing what a try-out made."""

from collections.abc import Iterable

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from consumer.kafka import clients
from consumer.settings import KafkaSettings

REMOVE_TIMEOUT_S = 30.0


def remove(kafka: KafkaSettings, topics: Iterable[str], groups: Iterable[str]) -> list[str]:
    """Delete topics and groups without members; the names of those that are left. Never raises for one of them."""
    admin = AdminClient(clients.common(kafka, "capi-topics"), logger=clients.LOG)
    asked = {
        **admin.delete_topics(list(topics), operation_timeout=REMOVE_TIMEOUT_S),
        **admin.delete_consumer_groups(list(groups), request_timeout=REMOVE_TIMEOUT_S),
    }
    left = []
    for name, future in asked.items():
        try:
            future.result(REMOVE_TIMEOUT_S)
        except (KafkaException, TimeoutError):
            left.append(name)
    return left
