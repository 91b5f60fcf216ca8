"""Whether an order tells of a refund is seen without decoding it."""

import json

import pytest

from consumer.codec import Encoder, load_schema, schemas_dir
from consumer.ingest import Ingest
from consumer.model import Record

SCHEMA = json.loads(load_schema("order"))


@pytest.mark.parametrize(("example", "has"), [("refunded", True), ("typical", False), ("minimal", False)])
def test_refunds_are_seen_from_outside(example: str, has: bool) -> None:  # noqa: FBT001
    """As the whole order says."""
    told = json.loads((schemas_dir() / "order" / "examples" / f"{example}.json").read_text())
    value = Encoder[dict[str, object]](json.dumps(SCHEMA), 7)(told)
    record = Record("orders", 0, 0, 0, None, value)
    ingest = Ingest({7: json.dumps(SCHEMA)}.__getitem__)
    head = ingest.order_head(record)
    assert head is not None
    assert ingest.has_refunds(record, head) is has
    assert bool(ingest.order(record, head).refunds) is has
