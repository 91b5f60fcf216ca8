"""A decoded record as people may see it: its shape, and `****` for every value that isn't known to be harmless.

Known places alone are not enough: a value that doesn't look like one of its kind (an id with an at sign, a time in
words) is masked as well. What is empty is shown as empty.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from consumer.avro import Schema, named_types
from consumer.ingest.harmless import Place
from consumer.ingest.targets import Kind

HIDDEN = "****"
_EMPTY: tuple[object, ...] = (None, "", b"", (), {})
_LIKE = {
    Kind.TEXT: re.compile(r"[A-Za-z0-9#_:/.-]{1,64}"),
    Kind.CHOICE: re.compile(r"[A-Za-z0-9_.-]{1,64}"),
    Kind.TIME: re.compile(r"[0-9]{9,19}|[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.,]{4,20}(Z|[+-][0-9:]{2,6})?)?"),
    Kind.MONEY: re.compile(r"-?[0-9]{1,15}([.,][0-9]{1,6})?"),
    Kind.COUNT: re.compile(r"-?[0-9]{1,15}"),
    Kind.FLAG: re.compile(r"true|false", re.IGNORECASE),
}
"""What a text of each kind looks like."""


def masked(decoded: Any, shown: Mapping[Place, Kind], writer: Schema) -> object:  # noqa: ANN401 - a decoded record
    """A record of the writer's schema, nothing readable in it but what stands in the `shown` places."""
    return _Masking(shown, Fixed(writer)).tree(decoded, ())


class _Masking:
    def __init__(self, shown: Mapping[Place, Kind], fixed: "Fixed") -> None:
        self._shown = shown
        self._fixed = fixed
        self._above = {place[:length] for place in shown for length in range(len(place))}

    def tree(self, value: Any, at: Place) -> object:  # noqa: ANN401 - see `masked`
        """What may be seen of a value. Of lists and maps only those are opened that hold something to be shown."""
        if value in _EMPTY:
            return value
        if (kind := self._shown.get(at)) is not None:
            return seen(self._fixed.number(value, at) if isinstance(value, bytes) else value, kind)
        if isinstance(value, dict):
            return self._fields(value, at)
        if isinstance(value, tuple) and at in self._above:
            return [self.tree(each, (*at, place)) for place, each in enumerate(value)]
        return HIDDEN

    def _fields(self, value: dict[str, Any], at: Place) -> object:
        """A record by its fields; of a map the keys that the mapping names, since others may be anything."""
        if self._fixed.is_record(at):
            return {name: self.tree(each, (*at, name)) for name, each in value.items()}
        named = {key for key in value if (*at, key) in self._shown or (*at, key) in self._above}
        shown = {key: self.tree(value[key], (*at, key)) for key in value if key in named}
        if not shown:
            return HIDDEN
        return shown if len(shown) == len(value) else {**shown, HIDDEN: HIDDEN}

    def __repr__(self) -> str:
        return f"<_Masking: {len(self._shown)} shown>"


def seen(value: object, kind: Kind) -> object:
    """A value in a harmless place, if it looks like one of its kind.

    >>> seen("1001", Kind.TEXT), seen("jane@example.com", Kind.TEXT), seen("+49 171 39", Kind.TIME)
    ('1001', '****', '****')
    """
    if isinstance(value, bool | int | float | Decimal):
        return str(value) if isinstance(value, Decimal) else value
    return value if isinstance(value, str) and _LIKE[kind].fullmatch(value) else HIDDEN


class Fixed:
    """What only the schema tells: whether names in a value are the schema's own, and where a decimal's point is."""

    def __init__(self, writer: Schema) -> None:
        self._writer = writer
        self._names = named_types(writer)

    def is_record(self, place: Place) -> bool:
        """Whether names there are those of fields: those of a map may be anything."""
        kinds = [_kind(branch) for branch in self._at(place)]
        return "record" in kinds and "map" not in kinds

    def number(self, value: bytes, place: Place) -> Decimal | None:
        """A decimal; None if the schema has none there."""
        for branch in self._at(place):
            if isinstance(branch, dict) and branch.get("logicalType") == "decimal":
                return Decimal(int.from_bytes(value, "big", signed=True)).scaleb(-int(branch.get("scale", 0)))
        return None

    def _at(self, place: Place) -> list[Schema]:
        """The types that a value may have there."""
        branches = list(self._branches(self._writer))
        for step in place:
            branches = [inner for branch in branches for inner in self._within(branch, step)]
        return branches

    def _within(self, branch: Schema, step: str | int) -> Iterator[Schema]:
        kind = _kind(branch)
        if kind == "array" and isinstance(step, int):
            yield from self._branches(branch["items"])
        elif kind == "map":
            yield from self._branches(branch["values"])
        elif kind == "record":
            for field in branch["fields"]:
                if field["name"] == step:
                    yield from self._branches(field["type"])

    def _branches(self, schema: Schema) -> Iterator[Schema]:
        for each in schema if isinstance(schema, list) else [schema]:
            yield self._names.get(each, each) if isinstance(each, str) else each

    def __repr__(self) -> str:
        return f"<Fixed: {len(self._names)} types>"


def _kind(schema: Schema) -> str:
    return str(schema["type"]) if isinstance(schema, dict) else str(schema)
