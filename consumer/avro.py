"""Avro readers, compiled: a writer's schema and a wanted shape make one function of bytes.

The shape is an Avro schema too: fields that it lacks are passed over undecoded, fields that the writer lacks take
their default. A record becomes what its maker makes of the values, in the shape's order of fields; without a maker
a dict, with `tuple` a tuple. Arrays are tuples, timestamps are epoch milliseconds if the shape says so, whatever
the writer's unit, and null stands for the field's default.

Why not the library that writes: it makes a dict of everything first, which costs twice the time, and takes a
negative length for "all the rest". Source: Apache Avro specification 1.12, "Binary Encoding", "Schema Resolution".
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from struct import Struct
from struct import error as StructError  # noqa: N812 - the library's name says nothing
from typing import Any, TypeAlias

Schema: TypeAlias = Any
"""A schema as JSON gives it, its names in full. Decoding begins here, so here there are no types yet."""
Reader: TypeAlias = Callable[[bytes, int], tuple[Any, int]]
"""Bytes and a position to the value and the position behind it, which is beyond the bytes if they are too short.
Raises one of `MALFORMED`, or `NullField`."""
Maker: TypeAlias = Callable[..., object]

MALFORMED = (IndexError, ValueError, OverflowError, RecursionError, StructError)
"""What a reader raises for bytes that are not of its schema."""

_TAKEN_BY = {
    "int": {"int", "long", "float", "double"},
    "long": {"int", "long", "float", "double"},
    "float": {"float", "double"},
    "double": {"float", "double"},
    "string": {"string", "enum", "bytes"},
    "bytes": {"bytes", "string"},
    "enum": {"enum", "string"},
}
_LAST_MAX = 127
"""The last byte of a number is this at most; those before it have the eighth bit."""
_SHIFT_MAX = 56
"""Where the last byte but one of 64 bits stands; without an end a number would grow with the record."""
_UNITS_IN_A_MILLISECOND = {"timestamp-micros": 1_000, "timestamp-nanos": 1_000_000}
_LONG = ("n = data[at]; at += 1", "if n > 127: n, at = long_at(data, at, n)")
_LENGTH = ("n = data[at]; at += 1", "if n > 127 or n & 1: n, at = length_at(data, at, n)")


class Mismatch(Exception):
    """The writer's schema can't give the shape. `path` names the field; `lacking` tells that it isn't there."""

    def __init__(self, path: str, problem: str, *, lacking: bool = False) -> None:
        super().__init__(f"{path} {problem}")
        self.path = path
        self.lacking = lacking


class NullField(Exception):
    """A field that must have a value is null in this record."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is null")
        self.path = path


def compile_reader(
    writer: Schema, shape: Schema = None, makers: Mapping[str, Maker] | None = None, part: slice = slice(None)
) -> Reader:
    """The reader of a record, or of that part of its fields. Without a shape everything is read. Raises Mismatch."""
    shape = writer if shape is None else shape
    source = _Source(named_types(writer), named_types(shape), makers or {})
    return source.compiled(source.record({**writer, "fields": writer["fields"][part]}, shape, ""))


def long_at(data: bytes, at: int, first: int) -> tuple[int, int]:
    """The rest of a long, zigzag still, whose first byte stood before `at` and is above 127; the position behind."""
    value = first & 127
    shift = 7
    while True:
        byte = data[at]
        at += 1
        if byte <= _LAST_MAX:
            break
        if shift > _SHIFT_MAX:
            raise ValueError("more than 64 bits")
        value |= (byte & 127) << shift
        shift += 7
    value |= byte << shift
    if value >> 64:
        raise ValueError("more than 64 bits")
    return value, at


def length_at(data: bytes, at: int, first: int) -> tuple[int, int]:
    """As `long_at`, for what can't be negative; `first` may be any byte."""
    value, at = long_at(data, at, first) if first > _LAST_MAX else (first, at)
    if value & 1:
        raise ValueError("a negative length")
    return value, at


def block_at(data: bytes, at: int) -> tuple[int, int, int]:
    """A block of an array or a map: how many it holds, their bytes (-1 if it isn't told), the position behind."""
    count, at = _signed_at(data, at)
    size = -1
    if count < 0:
        count = -count
        size, at = _signed_at(data, at)
    if max(count, size) > len(data) - at:
        raise ValueError("a block longer than the record")
    return count, size, at


def _signed_at(data: bytes, at: int) -> tuple[int, int]:
    value, at = long_at(data, at + 1, data[at]) if data[at] > _LAST_MAX else (data[at], at + 1)
    return (value >> 1) ^ -(value & 1), at


def _null_at(path: str) -> None:
    raise NullField(path)


_SCOPE = {
    "length_at": length_at,
    "long_at": long_at,
    "block_at": block_at,
    "null_at": _null_at,
    "float_at": Struct("<f").unpack_from,
    "double_at": Struct("<d").unpack_from,
}


def named_types(schema: Schema) -> dict[str, Schema]:
    """The named types within a schema."""
    if isinstance(schema, list):
        return {name: each for branch in schema for name, each in named_types(branch).items()}
    if not isinstance(schema, dict):
        return {}
    inner = [
        *(field["type"] for field in schema.get("fields", ())),
        schema.get("items"),
        schema.get("values"),
    ]
    own = {schema["name"]: schema} if "name" in schema else {}
    return own | named_types(inner)


def _kind(schema: Schema) -> str:
    if isinstance(schema, list):
        return "union"
    kind: str = schema if isinstance(schema, str) else schema["type"]
    return kind


class _Source:
    """Python source of readers: a function for each record of the writer and what is wanted of it.

    Names out of a schema stand in it as literals or constants, never as code.
    """

    def __init__(
        self, written: dict[str, Schema], wanted: dict[str, Schema], makers: Mapping[str, Maker]
    ) -> None:
        self._written = written
        self._wanted = wanted
        self._makers = makers
        self._names: dict[tuple[str, str], str] = {}
        self._functions: list[str] = []
        self._scope: dict[str, Any] = dict(_SCOPE)

    def compiled(self, name: str) -> Reader:
        try:
            exec("\n".join(self._functions), self._scope)  # noqa: S102 - as dataclasses does; see the class
        except SyntaxError:  # Python nests no more than 20 loops
            raise Mismatch("the record", "has arrays or maps nested too deeply") from None
        reader: Reader = self._scope[name]
        return reader

    def record(self, writer: Schema, shape: Schema, path: str) -> str:
        """Name of the function that reads a record; made once, so that a type may hold itself."""
        key = (writer["name"], "" if shape is None else shape["name"])
        if key not in self._names:
            self._names[key] = name = f"read_{len(self._names)}"
            lines = self._passed(writer) if shape is None else self._read(writer, shape, path)
            self._functions.append("\n    ".join([f"def {name}(data, at):", *lines]))
        return self._names[key]

    def _passed(self, writer: Schema) -> Iterator[str]:
        for field in writer["fields"]:
            yield from self._skip(field["type"])
        yield "return None, at"

    def _read(self, writer: Schema, shape: Schema, path: str) -> Iterator[str]:
        wanted = {field["name"]: field for field in shape["fields"]}
        values = {}
        for number, field in enumerate(writer["fields"]):
            if (want := wanted.get(field["name"])) is None:
                yield from self._skip(field["type"])
                continue
            values[field["name"]] = f"v{number}"
            within = f"{path}.{field['name']}".lstrip(".")
            yield from self._value(
                f"v{number}", field["type"], want["type"], within, self._null(want, within)
            )
        for name, want in wanted.items():
            if name not in values:
                values[name] = self._absent(want, f"{path}.{name}".lstrip("."))
        yield f"return {self._made(shape['name'], {name: values[name] for name in wanted})}, at"

    def _absent(self, want: Schema, path: str) -> str:
        if "default" not in want:
            raise Mismatch(path, "is not there", lacking=True)
        return self._constant(self._default(want["type"], want["default"]))

    def _null(self, want: Schema, path: str) -> str:
        """What stands for a null where the shape takes none."""
        if "default" in want:
            return self._constant(self._default(want["type"], want["default"]))
        return f"null_at({path!r})"

    def _made(self, name: str, values: Mapping[str, str]) -> str:
        maker = self._makers.get(name)
        if maker is None:
            return "{" + ", ".join(f"{field!r}: {value}" for field, value in values.items()) + "}"
        if maker is tuple:
            return "(" + "".join(f"{value}, " for value in values.values()) + ")"
        return f"{self._constant(maker)}({', '.join(values.values())})"

    def _constant(self, value: object) -> str:
        name = f"c{len(self._scope)}"
        self._scope[name] = value
        return name

    def _default(self, shape: Schema, value: Any) -> Any:  # noqa: ANN401 - a default as JSON gives it
        """A default of the shape, made as a read value would be."""
        shape = self._wanted.get(shape, shape) if isinstance(shape, str) else shape
        kind = _kind(shape)
        if kind == "array":
            return tuple(self._default(shape["items"], each) for each in value)
        if kind == "map":
            return {key: self._default(shape["values"], each) for key, each in value.items()}
        if kind != "record":
            return value
        given = [value.get(field["name"], field.get("default")) for field in shape["fields"]]
        made = [
            self._default(field["type"], each) for field, each in zip(shape["fields"], given, strict=True)
        ]
        maker = self._makers.get(shape["name"])
        if maker is None:
            return {field["name"]: each for field, each in zip(shape["fields"], made, strict=True)}
        return tuple(made) if maker is tuple else maker(*made)

    def _value(self, target: str, writer: Schema, shape: Schema, path: str, null: str) -> Iterator[str]:
        """Lines that read one value of the writer's type into `target`, as the shape wants it."""
        writer = self._written.get(writer, writer) if isinstance(writer, str) else writer
        kind = _kind(writer)
        if kind == "union":
            yield from self._union(target, writer, shape, path, null)
            return
        shape = self._branch(writer, shape, path)
        if kind == "record":
            yield f"{target}, at = {self.record(writer, shape, path)}(data, at)"
        elif kind == "array":
            yield from self._array(target, writer, shape, path)
        elif kind == "map":
            yield from self._map(target, writer, shape, path)
        else:
            yield from self._scalar(target, writer, shape)

    def _branch(self, writer: Schema, shape: Schema, path: str) -> Schema:
        """The type of the shape that takes the writer's: of several the same one, else the first."""
        branches = [
            self._wanted.get(each, each) if isinstance(each, str) else each for each in _branches(shape)
        ]
        kind = _kind(writer)
        taking = [branch for branch in branches if _kind(branch) in _TAKEN_BY.get(kind, {kind})]
        if not taking:
            raise Mismatch(path, f"is {kind}, not {' or '.join(_kind(branch) for branch in branches)}")
        return next((branch for branch in taking if _identity(branch) == _identity(writer)), taking[0])

    def _union(self, target: str, writer: Schema, shape: Schema, path: str, null: str) -> Iterator[str]:
        yield from _LONG
        for number, branch in enumerate(writer):
            yield f"{'elif' if number else 'if'} n == {2 * number}:"
            if _kind(branch) == "null":
                yield f"    {target} = {None if 'null' in _branches(shape) else null}"
            else:
                yield from _indented(self._value(target, branch, shape, path, null))
        yield "else: raise ValueError"

    def _array(self, target: str, writer: Schema, shape: Schema, path: str) -> Iterator[str]:
        path, each = f"{path}[]", f"{target}_"
        yield f"{target} = []"
        lines = self._value(each, writer["items"], shape["items"], path, f"null_at({path!r})")
        yield from _blocks(target, [*lines, f"{target}.append({each})"])
        yield f"{target} = tuple({target})"

    def _map(self, target: str, writer: Schema, shape: Schema, path: str) -> Iterator[str]:
        path, each, key = f"{path}{{}}", f"{target}_", f"{target}_key"
        yield f"{target} = {{}}"
        lines = self._value(each, writer["values"], shape["values"], path, f"null_at({path!r})")
        yield from _blocks(target, [*_text(key, decode=True), *lines, f"{target}[{key}] = {each}"])

    def _scalar(self, target: str, writer: Schema, shape: Schema) -> Iterator[str]:
        kind, wanted = _kind(writer), _kind(shape)
        if kind in {"string", "bytes"}:
            yield from _text(target, decode=wanted != "bytes")
        elif kind == "enum":
            yield from _LENGTH
            yield f"{target} = {self._constant(tuple(writer['symbols']))}[n >> 1]"
        elif kind == "fixed":
            yield f"{target} = data[at : (at := at + {int(writer['size'])})]"
        else:
            yield from _number(target, kind)
        if wanted == "enum" and shape is not writer:
            symbols = self._constant(dict.fromkeys(shape["symbols"]))
            yield f"if {target} not in {symbols}: {target} = {self._constant(shape.get('default'))}"
        elif _logical(shape) == "timestamp-millis" and (
            units := _UNITS_IN_A_MILLISECOND.get(_logical(writer))
        ):
            yield f"{target} //= {units}"

    def _skip(self, writer: Schema) -> Iterator[str]:
        """Lines that pass over a value."""
        writer = self._written.get(writer, writer) if isinstance(writer, str) else writer
        kind = _kind(writer)
        if kind == "union":
            yield from _LONG
            for number, branch in enumerate(writer):
                yield f"{'elif' if number else 'if'} n == {2 * number}:"
                yield from _indented([*self._skip(branch), "pass"])
            yield "else: raise ValueError"
        elif kind == "record":
            yield f"at = {self.record(writer, None, '')}(data, at)[1]"
        elif kind == "array":
            yield from _blocks("x", self._skip(writer["items"]))
        elif kind == "map":
            yield from _blocks("x", [*_LENGTH, "at += n >> 1", *self._skip(writer["values"])])
        else:
            yield from _SKIPS.get(kind) or [f"at += {int(writer['size'])}"]


_SKIPS = {
    "null": ("pass",),
    "boolean": ("at += 1",),
    "int": _LONG,
    "long": _LONG,
    "float": ("at += 4",),
    "double": ("at += 8",),
    "string": (*_LENGTH, "at += n >> 1"),
    "bytes": (*_LENGTH, "at += n >> 1"),
    "enum": _LONG,
}
_NUMBERS = {
    "null": ("{} = None",),
    "boolean": ("{} = (False, True)[data[at]]; at += 1",),
    "int": (*_LONG, "{} = (n >> 1) ^ -(n & 1)"),
    "long": (*_LONG, "{} = (n >> 1) ^ -(n & 1)"),
    "float": ("{} = float_at(data, at)[0]; at += 4",),
    "double": ("{} = double_at(data, at)[0]; at += 8",),
}


def _number(target: str, kind: str) -> Iterator[str]:
    return (line.format(target) for line in _NUMBERS[kind])


def _text(target: str, *, decode: bool) -> Iterator[str]:
    yield from _LENGTH
    yield f"{target} = data[at : (at := at + (n >> 1))]" + (".decode() if n else ''" if decode else "")


def _blocks(target: str, lines: Iterable[str]) -> Iterator[str]:
    """Lines for each element of an array or a map, which ends with an empty block."""
    yield "while data[at]:"
    yield f"    {target}_count, _, at = block_at(data, at)"
    yield f"    for _ in range({target}_count):"
    yield from _indented(_indented([*lines, "pass"]))
    yield "at += 1"


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"    {line}" for line in lines)


def _branches(shape: Schema) -> list[Schema]:
    return shape if isinstance(shape, list) else [shape]


def _identity(schema: Schema) -> tuple[str, str]:
    """What tells two branches of a union apart."""
    return _kind(schema), schema.get("name", "") if isinstance(schema, dict) else ""


def _logical(schema: Schema) -> str:
    return schema.get("logicalType", "") if isinstance(schema, dict) else ""
