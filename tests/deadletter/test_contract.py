"""The letter as a contract: the document says what the code does, and letters of every released version are read."""

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from consumer.codec import schemas_dir
from consumer.deadletter.contents import Contents, Told, Unread
from consumer.deadletter.contract import HEADERS, SCHEMA, document
from consumer.deadletter.letter import Attempt, letter
from consumer.deadletter.read import Read, read
from consumer.deadletter.reasons import FAULTS, REASONS, STAGES
from consumer.model import Origin, Record
from consumer.settings import TopicSettings

FOLDER = schemas_dir() / "letter"
RELEASED = {path.stem: json.loads(path.read_bytes()) for path in FOLDER.glob("v*.json")}
EXAMPLES = sorted(FOLDER.glob("examples/v*/*.json"))
FIELDS = {
    "__connect.errors.stage": "stage",
    "__connect.errors.exception.message": "message",
    "dlq.schema": "version",
    "dlq.destination": "destination",
    "dlq.platform": "platform",
    "dlq.reason": "reason",
    "dlq.fault": "fault",
    "dlq.error.code": "code",
    "dlq.http.status": "http_status",
    "dlq.attempts": "attempts",
    "dlq.event.id": "event_id",
    "dlq.payload.schema.id": "schema_id",
    "dlq.first.at": "first_at_ms",
    "dlq.last.at": "last_at_ms",
    "dlq.truncated": "truncated",
}
CODE = Path(__file__).parents[2] / "consumer"


def example(path: Path) -> tuple[dict[str, Any], Record]:
    """An example, and the record that it tells of."""
    told = json.loads(path.read_bytes())
    headers = tuple((name, text.encode()) for name, text in told["headers"].items())
    key, value = (None if told[part] is None else b64decode(told[part]) for part in ("key", "value"))
    return told, Record(
        told["topic"], told["partition"], told["offset"], told["timestamp_ms"], key, value, headers
    )


def read_example(path: Path) -> Read:
    """The letter of an example."""
    found = read(example(path)[1])
    assert found is not None
    return found


def test_the_document_is_made_of_the_code() -> None:
    """What stands in the schemas' folder is what the code writes. A change that breaks readers needs a new version."""
    assert (FOLDER / f"v{SCHEMA}.json").read_bytes() == document()


def test_the_document_names_every_header_that_a_letter_can_have() -> None:
    """Each header that is written is in the contract, and the other way round; a trace's comes from its writer."""
    attempt = Attempt("d", "p", "e", "c", 400, 1, 2, 3)
    value = b"\0\0\0\0\7" + b"x" * 1_000
    made = letter(Record("t", 0, 0, 0, b"", value), "deliver", "rejected", "why", attempt, max_bytes=1_200)
    assert [*dict(made.headers), "traceparent"] == [header.name for header in HEADERS]


def test_every_reason_says_what_to_do() -> None:
    """A known fault and stage, and whole sentences."""
    for name, reason in REASONS.items():
        assert name == reason.name
        assert reason.fault in FAULTS
        assert reason.stage in STAGES
        assert reason.means.endswith("."), name
        assert reason.advice.endswith("."), name


@pytest.mark.parametrize("name", REASONS)
def test_every_reason_is_given_by_some_code(name: str) -> None:
    """The list has nothing that never happens."""
    texts = (
        path.read_text(encoding="utf-8")
        for path in CODE.rglob("*.py")
        if path.parent.name not in {"emulators", "deadletter", "demo"}
    )
    assert any(f'"{name}"' in text for text in texts)


def test_every_released_version_has_an_example_of_each_of_its_reasons() -> None:
    """Nothing that was ever written is left out of what is read here."""
    assert SCHEMA in {told["version"] for told in RELEASED.values()}
    for name, told in RELEASED.items():
        there = {path.stem for path in EXAMPLES if path.parent.name == name}
        assert there == {reason["name"] for reason in told["reasons"]}, name


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_letter_of_a_released_version_is_read(path: Path) -> None:
    """Every header arrives in its field, and the contract of that version names it."""
    told, _ = example(path)
    found = read_example(path)
    contract = {header["name"] for header in RELEASED[path.parent.name]["headers"]}
    assert told["headers"].keys() <= contract
    of = Origin(
        told["headers"]["__connect.errors.topic"],
        *(int(told["headers"][f"__connect.errors.{name}"]) for name in ("partition", "offset")),
    )
    assert (found.of, found.at) == (of, Origin(told["topic"], told["partition"], told["offset"]))
    assert found.timestamp_ms == told["timestamp_ms"]
    for name, field in FIELDS.items():
        value = getattr(found, field)
        assert str(value or "") == told["headers"].get(name, ""), name
    assert (found.reason, found.reason in REASONS) == (path.stem, True)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_value_of_a_released_letter_is_decoded(path: Path) -> None:
    """By the schema that wrote it: to its end, with an id in it, or the lack of one for a reason."""
    told, record = example(path)
    if not told["writer"]:
        return  # these bytes are the reason, or are cut
    writer = (path.parent / "writers" / f"{told['writer']}.avsc").read_text(encoding="utf-8")
    contents = Contents(TopicSettings(), {}, lambda _: writer)
    found = contents.told(read_example(path))
    if told["headers"]["__connect.errors.topic"] == "capi.ingest-replay":
        assert isinstance(found, Unread)  # nobody knows what such a record was
        return
    assert isinstance(found, Told)
    assert isinstance(found.fields, dict)
    name = "checkout_id" if found.kind == "checkout" else "order_id"
    assert bool(found.fields[name]) == (path.stem != f"no_{name}")
    assert (found.kind, found.note, record.value is not None) == (told["writer"], "", True)


@pytest.mark.parametrize(
    "path", [path for path in EXAMPLES if path.parent.name == f"v{SCHEMA}"], ids=lambda path: path.stem
)
def test_letters_are_written_as_they_were_released(path: Path) -> None:
    """The same failure makes the same letter, header for header."""
    told, record = example(path)
    found = read_example(path)
    if found.truncated:
        return  # what it had is not all there
    attempt = Attempt(
        *(found.destination, found.platform, found.event_id, found.code),
        *(found.http_status, found.attempts, found.first_at_ms, found.last_at_ms),
    )
    stage = REASONS[found.reason].stage
    failed = Record(found.of.topic, found.of.partition, found.of.offset, 0, record.key, record.value)
    made = letter(failed, stage, found.reason, found.message, attempt)
    assert {name: value.decode() for name, value in made.headers} == told["headers"]
    assert (made.key, made.value) == (record.key, record.value)
