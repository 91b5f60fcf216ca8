"""Real parts for every test: a broker, a registry and a cluster a run, each started when first asked for."""

import os
import uuid
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from consumer.local.broker import Kafka
from consumer.local.registry import Registry

MakeTopic = Callable[..., str]


@pytest.fixture(scope="session")
def bootstrap() -> Iterator[str]:
    """Addresses of a real Kafka: `CAPI_TEST_BOOTSTRAP`, else one started for this run."""
    if existing := os.environ.get("CAPI_TEST_BOOTSTRAP"):
        yield existing
        return
    with Kafka() as broker:
        yield broker.bootstrap


@pytest.fixture(scope="session")
def cluster() -> Iterator[Kafka]:
    """Three nodes of its own, whose nodes a test may kill; it brings them back."""
    with Kafka(nodes=3) as brokers:
        yield brokers


@pytest.fixture(scope="session")
def registry_url() -> Iterator[str]:
    """Address of a real registry: `CAPI_TEST_REGISTRY`, else one started for this run."""
    if existing := os.environ.get("CAPI_TEST_REGISTRY"):
        yield existing
        return
    with Registry() as registry:
        yield registry.url


@pytest.fixture
def prefix() -> str:
    """A prefix of topics and groups that no other test has."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture
def make_topic(bootstrap: str, prefix: str) -> MakeTopic:
    """Makes `<prefix>.<name>` with so many partitions and these settings, and gives its name back."""
    admin = AdminClient({"bootstrap.servers": bootstrap})

    def make(name: str, partitions: int = 1, **config: str) -> str:
        topic = f"{prefix}.{name}"
        settings = {key.replace("_", "."): value for key, value in config.items()}
        for made in admin.create_topics([NewTopic(topic, partitions, config=settings)]).values():
            made.result(30)
        return topic

    return make
