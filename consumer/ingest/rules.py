"""A mapping file: for each field of an order or a checkout, where a shop's own schema has it.

    order:                                # or checkout; one that is left out is as the reference schemas have it
      envelope: debezium                  # before, after, op: paths begin in `after`, a delete is a tombstone
      order_id: id                        # a path (see `paths`)
      status: {path: state, values: {complete: PAID, "*": OTHER}}   # theirs: ours, or null for nothing; "*" all others
      shop: {constant: shop-de}
      currency: {path: currency, default: EUR}                      # where theirs is null or empty
      updated_at: {path: changed, unit: seconds}                    # of a plain number; zone: UTC of a text without
      grand_total_minor: {path: total, currency: total_currency}    # unit: minor of a whole number; digits, negated
      items: {each: lines, sku: article.number, ...}                # paths begin in each element; $. in the record
      customer: {email: {path: mail_hash, hashed: email}}           # a hash already, in that form
      checkout_id: {first_of: [cart_token, token]}                  # the first that is neither null nor empty
      paid_at: {path: processed_at, when: {payment: [paid, refunded]}, optional: true}

Of text, `"*": "*"` takes all others as they are. `when` makes a value count only beside certain others; `optional` lets
a schema lack the path. All else is checked: an unknown key, a field of ours that doesn't exist, and against a schema
every path and type.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from datetime import timezone
from pathlib import Path as File
from typing import Any, TypeAlias

import yaml
from msgspec import Struct

from consumer.avro import Schema
from consumer.errors import ConfigurationError
from consumer.forms import KIND_OF
from consumer.ingest.paths import Path, parse_path
from consumer.ingest.targets import Group, Kind, Target, Value, targets
from consumer.ingest.times import zone_of

Scalar: TypeAlias = str | int | bool
OTHERS = "*"
"""Key of `values` that stands for all that aren't listed."""
DEBEZIUM = "debezium"

_UNITS = {Kind.TIME: ("seconds", "millis", "micros", "nanos"), Kind.MONEY: ("minor", "major")}
_SOURCES = ("path", "first_of", "constant")
_EVERYWHERE = frozenset({*_SOURCES, "default", "optional", "when"})
_OF_KIND: Mapping[Kind, frozenset[str]] = {
    Kind.TEXT: frozenset({"values", "query", "hashed"}),
    Kind.TIME: frozenset({"unit", "zone"}),
    Kind.MONEY: frozenset({"unit", "digits", "currency", "negated", "rounded"}),
    Kind.COUNT: frozenset(),
    Kind.FLAG: frozenset({"values"}),
    Kind.CHOICE: frozenset({"values"}),
}
_TYPES: Mapping[Kind, type] = {Kind.FLAG: bool, Kind.COUNT: int, Kind.MONEY: int, Kind.TIME: int}
_ROUNDED = "price_minor"
"""The one amount that shops make by dividing, and that no platform adds up."""
_PEOPLE = frozenset({"customer", "address", "billing_address", "shipping_address"})


class Rule(Struct, frozen=True):
    """Where one value comes from. Of `path`, `first_of` and `constant` one is there."""

    path: Path | None = None
    first_of: "tuple[Rule, ...]" = ()
    constant: Scalar | None = None
    default: Scalar | None = None
    optional: bool = False
    when: tuple[tuple[Path, tuple[str, ...]], ...] = ()
    values: Mapping[str, Scalar | None] = {}
    query: str = ""
    hashed: str = ""
    unit: str = ""
    zone: timezone | None = None
    digits: Path | int | None = None
    currency: Path | None = None
    negated: bool = False
    rounded: bool = False


class Section(Struct, frozen=True):
    """Rules by target. `each` leads to the elements of a list; without it a list has one element at most."""

    fields: "Mapping[str, Rule | Section]"
    each: Path | None = None


class Side(Struct, frozen=True):
    """How one topic's records are read."""

    section: Section
    is_enveloped: bool = False


Mappings: TypeAlias = Mapping[str, Side]
"""By kind: `order`, `checkout`. A kind that isn't there is as the reference schema has it."""


def load_mapping(file: File, references: Mapping[str, Schema]) -> Mappings:
    """The mapping in a file. Raises ConfigurationError, which names the file and what to mend."""
    try:
        told = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror}; name a readable mapping file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
        where = f": look at line {mark.line + 1}" if mark is not None else ""
        raise ConfigurationError(f"{file} is not YAML{where}") from None
    try:
        return parse_mapping(told, references)
    except ValueError as error:
        raise ConfigurationError(f"{file}: {error}") from None


def parse_mapping(told: object, references: Mapping[str, Schema]) -> Mappings:
    """The mapping that a YAML document says. Raises ValueError with a sentence."""
    sides = _mapping(told, "the file")
    _check_known(sides, references, "")
    return {kind: _side(kind, each, targets(references[kind])) for kind, each in sides.items()}


def _side(kind: str, told: object, wanted: Mapping[str, Target]) -> Side:
    fields = dict(_mapping(told, kind))
    envelope = fields.pop("envelope", "")
    if envelope not in {"", DEBEZIUM}:
        raise ValueError(f"{kind}.envelope: only {DEBEZIUM} is known")
    return Side(_section(fields, wanted, kind, repeated=False), is_enveloped=bool(envelope))


def _section(told: object, wanted: Mapping[str, Target], at: str, *, repeated: bool) -> Section:
    fields = dict(_mapping(told, at))
    each = _path(fields.pop("each"), f"{at}.each") if repeated and "each" in fields else None
    _check_known(fields, [*wanted, "each"] if repeated else wanted, at)
    for name, target in wanted.items():
        if isinstance(target, Value) and target.needed and name not in fields:
            raise ValueError(f"{at}.{name} must be mapped")
    return Section({name: _field(rule, wanted[name], f"{at}.{name}") for name, rule in fields.items()}, each)


def _field(told: object, target: Target, at: str) -> Rule | Section:
    if isinstance(target, Group):
        return _section(told, target.fields, at, repeated=target.repeated)
    return _rule(told, target, at)


def _rule(told: object, target: Value, at: str) -> Rule:
    given = {"path": told} if isinstance(told, str) else _mapping(told, at)
    _check_known(given, _EVERYWHERE | _OF_KIND[target.kind], at)
    if sum(each in given for each in _SOURCES) != 1:
        raise ValueError(f"{at}: one of {', '.join(_SOURCES)} must say where it comes from")
    if "hashed" in given and _PEOPLE.isdisjoint(at.split(".")):
        raise ValueError(f"{at}: hashed is for what customers and addresses say")
    if "rounded" in given and target.name != _ROUNDED:
        raise ValueError(f"{at}: rounded is for {_ROUNDED} alone; money that counts is exact")
    return Rule(**{key: _option(key, value, target, at) for key, value in given.items()})


def _option(key: str, value: object, target: Value, at: str) -> Any:  # noqa: ANN401 - a field of Rule
    return _OPTIONS[key](value, target, f"{at}.{key}")


def _first_of(value: object, target: Value, at: str) -> tuple[Rule, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"{at} must be a list of paths or rules")
    return tuple(_rule(each, target, at) for each in value)


def _digits(value: object, _: Value, at: str) -> int | Path:
    return value if isinstance(value, int) and not isinstance(value, bool) else _path(value, at)


def _values(value: object, target: Value, at: str) -> Mapping[str, Scalar | None]:
    if not isinstance(value, dict) or not value:
        raise ValueError(f"{at} must say theirs: ours")
    return {
        _theirs(theirs): None if ours is None else _ours(ours, target, at) for theirs, ours in value.items()
    }


def _when(value: object, _: Value, at: str) -> tuple[tuple[Path, tuple[str, ...]], ...]:
    if not isinstance(value, dict) or not all(isinstance(each, list) and each for each in value.values()):
        raise ValueError(f"{at} must say path: [values]")
    return tuple((_path(path, at), tuple(map(_theirs, each))) for path, each in value.items())


def _unit(value: object, target: Value, at: str) -> str:
    return _one_of(_UNITS[target.kind], value, at)


def _hashed(value: object, _: Value, at: str) -> str:
    return _one_of(KIND_OF, value, at)


def _one_of(allowed: Iterable[str], value: object, at: str) -> str:
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{at} must be one of {', '.join(allowed)}")
    return value


def _word(value: object, _: Value, at: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{at} must be a word")
    return value


def _zone(value: object, target: Value, at: str) -> timezone:
    try:
        return zone_of(_word(value, target, at))
    except ValueError as error:
        raise ValueError(f"{at}: {error}") from None


def _ours(value: object, target: Value, at: str) -> Scalar:
    """A value of our side must be one that the target can have."""
    if not _is(value, _TYPES.get(target.kind, str)):
        raise ValueError(f"{at} must be {target.kind.value}")
    if target.symbols and value not in target.symbols:
        raise ValueError(f"{at}: {value!r} is none of {', '.join(target.symbols)}")
    return value if isinstance(value, str | int) else str(value)


def _is(value: object, wanted: type) -> bool:
    return isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))


def _theirs(value: object) -> str:
    """YAML makes true of yes and a number of 1; records are compared as text."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _path(value: object, at: str) -> Path:
    if not isinstance(value, str):
        raise ValueError(f"{at} must be a path")  # noqa: TRY004 - it becomes a sentence about the file
    try:
        return parse_path(value)
    except ValueError as error:
        raise ValueError(f"{at}: {error}") from None


def _flag(value: object, _: Value, at: str) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{at} must be true or false")  # noqa: TRY004 - see `_path`
    return value


def _mapping(told: object, at: str) -> Mapping[str, object]:
    if not isinstance(told, dict) or not all(isinstance(key, str) for key in told):
        raise ValueError(f"{at} must be names, each with its rule")
    return told


def _check_known(given: Iterable[str], known: Iterable[str], at: str) -> None:
    names = sorted(known)
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"
            raise ValueError(f"{at}{'.' if at else ''}{name} is not known; {hint}")


_OPTIONS: Mapping[str, Callable[[object, Value, str], Any]] = {
    "path": lambda value, _, at: _path(value, at),
    "currency": lambda value, _, at: _path(value, at),
    "first_of": _first_of,
    "constant": _ours,
    "default": _ours,
    "values": _values,
    "when": _when,
    "digits": _digits,
    "unit": _unit,
    "zone": _zone,
    "query": _word,
    "hashed": _hashed,
    "optional": _flag,
    "negated": _flag,
    "rounded": _flag,
}
