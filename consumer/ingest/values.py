"""One rule as lines of Python: from what the writer's schema has at its path to what our field takes.

Each function adds lines to a scope and gives an expression, whose value is None where theirs is null or empty.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import TypeAlias

from consumer.avro import Mismatch, Schema
from consumer.ingest.paths import All, Path
from consumer.ingest.reach import Kinds, kind_of, logical_of
from consumer.ingest.rules import OTHERS, Rule, Scalar
from consumer.ingest.scope import Found, Scope
from consumer.ingest.targets import Kind, Value

Constants: TypeAlias = Callable[[object], str]
"""Keeps a value and gives the name that stands for it in the lines."""
Convert: TypeAlias = Callable[[Schema, str], str]
"""A type and the variable that has a value of it, to the expression that converts it."""

_CLASSES = {
    "string": "str",
    "enum": "str",
    "int": "int",
    "long": "int",
    "boolean": "bool",
    "double": "float",
    "bytes": "bytes",
    "fixed": "bytes",
}
_TEXTS = frozenset({"string", "enum"})
_WORDS = frozenset({"string", "enum", "int", "long", "boolean"})
_MILLISECONDS = {"seconds": " * 1000", "millis": "", "micros": " // 1000", "nanos": " // 1000000"}
_LOGICAL_UNITS = {
    f"{local}timestamp-{unit}": unit for local in ("", "local-") for unit in ("millis", "micros", "nanos")
}


class Values:
    """Writes rules into scopes. `digits` and `currency` are local variables of the function that is written."""

    def __init__(self, constant: Constants) -> None:
        self._constant = constant
        self._writers: Mapping[Kind, Callable[[Rule, Value, Scope, Path], str]] = {
            Kind.TEXT: self._text,
            Kind.TIME: self._time,
            Kind.MONEY: self._money,
            Kind.COUNT: self._count,
            Kind.FLAG: self._flag,
            Kind.CHOICE: self._choice,
        }

    def value(self, rule: Rule, target: Value, scope: Scope) -> str:
        """What the field gets: theirs, else a default, else it is refused if it is needed."""
        if rule.constant is not None:
            return repr(rule.constant)
        name, default = self.told(rule, target, scope), _default(rule, target)
        if default is not None:
            return (
                f"({name} or {default!r})" if not default else f"({default!r} if {name} is None else {name})"
            )
        scope.lines.append(f"if {name} is None: null_at({_path_of(rule)!r})")
        return name

    def told(self, rule: Rule, target: Value, scope: Scope) -> str:
        """What theirs says, a local variable; None if that is nothing."""
        name = scope.name()
        if rule.constant is not None:
            scope.lines.append(f"{name} = {rule.constant!r}")
            return name
        if rule.first_of:
            return self._first_of(rule, target, scope, name)
        path = rule.path
        if path is None:
            message = "a rule without a source"
            raise ValueError(message)
        try:
            found = self._writers[target.kind](rule, target, scope, path)
        except Mismatch as error:
            if not (rule.optional and error.lacking):
                raise
            found = "None"
        for of, allowed in rule.when:
            found = f"({found}) if {self._is_one(scope, of, allowed)} else None"
        if rule.default is not None:
            found = f"{rule.default!r} if (y := {found}) is None else y"
        scope.lines.append(f"{name} = {found}")
        return name

    def _is_one(self, scope: Scope, path: Path, allowed: tuple[str, ...]) -> str:
        found = scope.follow(path)
        _check(found.kinds, path, "a word or a number", _WORDS)
        kinds = [kind_of(branch) for branch in found.kinds.branches]
        keys = {key for each in allowed for kind in kinds for key in _keys(each, kind)}
        return f"{found.name} in {self._constant(frozenset(keys))}"

    def _first_of(self, rule: Rule, target: Value, scope: Scope, name: str) -> str:
        scope.lines.append(f"{name} = None")
        for each in rule.first_of:
            inner = scope.within(f"if {name} is None:")
            inner.lines.append(f"{name} = {self.told(each, target, inner)}")
            scope.close(inner)
        return name

    def _text(self, rule: Rule, _target: Value, scope: Scope, path: Path) -> str:
        found = scope.follow(path)
        if rule.query:
            return self._parameter(rule.query, scope, found, path)
        if rule.values:
            return self._listed(rule, scope, found, path)
        _check(found.kinds, path, "text", _WORDS)
        if {kind_of(branch) for branch in found.kinds.branches} <= _TEXTS:
            return f"{found.name} or None"
        return f"text_of({found.name})"

    def _parameter(self, name: str, scope: Scope, found: Found, path: Path) -> str:
        _check(found.kinds, path, "an address", {"string"})
        key = (f"query of {found.name}",)
        query = scope.once(key, lambda made: ([f"{made} = query_of({found.name})"], Kinds(())))
        return f"{query.name}.get({name!r}) or None"

    def _listed(self, rule: Rule, scope: Scope, found: Found, path: Path) -> str:
        """What `values` makes of theirs; unlisted ones are refused, unless the others have a value too."""
        _check(found.kinds, path, "a word or a number", _WORDS)
        table: dict[Scalar, Scalar | None] = {}
        for branch in found.kinds.branches:
            table |= {
                key: ours for theirs, ours in rule.values.items() for key in _keys(theirs, kind_of(branch))
            }
        x, listed = found.name, self._constant(table)
        if OTHERS in rule.values:
            others = rule.values[OTHERS]
            rest = f"text_of({x})" if others == OTHERS else repr(others)
            return f"None if {x} is None or {x} == '' else {listed}.get({x}, {rest})"
        scope.lines.append(
            f"if {x} not in {listed} and {x} is not None and {x} != '': unlisted({path.text!r}, {x})"
        )
        return f"{listed}.get({x})"

    def _flag(self, rule: Rule, _target: Value, scope: Scope, path: Path) -> str:
        found = scope.follow(path)
        if rule.values:
            return self._listed(rule, scope, found, path)
        _check(found.kinds, path, "true or false", {"boolean"})
        return found.name

    def _choice(self, rule: Rule, target: Value, scope: Scope, path: Path) -> str:
        if not rule.values:
            words = {cased: symbol for symbol in target.symbols for cased in (symbol, symbol.lower())}
            rule = Rule(path=path, values=words)
        return self._listed(rule, scope, scope.follow(path), path)

    def _count(self, _rule: Rule, _target: Value, scope: Scope, path: Path) -> str:
        return _by_branch(
            scope.follow(path), path, "a whole number", lambda branch, x: _count(branch, x, path)
        )

    def _time(self, rule: Rule, _target: Value, scope: Scope, path: Path) -> str:
        zone = self._constant(rule.zone) if rule.zone is not None else "None"
        found = scope.follow(path)
        return _by_branch(found, path, "a time", lambda branch, x: _time(branch, x, rule, zone, path))

    def _money(self, rule: Rule, _target: Value, scope: Scope, path: Path) -> str:
        if rule.currency is not None:
            theirs = scope.follow(rule.currency)
            _check(theirs.kinds, rule.currency, "a currency", _TEXTS)
            scope.lines.append(
                f"if {theirs.name} and {theirs.name} != currency != {theirs.name}.strip().upper(): "
                f"other_currency({path.text!r})"
            )
        if not any(isinstance(step, All) for step in path.steps):
            return self._amount(rule, scope, scope.follow(path), path)
        total = scope.name()
        scope.lines.append(f"{total} = None")

        def add(inner: Scope, found: Found) -> None:
            each = inner.name()
            inner.lines += [
                f"{each} = {self._amount(rule, inner, found, path)}",
                f"if {each} is not None: {total} = {each} if {total} is None else {total} + {each}",
            ]

        scope.each(path, add)
        return total

    def _amount(self, rule: Rule, scope: Scope, found: Found, path: Path) -> str:
        digits = ""
        if isinstance(rule.digits, Path):
            own = scope.follow(rule.digits)
            _check(own.kinds, rule.digits, "a number of digits", {"int", "long"})
            digits = f"({own.name} or 0)"
        elif rule.digits is not None:
            digits = repr(rule.digits)
        made = _by_branch(found, path, "money", lambda branch, x: _amount(branch, x, rule, digits, path))
        if not rule.negated:
            return made
        return f"None if (y := {made}) is None else -y"


def _default(rule: Rule, target: Value) -> Scalar | None:
    return rule.default if rule.default is not None else target.default


def _path_of(rule: Rule) -> str:
    if rule.path is not None:
        return rule.path.text
    return " or ".join(_path_of(each) for each in rule.first_of)


def _keys(theirs: str, kind: str) -> tuple[Scalar, ...]:
    """A listed value as a type has it; none if it can't."""
    if kind == "boolean":
        return {"true": (True,), "false": (False,)}.get(theirs, ())
    if kind in {"int", "long"}:
        return (int(theirs),) if theirs.lstrip("-").isdigit() else ()
    return (theirs,)


def _check(kinds: Kinds, path: Path, wanted: str, allowed: Collection[str]) -> None:
    for branch in kinds.branches:
        if kind_of(branch) not in allowed or logical_of(branch) == "decimal":
            raise Mismatch(path.text, f"is {kinds}, not {wanted}")


def _by_branch(found: Found, path: Path, wanted: str, convert: Convert) -> str:
    """The conversion of each type that the value may have; null and empty text are None."""
    x, branches = found.name, found.kinds.branches
    if not branches or any(kind_of(branch) not in _CLASSES for branch in branches):
        raise Mismatch(path.text, f"is {found.kinds}, not {wanted}")
    *several, (_, last) = ((_CLASSES[kind_of(branch)], convert(branch, x)) for branch in branches)
    chain = "".join(f"{made} if {x}.__class__ is {of} else " for of, made in several) + last
    if any(kind_of(branch) == "string" for branch in branches):
        return f"None if {x} is None or {x} == '' else {chain}"
    return f"None if {x} is None else {chain}" if found.kinds.is_nullable else chain


def _count(branch: Schema, x: str, path: Path) -> str:
    match kind_of(branch):
        case "int" | "long":
            return x
        case "string":
            return f"whole_text({x}, 'bad_quantity', {path.text!r})"
        case "double":
            return f"whole_double({x}, 'bad_quantity', {path.text!r})"
        case kind:
            raise Mismatch(path.text, f"is {kind}, not a whole number")


def _time(branch: Schema, x: str, rule: Rule, zone: str, path: Path) -> str:
    kind, logical = kind_of(branch), logical_of(branch)
    if kind == "string":
        return f"iso_ms({x}, {zone}, {path.text!r})"
    if kind not in {"int", "long"} or logical not in {"", *_LOGICAL_UNITS}:
        raise Mismatch(path.text, f"is {logical or kind}, not a time")
    if logical.startswith("local-") and rule.zone is None:
        raise Mismatch(
            path.text, f"is {logical}, a time without a zone; give its rule one, such as zone: UTC"
        )
    unit = _LOGICAL_UNITS.get(logical, rule.unit)
    if not unit:
        raise Mismatch(path.text, f"is a plain {kind}; give its rule a unit: {', '.join(_MILLISECONDS)}")
    if rule.unit not in {"", unit} or (logical.startswith("timestamp") and rule.zone is not None):
        raise Mismatch(path.text, f"is {logical}, and needs neither another unit nor a zone")
    ahead = rule.zone.utcoffset(None) if rule.zone is not None else timedelta()
    made = f"{x}{_MILLISECONDS[unit]}"
    return f"{made} - {ahead // timedelta(milliseconds=1)}" if ahead else made


def _amount(branch: Schema, x: str, rule: Rule, digits: str, path: Path) -> str:
    kind, at, minor = kind_of(branch), repr(path.text), rule.unit == "minor"
    is_decimal = logical_of(branch) == "decimal"
    match kind:
        case "bytes" | "fixed" if is_decimal and not minor:
            made = f"decimal_minor({x}, {int(branch.get('scale', 0))}, digits, {at})"
        case "string" if minor:
            return f"whole_text({x}, 'bad_money', {at})"
        case "double" if minor:
            return f"whole_double({x}, 'bad_money', {at})"
        case "string" | "double":
            made = f"{_of_major(kind, rule)}({x}, digits, {at})"
        case "int" | "long" if minor and not digits:
            return x
        case "int" | "long" if rule.unit:
            made = f"rescaled({x}, {digits if minor else 0}, digits, {at})"
        case "int" | "long":
            raise Mismatch(path.text, f"is a plain {kind}; give its rule a unit: minor or major")
        case _:
            raise Mismatch(path.text, f"is {logical_of(branch) or kind}, not money")
    return f"(0 if digits is None else {made})"


def _of_major(kind: str, rule: Rule) -> str:
    if rule.rounded:
        return "rounded_minor"
    return "text_minor" if kind == "string" else "double_minor"
