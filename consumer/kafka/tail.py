"""The last records of a topic, without joining a group and without reading what lies before them."""

from consumer.kafka.reader import Reader
from consumer.kafka.spans import newest, spans_of
from consumer.model import Record
from consumer.settings import KafkaSettings


def tail(kafka: KafkaSettings, topic: str, count: int) -> list[Record]:
    """The `count` newest records by timestamp, oldest first. Raises ConfigurationError, Unreachable, Refused."""
    reader = Reader(kafka, f"{topic}.tail", eof=True)
    try:
        return newest(reader, spans_of(reader, [topic]), count, lambda record: record)
    finally:
        reader.close()
