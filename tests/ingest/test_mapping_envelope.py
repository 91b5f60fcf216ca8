"""Change streams: paths begin in the row, and a deleted row is a tombstone."""

import json

import pytest

from consumer.codec import Encoder, schemas_dir
from consumer.errors import ConfigurationError, Undecodable
from consumer.ingest import Ingest
from consumer.ingest.decode import check_mapping, mappings_of, references
from consumer.ingest.rules import parse_mapping
from consumer.model import Record

ROW = {
    "type": "record",
    "name": "Row",
    "fields": [{"name": name, "type": "string"} for name in ("id", "state", "at", "currency", "total")],
}
ENVELOPE = {
    "type": "record",
    "name": "Envelope",
    "fields": [
        {"name": "before", "type": ["null", ROW]},
        {"name": "after", "type": ["null", "Row"]},
        {"name": "op", "type": "string"},
        {"name": "ts_ms", "type": "long"},
    ],
}
RULES = {
    "envelope": "debezium",
    "order_id": "id",
    "status": "state",
    "updated_at": {"path": "$.ts_ms", "unit": "millis"},
    "created_at": "at",
    "currency": "currency",
    "grand_total_minor": "total",
}
STEP = {"envelope": "debezium", "checkout_id": "id", "step": "state", "updated_at": "at"}
NOW = {"id": "A1", "state": "PAID", "at": "2026-11-27T00:00:00Z", "currency": "EUR", "total": "19.99"}


def told(op: str, after: dict[str, str] | None) -> tuple[Ingest, Record]:
    """A change, and what reads it."""
    text = json.dumps(ENVELOPE)
    value = Encoder[dict[str, object]](text, 7)(
        {"before": NOW if op == "d" else None, "after": after, "op": op, "ts_ms": 1_795_737_600_000}
    )
    mappings = parse_mapping({"order": RULES, "checkout": STEP}, references())
    return Ingest(lambda _: text, mappings), Record("cdc", 0, 0, 0, None, value)


@pytest.mark.parametrize("op", ["c", "u", "r"])
def test_a_row_is_an_order(op: str) -> None:
    """Created, updated or in a snapshot: the row after the change is the order; `$.` leads out of the row."""
    ingest, record = told(op, NOW)
    order = ingest.order(record)
    assert (order.head.order_id, order.head.grand_total_minor) == ("A1", 1999)
    assert order.head.updated_at_ms == order.head.created_at_ms == 1_795_737_600_000
    step = ingest.checkout(record)
    assert step is not None
    assert step.checkout_id == "A1"


@pytest.mark.parametrize(("op", "after"), [("d", None), ("d", NOW), ("t", None)])
def test_a_deleted_row_is_a_tombstone(op: str, after: dict[str, str] | None) -> None:
    """A delete says nothing but that: there is no head and no step, and asking for the order is an error."""
    ingest, record = told(op, after)
    assert ingest.order_head(record) is None
    assert ingest.checkout(record) is None
    with pytest.raises(Undecodable, match="gone"):
        ingest.order(record)


def test_what_is_no_envelope_is_refused() -> None:
    """A schema without `after` and `op` can't be read as changes: the missing one is named."""
    mappings = parse_mapping({"order": RULES}, references())
    with pytest.raises(ConfigurationError, match="op is not there"):
        check_mapping(mappings, "order", json.dumps(ROW), "orders-value")


def test_the_ready_mapping_takes_rows_of_the_snapshot() -> None:
    """The example of a snapshot's row, whose record tells nothing of a time of change, is an order too."""
    folder = schemas_dir() / "shops" / "debezium"
    mappings = mappings_of(folder / "mapping.yaml")
    check_mapping(mappings, "order", (folder / "order.avsc").read_text(), "orders-value")
    assert json.loads((folder / "examples" / "order-paid.json").read_text())["op"] == "r"
