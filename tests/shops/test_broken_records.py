"""Records of every shape with changed bytes: mapped, or refused as a letter, and never another error."""

import json
import random
from contextlib import suppress
from functools import cache

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from consumer.avrojson import as_avro
from consumer.codec import Encoder, parse_schema, schemas_dir
from consumer.emulators.shop.shapes import SHAPES
from consumer.errors import RecordError
from consumer.ingest import Ingest
from consumer.ingest.decode import KINDS, mappings_of
from consumer.model import Record

SHOPS = schemas_dir() / "shops"


@cache
def ground(shop: str, kind: str) -> tuple[Ingest, list[bytes]]:
    """What reads a shop's records, and its examples as they are in Kafka."""
    text = (SHOPS / shop / f"{kind}.avsc").read_text()
    encode: Encoder[dict[str, object]] = Encoder(text, 7)
    schema = parse_schema(text)
    examples = sorted((SHOPS / shop / "examples").glob(f"{kind}-*.json"))
    records = [encode(as_avro(schema, json.loads(example.read_text()))) for example in examples]
    return Ingest(lambda _: text, mappings_of(SHOPS / shop / "mapping.yaml")), records


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shop", SHAPES)
@given(seed=st.integers(0, 2**64 - 1))
@settings(deadline=None, max_examples=25)
def test_changed_bytes_are_mapped_or_refused(shop: str, kind: str, seed: int) -> None:
    """Whatever becomes of a record's bytes, it is a noun, a tombstone or a letter with a reason."""
    chance = random.Random(seed)
    ingest, records = ground(shop, kind)
    whole = chance.choice(records)
    for _ in range(20):
        value = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(5, len(value))
            value[at : at + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
        record = Record("shop", 0, 0, 0, None, bytes(value))
        with suppress(RecordError):
            if kind == "checkout":
                ingest.checkout(record)
            elif (head := ingest.order_head(record)) is not None:
                ingest.has_refunds(record, head)
                ingest.order(record, head)
