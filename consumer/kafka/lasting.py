"""A transactional writer that outlasts its failures.

| what failed | what follows |
|---|---|
| a call that asks for an abort | abort, rewind to the committed offsets |
| fenced, or the outcome unknown | another writer (taking the id over ends what was open), then rewind |
| fenced three times in five minutes | end: two processes share an id |
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

import structlog

from consumer.clock import Clock
from consumer.errors import Fenced, Unreachable
from consumer.kafka.errors import TransactionAborted, TransactionLost
from consumer.kafka.writer import INIT_TIMEOUT_S, TransactionalWriter
from consumer.settings import KafkaSettings

FENCINGS_MAX = 3
FENCINGS_WITHIN_S = 300.0
AGAIN_TIMEOUT_S = 20.0
"""How long one try for another writer may take: the loop must turn in between, or it seems to be stuck."""


class Failures(Protocol):
    """Where failed transactions are counted."""

    aborted: int
    fenced: int


class LastingWriter:
    """The transactional writer of one id, replaced when it is of no more use."""

    def __init__(
        self,
        kafka: KafkaSettings,
        transactional_id: str,
        batch_max_bytes: int,
        clock: Clock,
        failures: Failures,
        role: str,
    ) -> None:
        """`role` names the logger; nothing is connected before `open` or `ready`."""
        self._kafka = kafka
        self._id = transactional_id
        self._batch_max_bytes = batch_max_bytes
        self._clock = clock
        self._failures = failures
        self._log = structlog.get_logger(role)
        self._fencings: deque[float] = deque(maxlen=FENCINGS_MAX)
        self._writer: TransactionalWriter | None = None

    def open(self) -> None:
        """Take the id over, at start. Raises Unreachable, Refused."""
        self._writer = self._taken_over(INIT_TIMEOUT_S)

    def _taken_over(self, timeout_s: float) -> TransactionalWriter:
        return TransactionalWriter(
            self._kafka, self._id, batch_max_bytes=self._batch_max_bytes, init_timeout_s=timeout_s
        )

    def ready(self) -> bool:
        """Have a writer, or try to; False if the cluster can't be asked now. Raises Refused."""
        if self._writer is None:
            try:
                self._writer = self._taken_over(AGAIN_TIMEOUT_S)
            except Unreachable as error:
                self._log.warning("writer_unavailable", error=str(error))
                return False
        return True

    def attempt(self, transaction: Callable[[TransactionalWriter], None]) -> bool:
        """Have a transaction begun, filled and committed; False if all must be rewound.

        Raises Fenced if that has happened too often.
        """
        writer = self._writer
        if writer is None:
            return False
        try:
            transaction(writer)
        except TransactionAborted as error:
            self._failures.aborted += 1
            self._log.warning("transaction_aborted", error=str(error))
            self._abort(writer)
            return False
        except (Fenced, TransactionLost) as error:
            self._lost(error)
            return False
        return True

    def _abort(self, writer: TransactionalWriter) -> None:
        try:
            writer.abort()
        except (Fenced, TransactionLost) as error:
            self._lost(error)

    def _lost(self, error: Exception) -> None:
        """Give the writer up. Raises Fenced if it was fenced too often."""
        if isinstance(error, Fenced):
            self._failures.fenced += 1
            self._log.warning("fenced", error=str(error))
            self._count_fencing()
        else:
            self._log.warning("transaction_lost", error=str(error))
        self.close()

    def _count_fencing(self) -> None:
        now_s = self._clock.monotonic_s()
        self._fencings.append(now_s)
        if len(self._fencings) == FENCINGS_MAX and now_s - self._fencings[0] < FENCINGS_WITHIN_S:
            message = (
                f"{self._id} was fenced {FENCINGS_MAX} times in {FENCINGS_WITHIN_S:.0f} s: another process has the "
                "same instance_id; give each its own"
            )
            raise Fenced(message) from None

    def close(self) -> None:
        """End the writer; what isn't committed never counts."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def __repr__(self) -> str:
        return f"<LastingWriter {self._id}: {'open' if self._writer else 'no writer'}>"
