"""Configuration of librdkafka's clients, one function a kind of client.

Why each line is there: reads see only what was committed, nothing is committed but by us, keys land on the partition
where Java's producers put them, and a transaction right after another doesn't wait out a whole back-off.
"""

import logging
from typing import TypeAlias

from confluent_kafka import Consumer, KafkaException, Producer

from consumer.errors import ConfigurationError
from consumer.settings import KafkaSettings

Value: TypeAlias = str | int | float | bool
Config: TypeAlias = dict[str, Value]

LOG = logging.getLogger("librdkafka")
MESSAGE_MAX_BYTES = 16_777_216
"""What a client lets pass; the topic's own limit is the one that counts and is checked before."""


def common(kafka: KafkaSettings, client_id: str) -> Config:
    """What every client has, the operator's own `extra` included."""
    return {
        "bootstrap.servers": kafka.bootstrap_servers,
        "client.id": client_id or "capi",
        "socket.keepalive.enable": True,
        "reconnect.backoff.max.ms": 5_000,
        **kafka.extra,
    }


def reader(
    kafka: KafkaSettings, group: str, *, instance_id: str, assignor: str, eof: bool, client_id: str
) -> Config:
    """A consumer that commits nothing by itself and never chooses where to start.

    A queue that was full is filled again at once: by default a fetch that met a full one waits a whole second.
    """
    return {
        **common(kafka, client_id),
        "group.id": group,
        **({"group.instance.id": instance_id} if instance_id else {}),
        **_membership(kafka, assignor),
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": eof,
        "queued.max.messages.kbytes": kafka.queued_max_kbytes,
        "fetch.wait.max.ms": 100,
        "fetch.queue.backoff.ms": 10,
    }


def _membership(kafka: KafkaSettings, assignor: str) -> Config:
    """The new protocol takes no session or strategy from the client: the broker has them."""
    if kafka.group_protocol == "consumer":
        return {"group.protocol": "consumer", "group.remote.assignor": assignor}
    return {
        "group.protocol": "classic",
        "partition.assignment.strategy": assignor,
        "session.timeout.ms": kafka.session_timeout_s * 1000,
        "heartbeat.interval.ms": min(3_000, kafka.session_timeout_s * 1000 // 3),
    }


def writer(kafka: KafkaSettings, client_id: str) -> Config:
    """A producer that neither loses nor repeats, and partitions as Java's does."""
    return {
        **common(kafka, client_id),
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": "murmur2_random",
        "compression.type": "lz4",
        "linger.ms": 5,
        "message.max.bytes": MESSAGE_MAX_BYTES,
    }


def transactional(kafka: KafkaSettings, transactional_id: str, batch_max_bytes: int) -> Config:
    """A producer of transactions; the short back-off is for `CONCURRENT_TRANSACTIONS` right after a commit."""
    return {
        **writer(kafka, transactional_id),
        "transactional.id": transactional_id,
        "transaction.timeout.ms": kafka.transaction_timeout_s * 1000,
        "batch.size": max(1, min(batch_max_bytes, 1_000_000)),
        "retry.backoff.ms": 2,
        "retry.backoff.max.ms": 20,
    }


def check_config(kafka: KafkaSettings) -> None:
    """Let librdkafka look at every key and value, without connecting. Raises ConfigurationError, naming the key."""
    read = reader(kafka, "check", instance_id="check", assignor="range", eof=True, client_id="check")
    written = transactional(kafka, "check", MESSAGE_MAX_BYTES)
    try:
        Consumer(_apart(read), logger=LOG).close()
        Producer(_apart(written), logger=LOG).close()
    except KafkaException as error:
        section = "kafka.extra" if kafka.extra else "kafka"
        raise ConfigurationError(f"{section}: {error.args[0].str().strip()}") from None


def _apart(config: Config) -> Config:
    """The same without any broker to connect to."""
    return {key: value for key, value in config.items() if key != "bootstrap.servers"}
