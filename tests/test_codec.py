"""The wire format, schemas and our own writing of Avro."""

import json
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from consumer.codec import BODY_AT, Decoder, Encoder, frame, load_schema, parse_schema, schemas_dir, unframe
from consumer.errors import Undecodable, UnknownSchema, Unmappable
from consumer.model import Receipt

ORDER: dict[str, Any] = json.loads((schemas_dir() / "order" / "examples" / "typical.json").read_text())
RECEIPT: dict[str, Any] = json.loads((schemas_dir() / "receipt" / "examples" / "delivered.json").read_text())
CANARY = "canary"


@given(schema_id=st.integers(1, 2**31 - 1), body=st.binary())
def test_a_frame_gives_back_its_id_and_body(schema_id: int, body: bytes) -> None:
    """Any id that a registry gives, any body."""
    value = frame(schema_id, body)
    assert (unframe(value), value[BODY_AT:]) == (schema_id, body)


@given(value=st.binary(max_size=12))
def test_what_is_not_framed_is_refused(value: bytes) -> None:
    """Few bytes, another first byte, an id that is none: undecodable, never another error."""
    if len(value) >= BODY_AT and value[0] == 0 and 0 < int.from_bytes(value[1:5], "big") < 2**31:
        assert unframe(value) == int.from_bytes(value[1:5], "big")
    else:
        with pytest.raises(Undecodable):
            unframe(value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("order_id", 5),
        ("order_id", None),
        ("order_id", "\ud800"),
        ("grand_total_minor", 2**70),
        ("grand_total_minor", CANARY),
        ("items", [CANARY]),
        ("items", None),
        ("consent", {"ads": CANARY}),
        ("consent", CANARY),
        ("customer", []),
    ],
)
def test_what_does_not_fit_is_told_without_its_value(field: str, value: object) -> None:
    """A bug of ours is told by the schema's id; neither the text nor its cause holds what was to be written."""
    encode = Encoder[dict[str, Any]](load_schema("order"), 7)
    with pytest.raises(TypeError, match="a dict does not fit schema 7") as caught:
        encode({**ORDER, field: value})
    assert CANARY not in str(caught.value)
    assert caught.value.__suppress_context__


def test_an_encoder_writes_the_frame_and_the_body() -> None:
    """What it writes begins with its own id, and each call writes a record of its own."""
    encode = Encoder[dict[str, Any]](load_schema("order"), 300)
    assert unframe(encode(ORDER)) == encode.schema_id == 300
    assert encode(ORDER) == encode(ORDER)
    assert repr(encode) == "<Encoder capi.Order: schema 300>"


def decoder(schema: dict[str, Any]) -> Decoder[Receipt]:
    """Reads receipts that were written by this schema under the id 1."""
    return Decoder(Receipt, load_schema("receipt"), {1: json.dumps(schema)}.__getitem__)


def receipt_schema() -> dict[str, Any]:
    """The released schema, to be changed."""
    schema: dict[str, Any] = json.loads(load_schema("receipt"))
    return schema


def test_a_struct_is_read_whichever_order_its_writer_had() -> None:
    """Fields by name, not by place; what the writer has more is passed over."""
    schema = receipt_schema()
    schema["fields"] = [
        {"name": "more", "type": ["null", "string"], "default": None},
        *reversed(schema["fields"]),
    ]
    value = Encoder[dict[str, Any]](json.dumps(schema), 1)({**RECEIPT, "more": CANARY})
    assert decoder(schema)(value) == decoder(receipt_schema())(
        Encoder[dict[str, Any]](load_schema("receipt"), 1)(RECEIPT)
    )


def test_a_struct_of_another_schema_is_unmappable() -> None:
    """A field that is lacking or of another type is told with the schema's id."""
    lacking, other = receipt_schema(), receipt_schema()
    lacking["fields"] = [field for field in lacking["fields"] if field["name"] != "event_id"]
    for field in other["fields"]:
        if field["name"] == "event_id":
            field["type"] = "bytes"
    with pytest.raises(Unmappable, match="schema 1: event_id is not there") as caught:
        decoder(lacking)(b"\0\0\0\0\x01")
    assert caught.value.reason == "missing_field"
    number = json.loads(json.dumps(other).replace('"bytes"', '"long"'))
    with pytest.raises(Unmappable, match="schema 1: event_id is long, not string") as caught:
        decoder(number)(b"\0\0\0\0\x01")
    assert caught.value.reason == "bad_type"


def test_a_struct_cut_off_or_with_more_behind_it_is_undecodable() -> None:
    """What isn't exactly one record is refused."""
    value = Encoder[dict[str, Any]](load_schema("receipt"), 1)(RECEIPT)
    read = decoder(receipt_schema())
    for broken in (*(value[:end] for end in range(len(value))), value + b"\0"):
        with pytest.raises(Undecodable):
            read(broken)


def test_a_refusal_by_the_registry_is_not_remembered() -> None:
    """Once the registry knows an id, its records are read."""
    answers = [UnknownSchema(1)]

    def by_id(_: int) -> str:
        if answers:
            raise answers.pop()
        return load_schema("receipt")

    read = Decoder(Receipt, load_schema("receipt"), by_id)
    value = Encoder[dict[str, Any]](load_schema("receipt"), 1)(RECEIPT)
    with pytest.raises(UnknownSchema):
        read(value)
    assert read(value).event_id == RECEIPT["event_id"]
    assert repr(read) == "<Decoder Receipt: 1 schemas>"


@pytest.mark.parametrize(
    "schema",
    [
        "",
        "{",
        "[]",
        "5",
        '"string"',
        '{"type": "record", "name": "R", "fields": 5}',
        '{"type": "record", "name": "R", "fields": [{"name": "f", "type": "Nowhere"}]}',
        '{"type": "enum", "name": "E", "symbols": ["A"]}',
        '{"type": "record", "name": "R", "fields": [{"name": "f", "type": '
        + '{"type": "array", "items": ' * 3000,
    ],
)
def test_what_is_no_schema_of_a_record_is_refused(schema: str) -> None:
    """Whatever text a registry gives, it is a schema of a record or undecodable."""
    with pytest.raises(Undecodable):
        parse_schema(schema)
