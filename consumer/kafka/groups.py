"""How far other groups have come, asked of the cluster without joining one."""

from collections.abc import Iterable
from concurrent.futures import TimeoutError as FutureTimeout

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException
from confluent_kafka.admin import AdminClient

from consumer.errors import Unreachable
from consumer.kafka import clients
from consumer.kafka.errors import unavailable
from consumer.model import TopicPartition
from consumer.settings import KafkaSettings

ASK_TIMEOUT_S = 15.0


class Groups:
    """Asks for committed offsets, of any group."""

    def __init__(self, kafka: KafkaSettings, client_id: str) -> None:
        self._admin = AdminClient(clients.common(kafka, client_id), logger=clients.LOG)

    def committed(self, groups: Iterable[str]) -> dict[str, dict[TopicPartition, int]]:
        """Each group's next offsets; partitions without one are absent. Raises Unreachable, Refused."""
        try:
            asked = {
                group: self._admin.list_consumer_group_offsets(
                    [ConsumerGroupTopicPartitions(group)], request_timeout=ASK_TIMEOUT_S
                )[group]
                for group in groups
            }
            found = {group: future.result(ASK_TIMEOUT_S) for group, future in asked.items()}
        except KafkaException as error:
            raise unavailable("asking for groups' offsets", error) from None
        except FutureTimeout:
            raise Unreachable(f"asking for groups' offsets: no answer in {ASK_TIMEOUT_S:.0f} s") from None
        return {
            group: {
                TopicPartition(at.topic, at.partition): at.offset
                for at in answer.topic_partitions or ()
                if at.offset >= 0
            }
            for group, answer in found.items()
        }

    def __repr__(self) -> str:
        return "<Groups>"
