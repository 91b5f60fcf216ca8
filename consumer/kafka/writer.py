"""Writing to Kafka: at least once with `Writer`, in transactions with `TransactionalWriter`."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka import TopicPartition as KafkaPartition

from consumer.errors import Fenced
from consumer.kafka import clients
from consumer.kafka.errors import (
    TransactionAborted,
    TransactionLost,
    code_of,
    transaction_problem,
    unavailable,
)
from consumer.model import Headers, TopicPartition
from consumer.settings import KafkaSettings

QUEUE_FULL_WAIT_S = 0.05
INIT_TIMEOUT_S = 60.0
ABORT_LAST_S = 1.0


class Writer:
    """An idempotent producer. Calls come from one thread; callbacks run inside `produce`, `poll` and `flush`."""

    def __init__(self, kafka: KafkaSettings, *, client_id: str = "") -> None:
        self._name = client_id
        self._producer = Producer(clients.writer(kafka, client_id), logger=clients.LOG)

    def produce(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int = -1,
        headers: Headers = (),
        timestamp_ms: int = 0,
        on_delivered: Callable[[int | None], None] | None = None,
    ) -> None:
        """Queue one record; partition -1 follows the key, timestamp 0 is now. Never raises.

        `on_delivered` gets the record's offset once it is durable, or None if it will never be. It must not raise.
        While the local queue is full this blocks and serves callbacks.
        """
        report = None if on_delivered is None else _report(on_delivered)
        while True:
            try:
                # Most records: a third of the call is saved.
                if report is None and not headers and not timestamp_ms:
                    self._producer.produce(topic, value, key, partition)
                else:
                    self._producer.produce(
                        topic,
                        value,
                        key,
                        partition,
                        on_delivery=report,
                        timestamp=timestamp_ms,
                        headers=list(headers) if headers else None,
                    )
            except BufferError:
                self._producer.poll(QUEUE_FULL_WAIT_S)
            except KafkaException as error:
                self._failed(topic, error)
                if on_delivered is not None:
                    on_delivered(None)
                return
            else:
                return

    def _failed(self, topic: str, error: KafkaException) -> None:
        """A record that was not even queued: `on_delivered` tells whoever waits for it."""
        clients.LOG.warning("not queued for %s: %s", topic, error)

    def poll(self, timeout_s: float = 0.0) -> int:
        """Serve callbacks; how many there were."""
        return self._producer.poll(timeout_s)

    def flush(self, timeout_s: float) -> int:
        """Wait until all is delivered or the time is up; how many records are still under way."""
        return self._producer.flush(timeout_s)

    def close(self) -> None:
        """Give up what is still under way (its callbacks get None) and end the client's threads."""
        self._producer.purge()
        self._producer.flush(1.0)
        self._producer.close()

    def __repr__(self) -> str:
        return f"<Writer {self._name}: {len(self._producer)} under way>"


class TransactionalWriter(Writer):
    """A producer whose records count once `commit` returned. The id must be this process's alone, and stable."""

    def __init__(
        self,
        kafka: KafkaSettings,
        transactional_id: str,
        *,
        batch_max_bytes: int = 1_000_000,
        init_timeout_s: float = INIT_TIMEOUT_S,
    ) -> None:
        """Take the id over: an older owner is fenced, its open transaction aborted. Raises Unreachable, Refused.

        `batch_max_bytes` is the least that a topic written to takes: brokers measure whole batches by it.
        """
        self._name = transactional_id
        self._deadline_s = kafka.transaction_timeout_s
        self._failure: KafkaException | None = None
        self._producer = Producer(
            clients.transactional(kafka, transactional_id, batch_max_bytes), logger=clients.LOG
        )
        try:
            _until(init_timeout_s, self._producer.init_transactions)
        except KafkaException as error:
            raise unavailable(f"taking over {transactional_id}", error) from None

    def begin(self) -> None:
        """Open a transaction. Raises Fenced, TransactionLost."""
        self._failure = None
        try:
            self._producer.begin_transaction()
        except KafkaException as error:
            raise _final(transaction_problem("begin", error)) from None

    def send_positions(self, positions: Mapping[TopicPartition, int], group: object) -> None:
        """Put the next offsets to read into the transaction. Raises TransactionAborted, Fenced, TransactionLost."""
        offsets = [KafkaPartition(at.topic, at.partition, offset) for at, offset in positions.items()]
        self._within(
            "send positions",
            lambda left_s: self._producer.send_offsets_to_transaction(offsets, group, left_s),
        )

    def commit(self) -> None:
        """Make it all count, positions and records. Raises TransactionAborted, Fenced, TransactionLost."""
        self._within("commit", self._producer.commit_transaction)

    def abort(self) -> None:
        """Make nothing of it count. Raises Fenced, TransactionLost."""
        self._failure = None
        try:
            _until(self._deadline_s, self._producer.abort_transaction)
        except KafkaException as error:
            raise _final(transaction_problem("abort", error)) from None

    def close(self) -> None:
        """Let the client go; what is not committed never counts. Once, and it is of no more use afterwards.

        The client's own close would wait until the cluster has aborted, for as long as that takes.
        """
        self._producer.purge()
        with suppress(KafkaException):  # most often there is nothing to abort
            self._producer.abort_transaction(ABORT_LAST_S)
        del self._producer

    def __repr__(self) -> str:
        return f"<TransactionalWriter {self._name}: {len(self._producer)} under way>"

    def _within(self, doing: str, call: Callable[[float], None]) -> None:
        if self._failure is not None:
            message = f"{doing}: a record was not queued: {self._failure}"
            raise TransactionAborted(message)
        try:
            _until(self._deadline_s, call)
        except KafkaException as error:
            raise transaction_problem(doing, error) from None

    def _failed(self, topic: str, error: KafkaException) -> None:
        del topic
        self._failure = self._failure or error


def _report(on_delivered: Callable[[int | None], None]) -> Callable[[KafkaError | None, Message], None]:
    return lambda error, message: on_delivered(None if error is not None else message.offset())


def _until(deadline_s: float, call: Callable[[float], None]) -> None:
    """Call until it succeeds or the time is up: a timed-out transactional call must be repeated, not replaced."""
    end_s = time.monotonic() + deadline_s
    while True:
        left_s = end_s - time.monotonic()
        try:
            call(max(left_s, 0.1))
        except KafkaException as error:
            inner = code_of(error)
            if inner is None or not inner.retriable() or left_s <= 0:
                raise
        else:
            return


def _final(problem: Exception) -> Exception:
    """Begin and abort can't be answered with an abort: what isn't fencing is lost."""
    return problem if isinstance(problem, Fenced) else TransactionLost(str(problem))
