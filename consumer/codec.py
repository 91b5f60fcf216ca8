"""The Confluent wire format and Avro: the only importer of fastavro.

A framed value is a zero byte, the id of the writer's schema (4 bytes, big-endian) and the Avro body. What is read
is read by `avro.py`, and our own structs are written by `avro_writer.py`; fastavro checks schemas, and writes what has
unions or comes as a mapping. No error text holds a value.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from io import BytesIO
from pathlib import Path
from struct import Struct as Layout
from typing import Any, Generic, TypeVar

import fastavro
import msgspec

from consumer.avro import MALFORMED, Maker, Mismatch, NullField, Reader, Schema, compile_reader
from consumer.avro_writer import MISFITS, Group, Unwritable, Writer, compile_writer
from consumer.errors import Undecodable, Unmappable
from consumer.model import Item

T = TypeVar("T", bound=msgspec.Struct)
Thing = TypeVar("Thing", bound=msgspec.Struct | Mapping[str, object])

BODY_AT = 5
_FRAME = Layout(">bi")
_NAMED = ("record", "error", "enum", "fixed")


def frame(schema_id: int, body: bytes) -> bytes:
    r"""The wire format of a body.

    >>> frame(7, b"body")
    b'\x00\x00\x00\x00\x07body'
    """
    return _FRAME.pack(0, schema_id) + body


def unframe(value: bytes) -> int:
    r"""The id of the writer's schema; the body begins at `BODY_AT`. Raises Undecodable.

    >>> unframe(b'\x00\x00\x00\x00\x07body')
    7
    """
    if len(value) < BODY_AT:
        raise Undecodable(f"{len(value)} bytes are too few for the wire format (a zero byte and a schema id)")
    magic, schema_id = _FRAME.unpack_from(value)
    if magic:
        raise Undecodable(f"the first byte is {value[0]}, not 0: this is not the Confluent wire format")
    if schema_id < 1:
        raise Undecodable(f"{schema_id} is no schema id")
    return int(schema_id)


def schemas_dir() -> Path:
    """Where the reference schemas are: in the wheel, else in the checkout."""
    packaged = Path(__file__).with_name("_schemas")
    return packaged if packaged.is_dir() else Path(__file__).parents[1] / "schemas"


def load_schema(name: str, version: int = 1) -> str:
    """The JSON text of one of our schemas: order, checkout, ending, conversion or receipt."""
    return (schemas_dir() / name / f"v{version}.avsc").read_text(encoding="utf-8")


def parse_schema(schema_json: str) -> Schema:
    """A schema, checked, its names in full. Raises Undecodable for what is none, or isn't a record."""
    try:
        parsed = fastavro.parse_schema(msgspec.json.decode(schema_json), _force=True)
    except Exception:  # noqa: BLE001 - what the library raises for a bad schema is not listed anywhere
        raise Undecodable("the writer's schema is not a valid Avro schema") from None
    if not isinstance(parsed, dict) or parsed["type"] != "record":
        raise Undecodable("the writer's schema is not a record")
    return parsed


def self_contained(schema_json: str, references: Iterable[str]) -> str:
    """One text of a schema and of those whose types it names, given in the order of need. Raises Undecodable."""
    names: dict[str, Schema] = {}
    try:
        for each in references:
            fastavro.parse_schema(msgspec.json.decode(each), names)
        parsed = fastavro.parse_schema(msgspec.json.decode(schema_json), names)
    except Exception:  # noqa: BLE001 - what the library raises for a bad schema is not listed anywhere
        raise Undecodable("the writer's schema or one that it refers to is not a valid Avro schema") from None
    return msgspec.json.encode(_with_definitions(parsed, names, set())).decode()


def read(reader: Reader, value: bytes, schema_id: int, at: int = BODY_AT) -> tuple[Any, int]:
    """What the reader makes of the bytes from `at`, and the position behind. Raises Undecodable, Unmappable."""
    try:
        thing, end = reader(value, at)
    except MALFORMED:
        raise Undecodable(f"the bytes are not what schema {schema_id} says") from None
    except NullField as error:
        raise Unmappable("missing_field", f"{error} in a record of schema {schema_id}") from None
    return thing, end


def check_end(value: bytes, end: int, schema_id: int) -> None:
    """Raise Undecodable unless the record ends where its bytes end."""
    if end != len(value):
        problem = (
            "the record is cut off" if end > len(value) else f"{len(value) - end} bytes follow the record"
        )
        raise Undecodable(f"{problem}, by schema {schema_id}")


class Encoder(Generic[Thing]):
    """Structs of one type, or mappings, to framed bytes, by a schema whose fields are theirs."""

    def __init__(self, schema_json: str, schema_id: int, recurring: Iterable[Group] = ()) -> None:
        """`recurring` are groups of fields of which the same values come again and again: that is a matter of speed."""
        self._schema = _without_logical_types(parse_schema(schema_json))
        self._header = _FRAME.pack(0, schema_id)
        self._write = _writer(self._schema, recurring)
        self.schema_id = schema_id

    def __call__(self, thing: Thing) -> bytes:
        """The framed bytes. Raises TypeError, without the value, for what doesn't fit the schema: a bug of ours."""
        try:
            if self._write is not None and isinstance(thing, msgspec.Struct):
                return self._header + self._write(thing)
            return self._header + self._by_library(thing)
        except (*MISFITS, OverflowError):
            raise TypeError(f"a {type(thing).__name__} does not fit schema {self.schema_id}") from None

    def _by_library(self, thing: Thing) -> bytes:
        buffer = BytesIO()
        fastavro.schemaless_writer(buffer, self._schema, msgspec.to_builtins(thing, builtin_types=(bytes,)))
        return buffer.getvalue()

    def __repr__(self) -> str:
        return f"<Encoder {self._schema['name']}: schema {self.schema_id}>"


class Decoder(Generic[T]):
    """Framed bytes to structs of one type, whichever released schema they were written by.

    `schema_json` is our own schema of the type; `by_id` gives a writer's schema and raises SchemaUnavailable or
    UnknownSchema.
    """

    def __init__(self, kind: type[T], schema_json: str, by_id: Callable[[int], str]) -> None:
        self._kind = kind
        self._by_id = by_id
        shape = parse_schema(schema_json)
        fields = {field["name"]: field for field in shape["fields"]}
        self._shape = {**shape, "fields": [fields[name] for name in kind.__struct_fields__]}
        self._makers: dict[str, Maker] = {shape["name"]: kind, "capi.Item": Item}
        self._reader = cache(self._compiled)

    def __call__(self, value: bytes) -> T:
        """The struct. Raises Undecodable, Unmappable, SchemaUnavailable, UnknownSchema."""
        schema_id = unframe(value)
        thing, end = read(self._reader(schema_id), value, schema_id)
        check_end(value, end, schema_id)
        if not isinstance(thing, self._kind):
            raise TypeError(f"{type(thing).__name__} is not {self._kind.__name__}")
        return thing

    def __repr__(self) -> str:
        return f"<Decoder {self._kind.__name__}: {self._reader.cache_info().currsize} schemas>"

    def _compiled(self, schema_id: int) -> Reader:
        try:
            return compile_reader(parse_schema(self._by_id(schema_id)), self._shape, self._makers)
        except Mismatch as error:
            reason = "missing_field" if error.lacking else "bad_type"
            raise Unmappable(reason, f"schema {schema_id}: {error}") from None


def _writer(schema: Schema, recurring: Iterable[Group]) -> Writer | None:
    """The schema's own writer, None if it has a type that none is made for."""
    try:
        return compile_writer(schema, recurring)
    except Unwritable:
        return None


def _without_logical_types(schema: Schema) -> Schema:
    """The schema as its underlying types: times stay numbers."""
    if isinstance(schema, list):
        return [_without_logical_types(each) for each in schema]
    if isinstance(schema, dict):
        return {key: _without_logical_types(each) for key, each in schema.items() if key != "logicalType"}
    return schema


def _with_definitions(schema: Schema, names: Mapping[str, Schema], defined: set[str]) -> Schema:
    """The schema with each name's first use replaced by what it stands for, as Avro wants it of one text."""
    if isinstance(schema, list):
        return [_with_definitions(each, names, defined) for each in schema]
    if isinstance(schema, str):
        is_first = schema in names and schema not in defined
        return _with_definitions(names[schema], names, defined) if is_first else schema
    if not isinstance(schema, dict):
        return schema
    whole = {key: value for key, value in schema.items() if not key.startswith("__")}
    if schema.get("type") in _NAMED:
        defined.add(schema["name"])
        whole.setdefault("namespace", schema["name"].rpartition(".")[0])
    for key in ("type", "items", "values", "fields"):
        if key in schema:
            whole[key] = _with_definitions(schema[key], names, defined)
    return whole
