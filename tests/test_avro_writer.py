"""Compiled writers, against the library that writes Avro for everyone."""

from io import BytesIO
from types import SimpleNamespace
from typing import Any

import fastavro
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.avro_writer import MISFITS, Unwritable, _Kept, compile_writer
from consumer.codec import Decoder, Encoder, load_schema
from consumer.model import ConsentState, Conversion, Ending, Item, OrderEnding, Receipt

LONGS = st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-70, 1100)
INTS = st.integers(-(1 << 31), (1 << 31) - 1)
TEXTS = st.text(max_size=90) | st.sampled_from(
    ["", "a" * 63, "a" * 64, "a" * 8192, "é" * 64, "ÿ", "\0", "日本"]
)
ITEMS = st.builds(Item, TEXTS, INTS, LONGS, TEXTS, TEXTS, TEXTS, TEXTS)
STATES = st.sampled_from([state.value for state in ConsentState])
MAPS = st.dictionaries(TEXTS, TEXTS, max_size=70)
CONVERSIONS = st.builds(
    Conversion,
    event_id=TEXTS,
    event_name=TEXTS,
    event_time=LONGS,
    currency=TEXTS,
    value_minor=LONGS,
    enriched_at=LONGS,
    consent_ads=STATES,
    sale_opt_out=st.booleans(),
    items=st.lists(ITEMS, max_size=5).map(tuple),
    identity=MAPS,
    click_ids=MAPS,
    origin_partition=INTS,
    origin_offset=LONGS,
)
RECEIPTS = st.builds(
    Receipt,
    conversion_topic=TEXTS,
    conversion_partition=INTS,
    conversion_offset=LONGS,
    event_id=TEXTS,
    event_name=TEXTS,
    order_id=TEXTS,
    destination=TEXTS,
    platform=TEXTS,
    outcome=st.sampled_from(["delivered", "skipped", "rejected", "expired", "unknown"]),
    late=st.booleans(),
    attempts=INTS,
    settled_at_ms=LONGS,
)
ENDINGS = st.builds(
    OrderEnding,
    topic=TEXTS,
    partition=INTS,
    offset=LONGS,
    order_id=TEXTS,
    checkout_id=TEXTS,
    ending=st.sampled_from([ending.value for ending in Ending]),
    reason=TEXTS,
    event_ids=st.lists(TEXTS, max_size=70).map(tuple),
    value_minor=LONGS,
    currency=TEXTS,
    paid=st.booleans(),
    at_ms=LONGS,
)
ROW = ("string", "int", "string", "long")
FEW = st.tuples(st.sampled_from(["", "é"]), st.integers(0, 2), TEXTS, st.sampled_from([0, 1 << 27]))
NESTED = {
    "type": "record",
    "name": "Nested",
    "fields": [
        {"name": "rows", "type": {"type": "array", "items": {"type": "array", "items": "string"}}},
        {"name": "maps", "type": {"type": "map", "values": {"type": "map", "values": "long"}}},
        {"name": "one", "type": {"type": "enum", "name": "E", "symbols": ["A", "B"]}},
        {"name": "other", "type": "E"},
        {"name": "inner", "type": {"type": "record", "name": "R", "fields": [{"name": "n", "type": "int"}]}},
        {"name": "again", "type": "R"},
    ],
}


def _by_library(schema: Any, thing: object) -> bytes:  # noqa: ANN401 (a schema as JSON gives it)
    buffer = BytesIO()
    fastavro.schemaless_writer(buffer, schema, thing)
    return buffer.getvalue()


def _bare(schema: Any) -> Any:  # noqa: ANN401 (a schema as JSON gives it)
    """Without logical types: times are numbers."""
    if isinstance(schema, dict):
        return {key: _bare(value) for key, value in schema.items() if key != "logicalType"}
    return [_bare(each) for each in schema] if isinstance(schema, list) else schema


def _parsed(name: str) -> Any:  # noqa: ANN401 (a schema as JSON gives it)
    return fastavro.parse_schema(_bare(msgspec.json.decode(load_schema(name))))


def _of(kind: object) -> dict[str, object]:
    """A record of one field."""
    return {"type": "record", "name": "One", "fields": [{"name": "value", "type": kind}]}


@given(CONVERSIONS)
def test_a_conversion_is_written_as_the_library_writes_it(conversion: Conversion) -> None:
    """Byte for byte the same, whatever the texts and numbers are."""
    schema = _parsed("conversion")
    assert compile_writer(schema)(conversion) == _by_library(schema, msgspec.to_builtins(conversion))


@given(RECEIPTS)
def test_a_receipt_is_written_as_the_library_writes_it(receipt: Receipt) -> None:
    """Byte for byte the same, whatever the texts and numbers are."""
    schema = _parsed("receipt")
    assert compile_writer(schema)(receipt) == _by_library(schema, msgspec.to_builtins(receipt))


@given(ENDINGS)
def test_an_ending_is_written_as_the_library_writes_it(ending: OrderEnding) -> None:
    """Byte for byte the same, whatever the texts and numbers are."""
    schema = _parsed("ending")
    assert compile_writer(schema)(ending) == _by_library(schema, msgspec.to_builtins(ending))


@given(st.lists(st.tuples(TEXTS, INTS, TEXTS, LONGS) | FEW, max_size=30))
def test_what_recurs_is_written_as_what_does_not(rows: list[tuple[str, int, str, int]]) -> None:
    """Fields side by side whose text is kept, few values or many, again and again."""
    names = ("a", "b", "c", "d")
    fields = [{"name": name, "type": kind} for name, kind in zip(names, ROW, strict=True)]
    schema = fastavro.parse_schema({"type": "record", "name": "Row", "fields": fields})
    write = compile_writer(schema, [("a", "b"), ("d",)])
    for row in [*rows, *rows]:
        told = dict(zip(names, row, strict=True))
        assert write(SimpleNamespace(**told)) == _by_library(schema, told)


def test_texts_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that are not few after all cost time and no memory."""
    monkeypatch.setattr("consumer.avro_writer._KEPT_MAX", 3)
    kept = _Kept(str)
    sizes = []
    for number in range(8):
        assert kept[number,] == kept[number,] == str(number)
        sizes.append(len(kept))
    assert sizes == [1, 2, 3, 1, 2, 3, 1, 2]


@pytest.mark.parametrize("group", [("one", "inner"), ("other", "one"), ("maps", "rows")])
def test_fields_that_are_apart_are_no_group(group: tuple[str, ...]) -> None:
    """A group that the schema doesn't have is a mistake of ours."""
    with pytest.raises(ValueError, match="do not stand side by side"):
        compile_writer(fastavro.parse_schema(NESTED), [group])


def test_what_does_not_fit_a_group_is_refused_each_time() -> None:
    """Nothing is kept of it."""
    write = compile_writer(_of("string"), [("value",)])
    for value in (b"bytes", b"bytes", ["list"], None):
        with pytest.raises(MISFITS):
            write(SimpleNamespace(value=value))


@given(
    st.lists(st.lists(TEXTS, max_size=3), max_size=3),
    st.dictionaries(TEXTS, st.dictionaries(TEXTS, LONGS, max_size=3), max_size=3),
)
def test_what_lies_within_each_other_keeps_its_place(
    rows: list[list[str]], maps: dict[str, dict[str, int]]
) -> None:
    """Arrays of arrays, maps of maps, and types named twice are written as the library writes them."""
    schema = fastavro.parse_schema(NESTED)
    told = {"rows": rows, "maps": maps, "one": "A", "other": "B", "inner": {"n": 5}, "again": {"n": 5}}
    thing = SimpleNamespace(**{**told, "inner": SimpleNamespace(n=5), "again": SimpleNamespace(n=5)})
    assert compile_writer(schema)(thing) == _by_library(schema, told)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", b"bytes"),
        ("string", None),
        ("string", 5),
        ("string", "\ud800"),
        ("long", 1 << 63),
        ("long", -(1 << 63) - 1),
        ("int", 1 << 31),
        ("long", "5"),
        ("long", 1.5),
        ("boolean", "yes"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, "B"),
        ({"type": "array", "items": "string"}, None),
        ({"type": "array", "items": "string"}, (1,)),
        ({"type": "map", "values": "string"}, {"key": None}),
        ({"type": "map", "values": "string"}, {b"key": "value"}),
    ],
)
def test_what_does_not_fit_is_refused(kind: object, value: object) -> None:
    """A value of another type or out of range is an error, never bytes that say something else."""
    write = compile_writer(_of(kind))
    with pytest.raises(MISFITS):
        write(SimpleNamespace(value=value))


@pytest.mark.parametrize(
    "kind", [["null", "string"], "double", "bytes", {"type": "fixed", "name": "F", "size": 2}]
)
def test_a_type_without_a_writer_is_told_at_once(kind: object) -> None:
    """Making the writer fails, not writing."""
    with pytest.raises(Unwritable):
        compile_writer(_of(kind))


def test_a_name_is_never_code() -> None:
    """A field whose name is no identifier gets no writer."""
    schema = {"type": "record", "name": "One", "fields": [{"name": "x; import os", "type": "string"}]}
    with pytest.raises(Unwritable):
        compile_writer(schema)


@pytest.mark.parametrize("name", ["conversion", "ending", "receipt"])
def test_an_encoder_says_nothing_of_a_value_that_does_not_fit(name: str) -> None:
    """The error of a struct that doesn't fit its schema names the type and the schema alone."""
    encode: Encoder[Item] = Encoder(load_schema(name), 7)
    with pytest.raises(TypeError) as raised:
        encode(Item("secret", 1, 2))
    assert str(raised.value) == "a Item does not fit schema 7"
    assert raised.value.__suppress_context__


def test_reading_gives_back_what_was_written() -> None:
    """Our reader takes what our writer makes."""
    schema = load_schema("conversion")
    conversion = Conversion(
        "id", "purchase", 5, "EUR", 1, 2, items=(Item("ü", 1, 2),), identity={"email": "h"}
    )
    encode: Encoder[Conversion] = Encoder(schema, 7)
    assert Decoder(Conversion, schema, lambda _: schema)(encode(conversion)) == conversion
