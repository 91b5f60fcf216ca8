"""Records of our topics, and what the ledger keeps of them."""

from collections.abc import Callable, Mapping

import pytest
from msgspec import structs

from consumer.codec import Encoder, load_schema
from consumer.deadletter.letter import Attempt, letter
from consumer.errors import SchemaUnavailable
from consumer.ledger.rows import Rows
from consumer.ledger.tables import ConversionRow, EndingRow, LaterRow, LetterRow
from consumer.model import Conversion, Headers, OrderEnding, Record
from tests.broker.dispatch import conversion

SCHEMAS: Mapping[int, str] = {
    1: load_schema("conversion"),
    2: load_schema("receipt"),
    3: load_schema("ending"),
}
PERSONAL = ("ip", "user_agent", "page_url", "referrer_url", "city", "postal_code", "click_ids")


@pytest.fixture
def rows() -> Rows:
    """Reads topics of the prefix `capi`."""
    return Rows("capi", SCHEMAS.__getitem__)


def record(topic: str, value: bytes | None, headers: Headers = (), key: bytes | None = None) -> Record:
    """One of this topic, at 1:5."""
    return Record(f"capi.{topic}", 1, 5, 77, key, value, headers)


def encoded(thing: Conversion | OrderEnding, schema_id: int) -> bytes:
    """As its topic holds it."""
    encode: Encoder[Conversion | OrderEnding] = Encoder(SCHEMAS[schema_id], schema_id)
    return encode(thing)


def test_of_a_person_only_the_hash_of_the_e_mail_is_kept(rows: Rows) -> None:
    """No other hash, no address of a machine, no click id."""
    told = conversion(
        1,
        identity={"email": "a1" * 32, "phone": "b2" * 32},
        ip="203.0.113.9",
        page_url="https://shop.example/p",
        referrer_url="https://else.example/",
        city="Ghent",
        postal_code="9000",
    )
    row = rows.of(record("conversions", encoded(told, 1)))
    assert isinstance(row, ConversionRow)
    assert (row.at_partition, row.at_offset, row.at_ms, row.event_id) == (1, 5, 77, "purchase:1")
    assert row.email == "a1" * 32
    kept = repr(structs.astuple(row))
    assert [name for name in PERSONAL if str(getattr(told, name)) in kept] == []
    assert "b2b2" not in kept


def test_a_conversion_that_cannot_be_read_is_owed_all_the_same(rows: Rows) -> None:
    """Its place is kept."""
    for value in (None, b"", b"garbage"):
        assert rows.of(record("conversions", value)) == ConversionRow(1, 5, 77)


def test_a_schema_that_cannot_be_asked_for_now_loses_nothing() -> None:
    """Whoever reads must wait."""

    def unavailable(schema_id: int) -> str:
        raise SchemaUnavailable(schema_id)

    with pytest.raises(SchemaUnavailable):
        Rows("capi", unavailable).of(record("conversions", encoded(conversion(1), 1)))


def test_an_ending_is_kept_whole(rows: Rows) -> None:
    """With the events that it made."""
    told = OrderEnding("orders", 3, 9, "1", "c1", "conversion", "", ("purchase:1",), 100, "EUR", True, 5)
    row = rows.of(record("endings", encoded(told, 3)))
    assert isinstance(row, EndingRow)
    assert (row.of_topic, row.of_partition, row.of_offset, row.event_ids) == ("orders", 3, 9, ("purchase:1",))


def test_what_is_put_aside_names_its_conversion(rows: Rows) -> None:
    """By its headers alone: its value is not looked at."""
    headers = (
        *(("capi.destination", b"meta-us"), ("capi.origin", b"capi.conversions:2:8")),
        *(("capi.not_before_ms", b"99"), ("capi.attempts", b"4")),
    )
    assert rows.of(record("later", b"any", headers)) == LaterRow(1, 5, 77, 2, 8, "meta-us", 99, 4)


def test_of_a_letter_only_the_headers_are_kept(rows: Rows) -> None:
    """Key and value stay in its topic."""
    of = Record("capi.conversions", 2, 8, 1, b"secret-key", b"secret-value")
    made = letter(
        of, "deliver", "rejected", "refused", Attempt("meta-us", "meta", "purchase:1", "100", 400, 2)
    )
    row = rows.of(record("dlq.meta", made.value, made.headers, made.key))
    assert isinstance(row, LetterRow)
    assert (row.at_topic, row.of_partition, row.of_offset, row.reason) == ("capi.dlq.meta", 2, 8, "rejected")
    assert (row.destination, row.code, row.http_status, row.attempts) == ("meta-us", "100", 400, 2)
    assert "secret" not in repr(structs.astuple(row))


FOREIGN: Mapping[str, Callable[[], Record]] = {
    "receipts": lambda: record("receipts", b"garbage"),
    "endings": lambda: record("endings", None),
    "later": lambda: record("later", b"", (("capi.origin", b"capi.conversions:x:y"),)),
    "dlq.meta": lambda: record("dlq.meta", b"", (("dlq.reason", b"rejected"),)),
    "other": lambda: record("other", b""),
}


@pytest.mark.parametrize("topic", sorted(FOREIGN))
def test_what_others_wrote_is_counted_and_left(rows: Rows, topic: str) -> None:
    """It stops nothing."""
    assert rows.of(FOREIGN[topic]()) is None
    assert rows.foreign == {f"capi.{topic}": 1}


def test_conversions_of_another_prefix_are_not_ours(rows: Rows) -> None:
    """Nor is what lies aside of them."""
    headers = (("capi.destination", b"meta-us"), ("capi.origin", b"other.conversions:2:8"))
    assert rows.of(record("later", b"any", headers)) is None
