"""A mapping and a writer's schema, compiled: which bytes to decode, and functions from their values to our fields.

It is written twice: the first time only tells which fields are taken, and where they stand is known the second time.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias
from urllib.parse import unquote_plus

from msgspec import Struct

from consumer.avro import Maker, Mismatch, Reader, Schema, compile_reader, named_types
from consumer.errors import Unmappable
from consumer.ingest.amounts import (
    decimal_minor,
    double_minor,
    rescaled,
    rounded_minor,
    text_minor,
    whole_double,
    whole_text,
)
from consumer.ingest.paths import All, Named, Path
from consumer.ingest.reach import Kinds, Reach
from consumer.ingest.rules import Rule, Section, Side
from consumer.ingest.scope import Found, Scope
from consumer.ingest.shape import shape
from consumer.ingest.targets import Group, Target, Value
from consumer.ingest.times import iso_ms
from consumer.ingest.values import Values
from consumer.money import exponent

Decoded: TypeAlias = Any
"""A decoded record: a tuple of what is taken of it."""
Fields: TypeAlias = Callable[[Decoded, str, int | None], tuple[tuple[Any, ...], Mapping[str, str]]]
"""Values, the order's currency and its digits to our fields, and hashes that the shop declares, by form."""


class Compiled(Struct, frozen=True):
    """Readers of the record's parts, and what makes our fields of each.

    In one piece there is one reader, for both parts; then `told` gives all that the last part reads, to compare.
    `peeked` makes the one field of the last part that was asked for.
    """

    readers: tuple[Reader, ...]
    fields: tuple[Fields, ...]
    told: Callable[[Decoded], tuple[Any, ...]]
    peeked: Fields
    is_deleted: Callable[[Decoded], bool]


_NO_QUERY: Mapping[str, str] = {}


def query_of(address: str | None) -> Mapping[str, str]:
    """Parameters of an address's query, the first of each name.

    >>> query_of("/sale?fbclid=a%2Fb&x=1#top")
    {'x': '1', 'fbclid': 'a/b'}
    """
    query = (address or "").partition("?")[2].partition("#")[0]
    if not query:
        return _NO_QUERY
    pairs = (part.partition("=") for part in reversed(query.split("&")))
    return {_unquoted(name): _unquoted(value) for name, _, value in pairs}


def _unquoted(text: str) -> str:
    return unquote_plus(text) if "%" in text or "+" in text else text


def text_of(value: object) -> str | None:
    """A number or a word as text."""
    if value is None or value == "":
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def unlisted(path: str, value: object) -> None:
    """Refuse a word that the mapping doesn't know."""
    raise Unmappable("bad_value", f"{path} is none of the values that the mapping lists ({shape(value)})")


def other_currency(path: str) -> None:
    """Refuse money that is in another currency than the order."""
    raise Unmappable("bad_money", f"{path} is in another currency than the order")


def null_at(path: str) -> None:
    """Refuse nothing where something must be."""
    raise Unmappable("missing_field", f"{path} is null or empty")


_FUNCTIONS: tuple[Callable[..., Any], ...] = (
    query_of,
    text_of,
    unlisted,
    other_currency,
    null_at,
    exponent,
    decimal_minor,
    double_minor,
    rescaled,
    rounded_minor,
    text_minor,
    whole_double,
    whole_text,
    iso_ms,
)


def compile_side(
    side: Side,
    writer: Schema,
    wanted: Mapping[str, Target],
    makers: Mapping[str, Maker],
    *,
    head: int = 0,
    peek: str = "",
) -> Compiled:
    """The mapping of one kind for one writer's schema; the first `head` targets are a part of their own.

    Raises Mismatch, whose path is the mapping's.
    """
    names = list(wanted)
    parts = [names[:head], names[head:]] if head else [names]
    reach = Reach(writer)
    for part in parts:
        _Source(side, reach, makers).function([wanted[name] for name in part])
    cuts = _cuts(side, writer, [[wanted[name] for name in part] for part in parts], makers)
    reach.settle()
    source = _Source(side, reach, makers)
    if cuts:
        reach.divide(*cuts)
    functions = [source.function([wanted[name] for name in part]) for part in parts]
    peeked = source.function([wanted[peek]] if peek else [])
    told, is_deleted = source.told([wanted[name] for name in parts[-1]]), source.is_deleted()
    scope = source.compiled()
    return Compiled(
        readers=tuple(_readers(writer, reach, cuts)),
        fields=tuple(scope[name] for name in functions),
        told=scope[told],
        peeked=scope[peeked],
        is_deleted=scope[is_deleted],
    )


def _cuts(
    side: Side, writer: Schema, parts: list[list[Target]], makers: Mapping[str, Maker]
) -> list[frozenset[str]]:
    """The record's fields in two, if what the first part takes stands before all that the second one takes."""
    if side.is_enveloped or len(parts) == 1:
        return []
    names = [field["name"] for field in writer["fields"]]
    taken = []
    for part in parts:
        reach = Reach(writer)
        _Source(side, reach, makers).function(part)
        taken.append({names.index(name) for name in reach.taken})
    cut = max(taken[0]) + 1
    if taken[1] and min(taken[1]) < cut:
        return []
    return [frozenset(names[:cut]), frozenset(names[cut:])]


def _readers(writer: Schema, reach: Reach, cuts: list[frozenset[str]]) -> Iterable[Reader]:
    makers: dict[str, Maker] = dict.fromkeys(named_types(writer), tuple)
    if not cuts:
        yield compile_reader(writer, reach.shape(), makers)
        return
    at = len(cuts[0])
    yield compile_reader(writer, reach.shape(0), makers, slice(at))
    yield compile_reader(writer, reach.shape(1), makers, slice(at, None))


class _Source:
    """Python source of functions that make our fields. Names of theirs stand in it as literals only."""

    def __init__(self, side: Side, reach: Reach, makers: Mapping[str, Maker]) -> None:
        self._side = side
        self._reach = reach
        self._makers = makers
        self._scope: dict[str, Any] = {each.__name__: each for each in _FUNCTIONS}
        self._values = Values(self._constant)
        self._functions: list[str] = []

    def compiled(self) -> Mapping[str, Any]:
        """What the source defines, by name."""
        try:
            exec("\n".join(self._functions), self._scope)  # noqa: S102 - as dataclasses does; see the class
        except SyntaxError:  # Python nests no more than 20 loops
            raise Mismatch("the mapping", "leads through too many lists in lists") from None
        return self._scope

    def function(self, targets: Iterable[Target]) -> str:
        """Name of the function that makes these fields."""
        root, record = self._start()
        lines, made = record.lines, []
        lines.append("declared = {}")
        for target in targets:
            value = self._field(self._side.section.fields.get(target.name), target, record)
            made.append(value)
            if target.name == "currency":
                lines += [f"currency = ({value}).strip().upper()", "digits = exponent(currency)"]
                made[-1] = "currency"
        result = f"return ({''.join(f'{value}, ' for value in made)}), declared"
        return self._defined("v, currency, digits", root, record, result)

    def told(self, targets: Iterable[Target]) -> str:
        """Name of the function that gives all that these fields are made of, as it was decoded."""
        root, record = self._start()
        paths = {
            path: None
            for target in targets
            if (rules := self._side.section.fields.get(target.name)) is not None
            for path in _tops(rules)
        }
        found = [name for path in paths if (name := self._top(record, path))]
        return self._defined("v", root, record, f"return ({''.join(f'{name}, ' for name in found)})")

    def is_deleted(self) -> str:
        """Name of the function that tells if a record only says that something is gone."""
        if not self._side.is_enveloped:
            return self._defined("v", (scope := self._new_root()), scope, "return False")
        root, record = self._start()
        op, after = root.follow(_path("op")), root.follow(_path("after"))
        return self._defined("v", root, record, f"return {after.name} is None or {op.name} == 'd'")

    def _new_root(self) -> Scope:
        return Scope(self._reach, {(): Found("v", self._reach.top)})

    def _start(self) -> tuple[Scope, Scope]:
        """The scopes of the root and of the record proper, which differ in an envelope."""
        root = self._new_root()
        if not self._side.is_enveloped:
            return root, root
        root.follow(_path("op"))
        after = root.follow(_path("after"))
        return root, Scope(self._reach, {(): Found(after.name, Kinds(after.kinds.branches))}, root)

    def _defined(self, arguments: str, root: Scope, record: Scope, result: str) -> str:
        name = f"made_{len(self._functions)}"
        lines = [*root.lines, *(record.lines if record is not root else ()), result]
        self._functions.append("\n    ".join([f"def {name}({arguments}):", *lines]))
        return name

    def _constant(self, value: object) -> str:
        name = f"c{len(self._scope)}"
        self._scope[name] = value
        return name

    def _field(self, rules: Rule | Section | None, target: Target, scope: Scope) -> str:
        if isinstance(target, Value):
            return self._value(rules if isinstance(rules, Rule) else None, target, scope)
        section = rules if isinstance(rules, Section) else None
        if target.repeated:
            return self._list(section, target, scope) if section is not None else "()"
        return self._record(section or Section({}), target, scope)

    def _value(self, rule: Rule | None, target: Value, scope: Scope) -> str:
        if rule is None:
            return repr(target.default)
        if not rule.hashed:
            return self._values.value(rule, target, scope)
        told = self._values.told(rule, target, scope)
        scope.lines.append(f"if {told}: declared.setdefault({rule.hashed!r}, {told})")
        return repr(target.default)

    def _record(self, section: Section, target: Group, scope: Scope) -> str:
        maker = self._makers.get(target.of)
        if maker is None:
            made = {
                name: self._field(rules, target.fields[name], scope) for name, rules in section.fields.items()
            }
            return "{" + ", ".join(f"{name!r}: {value}" for name, value in made.items()) + "}"
        if not section.fields:
            return self._constant(maker(*(self._nothing(each) for each in target.fields.values())))
        values = [self._field(section.fields.get(name), each, scope) for name, each in target.fields.items()]
        return f"{self._constant(maker)}({', '.join(values)})"

    def _list(self, section: Section, target: Group, scope: Scope) -> str:
        made = scope.name()
        if section.each is None:
            scope.lines.append(f"{made} = ()")
            self._only(section, target, scope, made)
            return made
        scope.lines.append(f"{made} = []")

        def add(inner: Scope, _: Found) -> None:
            inner.lines.append(f"{made}.append({self._record(section, target, inner)})")

        scope.each(_elements(section.each), add)
        return f"tuple({made})"

    def _only(self, section: Section, target: Group, scope: Scope, made: str) -> None:
        """A list of one, if what it needs is neither null nor zero."""
        needed = [each for each in target.fields.values() if isinstance(each, Value) and each.needed]
        rules = [(rule, each) for each in needed if isinstance(rule := section.fields[each.name], Rule)]
        told = " and ".join(self._values.told(rule, each, scope) for rule, each in rules)
        inner = scope.within(f"if {told}:")
        inner.lines.append(f"{made} = ({self._record(section, target, inner)},)")
        scope.close(inner)

    def _top(self, record: Scope, path: Path) -> str:
        try:
            return record.follow(path).name
        except Mismatch:
            return ""

    def _nothing(self, target: Target) -> object:
        """What a field is that nothing is said of."""
        if isinstance(target, Value):
            return target.default
        maker = self._makers.get(target.of)
        if target.repeated:
            return ()
        return {} if maker is None else maker(*(self._nothing(each) for each in target.fields.values()))


def _path(name: str) -> Path:
    return Path(name, (Named(name),), from_root=True)


def _elements(path: Path) -> Path:
    """The elements of an array, where the path leads to the array itself."""
    return path if isinstance(path.steps[-1], All) else Path(path.text, (*path.steps, All()), path.from_root)


def _tops(rules: Rule | Section, *, is_inner: bool = False) -> Iterator[Path]:
    """Paths from the record: of a list, what leads to it and what its elements take from elsewhere."""
    if isinstance(rules, Section):
        if rules.each is not None and (rules.each.from_root or not is_inner):
            yield _to_array(rules.each)
        for each in rules.fields.values():
            yield from _tops(each, is_inner=is_inner or rules.each is not None)
        return
    for each in rules.first_of:
        yield from _tops(each, is_inner=is_inner)
    for path in (rules.path, rules.currency, rules.digits, *(of for of, _ in rules.when)):
        if isinstance(path, Path) and (path.from_root or not is_inner):
            yield _to_array(path)


def _to_array(path: Path) -> Path:
    place = next((at for at, step in enumerate(path.steps) if isinstance(step, All)), len(path.steps))
    return Path(path.text, path.steps[:place], path.from_root)
