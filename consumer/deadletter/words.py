"""A letter in words: what happened, whose fault it is, what to do, and what its value tells."""

from collections.abc import Iterator
from typing import TypeAlias

from consumer.deadletter.contents import Told, Unread
from consumer.deadletter.filters import rfc3339
from consumer.deadletter.read import Read
from consumer.deadletter.reasons import FAULTS, REASONS, STAGES
from consumer.model import Record

Contents: TypeAlias = Told | Unread
UNKNOWN_REASON = "This build doesn't know the reason: a newer one wrote the letter. Read it with that one."
_EMPTY: tuple[object, ...] = (None, "", (), [], {})


def means(letter: Read) -> str:
    """What its reason means."""
    return REASONS[letter.reason].means if letter.reason in REASONS else UNKNOWN_REASON


def advice(letter: Read) -> str:
    """What to do; "" if this build doesn't know."""
    return REASONS[letter.reason].advice if letter.reason in REASONS else ""


def in_words(letter: Read, contents: Contents, *, discarded: bool) -> Iterator[str]:
    """The lines of a letter for a reader."""
    yield f"{letter.at}, written {rfc3339(letter.timestamp_ms)}{', discarded' if discarded else ''}"
    for name, text in _headers(letter):
        if text:
            yield f"  {name}: {text}"
    yield f"  {_value(letter, contents)}"
    if isinstance(contents, Told):
        yield from (f"    {line}" for line in lines(contents.fields))


def _headers(letter: Read) -> Iterator[tuple[str, str]]:
    yield "record", str(letter.of)
    yield "failed at", f"{letter.stage}, {STAGES.get(letter.stage, '')}".rstrip(", ")
    yield "reason", f"{letter.reason}. {means(letter)}"
    yield "said", letter.message
    yield "fault", f"{letter.fault}, {FAULTS.get(letter.fault, '')}".rstrip(", ")
    yield "what to do", advice(letter)
    yield "destination", f"{letter.destination} ({letter.platform})" if letter.destination else ""
    yield "code", letter.code
    yield "tried", _tried(letter)
    yield "event id", letter.event_id


def _tried(letter: Read) -> str:
    if not letter.attempts:
        return ""
    status = f", the last reply had status {letter.http_status}" if letter.http_status else ""
    times = "once" if letter.attempts == 1 else f"{letter.attempts} times"
    return f"{times}, from {rfc3339(letter.first_at_ms)} to {rfc3339(letter.last_at_ms)}{status}"


def _value(letter: Read, contents: Contents) -> str:
    size = f"{len(letter.value or b''):,} bytes"
    if isinstance(contents, Unread):
        return f"value: {size}, which can't be shown: {contents.why}"
    note = f", {contents.note}" if contents.note else ""
    return f"value: {contents.kind} of schema {contents.schema_id}, {size}{note}, key {contents.key}"


def foreign(record: Record) -> str:
    """A record of such a topic that is no letter of ours: anyone's, so nothing of it is shown but sizes."""
    sizes = f"{len(record.headers)} headers, a key of {len(record.key or b'')} bytes"
    return f"{record.origin} is no letter of ours: {sizes}, a value of {len(record.value or b'')} bytes"


def lines(fields: object) -> Iterator[str]:
    """Each value with its path; what is empty is named at the end."""
    empty = []
    for path, value in _flat(fields, ""):
        if value in _EMPTY:
            empty.append(path)
        else:
            yield f"{path}: {value}"
    if empty:
        yield f"empty: {', '.join(empty)}"


def _flat(value: object, path: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and value:
        for name, each in value.items():
            yield from _flat(each, f"{path}.{name}".lstrip("."))
    elif isinstance(value, list | tuple) and value:
        for place, each in enumerate(value):
            yield from _flat(each, f"{path}[{place}]")
    else:
        yield path, value
