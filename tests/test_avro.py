"""Compiled readers: the same values as another reader makes, and nothing but a clear refusal of broken bytes."""

import json
import random
import struct
import tracemalloc
from contextlib import suppress
from io import BytesIO
from typing import Any

import fastavro
import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from consumer.avro import Mismatch, NullField, compile_reader
from consumer.codec import check_end, parse_schema, read
from consumer.errors import Undecodable, Unmappable

PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "string", "bytes")
EDGES = (-(2**63), -(2**31), -8193, -65, -64, -1, 0, 1, 63, 64, 127, 128, 8191, 8192, 2**31 - 1, 2**63 - 1)


class Chance:
    """Schemas, values and their bytes, by a seeded generator."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.named: list[dict[str, Any]] = []
        self.count = 0

    def name(self) -> str:
        """A name that no other type has."""
        self.count += 1
        return f"test.N{self.count}"

    def schema(self, depth: int) -> Any:  # noqa: ANN401 - a schema is JSON
        """A type; at the bottom a simple one."""
        kinds = [*PRIMITIVES, "enum", "fixed", "time"]
        kinds += ["record", "array", "map", "union", "again"] * 2 if depth else []
        kind = self.random.choice(kinds)
        if kind in PRIMITIVES:
            return kind
        if kind == "time":
            return {
                "type": "long",
                "logicalType": self.random.choice(["timestamp-millis", "timestamp-micros"]),
            }
        if kind == "again":
            return self.random.choice(self.named)["name"] if self.named else "string"
        return getattr(self, f"_{kind}")(depth - 1)

    def record(self, depth: int = 3) -> dict[str, Any]:
        """A record of up to six fields."""
        return self._record(depth)

    def _record(self, depth: int) -> dict[str, Any]:
        name = self.name()
        fields = [
            {"name": f"f{number}", "type": self.schema(depth)}
            for number in range(self.random.randrange(1, 7))
        ]
        schema = {"type": "record", "name": name, "fields": fields}
        self.named.append(schema)
        return schema

    def _enum(self, _: int) -> dict[str, Any]:
        symbols = [f"S{number}" for number in range(self.random.choice([1, 3, 70]))]
        self.named.append({"type": "enum", "name": self.name(), "symbols": symbols})
        return self.named[-1]

    def _fixed(self, _: int) -> dict[str, Any]:
        self.named.append({"type": "fixed", "name": self.name(), "size": self.random.choice([1, 5, 16])})
        return self.named[-1]

    def _sized(self, depth: int) -> Any:  # noqa: ANN401 - a schema is JSON
        """A type that takes bytes: a block of nothing isn't told from a lie about its length."""
        known = len(self.named)
        schema = self.schema(depth)
        if not self._empty(schema):
            return schema
        del self.named[known:]
        return "long"

    def _empty(self, schema: Any) -> bool:  # noqa: ANN401 - a schema is JSON
        schema = self._resolved(schema)
        if isinstance(schema, dict) and schema["type"] == "record":
            return all(self._empty(field["type"]) for field in schema["fields"])
        return bool(schema == "null")

    def _array(self, depth: int) -> dict[str, Any]:
        return {"type": "array", "items": self._sized(depth)}

    def _map(self, depth: int) -> dict[str, Any]:
        return {"type": "map", "values": self.schema(depth)}

    def _union(self, depth: int) -> list[Any]:
        branches: dict[str, Any] = {}
        for _ in range(self.random.randrange(1, 4)):
            known = len(self.named)
            branch = self.schema(depth)
            full = self._resolved(branch)
            kind = full if isinstance(full, str | list) else full.get("name", full["type"])
            if isinstance(kind, list) or kind in branches:
                del self.named[known:]
            else:
                branches[kind] = branch
        return list(branches.values()) or ["null", "long"]

    def _resolved(self, schema: Any) -> Any:  # noqa: ANN401 - a schema is JSON
        return next((each for each in self.named if each["name"] == schema), schema)

    def written(self, schema: Any) -> tuple[Any, bytes]:  # noqa: ANN401 - a schema is JSON
        """A value of the type and its bytes, blocks of all lawful forms among them."""
        schema = self._resolved(schema)
        if isinstance(schema, list):
            at = self.random.randrange(len(schema))
            value, data = self.written(schema[at])
            return value, zigzag(at) + data
        kind = schema if isinstance(schema, str) else schema["type"]
        written: tuple[Any, bytes] = getattr(self, f"_written_{kind}")(schema)
        return written

    def _written_null(self, _: object) -> tuple[None, bytes]:
        return None, b""

    def _written_boolean(self, _: object) -> tuple[bool, bytes]:
        truth = self.random.random() < 0.5
        return truth, bytes([truth])

    def _written_int(self, _: object) -> tuple[int, bytes]:
        number = self._number(-(2**31), 2**31 - 1)
        return number, zigzag(number)

    def _written_long(self, _: object) -> tuple[int, bytes]:
        number = self._number(-(2**63), 2**63 - 1)
        return number, zigzag(number)

    def _written_float(self, _: object) -> tuple[float, bytes]:
        data = struct.pack("<f", self.random.choice([0.0, -1.5, 3e38, float("inf"), self.random.random()]))
        return struct.unpack("<f", data)[0], data

    def _written_double(self, _: object) -> tuple[float, bytes]:
        number = self.random.choice([0.0, -1.5, 1e308, float("-inf"), self.random.random()])
        return number, struct.pack("<d", number)

    def _written_string(self, _: object) -> tuple[str, bytes]:
        text = "".join(self.random.choices("aé東😀\0", k=self.random.choice([0, 1, 20, 70])))
        return text, sized(text.encode())

    def _written_bytes(self, _: object) -> tuple[bytes, bytes]:
        data = self.random.randbytes(self.random.choice([0, 1, 63, 64, 200]))
        return data, sized(data)

    def _written_enum(self, schema: Any) -> tuple[str, bytes]:  # noqa: ANN401 - a schema is JSON
        at = self.random.randrange(len(schema["symbols"]))
        return schema["symbols"][at], zigzag(at)

    def _written_fixed(self, schema: Any) -> tuple[bytes, bytes]:  # noqa: ANN401 - a schema is JSON
        data = self.random.randbytes(schema["size"])
        return data, data

    def _written_record(self, schema: Any) -> tuple[dict[str, Any], bytes]:  # noqa: ANN401 - a schema is JSON
        parts = {field["name"]: self.written(field["type"]) for field in schema["fields"]}
        return {name: part[0] for name, part in parts.items()}, b"".join(part[1] for part in parts.values())

    def _written_array(self, schema: Any) -> tuple[tuple[Any, ...], bytes]:  # noqa: ANN401 - a schema is JSON
        items = [self.written(schema["items"]) for _ in range(self.random.choice([0, 1, 2, 5]))]
        return tuple(each[0] for each in items), self._blocks([each[1] for each in items])

    def _written_map(self, schema: Any) -> tuple[dict[str, Any], bytes]:  # noqa: ANN401 - a schema is JSON
        keys = self.random.sample(["", "a", "key", "ü" * 40], self.random.randrange(4))
        pairs = {key: self.written(schema["values"]) for key in keys}
        data = self._blocks([sized(key.encode()) + part[1] for key, part in pairs.items()])
        return {key: part[0] for key, part in pairs.items()}, data

    def _number(self, least: int, most: int) -> int:
        return self.random.choice(
            [*(edge for edge in EDGES if least <= edge <= most), self.random.randint(least, most)]
        )

    def _blocks(self, items: list[bytes]) -> bytes:
        """The items in one or more blocks, with and without their size in bytes."""
        data = b""
        while items:
            count = self.random.randint(1, len(items))
            block, items = b"".join(items[:count]), items[count:]
            told = self.random.random() < 0.5
            data += (zigzag(-count) + zigzag(len(block)) if told else zigzag(count)) + block
        return data + b"\0"


def zigzag(number: int) -> bytes:
    """A long as Avro writes it."""
    rest = (number << 1) ^ (number >> 63)
    data = bytearray()
    while rest > 127:
        data.append(rest & 127 | 128)
        rest >>= 7
    data.append(rest)
    return bytes(data)


def sized(data: bytes) -> bytes:
    """Bytes behind their length."""
    return zigzag(len(data)) + data


def plain(value: Any) -> Any:  # noqa: ANN401 - any value that Avro has
    """As our readers have it: arrays are tuples."""
    if isinstance(value, list):
        return tuple(plain(each) for each in value)
    return {key: plain(each) for key, each in value.items()} if isinstance(value, dict) else value


def of(field_type: object, **more: object) -> Any:  # noqa: ANN401 - a schema is JSON
    """A parsed schema of a record with one field."""
    field = {"name": "f", "type": field_type, **more}
    return parse_schema(json.dumps({"type": "record", "name": "R", "fields": [field]}))


def without_logical_types(schema: Any) -> Any:  # noqa: ANN401 - a schema is JSON
    """So that the other reader leaves times as numbers too."""
    if isinstance(schema, list):
        return [without_logical_types(each) for each in schema]
    if isinstance(schema, dict):
        return {key: without_logical_types(each) for key, each in schema.items() if key != "logicalType"}
    return schema


@given(seed=st.integers(0, 2**64 - 1))
@settings(deadline=None, max_examples=300)
def test_values_are_those_of_another_reader(seed: int) -> None:
    """Whatever the schema and the blocks, the value is what was written, and what fastavro reads."""
    chance = Chance(seed)
    schema = chance.record()
    value, data = chance.written(schema)
    found, end = compile_reader(parse_schema(json.dumps(schema)))(data, 0)
    assert (found, end) == (value, len(data))
    peer = fastavro.schemaless_reader(BytesIO(data), without_logical_types(schema), None)
    assert plain(peer) == value


@given(seed=st.integers(0, 2**64 - 1), at=st.integers(0, 7))
@settings(deadline=None, max_examples=150)
def test_what_is_not_wanted_is_passed_over(seed: int, at: int) -> None:
    """A shape with some of the fields gets the values of these, from the same position on."""
    chance = Chance(seed)
    schema = chance.record()
    value, data = chance.written(schema)
    parsed = parse_schema(json.dumps(schema))
    wanted = {**parsed, "fields": [field for n, field in enumerate(parsed["fields"]) if n != at]}
    left_out = f"f{at}"
    if any(left_out == field["name"] and '"name"' in json.dumps(field["type"]) for field in schema["fields"]):
        return  # a type that is defined in what is left out is not the shape's to name
    found, end = compile_reader(parsed, wanted)(data, 0)
    assert end == len(data)
    assert found == {name: each for name, each in value.items() if name != left_out}


@given(seed=st.integers(0, 2**64 - 1))
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_broken_bytes_give_a_value_or_a_refusal(seed: int) -> None:
    """Cut off, changed or longer: never another error, and what is cut off is never taken for whole."""
    chance = Chance(seed)
    schema = chance.record()
    _, data = chance.written(schema)
    reader = compile_reader(parse_schema(json.dumps(schema)))
    for cut in {0, len(data) // 2, len(data) - 1} if data else ():
        with pytest.raises(Undecodable):
            check_end(data[:cut], read(reader, data[:cut], 1, 0)[1], 1)
    for _ in range(20):
        broken = bytearray(data or b"\0")
        for _ in range(chance.random.randint(1, 3)):
            at = chance.random.randrange(len(broken))
            broken[at : at + chance.random.randrange(2)] = chance.random.choice(
                [b"", b"\x80", b"\xff" * 9 + b"\x01", b"\xff\xff\xff\xff\x0f", chance.random.randbytes(1)]
            )
            broken = broken or bytearray(1)
        with suppress(Undecodable):
            check_end(bytes(broken), read(reader, bytes(broken), 1, 0)[1], 1)


@pytest.mark.parametrize(
    "kind", ["string", "bytes", {"type": "array", "items": "int"}, {"type": "map", "values": "int"}]
)
@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize(
    "length",
    [
        zigzag(2**62),
        zigzag(2**40),
        zigzag(-(2**62)) + zigzag(2**62),
        zigzag(-1) + zigzag(2**40),
        b"\xff" * 5_000_000,
        b"\xff" * 9 + b"\x7f",
        b"\x80" * 100_000 + b"\x00",
    ],
    ids=["2^62", "2^40", "-2^62", "size", "no end", "70 bits", "zeros"],
)
def test_an_absurd_length_takes_no_memory(kind: object, length: bytes, *, wanted: bool) -> None:
    """A length beyond the record is refused before anything is made of it, whether or not the field is wanted."""
    schema = of(kind)
    reader = compile_reader(schema, schema if wanted else {**schema, "fields": []})
    tracemalloc.start()
    try:
        with pytest.raises(Undecodable):
            check_end(length, read(reader, length, 1, 0)[1], 1)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_record_in_itself_has_an_end() -> None:
    """A list that is nested deeper than any stack is refused, one of some length is read."""
    schema = parse_schema(
        json.dumps({"type": "record", "name": "L", "fields": [{"name": "next", "type": ["null", "L"]}]})
    )
    reader = compile_reader(schema)
    assert read(reader, b"\x02\x02\x00", 1, 0) == ({"next": {"next": {"next": None}}}, 3)
    with pytest.raises(Undecodable):
        read(reader, b"\x02" * 1_000_000, 1, 0)


@pytest.mark.parametrize(
    ("writer", "shape", "data", "value"),
    [
        ("int", "long", zigzag(5), 5),
        ("int", "double", zigzag(5), 5.0),
        ("float", "double", struct.pack("<f", 1.5), 1.5),
        ("string", "bytes", sized(b"a"), b"a"),
        ("bytes", "string", sized("ü".encode()), "ü"),
        ("string", ["null", "string"], sized(b"a"), "a"),
        (["null", "int"], ["string", "null", "long"], zigzag(1) + zigzag(7), 7),
        (["null", "int"], ["string", "null", "long"], zigzag(0), None),
        ([{"type": "null"}, "int"], ["null", "int"], zigzag(0), None),
        ({"type": "string", "avro.java.string": "String"}, "string", sized(b"a"), "a"),
        (
            {"type": "enum", "name": "E", "symbols": ["A", "B"]},
            {"type": "enum", "name": "E", "symbols": ["B", "C"], "default": "C"},
            zigzag(0),
            "C",
        ),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, "string", zigzag(1), "B"),
        (
            {"type": "long", "logicalType": "timestamp-micros"},
            {"type": "long", "logicalType": "timestamp-millis"},
            zigzag(-1_500_001),
            -1501,
        ),
        (
            {"type": "long", "logicalType": "timestamp-nanos"},
            {"type": "long", "logicalType": "timestamp-millis"},
            zigzag(1_795_521_609_500_999_999),
            1_795_521_609_500,
        ),
        ("long", {"type": "long", "logicalType": "timestamp-millis"}, zigzag(1500), 1500),
    ],
)
def test_a_writers_type_becomes_the_shapes(writer: object, shape: object, data: bytes, value: object) -> None:
    """Promotions, unions of both sides, enums with a default, units of time."""
    found, end = compile_reader(of(writer), of(shape))(data, 0)
    assert (found, end) == ({"f": value}, len(data))


@pytest.mark.parametrize(
    ("writer", "shape", "told"),
    [
        ("string", "long", "f is string, not long"),
        ("double", "long", "f is double, not long"),
        ("long", "int", None),
        ({"type": "array", "items": "string"}, {"type": "array", "items": "long"}, "f[] is string, not long"),
        ({"type": "map", "values": "bytes"}, {"type": "map", "values": "long"}, "f{} is bytes, not long"),
        (["null", "string"], ["null", "long"], "f is string, not null or long"),
    ],
)
def test_types_that_do_not_fit_are_told_by_their_path(
    writer: object, shape: object, told: str | None
) -> None:
    """What can't be read is refused when the reader is made, not record by record."""
    if told is None:
        assert compile_reader(of(writer), of(shape))(zigzag(1), 0) == ({"f": 1}, 1)
        return
    with pytest.raises(Mismatch) as caught:
        compile_reader(of(writer), of(shape))
    assert (str(caught.value), caught.value.lacking) == (told, False)


def test_a_field_that_the_writer_lacks_takes_its_default() -> None:
    """A default is made as a read value is; without one the field is told as lacking."""
    nested = {"type": "record", "name": "N", "fields": [{"name": "a", "type": "int", "default": 4}]}
    shape = of({"type": "array", "items": nested}, default=[{}])
    lacks = {**shape, "fields": []}
    assert compile_reader(lacks, shape)(b"", 0) == ({"f": ({"a": 4},)}, 0)
    assert compile_reader(lacks, shape, {"N": tuple, "R": tuple})(b"", 0) == ((((4,),),), 0)
    with pytest.raises(Mismatch, match="f is not there") as caught:
        compile_reader(lacks, of("int"))
    assert caught.value.lacking


def test_null_stands_for_the_default_and_is_refused_without_one() -> None:
    """A union's null where the shape takes none: the field's default, or the field's name in a refusal."""
    writer = of(["null", "string"])
    assert compile_reader(writer, of("string", default="none"))(b"\0", 0) == ({"f": "none"}, 1)
    reader = compile_reader(writer, of("string"))
    with pytest.raises(NullField, match="f is null"):
        reader(b"\0", 0)
    with pytest.raises(Unmappable, match="f is null in a record of schema 9") as caught:
        read(reader, b"\0", 9, 0)
    assert caught.value.reason == "missing_field"


def test_arrays_nested_beyond_reason_are_refused() -> None:
    """A schema with more arrays in each other than Python can loop over is a mismatch, not a crash."""
    kind: Any = "int"
    for _ in range(9):
        kind = {"type": "array", "items": kind}
    assert compile_reader(of(kind))(b"\0", 0) == ({"f": ()}, 1)
    for _ in range(9):
        kind = {"type": "array", "items": kind}
    with pytest.raises(Mismatch, match="nested too deeply"):
        compile_reader(of(kind))


@pytest.mark.parametrize("data", [b"\xff" * 9 + b"\x02", b"\xff" * 9 + b"\x7f", b"\xff" * 10 + b"\x01"])
def test_a_number_of_more_than_64_bits_is_refused(data: bytes) -> None:
    """Avro's longs have 64 bits; what is longer is broken, not large."""
    reader = compile_reader(of("long"))
    assert reader(b"\xff" * 9 + b"\x01", 0) == ({"f": -(2**63)}, 10)
    with pytest.raises(Undecodable):
        read(reader, data, 1, 0)
