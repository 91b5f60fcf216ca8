"""Records to orders and checkouts: what the shop wrote, mapped and hashed, or a refusal that names a path only."""

import copy
import json
import random
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings

from consumer.codec import Encoder, load_schema, schemas_dir
from consumer.errors import RecordError, SchemaUnavailable, Undecodable, UnknownSchema, Unmappable
from consumer.ingest import Ingest
from consumer.ingest.mapping import REASONS
from consumer.model import Checkout, ConsentState, Order, Record

ID = 7
HEAD = 9
CANARY = "canary"
NEEDED = {
    "order": ["order_id", "status", "updated_at", "created_at", "grand_total_minor"],
    "checkout": ["checkout_id", "step", "updated_at"],
}


def example(kind: str, name: str) -> dict[str, Any]:
    """One of the released examples."""
    found: dict[str, Any] = json.loads((schemas_dir() / kind / "examples" / f"{name}.json").read_text())
    return found


EXAMPLES = [
    pytest.param(path.parent.parent.name, path.stem, id=f"{path.parent.parent.name}-{path.stem}")
    for kind in NEEDED
    for path in sorted(Path(schemas_dir(), kind, "examples").glob("*.json"))
]
SCHEMAS = {kind: json.loads(load_schema(kind)) for kind in NEEDED}
TYPICAL = {"order": example("order", "typical"), "checkout": example("checkout", "payment-full")}


def written(told: dict[str, Any], schema: dict[str, Any]) -> bytes:
    """The framed bytes of what is told, by this schema."""
    return Encoder[dict[str, Any]](json.dumps(schema), ID)(told)


def record(value: bytes | None) -> Record:
    """A record of some topic with this value."""
    return Record("shop", 0, 0, 0, None, value)


def read(kind: str, value: bytes, schema: dict[str, Any]) -> Order | Checkout:
    """What ingest makes of a value, the head of an order read first as enrich does."""
    ingest = Ingest({ID: json.dumps(schema)}.__getitem__)
    if kind == "checkout":
        step = ingest.checkout(record(value))
        assert step is not None
        return step
    head = ingest.order_head(record(value))
    assert head is not None
    order = ingest.order(record(value), head)
    assert order == ingest.order(record(value))
    assert order.head == head.head
    return order


def mapped(kind: str, told: dict[str, Any], schema: dict[str, Any] | None = None) -> Order | Checkout:
    """What ingest makes of what is told."""
    schema = SCHEMAS[kind] if schema is None else schema
    return read(kind, written(told, schema), schema)


def refused(kind: str, told: dict[str, Any], schema: dict[str, Any] | None = None) -> Unmappable:
    """How ingest refuses what is told."""
    with pytest.raises(Unmappable) as caught:
        mapped(kind, told, schema)
    assert caught.value.reason in REASONS
    assert CANARY not in str(caught.value)
    return caught.value


def changed(kind: str, path: str, value: object) -> dict[str, Any]:
    """The typical record with another value at a path."""
    told = copy.deepcopy(TYPICAL[kind])
    at: Any = told
    *way, last = path.split(".")
    for step in way:
        at = at[int(step)] if step.isdigit() else at[step]
    at[last] = value
    return told


def with_field(kind: str, name: str, **changes: object) -> dict[str, Any]:
    """The reference schema with something changed about one field."""
    schema: dict[str, Any] = copy.deepcopy(SCHEMAS[kind])
    for field in schema["fields"]:
        if field["name"] == name:
            field.update(changes)
    return schema


def without(kind: str, *names: str) -> dict[str, Any]:
    """The reference schema without some of its fields."""
    schema: dict[str, Any] = copy.deepcopy(SCHEMAS[kind])
    schema["fields"] = [field for field in schema["fields"] if field["name"] not in names]
    return schema


def personal(told: dict[str, Any]) -> set[str]:
    """The raw values that nobody may see, but for those that are a hash already."""
    people = [
        told["customer"],
        *({"street": told[each]["street"]} for each in told if each.endswith("address")),
    ]
    texts = {value for each in people for value in each.values() if len(value) > 2}
    return {text for text in texts if len(text) != 64}


@pytest.mark.parametrize(("kind", "name"), EXAMPLES)
def test_every_example_is_mapped_and_nothing_raw_is_left(kind: str, name: str) -> None:
    """Each released example becomes its noun; what it says of a person is there as hashes only."""
    told = example(kind, name)
    thing = mapped(kind, told)
    assert (thing.head.order_id if isinstance(thing, Order) else thing.checkout_id) == told[f"{kind}_id"]
    assert [item.sku for item in thing.items] == [item["sku"] for item in told["items"]]
    assert thing.money.grand_total_minor == told["grand_total_minor"]
    text = repr(thing) + msgspec.json.encode(thing).decode()
    assert [each for each in personal(told) if each in text] == []
    assert all(len(digest) in {0, 64} for digest in thing.identity.values())


def test_an_order_is_mapped_field_by_field() -> None:
    """What the schema calls a thing is what the model has, text in its normal form."""
    order = mapped("order", changed("order", "status", " paid "))
    assert isinstance(order, Order)
    told = TYPICAL["order"]
    head = order.head
    assert (head.order_id, head.checkout_id, head.status) == (told["order_id"], told["checkout_id"], "PAID")
    assert (head.updated_at_ms, head.created_at_ms, head.paid_at_ms) == (
        told["updated_at"],
        told["created_at"],
        told["paid_at"],
    )
    assert (order.money.currency, order.money.tax_minor) == (told["currency"], told["tax_minor"])
    email = told["customer"]["email"].strip().lower()
    assert order.identity["email"] == sha256(email.encode()).hexdigest()
    assert order.consent.ads == ConsentState[told["consent"]["ads"]]


def test_refunds_keep_their_order_and_items() -> None:
    """Each refund of an order is there with its id, time, amount and items."""
    order = mapped("order", example("order", "refunded"))
    assert isinstance(order, Order)
    found = [(each.refund_id, each.at_ms, each.amount_minor, len(each.items)) for each in order.refunds]
    assert found == [("r-1", 1_795_608_000_000, 3990, 1), ("r-2", 1_796_472_000_000, 3990, 0)]


def test_a_checkout_keeps_what_the_browser_told() -> None:
    """Fields of the browser that are empty are left out, the others keep their names."""
    checkout = mapped("checkout", changed("checkout", "browser.gclid", ""))
    assert isinstance(checkout, Checkout)
    told = {name: value for name, value in TYPICAL["checkout"]["browser"].items() if name != "gclid"}
    told["page_url"] = told["page_url"].partition("?")[0]
    assert checkout.browser == {name: value for name, value in told.items() if value}
    assert checkout.step == "PAYMENT"


@pytest.mark.parametrize("page", ["page_url", "referrer_url"])
def test_an_address_loses_what_may_name_a_person(page: str) -> None:
    """Query and fragment end here: nothing behind the mapping ever sees them."""
    shown = "https://shop.example/thanks?email=ann%40mail.example#ann@mail.example"
    checkout = mapped("checkout", changed("checkout", f"browser.{page}", shown))
    assert isinstance(checkout, Checkout)
    assert checkout.browser[page] == "https://shop.example/thanks"


def test_what_is_a_hash_already_is_not_hashed_again() -> None:
    """A hash passes as it is, beside raw values that are hashed."""
    told = example("order", "already-hashed")
    order = mapped("order", told)
    assert order.identity["email"] == told["customer"]["email"]
    assert order.identity["phone_e164"] == sha256(told["customer"]["phone"].encode()).hexdigest()


@pytest.mark.parametrize(("kind", "path"), [("order", "billing_address"), ("checkout", "address")])
@pytest.mark.parametrize("field", ["street", "city"])
def test_a_place_that_is_no_text_is_refused(kind: str, path: str, field: str) -> None:
    """Bytes of a street or a city that are no text make the record a letter."""
    value = written(changed(kind, f"{path}.{field}", CANARY), SCHEMAS[kind])
    with pytest.raises(Undecodable):
        read(kind, value.replace(CANARY.encode(), b"\xff" * len(CANARY)), SCHEMAS[kind])


def shuffled(schema: dict[str, Any], seed: int) -> dict[str, Any]:
    """The schema with its fields in another order; those that name a type stay behind its definition."""
    fields = list(schema["fields"])
    random.Random(seed).shuffle(fields)
    fields.sort(key=lambda field: field["name"] in {"shipping_address", "refunds"})
    return {**schema, "fields": fields}


def nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema as many tools write one: every field may be null."""
    fields = [{**field, "type": ["null", field["type"]], "default": None} for field in schema["fields"]]
    return {**schema, "fields": fields}


def wider(schema: dict[str, Any]) -> dict[str, Any]:
    """A newer one: fields that we don't know, within records and beside them, another state of consent."""
    text = json.dumps(schema).replace('"symbols": [', '"symbols": ["LATER", ')
    newer: dict[str, Any] = json.loads(text)
    note = {"name": "note", "type": {"type": "map", "values": ["null", "string"]}, "default": {}}
    for field in newer["fields"]:
        if isinstance(field["type"], dict) and field["type"]["type"] == "record":
            field["type"]["fields"].insert(0, {**note, "name": f"note_{field['name']}"})
    newer["fields"].insert(3, note)
    return newer


def in_micros(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with times in microseconds."""
    micros: dict[str, Any] = json.loads(json.dumps(schema).replace("timestamp-millis", "timestamp-micros"))
    return micros


def told_in_micros(told: Any) -> Any:  # noqa: ANN401 - what an example says
    """What is told, times in microseconds."""
    if isinstance(told, list):
        return [told_in_micros(each) for each in told]
    if not isinstance(told, dict):
        return told
    times = {"at", "updated_at", "created_at", "paid_at"}
    return {key: each * 1000 if key in times else told_in_micros(each) for key, each in told.items()}


WRITERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "shuffled": lambda schema: shuffled(schema, 1),
    "shuffled anew": lambda schema: shuffled(schema, 2),
    "nullable": nullable,
    "wider": wider,
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize(("kind", "name"), EXAMPLES)
def test_another_writers_schema_tells_the_same(kind: str, name: str, writer: str) -> None:
    """Fields in another order, null for absent, fields that we don't know: the same noun comes out."""
    told = example(kind, name)
    assert same(mapped(kind, told, WRITERS[writer](SCHEMAS[kind])), mapped(kind, told))


def same(one: Order | Checkout, other: Order | Checkout) -> bool:
    """Equal but for the digest of the rest, which is told by each schema in its own way."""
    if isinstance(one, Order) and isinstance(other, Order):
        head = msgspec.structs.replace(one.head, rest=other.head.rest)
        return msgspec.structs.replace(one, head=head) == other
    return one == other


@pytest.mark.parametrize("kind", NEEDED)
def test_times_in_microseconds_are_the_same_times(kind: str) -> None:
    """Whatever the writer's unit, times are epoch milliseconds."""
    told = TYPICAL[kind]
    assert same(mapped(kind, told_in_micros(told), in_micros(SCHEMAS[kind])), mapped(kind, told))


@pytest.mark.parametrize("kind", NEEDED)
def test_an_older_schema_leaves_the_rest_to_defaults(kind: str) -> None:
    """A writer that knows only what must be there is enough; what it lacks is none."""
    optional = [field["name"] for field in SCHEMAS[kind]["fields"] if field["name"] not in NEEDED[kind]]
    thing = mapped(kind, TYPICAL[kind], without(kind, *optional))
    assert (thing.items, thing.identity, thing.consent.ads) == ((), {}, ConsentState.UNSPECIFIED)
    assert (thing.location.country, thing.location.city) == ("", "")


def test_an_order_may_end_with_its_head() -> None:
    """A writer's schema that has the head's fields and nothing behind them is read too."""
    behind = [field["name"] for field in SCHEMAS["order"]["fields"][HEAD:]]
    order = mapped("order", TYPICAL["order"], without("order", *behind))
    assert isinstance(order, Order)
    assert (order.head.order_id, order.items) == (TYPICAL["order"]["order_id"], ())


@pytest.mark.parametrize("writer", ["as it is", *WRITERS])
def test_the_rest_tells_if_anything_else_changed(writer: str) -> None:
    """A later update that changes nothing has the same digest; any other change of what is behind has another."""
    schema = WRITERS[writer](SCHEMAS["order"]) if writer in WRITERS else SCHEMAS["order"]

    def rest(path: str, value: object) -> bytes:
        order = mapped("order", changed("order", path, value), schema)
        assert isinstance(order, Order)
        return order.head.rest

    before = rest("shop", TYPICAL["order"]["shop"])
    assert rest("updated_at", TYPICAL["order"]["updated_at"] + 1) == before
    changes: dict[str, object] = {
        "tax_minor": 1,
        "customer.email": "other@shop.example",
        "items.0.quantity": 99,
        "refunds": example("order", "refunded")["refunds"],
        "consent.ads": "DENIED",
    }
    assert before not in {rest(path, value) for path, value in changes.items()}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in NEEDED for name in NEEDED[kind]])
def test_a_schema_without_a_needed_field_is_told_by_its_name(kind: str, name: str) -> None:
    """Every record of such a schema is refused with the schema's id and the field that it lacks."""
    error = refused(kind, TYPICAL[kind], without(kind, name))
    assert (error.reason, str(error)) == ("missing_field", f"schema {ID}: field {name} is not there")


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in NEEDED for name in NEEDED[kind]])
def test_null_in_a_needed_field_is_told_by_its_name(kind: str, name: str) -> None:
    """A null where something must be is this record's fault, told by field and schema."""
    error = refused(kind, {**TYPICAL[kind], name: None}, nullable(SCHEMAS[kind]))
    assert (error.reason, str(error)) == ("missing_field", f"{name} is null in a record of schema {ID}")


def test_null_elsewhere_is_none() -> None:
    """A null where something may be left out is as if it were left out."""
    told = {name: value for name, value in TYPICAL["order"].items() if name in NEEDED["order"]}
    assert same(
        mapped("order", told, nullable(SCHEMAS["order"])),
        mapped("order", TYPICAL["order"], without("order", *(TYPICAL["order"].keys() - told.keys()))),
    )


@pytest.mark.parametrize(
    ("kind", "name", "other", "value", "path"),
    [
        ("order", "grand_total_minor", "string", CANARY, "grand_total_minor is string, not long"),
        ("order", "grand_total_minor", "double", 1.5, "grand_total_minor is double, not long"),
        ("order", "order_id", "long", 5, "order_id is long, not string"),
        ("order", "refunds", "string", CANARY, "refunds is string, not array"),
        ("order", "customer", {"type": "map", "values": "string"}, {}, "customer is map, not record"),
        ("checkout", "updated_at", "string", CANARY, "updated_at is string, not long"),
        ("checkout", "browser", "string", CANARY, "browser is string, not record"),
    ],
)
def test_another_type_is_told_by_its_path(
    kind: str, name: str, other: object, value: object, path: str
) -> None:
    """A field of a type that can't be taken is a fault of the schema, told with both types."""
    error = refused(kind, changed(kind, name, value), with_field(kind, name, type=other, default=value))
    assert (error.reason, str(error)) == ("bad_type", f"schema {ID}: field {path}")


@pytest.mark.parametrize(
    ("kind", "path", "value", "reason", "told"),
    [
        ("order", "order_id", "", "no_order_id", "order_id"),
        ("checkout", "checkout_id", "", "no_checkout_id", "checkout_id"),
        ("order", "grand_total_minor", -1, "bad_money", "grand_total_minor"),
        ("order", "grand_total_minor", 10**15 + 1, "bad_money", "grand_total_minor"),
        ("order", "tax_minor", -1, "bad_money", "tax"),
        ("order", "discount_minor", 2**63 - 1, "bad_money", "discount"),
        ("order", "items.0.price_minor", -1, "bad_money", "items[].price_minor"),
        ("checkout", "grand_total_minor", -(2**63), "bad_money", "grand_total_minor"),
        ("checkout", "items.0.price_minor", 10**16, "bad_money", "items[].price_minor"),
        ("order", "items.0.quantity", 0, "bad_quantity", "items[].quantity"),
        ("order", "items.0.quantity", -3, "bad_quantity", "items[].quantity"),
        ("order", "items.0.quantity", 1_000_001, "bad_quantity", "items[].quantity"),
        ("order", "updated_at", 0, "bad_time", "updated_at"),
        ("order", "created_at", 946_684_799_999, "bad_time", "created_at"),
        ("order", "paid_at", 253_402_300_800_000, "bad_time", "paid_at"),
        ("order", "paid_at", -1, "bad_time", "paid_at"),
        ("checkout", "updated_at", 1_795_521, "bad_time", "updated_at"),
        ("checkout", "created_at", 2**62, "bad_time", "created_at"),
        (
            "order",
            "refunds",
            [{"refund_id": CANARY, "at": 5, "amount_minor": 1, "items": []}],
            "bad_time",
            "refunds[].at",
        ),
        (
            "order",
            "refunds",
            [{"refund_id": CANARY, "at": 1_795_608_000_000, "amount_minor": -1, "items": []}],
            "bad_money",
            "refunds[].amount_minor",
        ),
        (
            "order",
            "refunds",
            [
                {
                    "refund_id": CANARY,
                    "at": 1_795_608_000_000,
                    "amount_minor": 1,
                    "items": [{"sku": CANARY, "quantity": 0, "price_minor": 1}],
                }
            ],
            "bad_quantity",
            "refunds[].items[].quantity",
        ),
    ],
)
def test_an_absurd_value_is_told_by_its_path(
    kind: str, path: str, value: object, reason: str, told: str
) -> None:
    """Money, quantities, times and ids that can't be are refused with their reason, their path and no value."""
    error = refused(kind, changed(kind, path, value))
    assert error.reason == reason
    assert told in str(error)
    assert not isinstance(value, int) or abs(value) < 10 or str(value) not in str(error)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("grand_total_minor", 0),
        ("grand_total_minor", 10**15),
        ("items.0.quantity", 1_000_000),
        ("updated_at", 946_684_800_000),
        ("updated_at", 253_402_300_799_999),
        ("paid_at", 0),
        ("currency", ""),
        ("status", ""),
    ],
)
def test_a_value_at_the_edge_is_taken(path: str, value: object) -> None:
    """What only just can be is mapped; whether it counts is for enrich to say."""
    assert isinstance(mapped("order", changed("order", path, value)), Order)


@pytest.mark.parametrize("kind", NEEDED)
def test_a_record_cut_off_anywhere_is_refused(kind: str) -> None:
    """Each prefix of a whole record is undecodable, and none of its text is repeated."""
    value = written(TYPICAL[kind], SCHEMAS[kind])
    ingest = Ingest({ID: load_schema(kind)}.__getitem__)
    for end in range(len(value)):
        with pytest.raises(Undecodable) as caught:
            (ingest.order if kind == "order" else ingest.checkout)(record(value[:end]))
        assert "example" not in str(caught.value)


@pytest.mark.parametrize("writer", ["as it is", *WRITERS])
@pytest.mark.parametrize("kind", NEEDED)
def test_bytes_behind_a_record_are_refused(kind: str, writer: str) -> None:
    """A record that doesn't end where its bytes end is of another schema than it says."""
    schema = WRITERS[writer](SCHEMAS[kind]) if writer in WRITERS else SCHEMAS[kind]
    with pytest.raises(Undecodable, match=f"3 bytes follow the record, by schema {ID}"):
        read(kind, written(TYPICAL[kind], schema) + b"abc", schema)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (b"", "0 bytes are too few"),
        (b"\0\0\0\0", "4 bytes are too few"),
        (b'{"order_id": "canary"}', "the first byte is 123, not 0"),
        (b"\0\0\0\0\0canary", "0 is no schema id"),
        (b"\0\xff\xff\xff\xffcanary", "-1 is no schema id"),
        (b"\0\0\0\0\x07\x0cc\xffnary", "the bytes are not what schema 7 says"),
        (b"\0\0\0\0\x07", "the bytes are not what schema 7 says"),
        (None, "there is no value"),
    ],
)
def test_what_is_not_the_wire_format_is_undecodable(value: bytes | None, told: str) -> None:
    """Each way of not being a framed record is told, without any of its bytes but the first."""
    ingest = Ingest({ID: load_schema("order")}.__getitem__)
    for call in (ingest.order_head, ingest.order):
        with pytest.raises(Undecodable, match=told) as caught:
            call(record(value))
        assert caught.value.reason == "undecodable"
        assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "schema", ["{", '"string"', '{"type": "record"}', '{"type": "array", "items": "int"}']
)
def test_a_schema_that_is_none_makes_its_records_undecodable(schema: str) -> None:
    """Even a registry may hold what is no schema of a record: the record is at fault, not the process."""
    ingest = Ingest(lambda _: schema)
    for call in (ingest.order_head, ingest.order, ingest.checkout):
        with pytest.raises(Undecodable, match="the writer's schema"):
            call(record(b"\0\0\0\0\x07x"))


def test_what_the_registry_says_of_an_id_is_passed_on() -> None:
    """An unknown id is the record's fault, a silent registry nobody's; once it answers the record is read."""
    answers: list[Exception] = [UnknownSchema(ID), SchemaUnavailable(ID)]

    def by_id(_: int) -> str:
        if answers:
            raise answers.pop(0)
        return load_schema("order")

    ingest = Ingest(by_id)
    value = record(written(TYPICAL["order"], SCHEMAS["order"]))
    with pytest.raises(UnknownSchema) as caught:
        ingest.order_head(value)
    assert caught.value.reason == "unknown_schema"
    with pytest.raises(SchemaUnavailable):
        ingest.order_head(value)
    assert ingest.order(value).head.order_id == TYPICAL["order"]["order_id"]
    assert repr(ingest) == "<Ingest: 1 schemas of orders, 0 of checkouts>"


@pytest.mark.parametrize("kind", NEEDED)
@pytest.mark.parametrize("writer", ["as it is", "nullable", "shuffled"])
@given(seed=st.integers(0, 2**64 - 1))
@settings(deadline=None, max_examples=60)
def test_changed_bytes_are_mapped_or_refused(kind: str, writer: str, seed: int) -> None:
    """Whatever becomes of a record's bytes, it is a noun or a letter with a reason, never another error."""
    chance = random.Random(seed)
    schema = WRITERS[writer](SCHEMAS[kind]) if writer in WRITERS else SCHEMAS[kind]
    ingest = Ingest({ID: json.dumps(schema)}.__getitem__)
    whole = written(TYPICAL[kind], schema)
    for _ in range(20):
        value = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(5, len(value))
            value[at : at + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
        with suppress(RecordError):
            (ingest.order if kind == "order" else ingest.checkout)(record(bytes(value)))
