"""What a letter's value tells: decoded by the schema that wrote it, and not a word of a person in it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from consumer.avrojson import as_avro
from consumer.codec import Encoder, load_schema, parse_schema, schemas_dir
from consumer.deadletter.contents import Contents, Told, Unread
from consumer.deadletter.letter import ingest_letter, letter
from consumer.deadletter.read import Read, read
from consumer.errors import SchemaUnavailable, UnknownSchema
from consumer.ingest.decode import references
from consumer.ingest.rules import load_mapping, parse_mapping
from consumer.model import Record
from consumer.settings import TopicSettings

TOPICS = {"order": "orders", "checkout": "checkouts", "conversion": "capi.conversions"}
SHOPS = sorted(path.parent for path in (schemas_dir() / "shops").glob("*/mapping.yaml"))
EXAMPLES = [
    pytest.param(path, id=f"{path.parent.parent.name}-{path.stem}")
    for kind in TOPICS
    for path in sorted((schemas_dir() / kind / "examples").glob("*.json"))
]
WORDS = (
    *(
        "Anna",
        "Koch",
        "Köch",
        "Hauptstra",
        "Packstation",
        "170 1234567",
        "203.0.113",
        "Firefox",
        "München",
        "Dachau",
    ),
    *(
        "85221",
        "80331",
        "cust-42",
        "1988-04",
        "fb.1.",
        "AbC_dEf",
        "Gc-123",
        "taro",
        "太郎",
        "山田",
        "東京",
        "150-0001",
    ),
    *("shop.example", "example.net", "Mug", "granted", "denied"),
)
"""What the shops' examples tell of people, and of what they bought and allowed."""
LISTED = {"paid": "PAID", "*": "PENDING"}
PERSONAL = frozenset({"customer", "billing_address", "shipping_address", "address", "browser", "identity"})


def made(kind: str, value: bytes | None, key: bytes = b"", max_bytes: int = 1_000_000) -> Read:
    """The letter of such a record."""
    record = Record(TOPICS[kind], 0, 0, 0, key, value)
    if kind == "conversion":
        written = letter(record, "deliver", "rejected", "no", max_bytes=max_bytes)
    else:
        written = ingest_letter(record, "bad_value", "no", 0, max_bytes)
    found = read(Record("capi.dlq.x", 0, 0, 0, written.key, written.value, written.headers))
    assert found is not None
    return found


def contents(by_id: Callable[[int], str], mapping: Path | None = None) -> Contents:
    """Contents of the default topics."""
    mappings = {} if mapping is None else load_mapping(mapping, references())
    return Contents(TopicSettings(), mappings, by_id)


def told_of(kind: str, fields: dict[str, Any], key: bytes = b"") -> Told:
    """What a letter of these fields tells, by our own schema."""
    schema = load_schema(kind)
    encode: Encoder[dict[str, object]] = Encoder(schema, 7)
    found = contents({7: schema}.__getitem__).told(made(kind, encode(fields), key))
    assert isinstance(found, Told), found
    return found


def texts(value: object, within: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a decoded record, with the name of the top field that it stands in."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from texts(each, within or name)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from texts(each, within)
    elif isinstance(value, str) and value:
        yield within, value


@pytest.mark.parametrize("path", EXAMPLES)
def test_the_examples_are_shown_without_their_people(path: Path) -> None:
    """Ids, states, times, money: as they are. What a person is, has or lives in: not a word."""
    kind, fields = path.parent.parent.name, json.loads(path.read_bytes())
    told = told_of(kind, fields)
    assert isinstance(told.fields, dict)
    for name in ("order_id", "checkout_id", "currency", "grand_total_minor", "value_minor", "paid_at"):
        if name in fields:
            assert told.fields[name] == fields[name]
    shown = dict.fromkeys(text for _, text in texts(told.fields))
    personal = {
        text for name, text in texts(fields) if name in PERSONAL | {"ip", "user_agent", "city", "postal_code"}
    }
    harmless = {text for name, text in texts(fields) if name not in PERSONAL}
    assert not (personal - harmless) & shown.keys()


@pytest.mark.parametrize("shop", SHOPS, ids=lambda shop: shop.name)
@pytest.mark.parametrize("kind", ["order", "checkout"])
def test_a_shops_own_records_are_shown_without_their_people(shop: Path, kind: str) -> None:
    """By the mapping: what it takes for ids, states, times and money is seen, and nothing of a person."""
    text = (shop / f"{kind}.avsc").read_text()
    encode: Encoder[dict[str, object]] = Encoder(text, 7)
    opened = contents({7: text}.__getitem__, shop / "mapping.yaml")
    seen: set[str] = set()
    for path in sorted((shop / "examples").glob(f"{kind}*.json")):
        told = json.loads(path.read_bytes())
        found = opened.told(made(kind, encode(as_avro(parse_schema(text), told))))
        assert isinstance(found, Told), (path, found)
        shown = " ".join(text for _, text in texts(found.fields))
        seen.update(shown.split())
        assert [word for word in WORDS if word in shown] == [], path
    assert {"EUR", "chk-7f3a", "shop-de"} <= seen


def test_a_field_that_a_person_is_taken_from_stays_hidden() -> None:
    """Whatever else the mapping takes from it: a state, an id, or whether it is filled."""
    writer = {
        "type": "record",
        "name": "R",
        "fields": [{"name": name, "type": "string"} for name in ("number", "mail", "phone", "state")],
    }
    mapping = {
        "order": {
            "order_id": "number",
            "status": {
                "first_of": [{"path": "phone", "values": {"*": "PAID"}}, {"path": "state", "values": LISTED}]
            },
            "updated_at": {"constant": 1_795_521_604_217},
            "created_at": {"constant": 1_795_521_604_217},
            "grand_total_minor": {"constant": 1},
            "shop": "mail",
            "customer": {"email": "mail"},
        }
    }
    text = json.dumps(writer)
    encode: Encoder[dict[str, object]] = Encoder(text, 7)
    value = encode({"number": "1001", "mail": "jane", "phone": "4917139", "state": "paid"})
    opened = Contents(TopicSettings(), parse_mapping(mapping, references()), {7: text}.__getitem__)
    found = opened.told(made("order", value))
    assert isinstance(found, Told)
    assert found.fields == {"number": "1001", "mail": "****", "phone": "****", "state": "paid"}
    odd = opened.told(made("order", encode({"number": "1001", "mail": "", "phone": "", "state": "jane"})))
    assert isinstance(odd, Told)
    assert odd.fields == {"number": "1001", "mail": "", "phone": "", "state": "****"}


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("order_id", "#1001", "#1001"),
        ("order_id", "jane@example.com", "****"),
        ("order_id", "Jane Doe", "****"),
        ("status", "Zürich", "****"),
        ("status", "x" * 65, "****"),
        ("currency", "EUR", "EUR"),
        ("checkout_id", "gid://shop/Checkout/1", "gid://shop/Checkout/1"),
    ],
)
def test_a_harmless_field_shows_what_looks_like_one(name: str, value: str, shown: str) -> None:
    """An id is an id: what a shop puts there by mistake isn't shown."""
    fields = json.loads((schemas_dir() / "order" / "examples" / "minimal.json").read_bytes())
    told = told_of("order", {**fields, name: value})
    assert isinstance(told.fields, dict)
    assert told.fields[name] == shown


def test_what_is_empty_is_shown_so() -> None:
    """An empty e-mail is no secret, and often the cause."""
    fields = json.loads((schemas_dir() / "order" / "examples" / "typical.json").read_bytes())
    fields["customer"]["email"] = ""
    told = told_of("order", fields)
    assert isinstance(told.fields, dict)
    assert (told.fields["customer"]["email"], told.fields["customer"]["phone"]) == ("", "****")


def test_a_conversion_tells_which_identifiers_it_has() -> None:
    """By their names, without what they are."""
    fields = json.loads((schemas_dir() / "conversion" / "examples" / "purchase.json").read_bytes())
    fields["identity"]["jane@example.com"] = "x"
    told = told_of("conversion", fields, key=b"c-1001")
    assert isinstance(told.fields, dict)
    assert told.fields["identity"] == {"email": "****", "phone_e164": "****"}
    assert told.fields["click_ids"] == {"fbc": "****", "fbp": "****"}
    assert (told.fields["ip"], told.fields["country"], told.fields["consent_ads"]) == (
        "****",
        "DE",
        "GRANTED",
    )
    assert told.fields["items"] == [
        {
            "sku": "SKU-1",
            "quantity": 2,
            "price_minor": 2495,
            "name": "****",
            "brand": "****",
            "category": "****",
            "variant": "****",
        }
    ]


@pytest.mark.parametrize(
    ("key", "shown"),
    [(b"c-1001", "c-1001"), (b"order:1001", "order:1001"), (b"jane@example.com", "****"), (b"\xff", "****")],
)
def test_a_key_is_shown_if_it_is_an_id_of_the_record(key: bytes, shown: str) -> None:
    """A shop may key its orders by anything."""
    fields = json.loads((schemas_dir() / "conversion" / "examples" / "purchase.json").read_bytes())
    assert told_of("conversion", fields, key).key == shown


def test_a_decimal_is_shown_as_the_number_that_it_is() -> None:
    """Money in bytes has its point where the schema says."""
    decimal = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
    fields = [
        {"name": "order_id", "type": ["null", "long"]},
        {"name": "grand_total_minor", "type": ["null", decimal]},
        {"name": "extra", "type": {"type": "map", "values": "string"}},
    ]
    text = json.dumps({"type": "record", "name": "R", "fields": fields})
    value = b"\0\0\0\0\7" + b"\2\xd2\x0f" + b"\2\4\xfb\x2e" + b"\2\x08jane\2x\0"
    found = contents({7: text}.__getitem__).told(made("order", value))
    assert isinstance(found, Told)
    assert found.fields == {"order_id": 1001, "grand_total_minor": "-12.34", "extra": "****"}


def test_what_cannot_be_decoded_says_why() -> None:
    """No value, cut, of an unknown topic, no Avro, of a schema that nobody gives: told, with nothing of the value."""

    def nobody(schema_id: int) -> str:
        raise SchemaUnavailable(schema_id)

    def unknown(schema_id: int) -> str:
        raise UnknownSchema(schema_id)

    def why(found: Told | Unread) -> str:
        assert isinstance(found, Unread)
        return found.why

    opened = contents(nobody)
    value = b"\0\0\0\0\7jane"
    assert why(opened.told(made("order", None))) == "there is no value"
    assert "key=0 value=900" in why(opened.told(made("order", b"\0\0\0\0\7" + b"j" * 895, max_bytes=1_000)))
    elsewhere = msgspec.structs.replace(made("order", value), of=Record("other", 0, 0, 0, None, None).origin)
    assert "what other holds" in why(opened.told(elsewhere))
    assert "not the Confluent wire format" in why(opened.told(made("order", b"jane@x")))
    assert "schema 7 can't be had" in why(opened.told(made("order", value)))
    assert "does not know schema id 7" in why(contents(unknown).told(made("order", value)))
    assert "not a valid Avro schema" in why(contents(lambda _: "{}").told(made("order", value)))
    assert "not what schema 7 says" in why(
        contents(lambda _: load_schema("order")).told(made("order", value))
    )


def test_a_conversion_is_read_by_our_schema_while_the_registry_is_away() -> None:
    """And says so; the registry is asked once for each schema, however many letters there are."""
    asked = []

    def nobody(schema_id: int) -> str:
        asked.append(schema_id)
        raise SchemaUnavailable(schema_id)

    fields = json.loads((schemas_dir() / "conversion" / "examples" / "purchase.json").read_bytes())
    encode: Encoder[dict[str, object]] = Encoder(load_schema("conversion"), 7)
    opened = contents(nobody)
    for _ in range(3):
        found = opened.told(made("conversion", encode(fields)))
        assert isinstance(found, Told)
        assert found.note == "by our newest schema: the registry does not give schema 7"
    assert asked == [7]


def test_letters_of_an_order_are_found_by_its_id() -> None:
    """In the value, by the mapping of the shop; in the event id, if the value can't be read."""
    shop = schemas_dir() / "shops" / "shopify"
    schema = (shop / "order.avsc").read_text()
    encode: Encoder[dict[str, object]] = Encoder(schema, 7)
    told = json.loads((shop / "examples" / "order-paid.json").read_bytes())
    opened = contents({7: schema}.__getitem__, shop / "mapping.yaml")
    order = made("order", encode(as_avro(parse_schema(schema), told)))
    assert opened.tells_of(order, frozenset({"#1001"}))
    assert not opened.tells_of(order, frozenset({"#1002", "EUR"}))
    broken = msgspec.structs.replace(made("conversion", b"x"), event_id="refund:1001:2")
    assert opened.tells_of(broken, frozenset({"1001"}))
    assert not opened.tells_of(broken, frozenset({"100"}))
    conversion = Encoder[dict[str, object]](load_schema("conversion"), 8)
    fields = json.loads((schemas_dir() / "conversion" / "examples" / "purchase.json").read_bytes())
    own = made("conversion", conversion({**fields, "event_id": "pixel's own"}))
    by_ours = contents({8: load_schema("conversion")}.__getitem__)
    assert by_ours.tells_of(own, frozenset({"9", "1001"}))
    assert not by_ours.tells_of(own, frozenset({"c-1001", "DE"}))


def test_of_a_map_only_what_the_mapping_names_is_opened() -> None:
    """Its keys may be anything, a customer's name too."""
    texts_of = {"type": "map", "values": "string"}
    text = json.dumps({"type": "record", "name": "R", "fields": [{"name": "meta", "type": texts_of}]})
    constant = {"constant": 1_795_521_604_217}
    mapping = {
        "order": {
            "order_id": 'meta["order no"]',
            "status": {"constant": "PAID"},
            "updated_at": constant,
            "created_at": constant,
            "grand_total_minor": {"constant": 1},
        }
    }
    encode: Encoder[dict[str, object]] = Encoder(text, 7)
    opened = Contents(TopicSettings(), parse_mapping(mapping, references()), {7: text}.__getitem__)
    found = opened.told(made("order", encode({"meta": {"order no": "1001", "Jane Doe": "x"}})))
    assert isinstance(found, Told)
    assert found.fields == {"meta": {"order no": "1001", "****": "****"}}
