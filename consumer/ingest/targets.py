"""What a mapping may fill: the fields of the reference schemas, and what kind of value each takes.

The reference schema is the list of targets; a field that it gains can be mapped at once.
"""

from collections.abc import Mapping
from enum import Enum
from typing import TypeAlias

from msgspec import Struct

from consumer.avro import Schema, named_types


class Kind(Enum):
    """What a target takes."""

    TEXT = "text"
    TIME = "a time"
    MONEY = "money"
    COUNT = "a whole number"
    FLAG = "true or false"
    CHOICE = "one of its words"


class Value(Struct, frozen=True):
    """A target that takes one value. `default` stands for none; a target that is `needed` has no default."""

    name: str
    kind: Kind
    needed: bool
    default: str | int | bool | None
    symbols: tuple[str, ...] = ()


class Group(Struct, frozen=True):
    """A target with targets in it; `of` is the full name of its record. If it is `repeated` it is a list of them."""

    name: str
    of: str
    repeated: bool
    fields: "Mapping[str, Target]"


Target: TypeAlias = Value | Group


def targets(reference: Schema) -> Mapping[str, Target]:
    """The targets of a reference schema, in its order of fields."""
    names = named_types(reference)
    return {field["name"]: _target(field, names) for field in reference["fields"]}


def _target(field: Schema, names: Mapping[str, Schema]) -> Target:
    kind, repeated = _resolved(field["type"], names), False
    if kind["type"] == "array":
        kind, repeated = _resolved(kind["items"], names), True
    if kind["type"] == "record":
        inner = {each["name"]: _target(each, names) for each in kind["fields"]}
        return Group(field["name"], kind["name"], repeated, inner)
    return Value(
        field["name"],
        _kind(field["name"], kind),
        "default" not in field,
        field.get("default"),
        tuple(kind.get("symbols", ())),
    )


def _resolved(kind: Schema, names: Mapping[str, Schema]) -> Schema:
    return names.get(kind, {"type": kind}) if isinstance(kind, str) else kind


def _kind(name: str, kind: Schema) -> Kind:
    if kind.get("logicalType") == "timestamp-millis":
        return Kind.TIME
    if name.endswith("_minor"):
        return Kind.MONEY
    return {"string": Kind.TEXT, "boolean": Kind.FLAG, "enum": Kind.CHOICE}.get(kind["type"], Kind.COUNT)
