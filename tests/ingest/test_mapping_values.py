"""Values of a shop's own schema: money, times, words, lists and people, each form, and how each fault ends."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from consumer.avrojson import as_avro
from consumer.codec import Encoder, parse_schema
from consumer.deadletter.reasons import REASONS as LETTER_REASONS
from consumer.errors import ConfigurationError, Undecodable, Unmappable
from consumer.ingest import Ingest
from consumer.ingest.decode import check_mapping, references
from consumer.ingest.mapping import REASONS
from consumer.ingest.rules import parse_mapping
from consumer.model import ConsentState, Order, Record

CANARY = "canary@people.example"
AT = "2026-11-27T00:00:00Z"
AT_MS = 1_795_737_600_000
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}
FIXED = {"type": "fixed", "name": "Amount", "size": 8, "logicalType": "decimal", "precision": 15, "scale": 3}
HASH = "ab" * 32


def field(name: str, kind: object, **more: object) -> dict[str, object]:
    """A field of a schema."""
    return {"name": name, "type": kind, **more}


def schema(*fields: Mapping[str, object]) -> str:
    """A record of orders: what is needed, but for what the fields say otherwise."""
    usual = {name: field(name, "string") for name in ("id", "state", "changed", "made", "currency", "total")}
    both = {**usual, **{str(each["name"]): each for each in fields}}
    return msgspec.json.encode(
        {"type": "record", "name": "Sale", "namespace": "their.shop", "fields": [*both.values()]}
    ).decode()


def order_of(
    told: Mapping[str, object], mapping: Mapping[str, object] | None = None, *fields: Mapping[str, object]
) -> Order | None:
    """What becomes of an order that says this, by a mapping of what is needed and of this."""
    text = schema(*fields)
    said = {
        "id": "A1",
        "state": "PAID",
        "changed": AT,
        "made": AT,
        "currency": "EUR",
        "total": "19.99",
        **told,
    }
    names = parse_schema(text)
    known = {each["name"] for each in names["fields"]}
    value = Encoder[Mapping[str, object]](text, 7)(
        as_avro(names, {key: said[key] for key in said if key in known})
    )
    ingest = Ingest(lambda _: text, parse_mapping({"order": rules(mapping or {})}, references()))
    record = Record("orders", 0, 0, 0, None, value)
    head = ingest.order_head(record)
    assert head is None or ingest.order(record) == ingest.order(record, head)
    return None if head is None else ingest.order(record, head)


def rules(mapping: Mapping[str, object]) -> dict[str, object]:
    """A mapping of orders with this in it."""
    usual = {
        "order_id": "id",
        "status": "state",
        "updated_at": "changed",
        "created_at": "made",
        "currency": "currency",
        "grand_total_minor": "total",
    }
    return {**usual, **mapping}


def mapped(
    told: Mapping[str, object], mapping: Mapping[str, object] | None = None, *fields: Mapping[str, object]
) -> Order:
    """What becomes of an order that isn't gone."""
    order = order_of(told, mapping, *fields)
    assert order is not None
    return order


def refused(
    told: Mapping[str, object], mapping: Mapping[str, object] | None = None, *fields: Mapping[str, object]
) -> Unmappable:
    """How an order is refused: with a reason that letters have, by a path and without a value."""
    with pytest.raises(Unmappable) as caught:
        order_of(told, mapping, *fields)
    assert caught.value.reason in REASONS
    assert LETTER_REASONS[caught.value.reason].fault == "shop"
    assert CANARY not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("kind", "value", "rule", "currency", "minor"),
    [
        ("string", "19.99", "total", "EUR", 1999),
        ("string", "19.9", "total", "EUR", 1990),
        ("string", "19", "total", "EUR", 1900),
        ("string", "19.990", "total", "EUR", 1999),
        ("string", " +0.05 ", "total", "EUR", 5),
        ("string", "1999", {"path": "total", "unit": "minor"}, "EUR", 1999),
        ("string", "700", "total", "JPY", 700),
        ("string", "700.00", "total", "JPY", 700),
        ("string", "1.234", "total", "KWD", 1234),
        ("double", 19.99, "total", "EUR", 1999),
        ("double", 0.1 + 0.2, "total", "EUR", 30),
        ("double", 1234567.89, "total", "EUR", 123456789),
        ("double", 1999.0, {"path": "total", "unit": "minor"}, "EUR", 1999),
        ("long", 1999, {"path": "total", "unit": "minor"}, "EUR", 1999),
        ("int", 19, {"path": "total", "unit": "major"}, "EUR", 1900),
        ("long", 1999, {"path": "total", "unit": "minor", "digits": 2}, "JPY", None),
        ("long", 1900, {"path": "total", "unit": "minor", "digits": 2}, "JPY", 19),
        ("long", 19990, {"path": "total", "unit": "minor", "digits": 3}, "EUR", 1999),
        (DECIMAL, "19.99", "total", "EUR", 1999),
        (DECIMAL, "700.00", "total", "JPY", 700),
        (FIXED, "19.990", "total", "EUR", 1999),
        (["null", "string", "double"], 19.99, "total", "EUR", 1999),
        (["null", "string", "double"], "19.99", "total", "EUR", 1999),
        ("string", "-19.99", {"path": "total", "negated": True}, "EUR", 1999),
        ("string", "19.99", "total", "eur ", 1999),
    ],
)
def test_money_in_every_form(
    kind: object, value: object, rule: object, currency: str, minor: int | None
) -> None:
    """Each form of money gives minor units with its currency's digits, exactly or not at all."""
    amount = field("total", kind)
    if minor is None:
        assert (
            refused({"total": value, "currency": currency}, {"grand_total_minor": rule}, amount).reason
            == "bad_money"
        )
        return
    order = mapped({"total": value, "currency": currency}, {"grand_total_minor": rule}, amount)
    assert order.head.grand_total_minor == order.money.grand_total_minor == minor


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", "19.999"),
        ("string", "19,99"),
        ("string", "1e3"),
        ("string", "٣"),
        ("string", "€ 19.99"),
        ("string", "9" * 30),
        ("string", "nan"),
        ("double", 19.999),
        ("double", 19.990001),
        ("double", float("nan")),
        ("double", float("inf")),
        ("double", 1e17),
        (FIXED, "19.999"),
        ("string", "-0.01"),
    ],
)
def test_money_that_is_none_is_refused(kind: object, value: object) -> None:
    """Too many decimals, another notation, no number, too much or too little: refused by its path, never rounded."""
    error = refused({"total": value}, None, field("total", kind))
    assert error.reason == "bad_money"
    assert "total" in str(error)
    assert str(value) not in str(error)


@pytest.mark.parametrize("currency", ["", "XYZ", "XAU", "EURO"])
def test_nothing_is_guessed_of_a_currency_without_digits(currency: str) -> None:
    """The order stands with the currency that it says and no amount: the gate makes its letter, as ever."""
    order = mapped({"currency": currency})
    assert (order.money.currency, order.money.grand_total_minor) == (currency, 0)


def test_money_of_another_currency_than_the_order_is_refused() -> None:
    """A money set names its currency, and it must be the order's."""
    money = {
        "type": "record",
        "name": "Money",
        "fields": [field("amount", "string"), field("code", "string")],
    }
    rule = {"grand_total_minor": {"path": "sum.amount", "currency": "sum.code"}}
    told: dict[str, object] = {"sum": {"amount": "5.00", "code": "EUR"}}
    assert mapped(told, rule, field("sum", money)).head.grand_total_minor == 500
    small: dict[str, object] = {"sum": {"amount": "5.00", "code": " eur"}, "currency": "eur"}
    assert mapped(small, rule, field("sum", money)).head.grand_total_minor == 500
    error = refused({**told, "currency": "USD"}, rule, field("sum", money))
    assert (error.reason, str(error)) == ("bad_money", "sum.amount is in another currency than the order")


def test_a_divided_price_is_rounded_only_where_the_mapping_says_so() -> None:
    """A price with more digits than its currency is refused, unless the rule allows it to be rounded."""
    line = {
        "type": "record",
        "name": "Line",
        "fields": [field("sku", "string"), field("qty", "int"), field("price", "double")],
    }
    lines = field("lines", {"type": "array", "items": line})
    told: dict[str, object] = {"lines": [{"sku": "a", "qty": 3, "price": 6.666666666666667}]}
    items = {"each": "lines", "sku": "sku", "quantity": "qty", "price_minor": "price"}
    assert refused(told, {"items": items}, lines).reason == "bad_money"
    rounded = {**items, "price_minor": {"path": "price", "rounded": True}}
    assert mapped(told, {"items": rounded}, lines).items[0].price_minor == 667


@pytest.mark.parametrize(
    ("kind", "value", "rule"),
    [
        ("string", AT, "changed"),
        ("string", "2026-11-27T01:00:00+01:00", "changed"),
        ("string", "2026-11-26T19:00:00.000-0500", "changed"),
        ("string", "2026-11-27T00:00:00", {"path": "changed", "zone": "UTC"}),
        ("string", "2026-11-27T05:30:00", {"path": "changed", "zone": "+05:30"}),
        ("string", AT, {"path": "changed", "zone": "+05:30"}),
        ("long", AT_MS // 1000, {"path": "changed", "unit": "seconds"}),
        ("int", AT_MS // 1000, {"path": "changed", "unit": "seconds"}),
        ("long", AT_MS, {"path": "changed", "unit": "millis"}),
        ("long", AT_MS * 1000 + 999, {"path": "changed", "unit": "micros"}),
        ("long", AT_MS * 10**6 + 999_999, {"path": "changed", "unit": "nanos"}),
        ("long", AT_MS + 3_600_000, {"path": "changed", "unit": "millis", "zone": "+01:00"}),
        ({"type": "long", "logicalType": "timestamp-millis"}, AT_MS, "changed"),
        ({"type": "long", "logicalType": "timestamp-micros"}, AT_MS * 1000, "changed"),
        ({"type": "long", "logicalType": "timestamp-nanos"}, AT_MS * 10**6, "changed"),
        (
            {"type": "long", "logicalType": "timestamp-micros"},
            AT_MS * 1000,
            {"path": "changed", "unit": "micros"},
        ),
        (
            {"type": "long", "logicalType": "local-timestamp-millis"},
            AT_MS,
            {"path": "changed", "zone": "UTC"},
        ),
        (["null", {"type": "long", "logicalType": "timestamp-millis"}, "string"], AT_MS, "changed"),
        (["null", {"type": "long", "logicalType": "timestamp-millis"}, "string"], {"string": AT}, "changed"),
    ],
)
def test_times_in_every_form(kind: object, value: object, rule: object) -> None:
    """Each form of a time is the same instant, whatever its unit and zone."""
    assert (
        mapped({"changed": value}, {"updated_at": rule}, field("changed", kind)).head.updated_at_ms == AT_MS
    )


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (
            "2026-11-27T00:00:00",
            "changed has no zone; if it is always the same, give the mapping's rule a zone",
        ),
        ("2026-11-27", "changed has no zone"),
        ("27.11.2026 00:00", "changed is not an ISO 8601 time (found '##.##.#### ##:##')"),
        ("+318857-05-20T17:46:40Z", "changed is not an ISO 8601 time"),
        ("1999-12-31T23:59:59Z", "updated_at is before the year 2000"),
    ],
)
def test_a_time_that_is_none_is_refused(value: str, told: str) -> None:
    """A missing zone, another notation, a year that can't be: a letter, by its path."""
    error = refused({"changed": value})
    assert error.reason == "bad_time"
    assert told in str(error)


@pytest.mark.parametrize(
    ("changes", "rule", "told"),
    [
        (
            field("total", "long"),
            {"grand_total_minor": "total"},
            "total is a plain long; give its rule a unit: minor or major",
        ),
        (field("total", "float"), {}, "total is float, not money"),
        (field("total", "boolean"), {}, "total is boolean, not money"),
        (field("total", "bytes"), {}, "total is bytes, not money"),
        (
            field("changed", "long"),
            {},
            "changed is a plain long; give its rule a unit: seconds, millis, micros, nanos",
        ),
        (field("changed", {"type": "int", "logicalType": "date"}), {}, "changed is date, not a time"),
        (
            field("changed", {"type": "long", "logicalType": "local-timestamp-millis"}),
            {},
            "changed is local-timestamp-millis, a time without a zone",
        ),
        (
            field("changed", {"type": "long", "logicalType": "timestamp-millis"}),
            {"updated_at": {"path": "changed", "unit": "seconds"}},
            "changed is timestamp-millis, and needs neither another unit nor a zone",
        ),
        (field("id", "double"), {}, "id is double, not text"),
        (field("id", {"type": "array", "items": "string"}), {}, "id is array, not text"),
        (
            field("id", {"type": "array", "items": "string"}),
            {"order_id": "id[*]"},
            "leads to many values where one is wanted",
        ),
        (field("id", "string"), {"order_id": "id[0]"}, "asks for an element of string"),
        (field("id", "string"), {"order_id": "id.x"}, "id.x asks for x of string"),
        (
            field("id", "string"),
            {"items": {"each": "id", "sku": "a", "quantity": "b", "price_minor": "c"}},
            "id asks for an element of string",
        ),
        (field("id", "string"), {"consent": {"sale_opt_out": "id"}}, "id is string, not true or false"),
        (field("id", "string"), {"order_id": "idd"}, "idd is not there; did you mean id?"),
        (field("x", "string"), {"order_id": "currencies"}, "currencies is not there; did you mean currency?"),
    ],
)
def test_a_path_or_type_that_does_not_fit_is_told(
    changes: dict[str, object], rule: dict[str, object], told: str
) -> None:
    """At start it is an error of configuration, later a letter; both name the path and what is wrong with it."""
    text = schema(changes)
    mappings = parse_mapping({"order": rules(rule)}, references())
    with pytest.raises(ConfigurationError) as caught:
        check_mapping(mappings, "order", text, "orders-value version 3")
    assert told in str(caught.value)
    assert "orders-value version 3" in str(caught.value)
    ingest = Ingest(lambda _: text, mappings)
    with pytest.raises(Unmappable) as later:
        ingest.order_head(Record("orders", 0, 0, 0, None, b"\0\0\0\0\7" + b"\0" * 50))
    assert told in str(later.value)
    assert "schema 7" in str(later.value)
    assert later.value.reason == ("missing_field" if "is not there" in told else "bad_type")


def test_a_path_elsewhere_is_found() -> None:
    """If no name beside it is alike, the nearest of the whole schema is named."""
    inner = {"type": "record", "name": "In", "fields": [field("mail_address", "string")]}
    text = schema(field("buyer", ["null", inner]))
    mappings = parse_mapping({"order": rules({"customer": {"email": "mail_address"}})}, references())
    with pytest.raises(
        ConfigurationError, match=r"mail_address is not there; did you mean buyer\.mail_address\?"
    ):
        check_mapping(mappings, "order", text, "orders-value")


def test_a_field_that_disappears_is_a_letter_and_old_records_are_read() -> None:
    """Under one mapping, records of a schema that has the path are orders, those of one that lacks it are letters."""
    texts = {1: schema(field("note", "string", default="")), 2: schema()}
    said = {"id": "A1", "state": "PAID", "changed": AT, "made": AT, "currency": "EUR", "total": "1.00"}
    ingest = Ingest(texts.__getitem__, parse_mapping({"order": rules({"shop": "note"})}, references()))
    old = Record("orders", 0, 0, 0, None, Encoder[Mapping[str, object]](texts[1], 1)({**said, "note": "de"}))
    new = Record("orders", 0, 1, 0, None, Encoder[Mapping[str, object]](texts[2], 2)(said))
    for _ in range(2):
        assert ingest.order(old).shop == "de"
        with pytest.raises(Unmappable, match="schema 2: field note is not there") as caught:
            ingest.order(new)
        assert caught.value.reason == "missing_field"
    lenient = parse_mapping({"order": rules({"shop": {"path": "note", "optional": True}})}, references())
    assert [Ingest(texts.__getitem__, lenient).order(each).shop for each in (old, new)] == ["de", ""]


def test_a_schema_that_does_not_fit_is_looked_at_once() -> None:
    """Of many records that can't be mapped each is refused for the same reason, and the schema is compiled once."""
    asked: list[int] = []

    def by_id(schema_id: int) -> str:
        asked.append(schema_id)
        return schema()

    ingest = Ingest(by_id, parse_mapping({"order": rules({"shop": "note"})}, references()))
    told = set()
    for offset in range(5):
        with pytest.raises(Unmappable, match="note is not there") as caught:
            ingest.order_head(Record("orders", 0, offset, 0, None, b"\0\0\0\0\7" + b"\0" * 50))
        told.add((caught.value.reason, str(caught.value)))
    assert asked == [7]
    assert len(told) == 1


def test_lists_in_too_many_lists_are_refused() -> None:
    """What Python can't loop over is an error of configuration, not of the process."""
    kind: object = "string"
    for _ in range(25):
        kind = {"type": "array", "items": kind}
    mappings = parse_mapping({"order": rules({"tax_minor": "deep" + "[*]" * 25})}, references())
    with pytest.raises(ConfigurationError, match=r"too many lists in lists|nested too deeply"):
        check_mapping(mappings, "order", schema(field("deep", kind)), "orders-value")


@pytest.mark.parametrize(
    ("kind", "value", "rule", "status"),
    [
        ("string", "paid", {"path": "state", "values": {"paid": "PAID"}}, "PAID"),
        (
            {"type": "enum", "name": "State", "symbols": ["NEW", "DONE"]},
            "DONE",
            {"path": "state", "values": {"DONE": "PAID"}},
            "PAID",
        ),
        ("int", 3, {"path": "state", "values": {3: "PAID"}}, "PAID"),
        ("boolean", True, {"path": "state", "values": {True: "PAID", False: "PENDING"}}, "PAID"),
        (["null", "int", "string"], "x", {"path": "state", "values": {"x": "PAID", "1": "PENDING"}}, "PAID"),
        (["null", "int", "string"], 1, {"path": "state", "values": {"x": "PAID", "1": "PENDING"}}, "PENDING"),
        ("string", "y", {"path": "state", "values": {"x": "PAID", "*": "OTHER"}}, "OTHER"),
        ("string", "y", {"path": "state", "values": {"x": "PAID", "*": "*"}}, "Y"),
        (["null", "string"], None, {"path": "state", "default": "NEW"}, "NEW"),
        (["null", "string"], "", {"path": "state", "default": "NEW"}, "NEW"),
        (["null", "string"], None, {"path": "state", "values": {"x": "PAID"}, "default": "NEW"}, "NEW"),
        ("int", 3, "state", "3"),
        ("boolean", True, "state", "TRUE"),
        ("string", "x", {"constant": "PAID"}, "PAID"),
        ("string", "", {"first_of": ["state", "id"]}, "A1"),
        (
            "string",
            "x",
            {"first_of": [{"path": "state", "values": {"*": None}}, {"constant": "LAST"}]},
            "LAST",
        ),
        ("string", "x", {"first_of": [{"path": "state", "when": {"currency": ["USD"]}}, "id"]}, "A1"),
        ("string", "x", {"first_of": [{"path": "state", "when": {"currency": ["USD", "EUR"]}}, "id"]}, "X"),
    ],
)
def test_words_in_every_form(kind: object, value: object, rule: object, status: str) -> None:
    """Enums, numbers, yes and no become our words; null and empty ones take the default or the next path."""
    assert mapped({"state": value}, {"status": rule}, field("state", kind)).head.status == status


def test_a_word_that_is_not_listed_is_refused() -> None:
    """An enum value that the mapping doesn't know is a letter, which names the path and not the word."""
    error = refused({"state": CANARY}, {"status": {"path": "state", "values": {"paid": "PAID"}}})
    assert error.reason == "bad_value"
    assert str(error) == "state is none of the values that the mapping lists (found 'xxxxxx@xxxxxx.xxxxxxx')"
    said = refused({"state": "perhaps"}, {"consent": {"ads": "state"}})
    assert said.reason == "bad_value"


@pytest.mark.parametrize(
    ("value", "state"), [("granted", "GRANTED"), ("DENIED", "DENIED"), ("", "UNSPECIFIED")]
)
def test_consent_in_its_own_words_needs_no_list(value: str, state: str) -> None:
    """GRANTED and DENIED are understood in either case; nothing said is UNSPECIFIED."""
    assert mapped(
        {"state": value}, {"consent": {"ads": "state"}, "status": "id"}
    ).consent.ads == ConsentState(state)


@pytest.mark.parametrize(
    ("name", "value"), [("id", None), ("state", None), ("changed", None), ("total", None), ("changed", "")]
)
def test_a_null_where_something_must_be_is_refused(name: str, value: object) -> None:
    """What is needed and null is a letter that names the path and the schema."""
    error = refused({name: value}, None, field(name, ["null", "string"]))
    assert (error.reason, str(error)) == ("missing_field", f"{name} is null or empty")


LINE = {
    "type": "record",
    "name": "Line",
    "fields": [
        field(
            "article",
            {
                "type": "record",
                "name": "Article",
                "fields": [field("no", "string"), field("tags", {"type": "map", "values": "string"})],
            },
        ),
        field("qty", ["int", "string", "double"]),
        field("net", "double"),
    ],
}
ITEMS = {
    "each": "baskets[*].lines",
    "sku": "article.no",
    "quantity": "qty",
    "price_minor": "net",
    "brand": "article.tags.brand",
    "category": "$.state",
}


def test_lists_within_lists_are_one_list_in_their_order() -> None:
    """Elements of several arrays follow each other; null ones are passed over; a path may lead back to the record."""
    basket = {
        "type": "record",
        "name": "Basket",
        "fields": [field("lines", {"type": "array", "items": ["null", LINE]})],
    }
    baskets = field("baskets", ["null", {"type": "array", "items": basket}])

    def line(no: str, qty: object, brand: str) -> dict[str, Any]:
        return {"article": {"no": no, "tags": {"brand": brand} if brand else {}}, "qty": qty, "net": 1.5}

    told: dict[str, object] = {
        "baskets": [
            {"lines": [line("a", 1, "x"), None, line("b", {"string": "2"}, "")]},
            {"lines": []},
            {"lines": [line("c", {"double": 3.0}, "z")]},
        ]
    }
    items = mapped(told, {"items": ITEMS}, baskets).items
    assert [(item.sku, item.quantity, item.brand, item.category, item.price_minor) for item in items] == [
        ("a", 1, "x", "PAID", 150),
        ("b", 2, "", "PAID", 150),
        ("c", 3, "z", "PAID", 150),
    ]
    assert mapped({"baskets": None}, {"items": ITEMS}, baskets).items == ()


@pytest.mark.parametrize(
    ("qty", "told"),
    [(-1, "items[].quantity"), (0, "items[].quantity"), ({"string": "two"}, "qty"), ({"double": 1.5}, "qty")],
)
def test_a_quantity_that_is_none_is_refused(qty: object, told: str) -> None:
    """Less than one, no number, a part of one: a letter that names where."""
    lines = field("lines", {"type": "array", "items": LINE})
    items = {**ITEMS, "each": "lines"}
    error = refused(
        {"lines": [{"article": {"no": "a", "tags": {}}, "qty": qty, "net": 1.0}]}, {"items": items}, lines
    )
    assert error.reason == "bad_quantity"
    assert told in str(error)


def test_elements_are_chosen_by_place_and_by_name() -> None:
    """The n-th, the last, the first of a name; what isn't there is nothing."""
    note = {
        "type": "record",
        "name": "Note",
        "fields": [field("name", "string"), field("value", ["null", "string"]), field("n", "int")],
    }
    notes = field("notes", {"type": "array", "items": note})
    told: dict[str, object] = {
        "notes": [
            {"name": "a", "value": "1", "n": 5},
            {"name": "b", "value": None, "n": 6},
            {"name": "a", "value": "2", "n": 7},
        ]
    }
    for path, value in {
        "notes[name=a].value": "1",
        "notes[name=b].value": "",
        "notes[name=c].value": "",
        "notes[n=7].value": "2",
        "notes[0].value": "1",
        "notes[-1].value": "2",
        "notes[3].value": "",
        "notes[-4].value": "",
    }.items():
        assert mapped(told, {"shop": path}, notes).shop == value, path


def test_money_of_many_adds_up() -> None:
    """All elements, or those that are chosen, make one amount."""
    pay = {"type": "record", "name": "Pay", "fields": [field("kind", "string"), field("amount", "string")]}
    pays = field("pays", {"type": "array", "items": pay})
    told: dict[str, object] = {
        "pays": [
            {"kind": "in", "amount": "5.00"},
            {"kind": "out", "amount": "1.50"},
            {"kind": "in", "amount": "0.25"},
        ]
    }
    assert mapped(told, {"tax_minor": "pays[*].amount"}, pays).money.tax_minor == 675
    assert mapped(told, {"tax_minor": "pays[*kind=in].amount"}, pays).money.tax_minor == 525
    assert mapped({"pays": []}, {"tax_minor": "pays[*].amount"}, pays).money.tax_minor == 0
    none = refused({"pays": []}, {"grand_total_minor": "pays[*].amount"}, pays)
    assert none.reason == "missing_field"


def test_records_of_a_union_are_read_by_what_they_have() -> None:
    """A path through a union of records takes the field from whichever has it; a scalar beside them has none."""
    person = {
        "type": "record",
        "name": "Person",
        "fields": [field("first", "string"), field("email", "string")],
    }
    company = {
        "type": "record",
        "name": "Company",
        "fields": [field("vat", "string"), field("email", "string"), field("name", "string")],
    }
    buyer = field("buyer", ["null", person, "string", company])
    rule = {"shop": "buyer.email", "event_id": {"first_of": ["buyer.name", "buyer.first"]}}
    told = {
        ("a@b.example", "Ann"): {"their.shop.Person": {"first": "Ann", "email": "a@b.example"}},
        ("c@d.example", "Co"): {"their.shop.Company": {"vat": "1", "email": "c@d.example", "name": "Co"}},
        ("", ""): "someone",
    }
    for expected, value in told.items():
        order = mapped({"buyer": value}, rule, buyer)
        assert (order.shop, order.head.event_id) == expected
    assert mapped({"buyer": None}, rule, buyer).shop == ""


def test_records_of_a_union_may_stand_elsewhere_too() -> None:
    """What is taken of one of them where it stands alone does not shift the other."""
    person = {"type": "record", "name": "Person", "fields": [field("email", "string")]}
    company = {
        "type": "record",
        "name": "Company",
        "fields": [field("code", "string"), field("email", "string")],
    }
    fields = (field("buyer", [person, company]), field("maker", "Company"))
    rule = {"shop": "buyer.email", "event_id": "maker.code"}
    maker = {"code": "m", "email": "m@m.example"}
    for buyer in ({"email": "a@b.example"}, {"code": "c", "email": "a@b.example"}):
        order = mapped({"buyer": buyer, "maker": maker}, rule, *fields)
        assert (order.shop, order.head.event_id) == ("a@b.example", "m")


def test_a_type_that_holds_itself_is_read() -> None:
    """A recursive schema is mapped as deep as its paths lead."""
    node = {
        "type": "record",
        "name": "Node",
        "fields": [field("label", "string"), field("next", ["null", "Node"])],
    }
    told: dict[str, object] = {
        "node": {"label": "a", "next": {"label": "b", "next": {"label": "c", "next": None}}}
    }
    assert mapped(told, {"shop": "node.next.next.label"}, field("node", node)).shop == "c"
    assert mapped(told, {"shop": "node.next.next.next.label"}, field("node", node)).shop == ""


def test_a_type_used_first_where_nothing_is_taken_is_still_known() -> None:
    """A named type that a passed-over field defines may be used by one that is taken."""
    money = {"type": "record", "name": "Cash", "fields": [field("code", "string"), field("amount", "string")]}
    order = mapped(
        {"other": {"code": "x", "amount": "9.99"}, "sum": {"code": "y", "amount": "5.00"}},
        {"grand_total_minor": "sum.amount"},
        field("other", money),
        field("sum", "Cash"),
    )
    assert order.head.grand_total_minor == 500


def test_a_declared_hash_is_that_form_and_no_other() -> None:
    """What the mapping says is a hash is taken as the form that it names; what is none is left out."""
    rule = {
        "customer": {
            "email": {"path": "mail", "hashed": "email_gmail"},
            "phone": {"path": "tel", "hashed": "phone_e164"},
        }
    }
    fields = (field("mail", ["null", "string"]), field("tel", "string"))
    order = mapped({"mail": HASH.upper(), "tel": HASH}, rule, *fields)
    assert order.identity["email_gmail"] == order.identity["phone_e164"] == HASH
    assert not {"email", "phone"} & order.identity.keys()
    for nothing in (None, "", "canary@people.example", HASH[:-1]):
        assert "email_gmail" not in mapped({"mail": nothing, "tel": ""}, rule, *fields).identity


def test_people_are_hashed_and_a_country_by_name_is_its_code() -> None:
    """A country's name becomes its code; one that doesn't exist is left out, and nothing raw is left anywhere."""
    rule = {"customer": {"email": "mail"}, "billing_address": {"country": "land", "city": "town"}}
    fields = (field("mail", "string"), field("land", "string"), field("town", "string"))
    order = mapped({"mail": CANARY, "land": "Germany", "town": "Köln"}, rule, *fields)
    assert order.location.country == "DE"
    assert "email" in order.identity
    assert CANARY not in repr(order) + msgspec.json.encode(order).decode()
    nowhere = mapped({"mail": CANARY, "land": "Atlantis", "town": ""}, rule, *fields)
    assert nowhere.location.country == ""
    assert "country" not in nowhere.identity


def test_what_is_held_between_head_and_order_prints_nobody() -> None:
    """A record decoded in one piece is held until the order is asked for, and doesn't show in a log."""
    text = schema(field("mail", "string"))
    names = parse_schema(text)
    reordered = {**names, "fields": names["fields"][::-1]}
    text = msgspec.json.encode(reordered).decode()
    told = {
        "id": "A",
        "state": "PAID",
        "changed": AT,
        "made": AT,
        "currency": "EUR",
        "total": "1",
        "mail": CANARY,
    }
    ingest = Ingest(
        lambda _: text, parse_mapping({"order": rules({"customer": {"email": "mail"}})}, references())
    )
    head = ingest.order_head(Record("orders", 0, 0, 0, None, Encoder[Mapping[str, object]](text, 7)(told)))
    assert head is not None
    assert head.held is not None
    assert CANARY not in repr(head)


@pytest.mark.parametrize("cut", [1, 3, 20])
def test_a_record_in_one_piece_must_end_where_its_bytes_end(cut: int) -> None:
    """A cut record and one with bytes behind it are undecodable, not mapped to what is there."""
    names = parse_schema(schema())
    text = msgspec.json.encode({**names, "fields": names["fields"][::-1]}).decode()
    told = {"id": "A", "state": "PAID", "changed": AT, "made": AT, "currency": "EUR", "total": "1"}
    value = Encoder[Mapping[str, object]](text, 7)(told)
    mappings = parse_mapping({"order": rules({"shop": "id"})}, references())
    for bad in (value[:-cut], value + b"x" * cut):
        ingest = Ingest(lambda _: text, mappings)
        with pytest.raises(Undecodable):
            ingest.order_head(Record("orders", 0, 0, 0, None, bad))


def test_the_head_is_read_alone_where_it_stands_first() -> None:
    """Head first or in one piece, by the order of the schema's fields: the order is the same."""
    told = {
        "id": "A",
        "state": "PAID",
        "changed": AT,
        "made": AT,
        "currency": "EUR",
        "total": "1",
        "note": "de",
    }
    text = schema(field("note", "string"))
    names = parse_schema(text)
    mappings = parse_mapping({"order": rules({"shop": "note"})}, references())
    orders = []
    for fields in (names["fields"], names["fields"][::-1]):
        turned = msgspec.json.encode({**names, "fields": fields}).decode()
        ingest = Ingest({7: turned}.__getitem__, mappings)
        record = Record("orders", 0, 0, 0, None, Encoder[Mapping[str, object]](turned, 7)(told))
        head = ingest.order_head(record)
        assert head is not None
        assert (head.end == len(record.value or b"")) is (fields is not names["fields"])
        orders.append(ingest.order(record, head))
    assert msgspec.structs.replace(orders[0].head, rest=b"") == msgspec.structs.replace(
        orders[1].head, rest=b""
    )
    assert orders[0].shop == orders[1].shop == "de"


@pytest.mark.parametrize(
    ("changed", "same"), [("changed", True), ("unmapped", True), ("note", False), ("notes", False)]
)
def test_only_what_is_mapped_tells_two_records_apart(changed: str, same: bool) -> None:  # noqa: FBT001
    """The digest of a record in one piece is of what the mapping takes beside the head, and of nothing else."""
    fields = (
        field("notes", {"type": "map", "values": "string"}),
        field("note", "string"),
        field("unmapped", "string"),
    )
    told: dict[str, object] = {"notes": {"a": "1", "b": "2"}, "note": "x", "unmapped": "y"}
    other = {**told, changed: {"a": "1", "b": "3"} if changed == "notes" else "2026-11-27T00:00:01Z"}
    rule = {"shop": "note", "event_id": "notes.a", "consent": {"region": "notes.b"}}
    reordered = (field("a_first", "string"), *fields)
    digests = {
        mapped(
            {**each, "a_first": ""},
            {**rule, "checkout_id": "unmapped2"},
            *reordered,
            field("unmapped2", "string", default=""),
        ).head.rest
        for each in ({**told, "unmapped2": ""}, {**other, "unmapped2": ""})
    }
    assert (len(digests) == 1) is same
