"""What keeps a newer schema from reading what an older one wrote, told field by field.

Source: Apache Avro specification 1.12, "Schema Resolution". Stricter in one point: aliases don't count, since
`avro.py` knows none.
"""

from collections.abc import Iterator, Mapping

from consumer.avro import Schema
from consumer.codec import parse_schema

_PROMOTED: Mapping[str, frozenset[str]] = {
    "int": frozenset({"long", "float", "double"}),
    "long": frozenset({"float", "double"}),
    "float": frozenset({"double"}),
    "string": frozenset({"bytes"}),
    "bytes": frozenset({"string"}),
}


def incompatibilities(reader_json: str, writer_json: str) -> list[str]:
    """Why the reader's schema can't read the writer's records, one line a field; empty if it can.

    Raises Undecodable for what is no schema of a record.

    >>> old = '{"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}]}'
    >>> new = '{"type": "record", "name": "R", "fields": [{"name": "b", "type": "int"}]}'
    >>> incompatibilities(new, old)
    ['b was added without a default']
    """
    reader, writer = parse_schema(reader_json), parse_schema(writer_json)
    return list(dict.fromkeys(_Walk(reader, writer).problems(reader, writer, "")))


class _Walk:
    """Walks two schemas side by side; a pair of records inside itself is looked at once."""

    def __init__(self, reader: Schema, writer: Schema) -> None:
        self._reader_names = dict(_named(reader))
        self._writer_names = dict(_named(writer))
        self._seen: set[tuple[str, str]] = set()

    def __repr__(self) -> str:
        return f"<_Walk: {len(self._seen)} pairs of records seen>"

    def problems(self, reader: Schema, writer: Schema, path: str) -> Iterator[str]:
        """What is incompatible at this path and below it."""
        if isinstance(writer, list):
            for branch in writer:
                yield from self.problems(reader, branch, path)
            return
        if isinstance(reader, list):
            yield from self._branch(reader, writer, path)
            return
        reader, writer = _resolved(reader, self._reader_names), _resolved(writer, self._writer_names)
        kind, given = _kind(reader), _kind(writer)
        if kind == given:
            yield from self._same_kind(reader, writer, path)
        elif kind not in _PROMOTED.get(given, frozenset()):
            yield f"{path or 'the record'} was {given}, is {kind}"

    def _branch(self, reader: Schema, writer: Schema, path: str) -> Iterator[str]:
        """A union takes the writer's type if one of its branches does."""
        for branch in reader:
            seen = set(self._seen)
            if not list(self.problems(branch, writer, path)):
                return
            self._seen = seen
        yield f"{path} was {_kind(_resolved(writer, self._writer_names))}, which the union lacks"

    def _same_kind(self, reader: Schema, writer: Schema, path: str) -> Iterator[str]:
        match _kind(reader):
            case "record":
                yield from self._record(reader, writer, path)
            case "enum":
                gone = [symbol for symbol in writer["symbols"] if symbol not in reader["symbols"]]
                if gone and "default" not in reader:
                    yield f"{path} lost {', '.join(gone)} and has no default"
            case "array":
                yield from self.problems(reader["items"], writer["items"], f"{path}[]")
            case "map":
                yield from self.problems(reader["values"], writer["values"], f"{path}{{}}")
            case "fixed" if reader["size"] != writer["size"]:
                yield f"{path} was {writer['size']} bytes, is {reader['size']}"
            case _:
                yield from _units(reader, writer, path)

    def _record(self, reader: Schema, writer: Schema, path: str) -> Iterator[str]:
        pair = (reader["name"], writer["name"])
        if pair in self._seen:
            return
        self._seen.add(pair)
        if _last(reader["name"]) != _last(writer["name"]):
            yield f"{path or 'the record'} was named {writer['name']}, is {reader['name']}"
        given = {field["name"]: field["type"] for field in writer["fields"]}
        for field in reader["fields"]:
            below = f"{path}.{field['name']}".lstrip(".")
            if field["name"] in given:
                yield from self.problems(field["type"], given[field["name"]], below)
            elif "default" not in field:
                yield f"{below} was added without a default"


def _units(reader: Schema, writer: Schema, path: str) -> Iterator[str]:
    """Avro lets a number change its meaning; that would shift every time by a thousand."""
    was, now = _meaning(writer), _meaning(reader)
    if was and now and was != now:
        yield f"{path} was {was}, is {now}"


def _meaning(schema: Schema) -> str:
    return str(schema.get("logicalType", "")) if isinstance(schema, dict) else ""


def _named(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Every type defined here, by its full name."""
    if isinstance(schema, list):
        for each in schema:
            yield from _named(each)
    elif isinstance(schema, dict):
        if _kind(schema) in {"record", "enum", "fixed"}:
            yield schema["name"], schema
        for key in ("type", "items", "values", "fields"):
            yield from _named(schema.get(key))


def _resolved(schema: Schema, names: Mapping[str, Schema]) -> Schema:
    return names.get(schema, schema) if isinstance(schema, str) else schema


def _kind(schema: Schema) -> str:
    return str(schema["type"]) if isinstance(schema, dict) else str(schema)


def _last(name: str) -> str:
    return name.rpartition(".")[2]
