"""One record on its way: written on under its new key, or a letter where the topic can't take it."""

from msgspec import Struct

from consumer.deadletter.letter import ingest_letter
from consumer.ingest.rekey import ReadHead, Rekeyed, rekey
from consumer.kafka.writer import TransactionalWriter
from consumer.model import Record
from consumer.rekey.checks import Ground

TOO_LARGE = "too_large"


class Move(Struct, frozen=True, gc=False):
    """A record, and where it goes; `fits` is False if it is too large for that topic."""

    record: Record
    to: Rekeyed
    fits: bool


def decide(record: Record, read_head: ReadHead, ground: Ground) -> Move:
    """Where it goes. Raises SchemaUnavailable."""
    to = rekey(record, read_head, ground.partitions)
    headers = sum(len(name) + len(value) for name, value in record.headers)
    size = len(to.key or b"") + len(record.value or b"") + headers
    return Move(record, to, size <= ground.record_max_bytes)


def write(writer: TransactionalWriter, move: Move, ground: Ground, now_ms: int) -> None:
    """Put it into the open transaction."""
    record, to, topics = move.record, move.to, ground.topics
    if move.fits:
        writer.produce(
            topics.by_checkout,
            record.value,
            key=to.key,
            partition=to.partition,
            headers=record.headers,
            timestamp_ms=max(0, record.timestamp_ms),
        )
        return
    message = f"the record is larger than {topics.by_checkout} takes"
    letter = ingest_letter(record, TOO_LARGE, message, now_ms, ground.letter_max_bytes)
    writer.produce(topics.letters, letter.value, key=letter.key, headers=letter.headers)
