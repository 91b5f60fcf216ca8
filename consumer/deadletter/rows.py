"""A letter as one flat row: what commands print and files hold. Neither key nor value is in it, only their sizes."""

from msgspec import Struct

from consumer.deadletter.filters import rfc3339
from consumer.deadletter.read import Read


class Row(Struct, frozen=True):
    """A letter; `of_…` is the record that failed. Times are RFC 3339, "" for never; sizes are those of the letter."""

    topic: str
    partition: int
    offset: int
    written_at: str
    stage: str
    reason: str
    fault: str
    message: str
    destination: str
    platform: str
    code: str
    http_status: int
    attempts: int
    event_id: str
    schema_id: int
    first_at: str
    last_at: str
    truncated: str
    of_topic: str
    of_partition: int
    of_offset: int
    key_bytes: int
    value_bytes: int
    discarded: bool


def row(letter: Read, *, discarded: bool) -> Row:
    """The letter as a row."""
    return Row(
        topic=letter.at.topic,
        partition=letter.at.partition,
        offset=letter.at.offset,
        written_at=_time(letter.timestamp_ms),
        stage=letter.stage,
        reason=letter.reason,
        fault=letter.fault,
        message=letter.message,
        destination=letter.destination,
        platform=letter.platform,
        code=letter.code,
        http_status=letter.http_status,
        attempts=letter.attempts,
        event_id=letter.event_id,
        schema_id=letter.schema_id,
        first_at=_time(letter.first_at_ms),
        last_at=_time(letter.last_at_ms),
        truncated=letter.truncated,
        of_topic=letter.of.topic,
        of_partition=letter.of.partition,
        of_offset=letter.of.offset,
        key_bytes=len(letter.key or b""),
        value_bytes=len(letter.value or b""),
        discarded=discarded,
    )


def _time(at_ms: int) -> str:
    return rfc3339(at_ms) if at_ms > 0 else ""
