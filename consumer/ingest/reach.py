"""A writer's schema, and which of its fields a mapping takes: only these are decoded.

What is taken of a named record is taken wherever it stands. A decoded record is a tuple of its taken fields, sorted by
name; records that share a union have the same ones, so that a tuple is read without asking which it is.
"""

import difflib
from collections.abc import Collection, Iterator

from msgspec import Struct

from consumer.avro import Mismatch, Schema, named_types

DEPTH_MAX = 6
"""How deep a nearest path is looked for: types may hold themselves."""
NAMED_MAX = 12


class Kinds(Struct, frozen=True):
    """The types that a value may have, null apart; names are resolved."""

    branches: tuple[Schema, ...]
    is_nullable: bool = False

    @property
    def records(self) -> tuple[Schema, ...]:
        """Those that have fields."""
        return tuple(branch for branch in self.branches if kind_of(branch) == "record")

    @property
    def of_null(self) -> "Kinds":
        """The same, or null."""
        return Kinds(self.branches, is_nullable=True)

    @property
    def is_array(self) -> bool:
        """Nothing but an array."""
        return bool(self.branches) and all(kind_of(branch) == "array" for branch in self.branches)

    def __str__(self) -> str:
        return " or ".join(logical_of(branch) or kind_of(branch) for branch in self.branches) or "null"


class Reach:
    """Marks what is taken; `shape` is then what to decode. Raises Mismatch for what isn't there."""

    def __init__(self, writer: Schema) -> None:
        self.writer = writer
        self._names = named_types(writer)
        self._taken: dict[str, set[str]] = {name: set() for name in self._names}
        self._parts: tuple[frozenset[str], ...] = (frozenset(field["name"] for field in writer["fields"]),)

    @property
    def top(self) -> Kinds:
        """The record itself."""
        return Kinds((self.writer,))

    @property
    def taken(self) -> frozenset[str]:
        """The record's own fields that are taken."""
        return frozenset(self._taken[self.writer["name"]])

    def divide(self, *parts: Collection[str]) -> None:
        """From now on the record is decoded in these parts, each a tuple of its own."""
        self._parts = tuple(frozenset(part) for part in parts)

    def field(self, within: Kinds, name: str, path: str) -> Kinds:
        """What the field of a record, or the key of a map, leads to."""
        records = within.records
        others = [branch for branch in within.branches if kind_of(branch) in {"array", "map"}]
        maps = [branch for branch in others if kind_of(branch) == "map"]
        if (records and others) or len(maps) < len(others):
            raise Mismatch(path, f"asks for {name} of {within}")
        if maps:
            return self._kinds([each["values"] for each in maps]).of_null
        found = [field["type"] for each in records for field in each["fields"] if field["name"] == name]
        if not found:
            raise Mismatch(path, self._hint(within, name), lacking=bool(records))
        for each in records:
            self._taken[each["name"]].add(name)
        kinds = self._kinds(found)
        return kinds.of_null if within.is_nullable or len(found) < len(within.branches) else kinds

    def place(self, within: Kinds, name: str) -> int:
        """Where a taken field stands in the tuple of its record."""
        taken = self._taken_of(within)
        if within.records[0]["name"] == self.writer["name"]:
            taken &= next(part for part in self._parts if name in part)
        return sorted(taken).index(name)

    def items(self, within: Kinds, path: str) -> Kinds:
        """What an array holds."""
        if not within.is_array:
            raise Mismatch(path, f"asks for an element of {within}")
        return self._kinds([branch["items"] for branch in within.branches])

    def shape(self, part: int = 0) -> Schema:
        """What of the record's part is to be decoded, as an Avro schema."""
        self.settle()
        return self._record(self.writer, set(), self._parts[part])

    def settle(self) -> None:
        """All is marked: records of one union take what any of them takes, until nothing changes."""
        unions = [kinds for kinds in self._unions() if len(kinds.records) > 1]
        before = -1
        while before != (now := sum(map(len, self._taken.values()))):
            before = now
            for kinds in unions:
                taken = self._taken_of(kinds)
                for each in kinds.records:
                    self._taken[each["name"]] |= taken

    def _taken_of(self, within: Kinds) -> set[str]:
        return {name for each in within.records for name in self._taken[each["name"]]}

    def _unions(self) -> Iterator[Kinds]:
        for record in self._names.values():
            for field in record.get("fields", ()):
                yield from self._unions_in(field["type"])

    def _unions_in(self, schema: Schema) -> Iterator[Kinds]:
        if isinstance(schema, list):
            yield self._kinds([schema])
            for branch in schema:
                yield from self._unions_in(branch)
        elif kind_of(schema) in {"array", "map"}:
            yield from self._unions_in(schema.get("items", schema.get("values")))

    def _kinds(self, schemas: list[Schema]) -> Kinds:
        flat = [branch for each in schemas for branch in (each if isinstance(each, list) else [each])]
        resolved = [self._names.get(each, each) if isinstance(each, str) else each for each in flat]
        branches = tuple(each for each in resolved if kind_of(each) != "null")
        return Kinds(branches, is_nullable=len(branches) < len(resolved))

    def _pruned(self, schema: Schema, defined: set[str]) -> Schema:
        if isinstance(schema, list):
            return [self._pruned(branch, defined) for branch in schema]
        name = schema if isinstance(schema, str) else schema.get("name", "")
        if name in defined:
            return name
        schema = self._names.get(name, schema)
        match kind_of(schema):
            case "record":
                return self._record(schema, defined)
            case "array":
                return {**schema, "items": self._pruned(schema["items"], defined)}
            case "map":
                return {**schema, "values": self._pruned(schema["values"], defined)}
            case "enum" | "fixed":
                defined.add(name)
        return schema

    def _record(self, schema: Schema, defined: set[str], part: frozenset[str] | None = None) -> Schema:
        defined.add(schema["name"])
        types = {field["name"]: field["type"] for field in schema["fields"]}
        taken = self._taken[schema["name"]]
        fields = [
            {"name": name, "type": self._pruned(types[name], defined)}
            if name in types
            else {"name": name, "type": "null", "default": None}
            for name in sorted(taken if part is None else taken & part)
        ]
        return {**schema, "fields": fields}

    def _hint(self, within: Kinds, name: str) -> str:
        """Why there is no such field, and the nearest that is: beside it, else anywhere."""
        if not within.records:
            return f"asks for {name} of {within}"
        beside = [field["name"] for each in within.records for field in each["fields"]]
        near = difflib.get_close_matches(name, beside, n=1)
        if not near:
            everywhere = list(_paths(Reach(self.writer), self.top, "", 0))
            same = [path for path in everywhere if path.rpartition(".")[2] == name]
            near = same or difflib.get_close_matches(name, everywhere, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(beside)[:NAMED_MAX])}"
        return f"is not there; {hint}"


def _paths(reach: Reach, within: Kinds, before: str, depth: int) -> Iterator[str]:
    """Every path down to a depth; elements of arrays as `[*]`."""
    for record in within.records if depth < DEPTH_MAX else ():
        for field in record["fields"]:
            path = f"{before}{field['name']}"
            kinds = reach.field(Kinds((record,)), field["name"], path)
            if kinds.is_array:
                path, kinds = f"{path}[*]", reach.items(kinds, path)
            yield path
            yield from _paths(reach, kinds, f"{path}.", depth + 1)


def kind_of(schema: Schema) -> str:
    """The name of a type that is no union."""
    return str(schema["type"]) if isinstance(schema, dict) else str(schema)


def logical_of(schema: Schema) -> str:
    """The logical type; empty if there is none."""
    return str(schema.get("logicalType", "")) if isinstance(schema, dict) else ""
