"""Records as people write them, in JSON, to values of an Avro schema: for examples and for trying a mapping.

Taken is Avro's own JSON encoding (bytes as text of their code points, `{"string": "x"}` for a union's branch), and
what is easier to write: union values as they are, decimals as numbers or text, times in ISO 8601, and null for what
may be null by being left out.
"""

import difflib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

from consumer.avro import Schema, named_types

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = {"millis": timedelta(milliseconds=1), "micros": timedelta(microseconds=1)}
_SCALARS: Mapping[str, tuple[type, ...]] = {
    "boolean": (bool,),
    "int": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "string": (str,),
    "enum": (str,),
}


class Unfit(ValueError):
    """The JSON doesn't fit the schema. The text names the path, never the value."""


def as_avro(schema: Schema, told: object) -> dict[str, object]:
    """What an Avro writer takes for a record. Raises Unfit."""
    made = _Values(named_types(schema)).made(schema, told, "")
    if not isinstance(made, dict):
        message = "the record must be a JSON object"
        raise Unfit(message)
    return made


class _Values:
    def __init__(self, names: Mapping[str, Schema]) -> None:
        self._names = names

    def __repr__(self) -> str:
        return f"<_Values: {len(self._names)} names>"

    def made(self, schema: Schema, told: object, path: str) -> object:
        """The value of a type. Raises Unfit."""
        schema = self._names.get(schema, schema) if isinstance(schema, str) else schema
        if isinstance(schema, list):
            return self._union(schema, told, path)
        kind = _kind(schema)
        if kind == "record":
            return self._record(schema, told, path)
        if kind == "array" and isinstance(told, list):
            return [self.made(schema["items"], each, f"{path}[]") for each in told]
        if kind == "map" and isinstance(told, dict):
            return {key: self.made(schema["values"], each, f"{path}.{key}") for key, each in told.items()}
        return _scalar(schema, told, path)

    def _record(self, schema: Schema, told: object, path: str) -> object:
        if not isinstance(told, dict):
            raise Unfit(f"{path or 'the record'} must be an object")
        fields = {field["name"]: field for field in schema["fields"]}
        for name in told:
            if name not in fields:
                near = difflib.get_close_matches(name, fields, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise Unfit(f"{f'{path}.{name}'.lstrip('.')} is not in the schema{hint}")
        made: dict[str, object] = {"-type": schema["name"]}
        for name, field in fields.items():
            if name in told or "default" not in field:
                value = told.get(name)
                made[name] = self.made(field["type"], value, f"{path}.{name}".lstrip("."))
        return made

    def _union(self, branches: list[Schema], told: object, path: str) -> object:
        resolved = [self._names.get(each, each) if isinstance(each, str) else each for each in branches]
        if isinstance(told, dict) and len(told) == 1:
            ((tag, inner),) = told.items()
            for branch in resolved:
                if tag in {_kind(branch), _name(branch), _name(branch).rpartition(".")[2]}:
                    return self.made(branch, inner, path)
        problem: Unfit | None = None
        for branch in resolved:
            try:
                return self.made(branch, told, path)
            except Unfit as error:
                problem = error if problem is None or _kind(branch) == "record" else problem
        raise problem or Unfit(f"{path} has no type")


def _scalar(schema: Schema, told: object, path: str) -> object:
    kind, logical = _kind(schema), schema.get("logicalType", "") if isinstance(schema, dict) else ""
    if kind == "null" and told is None:
        return None
    if kind in {"bytes", "fixed"}:
        return _bytes(schema, told, logical, path)
    if "timestamp-" in logical and isinstance(told, str):
        return _time(told, logical, path)
    fits = isinstance(told, _SCALARS.get(kind, ())) and isinstance(told, bool) == (kind == "boolean")
    if not fits:
        raise Unfit(
            f"{path} must be {kind}" if told is not None else f"{path} is missing, and must be {kind}"
        )
    if kind == "enum" and told not in schema["symbols"]:
        raise Unfit(f"{path} must be one of {', '.join(schema['symbols'])}")
    return told


def _bytes(schema: Schema, told: object, logical: str, path: str) -> bytes:
    size = int(schema["size"]) if _kind(schema) == "fixed" else 0
    if logical == "decimal" and isinstance(told, str | int | float) and not isinstance(told, bool):
        try:
            unscaled = Decimal(str(told)).scaleb(int(schema.get("scale", 0)))
        except InvalidOperation:
            unscaled = Decimal("NaN")
        if unscaled.is_finite():
            if unscaled != unscaled.to_integral_value():
                raise Unfit(f"{path} has more decimals than its type")
            number = int(unscaled)
            return number.to_bytes(size or number.bit_length() // 8 + 1, "big", signed=True)
    try:
        if isinstance(told, str):
            return told.encode("latin-1")
    except UnicodeEncodeError:
        pass
    raise Unfit(f"{path} must be {logical or 'bytes'}")


def _time(told: str, logical: str, path: str) -> int:
    unit = logical.rpartition("-")[2]
    try:
        at = datetime.fromisoformat(told)
    except ValueError:
        raise Unfit(f"{path} must be a time, in ISO 8601 or a number") from None
    since = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - _EPOCH
    return since // _UNITS["micros"] * 1000 if unit == "nanos" else since // _UNITS[unit]


def _kind(schema: Schema) -> str:
    return str(schema["type"]) if isinstance(schema, dict) else str(schema)


def _name(schema: Schema) -> str:
    return str(schema.get("name", "")) if isinstance(schema, dict) else ""
