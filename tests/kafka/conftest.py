"""What tests of Kafka's clients share: settings of the cluster, and loops that end."""

import time
from collections.abc import Callable

import pytest

from consumer.kafka.reader import Batch, Reader
from consumer.model import Record
from consumer.settings import KafkaSettings

DEADLINE_S = 60.0
Until = Callable[[Reader, Callable[[Batch], bool]], list[Record]]


@pytest.fixture
def kafka(bootstrap: str) -> KafkaSettings:
    """The real cluster."""
    return KafkaSettings(bootstrap_servers=bootstrap, session_timeout_s=6)


@pytest.fixture
def nowhere() -> KafkaSettings:
    """An address where nobody answers."""
    return KafkaSettings(bootstrap_servers="127.0.0.1:1")


@pytest.fixture
def polled() -> Until:
    """Polls a reader until a batch is what is awaited; all records till then."""

    def until(reader: Reader, awaited: Callable[[Batch], bool]) -> list[Record]:
        records: list[Record] = []
        deadline_s = time.monotonic() + DEADLINE_S
        while True:
            batch = reader.poll(1_000, 0.1)
            records += batch.records
            if awaited(batch):
                return records
            assert time.monotonic() < deadline_s, f"{reader!r} never gave what was awaited"

    return until
