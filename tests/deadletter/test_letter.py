"""Letters keep the bytes that failed, say why, and fit their topic."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.deadletter.letter import RECORD_OVERHEAD_BYTES, Attempt, Letter, ingest_letter, letter
from consumer.deadletter.reasons import REASONS
from consumer.model import Record

AVRO = b"\x00\x00\x00\x00\x2a" + b"payload"
ATTEMPT = Attempt("meta-us", "meta", "purchase:o1", "100", 400, 3, 1_000, 2_000)


def record(key: bytes | None = b"key", value: bytes | None = AVRO) -> Record:
    """A record at orders 2, 7."""
    return Record("orders", 2, 7, 1, key, value, (("shop", b"header"),))


def headers(of: Letter) -> dict[str, str]:
    """Its headers as text; each may be there once."""
    names = [name for name, _ in of.headers]
    assert len(names) == len(set(names))
    return {name: value.decode() for name, value in of.headers}


def test_letter_of_a_delivery_says_everything() -> None:
    """Bytes untouched, and each header of the contract."""
    made = letter(record(), "deliver", "rejected", "bad value", ATTEMPT)
    assert (made.key, made.value) == (b"key", AVRO)
    assert headers(made) == {
        "__connect.errors.topic": "orders",
        "__connect.errors.partition": "2",
        "__connect.errors.offset": "7",
        "__connect.errors.stage": "deliver",
        "__connect.errors.exception.message": "bad value",
        "dlq.schema": "1",
        "dlq.destination": "meta-us",
        "dlq.platform": "meta",
        "dlq.reason": "rejected",
        "dlq.fault": "platform",
        "dlq.error.code": "100",
        "dlq.http.status": "400",
        "dlq.attempts": "3",
        "dlq.event.id": "purchase:o1",
        "dlq.payload.schema.id": "42",
        "dlq.first.at": "1000",
        "dlq.last.at": "2000",
    }


def test_letter_of_ingest_leaves_out_what_does_not_apply() -> None:
    """A record that enrich can't use was never sent anywhere."""
    made = headers(ingest_letter(record(), "no_currency", "no currency", 5, 10_000))
    assert made["dlq.fault"] == "shop"
    assert (made["dlq.first.at"], made["dlq.last.at"]) == ("5", "5")
    assert (
        not {"dlq.destination", "dlq.platform", "dlq.attempts", "dlq.event.id", "dlq.error.code"}
        & made.keys()
    )


def test_fault_is_the_reasons_unless_told() -> None:
    """Who is at fault is listed for each reason, and whoever knows better may say so."""
    for name, reason in REASONS.items():
        assert headers(letter(record(), "ingest", name, ""))["dlq.fault"] == reason.fault
    assert headers(letter(record(), "ingest", "rejected", "", fault="operator"))["dlq.fault"] == "operator"


@pytest.mark.parametrize("value", [None, b"", b"\x00\x00", b"{}......", b"\x01\x00\x00\x00\x2a"])
def test_schema_id_only_where_there_is_one(value: bytes | None) -> None:
    """A value in another form has no schema id."""
    assert "dlq.payload.schema.id" not in headers(letter(record(value=value), "ingest", "undecodable", ""))


@pytest.mark.parametrize("key", [None, b"", b"key"])
@pytest.mark.parametrize("value", [None, b"", b"value"])
def test_nothing_is_not_the_same_as_empty(key: bytes | None, value: bytes | None) -> None:
    """A missing key or value stays missing, an empty one stays empty, in a letter that is cut too."""
    for max_bytes in (10_000, 10):
        made = letter(record(key, value), "ingest", "undecodable", "", max_bytes=max_bytes)
        assert (made.key is None, made.value is None) == (key is None, value is None)
    whole = letter(record(key, value), "ingest", "undecodable", "")
    assert (whole.key, whole.value) == (key, value)


@settings(deadline=None, derandomize=True)
@given(
    st.integers(0, 3_000),
    st.integers(0, 3_000),
    st.integers(2_500, 8_000),
    st.text(max_size=700),
)
def test_letter_fits_its_topic(key: int, value: int, max_bytes: int, message: str) -> None:
    """However large the record, the letter fits; it says if it was cut and is whole otherwise."""
    made = letter(record(b"k" * key, b"v" * value), "deliver", "rejected", message[:100], ATTEMPT, max_bytes)
    size = sum(len(name) + len(text) for name, text in made.headers)
    size += len(made.key or b"") + len(made.value or b"")
    assert size <= max_bytes - RECORD_OVERHEAD_BYTES + 64
    told = headers(made)
    whole = (made.key, made.value) == (b"k" * key, b"v" * value)
    assert told.get("dlq.truncated") == (None if whole else f"key={key} value={value}")
    assert (b"k" * key).startswith(made.key or b"")
    assert (b"v" * value).startswith(made.value or b"")


def test_message_is_bounded() -> None:
    """A platform's long message doesn't grow the letter without end."""
    told = headers(letter(record(), "deliver", "rejected", "€" * 10_000, ATTEMPT))
    assert told["__connect.errors.exception.message"] == "€" * 500
