"""Whether data of one Avro schema can be read by another, as the registry's stand-in judges it.

Source: Apache Avro specification 1.12, "Schema Resolution". Simpler than the real thing: aliases don't count.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import fastavro
from msgspec import Struct

PROMOTED: Mapping[str, frozenset[str]] = {
    "int": frozenset({"long", "float", "double"}),
    "long": frozenset({"float", "double"}),
    "float": frozenset({"double"}),
    "string": frozenset({"bytes"}),
    "bytes": frozenset({"string"}),
}

Json: TypeAlias = Any


class Parsed(Struct, frozen=True):
    """A schema with its names in full, and what each name stands for."""

    root: Json
    names: Mapping[str, Json]


class Invalid(Exception):
    """The text is no Avro schema."""


def parse(text: str, references: Iterable[str]) -> Parsed:
    """Check a schema that may use the types of these others, given in the order of need. Raises Invalid."""
    names: dict[str, Json] = {}
    try:
        for each in references:
            fastavro.parse_schema(json.loads(each), names)
        return Parsed(fastavro.parse_schema(json.loads(text), names), names)
    except Exception as error:
        raise Invalid from error  # the library raises what it likes for a bad schema


def readable(reader: Parsed, writer: Parsed) -> bool:
    """Whether all data of the writer's schema can be read by the reader's."""
    return _Comparison(reader.names, writer.names).readable(reader.root, writer.root)


class _Comparison:
    """Walks two schemas side by side; a pair of records inside itself is looked at once."""

    def __init__(self, reader_names: Mapping[str, Json], writer_names: Mapping[str, Json]) -> None:
        self._reader_names = reader_names
        self._writer_names = writer_names
        self._seen: set[tuple[str, str]] = set()

    def __repr__(self) -> str:
        return f"<_Comparison: {len(self._seen)} pairs of records seen>"

    def readable(self, reader: Json, writer: Json) -> bool:
        if isinstance(writer, list):
            return all(self.readable(reader, branch) for branch in writer)
        if isinstance(reader, list):
            return any(self.readable(branch, writer) for branch in reader)
        reader, writer = _resolved(reader, self._reader_names), _resolved(writer, self._writer_names)
        kind, given = _kind(reader), _kind(writer)
        if kind != given:
            return kind in PROMOTED.get(given, frozenset())
        return self._same_kind(kind, reader, writer)

    def _same_kind(self, kind: str, reader: Json, writer: Json) -> bool:
        match kind:
            case "record":
                return self._record(reader, writer)
            case "enum":
                return "default" in reader or set(writer["symbols"]) <= set(reader["symbols"])
            case "array":
                return self.readable(reader["items"], writer["items"])
            case "map":
                return self.readable(reader["values"], writer["values"])
            case "fixed":
                return bool(reader["size"] == writer["size"])
            case _:
                return True

    def _record(self, reader: Json, writer: Json) -> bool:
        pair = (reader["name"], writer["name"])
        if pair in self._seen:
            return True
        self._seen.add(pair)
        given = {field["name"]: field["type"] for field in writer["fields"]}
        return _last(reader["name"]) == _last(writer["name"]) and all(
            self.readable(field["type"], given[field["name"]])
            if field["name"] in given
            else "default" in field
            for field in reader["fields"]
        )


def _resolved(schema: Json, names: Mapping[str, Json]) -> Json:
    return names.get(schema, schema) if isinstance(schema, str) else schema


def _kind(schema: Json) -> str:
    return str(schema["type"]) if isinstance(schema, dict) else str(schema)


def _last(name: str) -> str:
    return name.rpartition(".")[2]
