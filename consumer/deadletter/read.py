"""A record of a dead-letter topic, read: the headers of a letter in fields, whichever version wrote them.

Anyone may write to such a topic. What is no letter of ours is foreign: counted, never an error.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

from msgspec import Struct

from consumer.deadletter.contract import HEADERS
from consumer.model import Origin, Record

_NAMES = frozenset(header.name for header in HEADERS)
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_NUMBER = re.compile(r"[0-9]{1,18}")
_WORD = re.compile(r"[a-z][a-z_]{0,63}")
_SHAPES = {
    "__connect.errors.topic": _TOPIC,
    "__connect.errors.stage": _WORD,
    "dlq.schema": _NUMBER,
    "dlq.reason": _WORD,
    "dlq.fault": _WORD,
}
"""What must be there, besides the record's partition and offset; the same few texts in many letters."""
_KINDS_CACHED = 4_096


class Read(Struct, frozen=True, gc=False):
    """A letter at `at`, appended at `timestamp_ms`, of the record at `of`. The fields are `contract.HEADERS`.

    `reason`, `fault` and `stage` may be words that this build doesn't know: a newer one wrote the letter. "" and 0
    stand for what is absent; `truncated` says which bytes key and value had, if they are cut.
    """

    at: Origin
    timestamp_ms: int
    of: Origin
    stage: str
    reason: str
    fault: str
    version: int
    key: bytes | None
    value: bytes | None
    message: str = ""
    destination: str = ""
    platform: str = ""
    code: str = ""
    http_status: int = 0
    attempts: int = 0
    event_id: str = ""
    schema_id: int = 0
    first_at_ms: int = 0
    last_at_ms: int = 0
    truncated: str = ""

    def __repr__(self) -> str:
        return f"<Read {self.at}: {self.reason}, of {self.of}>"


def read(record: Record) -> Read | None:
    """The letter that a record is; None if it is none of ours."""
    told = {name: value.decode("utf-8", "replace") for name, value in record.headers if name in _NAMES}
    if not _are_well_formed(tuple(map(told.get, _SHAPES))):
        return None
    partition = told.get("__connect.errors.partition", "")
    offset = told.get("__connect.errors.offset", "")
    if not (_NUMBER.fullmatch(partition) and _NUMBER.fullmatch(offset)):
        return None
    return Read(
        at=record.origin,
        timestamp_ms=record.timestamp_ms,
        of=Origin(told["__connect.errors.topic"], int(partition), int(offset)),
        stage=told["__connect.errors.stage"],
        reason=told["dlq.reason"],
        fault=told["dlq.fault"],
        version=int(told["dlq.schema"]),
        key=record.key,
        value=record.value,
        message=_text(told, "__connect.errors.exception.message"),
        destination=_text(told, "dlq.destination"),
        platform=_text(told, "dlq.platform"),
        code=_text(told, "dlq.error.code"),
        http_status=_number(told, "dlq.http.status"),
        attempts=_number(told, "dlq.attempts"),
        event_id=_text(told, "dlq.event.id"),
        schema_id=_number(told, "dlq.payload.schema.id"),
        first_at_ms=_number(told, "dlq.first.at"),
        last_at_ms=_number(told, "dlq.last.at"),
        truncated=_text(told, "dlq.truncated"),
    )


@lru_cache(_KINDS_CACHED)
def _are_well_formed(texts: tuple[str | None, ...]) -> bool:
    return all(
        text is not None and shape.fullmatch(text)
        for text, shape in zip(texts, _SHAPES.values(), strict=True)
    )


def _text(told: Mapping[str, str], name: str) -> str:
    """What a terminal can show as it is: whoever wrote it may have meant it for one."""
    text = told.get(name, "")
    return text if text.isprintable() else "".join(each if each.isprintable() else "?" for each in text)


def _number(told: Mapping[str, str], name: str) -> int:
    text = told.get(name)
    return int(text) if text is not None and _NUMBER.fullmatch(text) else 0
