"""Sending letters again: in small transactions, as fast as asked for, and told of in the audit topic.

The transactional id is the prefix's own. So a second one who begins ends the first, whose last records then never
count, before it looks at what was sent: no two of them send the same letter.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from consumer.errors import CapiError, Fenced
from consumer.kafka.errors import TransactionAborted, TransactionLost
from consumer.kafka.writer import TransactionalWriter
from consumer.replay.plan import Going, headers_of
from consumer.settings import KafkaSettings

OnSent: TypeAlias = Callable[[int], object]
"""Told how many were sent so far, after each transaction."""


class Stopped(CapiError):
    """What was sent counts, what was not stays; the same command goes on."""


@contextmanager
def taken_over(kafka: KafkaSettings, prefix: str, batch_max_bytes: int) -> Iterator[TransactionalWriter]:
    """The only writer of replays. Whoever replays at the same time is ended. Raises Unreachable, Refused."""
    writer = TransactionalWriter(kafka, f"{prefix}.dlq-replay", batch_max_bytes=batch_max_bytes)
    try:
        yield writer
    finally:
        writer.close()


def send(
    writer: TransactionalWriter, going: Sequence[Going], replay_id: str, rate_per_s: int, on_sent: OnSent
) -> None:
    """Send them all, in their order, not faster than `rate_per_s`. Raises Stopped."""
    began_s = time.monotonic()
    for sent in range(0, len(going), rate_per_s):
        time.sleep(max(0.0, began_s + sent / rate_per_s - time.monotonic()))
        some = going[sent : sent + rate_per_s]
        _send(writer, some, replay_id, sent)
        on_sent(sent + len(some))


def _send(writer: TransactionalWriter, some: Sequence[Going], replay_id: str, sent: int) -> None:
    try:
        writer.begin()
        for each in some:
            writer.produce(
                each.topic,
                each.value,
                key=each.key,
                partition=each.partition,
                headers=headers_of(each, replay_id),
            )
        writer.commit()
    except Fenced:
        message = (
            f"another `capi dlq replay` took over after {sent} letters; it finds what was sent, and goes on"
        )
        raise Stopped(message) from None
    except (TransactionAborted, TransactionLost) as error:
        message = f"stopped after {sent} letters: {error}; give the same command again, and it goes on"
        raise Stopped(message) from None
