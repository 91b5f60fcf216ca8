"""The letter: key and value as the failing stage read them, and headers that say what, where and whose fault.

The first five headers are those of Kafka Connect, so that its tools read our letters. All headers are UTF-8 text;
what doesn't apply is left out. `contract` says what each means, `reasons` lists the reasons.
"""

from msgspec import Struct

from consumer.deadletter.contract import SCHEMA
from consumer.deadletter.reasons import REASONS, Fault, Stage
from consumer.model import Headers, Record

MESSAGE_MAX_CHARACTERS = 500
RECORD_OVERHEAD_BYTES = 512
"""What a record's own frame and its batch's may take, generously."""
_WIRE_HEAD_BYTES = 5


class Letter(Struct, frozen=True):
    """A record for a dead-letter topic."""

    key: bytes | None
    value: bytes | None
    headers: Headers


class Attempt(Struct, frozen=True):
    """What was tried before the letter: only deliveries have it. Times in epoch milliseconds, 0 for never."""

    destination: str = ""
    platform: str = ""
    event_id: str = ""
    code: str = ""
    http_status: int = 0
    attempts: int = 0
    first_at_ms: int = 0
    last_at_ms: int = 0


NO_ATTEMPT = Attempt()


def ingest_letter(record: Record, reason: str, message: str, now_ms: int, max_bytes: int) -> Letter:
    """The letter of a record that enrich can't use. `max_bytes` is what its topic takes for one record."""
    return letter(
        record, "ingest", reason, message, Attempt(first_at_ms=now_ms, last_at_ms=now_ms), max_bytes
    )


def letter(
    record: Record,
    stage: Stage,
    reason: str,
    message: str,
    attempt: Attempt = NO_ATTEMPT,
    max_bytes: int = 1_000_000,
    fault: Fault | None = None,
) -> Letter:
    """The letter of a record, cut at its end if it is too large for the topic.

    `reason` is one of `REASONS`; `fault` replaces the one listed there. `message` must not hold a customer's data.
    """
    texts = {
        "__connect.errors.topic": record.topic,
        "__connect.errors.partition": str(record.partition),
        "__connect.errors.offset": str(record.offset),
        "__connect.errors.stage": stage,
        "__connect.errors.exception.message": message[:MESSAGE_MAX_CHARACTERS],
        "dlq.schema": SCHEMA,
        "dlq.destination": attempt.destination,
        "dlq.platform": attempt.platform,
        "dlq.reason": reason,
        "dlq.fault": fault or (REASONS[reason].fault if reason in REASONS else "ours"),
        "dlq.error.code": attempt.code,
        "dlq.http.status": _number(attempt.http_status),
        "dlq.attempts": _number(attempt.attempts),
        "dlq.event.id": attempt.event_id,
        "dlq.payload.schema.id": _schema_id(record.value),
        "dlq.first.at": _number(attempt.first_at_ms),
        "dlq.last.at": _number(attempt.last_at_ms),
    }
    headers = tuple((name, text.encode()) for name, text in texts.items() if text)
    return _fitted(record, headers, max_bytes)


def _number(number: int) -> str:
    return str(number) if number else ""


def _schema_id(value: bytes | None) -> str:
    """The writer's schema id of the Confluent wire format, "" if the value doesn't look like it."""
    if value is None or len(value) < _WIRE_HEAD_BYTES or value[0] != 0:
        return ""
    return str(int.from_bytes(value[1:_WIRE_HEAD_BYTES], "big"))


def _fitted(record: Record, headers: Headers, max_bytes: int) -> Letter:
    """Whole if it fits; else cut, the value before the key, with the sizes that they had."""
    key, value = record.key or b"", record.value or b""
    left = max_bytes - RECORD_OVERHEAD_BYTES - sum(len(name) + len(text) for name, text in headers)
    if len(key) + len(value) <= left:
        return Letter(record.key, record.value, headers)
    truncated = ("dlq.truncated", f"key={len(key)} value={len(value)}".encode())
    key_kept = key[: max(0, left)] if record.key is not None else None
    value_kept = value[: max(0, left - len(key))] if record.value is not None else None
    return Letter(key_kept, value_kept, (*headers, truncated))
