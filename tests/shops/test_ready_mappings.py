"""The ready mappings: each example becomes what it should, and the shop's traffic the same in every shape."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from consumer.avro import compile_reader
from consumer.avrojson import as_avro
from consumer.cli.mapping import masked
from consumer.codec import BODY_AT, Encoder, load_schema, parse_schema, schemas_dir
from consumer.emulators.shop import Damage, Plan, Published, Topic, traffic
from consumer.emulators.shop.shapes import SHAPES
from consumer.errors import RecordError
from consumer.ingest import Ingest
from consumer.ingest.decode import KINDS, check_mapping, mappings_of
from consumer.model import Checkout, Order, Record

SHOPS = schemas_dir() / "shops"
EXPECTED = Path(__file__).with_name("expected")
EXAMPLES = [
    pytest.param(path.parent.parent.name, path, id=f"{path.parent.parent.name}-{path.stem}")
    for path in sorted(SHOPS.glob("*/examples/*.json"))
]
SEED = 11
NOW_MS = 1_795_737_600_000
NO_BIRTHDAY = {"identity.gender", "identity.gender_n", "identity.date_of_birth"}
STATUSES = {
    ("FULFILLED", "PAID"),
    ("PENDING", "UPDATED"),
    ("FULFILLED", "UPDATED"),
    ("PARTIALLY_REFUNDED", "REFUNDED"),
    ("PARTIALLY_REFUNDED", "PAID"),
}
"""Ours and what a platform can tell of it: no other state may come of one, and PAID of none that is unpaid."""
LACKING = {
    "shopify": {*NO_BIRTHDAY, "items.category", "identity.external_id"},
    "woocommerce": {
        *NO_BIRTHDAY,
        *("items.category", "items.brand", "items.variant", "identity.external_id", "refunds.at_ms"),
    },
    "commercetools": {*NO_BIRTHDAY, "consent.at_ms"},
    "segment": set[str](),
    "debezium": {
        *("items.sku", "items.quantity", "items.price_minor", "items.name", "items.brand", "items.category"),
        *(
            "items.variant",
            "refunds.refund_id",
            "refunds.at_ms",
            "refunds.amount_minor",
            "refunds.order_minor",
        ),
    },
}
"""What a platform's records have no room for, or tell in another way; all else must be the same."""


@cache
def ingest(shop: str, kind: str) -> tuple[Ingest, Encoder[dict[str, object]], Any]:
    """What reads a shop's records, and what writes them: by its schema of this kind."""
    text = (SHOPS / shop / f"{kind}.avsc").read_text() if shop else load_schema(kind)
    mappings = mappings_of(SHOPS / shop / "mapping.yaml") if shop else {}
    return Ingest(lambda _: text, mappings), Encoder(text, 1), parse_schema(text)


def mapped(shop: str, kind: str, told: object) -> Order | Checkout | None:
    """What becomes of a record in JSON. Raises RecordError."""
    reads, encode, schema = ingest(shop, kind)
    record = Record(kind, 0, 0, 0, None, encode(as_avro(schema, told)))
    if kind == "checkout":
        return reads.checkout(record)
    head = reads.order_head(record)
    if head is None:
        return None
    order = reads.order(record, head)
    assert reads.has_refunds(record, head) is bool(order.refunds)
    return order


def ended(shop: str, kind: str, told: object) -> Order | Checkout | str:
    """What becomes of a record in JSON, or the reason why it can't be used."""
    try:
        return mapped(shop, kind, told) or "tombstone"
    except RecordError as error:
        return error.reason


def kind_of(path: Path) -> str:
    """Order or checkout, by the name of an example."""
    return path.stem.partition("-")[0]


def test_every_shape_is_ready() -> None:
    """Each shape has a mapping, both schemas, which fit, and two examples of each kind at least."""
    assert {path.name for path in SHOPS.iterdir()} == set(SHAPES)
    for shop in SHAPES:
        mappings = mappings_of(SHOPS / shop / "mapping.yaml")
        assert set(mappings) == set(KINDS)
        for kind in KINDS:
            check_mapping(mappings, kind, (SHOPS / shop / f"{kind}.avsc").read_text(), shop)
            assert len(list((SHOPS / shop / "examples").glob(f"{kind}-*.json"))) >= 2


@pytest.mark.parametrize(("shop", "path"), EXAMPLES)
def test_every_example_survives(shop: str, path: Path) -> None:
    """What an example says is the same after it was written and read again."""
    _, encode, schema = ingest(shop, kind_of(path))
    told = as_avro(schema, json.loads(path.read_text()))
    value = encode(told)
    back, end = compile_reader(schema)(value, BODY_AT)
    assert end == len(value)
    assert encode(back) == value
    assert list(_lost(told, back)) == []


def _lost(told: object, back: object) -> Iterator[str]:
    if isinstance(told, dict) and isinstance(back, dict):
        for key in told.keys() - {"-type"}:
            yield from (f"{key}.{lost}" for lost in _lost(told[key], back[key]))
    elif isinstance(told, list) and isinstance(back, tuple) and len(told) == len(back):
        for each, other in zip(told, back, strict=True):
            yield from _lost(each, other)
    elif told != back:
        yield "changed"


@pytest.mark.parametrize(("shop", "path"), EXAMPLES)
def test_every_example_becomes_what_is_expected(shop: str, path: Path) -> None:
    """Each example gives exactly the order or the checkout that stands beside this test, people as hashes."""
    thing = mapped(shop, kind_of(path), json.loads(path.read_text()))
    expected = json.loads((EXPECTED / shop / path.name).read_text())
    assert json.loads(msgspec.json.encode(None if thing is None else masked(thing))) == expected


def test_examples_of_all_shapes_tell_the_same_money() -> None:
    """The paid order is worth the same everywhere, in the customer's currency, and so is what was refunded."""
    for shop in SHAPES:
        folder = SHOPS / shop / "examples"
        paid = mapped(shop, "order", json.loads((folder / "order-paid.json").read_text()))
        refunded = mapped(shop, "order", json.loads((folder / "order-refunded.json").read_text()))
        assert isinstance(paid, Order)
        assert isinstance(refunded, Order)
        assert (paid.head.currency, paid.head.grand_total_minor, paid.head.status) == ("EUR", 8989, "PAID")
        assert (refunded.head.currency, refunded.head.grand_total_minor) == ("JPY", 12800)
        assert refunded.refunds[-1].amount_minor == 10000
        assert refunded.head.paid_at_ms == 1795730060000


def flat(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Each value with its path; lists without places."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from flat(each, f"{path}.{name}".lstrip("."))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from flat(each, path)
    else:
        yield path, value


def differences(ours: Order | Checkout, theirs: Order | Checkout) -> set[str]:
    """Paths at which two tell differently, but for the digest."""
    values = [
        sorted(flat(msgspec.to_builtins(thing)), key=lambda pair: (pair[0], str(pair[1])))
        for thing in (ours, theirs)
    ]
    paths = {path for each in values for path, _ in each} - {"head.rest"}
    return {path for path in paths if len({str([v for p, v in each if p == path]) for each in values}) > 1}


def published() -> list[Published]:
    """Traffic of a shop, each kind of journey in it."""
    told = traffic(Plan(SEED, 60, NOW_MS))
    return [
        one
        for one in told
        if isinstance(one, Published) and one.damage is Damage.NONE and one.value is not None
    ]


@pytest.mark.parametrize("shop", SHAPES)
def test_traffic_is_the_same_in_every_shape(shop: str) -> None:
    """Each record, told in the platform's shape and mapped, is what the reference record is; so is each refusal."""
    compared = 0
    for one in published():
        assert one.value is not None
        kind = "order" if one.topic is Topic.ORDERS else "checkout"
        told = SHAPES[shop].told(one.topic, one.value)
        ours, theirs = ended("", kind, one.value), ended(shop, kind, told)
        if isinstance(ours, str) or isinstance(theirs, str):
            assert ours == theirs
            continue
        differing = differences(ours, theirs) - LACKING[shop] - _explained(ours, theirs)
        assert differing == set(), (SEED, one.key)
        compared += 1
    assert compared > 300


def _explained(ours: Order | Checkout, theirs: Order | Checkout) -> set[str]:
    """Paths that may differ between these two, by rule."""
    if isinstance(ours, Order) and isinstance(theirs, Order):
        states = (ours.head.status, theirs.head.status)
        explained = {"head.status"} if states in STATUSES else set()
        if ours.money.currency == "":
            assert theirs.money.currency == ""
            explained |= {path for path, _ in flat(msgspec.to_builtins(ours)) if path.endswith("_minor")}
        return explained
    assert isinstance(ours, Checkout)
    assert isinstance(theirs, Checkout)
    explained = {"money.shipping_minor"} if not theirs.money.shipping_minor else set()
    return explained | ({"step"} if (ours.step, theirs.step) == ("SHIPPING", "CONTACT") else set())
