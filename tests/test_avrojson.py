"""Records as people write them, in JSON, to what an Avro writer takes."""

import json
from typing import Any

import pytest

from consumer.avro import compile_reader
from consumer.avrojson import Unfit, as_avro
from consumer.codec import BODY_AT, Encoder, parse_schema

DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
FIXED = {"type": "fixed", "name": "F", "size": 4, "logicalType": "decimal", "precision": 9, "scale": 2}
ENUM = {"type": "enum", "name": "E", "symbols": ["A", "B"]}
MICROS = {"type": "long", "logicalType": "timestamp-micros"}
IN = {"type": "record", "name": "In", "namespace": "x", "fields": [{"name": "a", "type": "int"}]}
OTHER = {
    "type": "record",
    "name": "Other",
    "namespace": "x",
    "fields": [{"name": "a", "type": "int"}, {"name": "b", "type": "int", "default": 7}],
}


def schema(kind: object) -> dict[str, Any]:
    """A record with a field of this type."""
    text = json.dumps({"type": "record", "name": "R", "fields": [{"name": "f", "type": kind}]})
    parsed: dict[str, Any] = parse_schema(text)
    return parsed


def there_and_back(kind: object, told: object) -> object:
    """What a reader finds of a value."""
    parsed = schema(kind)
    value = Encoder[dict[str, object]](json.dumps(parsed), 1)(as_avro(parsed, {"f": told}))
    back, end = compile_reader(parsed)(value, BODY_AT)
    assert end == len(value)
    return back["f"]


@pytest.mark.parametrize(
    ("kind", "told", "found"),
    [
        ("string", "x", "x"),
        ("long", 5, 5),
        ("double", 5, 5.0),
        ("boolean", True, True),
        (ENUM, "B", "B"),
        (["null", "string"], None, None),
        (["null", "string"], {"string": "x"}, "x"),
        (["null", "long", "string"], "5", "5"),
        (["null", "long", "string"], {"long": 5}, 5),
        ({"type": "array", "items": "int"}, [1, 2], (1, 2)),
        ({"type": "map", "values": ["null", "int"]}, {"a": 1, "b": None}, {"a": 1, "b": None}),
        (DECIMAL, "19.99", b"\x07\xcf"),
        (DECIMAL, 19.99, b"\x07\xcf"),
        (DECIMAL, -1, b"\x9c"),
        (DECIMAL, "\u0007\u00cf", b"\x07\xcf"),
        (FIXED, "19.99", b"\0\0\x07\xcf"),
        ("bytes", "\u00ff", b"\xff"),
        (MICROS, "2026-11-27T00:00:00Z", 1_795_737_600_000_000),
        (MICROS, 5, 5),
        (IN, {"a": 1}, {"a": 1}),
        (["null", IN, OTHER], {"a": 1, "b": 2}, {"a": 1, "b": 2}),
        (["null", IN, OTHER], {"x.Other": {"a": 1}}, {"a": 1, "b": 7}),
        (["null", IN, OTHER], {"In": {"a": 1}}, {"a": 1}),
    ],
)
def test_values_are_taken_as_they_are_written(kind: object, told: object, found: object) -> None:
    """Plain JSON, Avro's own JSON encoding and what is easier to write all reach the bytes."""
    assert there_and_back(kind, told) == found


def test_what_is_left_out_is_null_or_its_default() -> None:
    """A field that may be null need not be written; nor one with a default."""
    assert as_avro(schema(["null", "string"]), {}) == {"-type": "R", "f": None}
    with_default = parse_schema(
        json.dumps({"type": "record", "name": "R", "fields": [{"name": "f", "type": "int", "default": 3}]})
    )
    assert as_avro(with_default, {}) == {"-type": "R"}


@pytest.mark.parametrize(
    ("kind", "told", "problem"),
    [
        ("string", {"f": 5}, "f must be string"),
        ("string", {}, "f is missing, and must be string"),
        ("long", {"f": True}, "f must be long"),
        ("boolean", {"f": 1}, "f must be boolean"),
        (ENUM, {"f": "C"}, "f must be one of A, B"),
        (DECIMAL, {"f": "19.999"}, "f has more decimals than its type"),
        (DECIMAL, {"f": "€ 5"}, "f must be decimal"),
        (MICROS, {"f": "yesterday"}, "f must be a time"),
        (["null", IN], {"f": {"aa": 1}}, "f.aa is not in the schema; did you mean a?"),
        ({"type": "array", "items": IN}, {"f": [{"a": "x"}]}, "f[].a must be int"),
        ("string", {"f": "x", "g": 1}, "g is not in the schema"),
        ("string", [], "the record must be an object"),
    ],
)
def test_what_does_not_fit_is_told_by_its_path(kind: object, told: object, problem: str) -> None:
    """What can't be written is refused by its path, without the value."""
    with pytest.raises(Unfit) as caught:
        as_avro(schema(kind), told)
    assert problem in str(caught.value)
