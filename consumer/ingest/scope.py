"""Lines of Python that walk a decoded record: each step of a path is taken once, whoever asks for it again.

Names out of a schema or a mapping stand in the lines as literals, never as code.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Self, TypeAlias

from msgspec import Struct

from consumer.avro import Mismatch
from consumer.ingest.paths import All, At, First, Named, Path, Step
from consumer.ingest.reach import Kinds, Reach, kind_of


class Found(Struct, frozen=True):
    """A local variable, and the types that its value may have."""

    name: str
    kinds: Kinds


Key: TypeAlias = tuple[Step | str, ...]
Body: TypeAlias = "Callable[[Scope, Found], None]"


class Scope:
    """Where paths begin: the record, or an element of a list in it. `lines` grow as paths are followed."""

    def __init__(
        self, reach: Reach, known: Mapping[Key, Found], root: "Scope | None" = None, *, lead: str = ""
    ) -> None:
        """`known` has at least where paths begin, under the empty key."""
        self.lines: list[str] = [lead] if lead else []
        self.root: Scope = root or self
        self._reach = reach
        self._known = dict(known)
        self._names = count()

    def name(self) -> str:
        """A new local variable's."""
        return f"x{next(self._names)}" if self.root is self else self.root.name()

    def within(self, lead: str) -> Self:
        """A scope whose lines stand below `lead`, which `close` puts here; it knows what is known here."""
        return type(self)(self._reach, self._known, self.root, lead=lead)

    def close(self, inner: "Scope") -> None:
        """Take the lines of an inner scope."""
        lead, *rest = inner.lines
        self.lines += [lead, *indented(rest or ["pass"])]

    def follow(self, path: Path) -> Found:
        """The one value that a path leads to. Raises Mismatch."""
        return (self.root if path.from_root else self).walk(path.steps, path.text)

    def each(self, path: Path, body: Body) -> None:
        """A loop over all that a path leads to. Raises Mismatch."""
        start = self.root if path.from_root else self
        self._loop(start, path.steps, path.text, body)

    def once(self, key: Key, make: Callable[[str], tuple[Iterable[str], Kinds]]) -> Found:
        """What is kept under a key, made at the first time."""
        if key not in self._known:
            name = self.name()
            lines, kinds = make(name)
            self.lines += lines
            self._known[key] = Found(name, kinds)
        return self._known[key]

    def _loop(self, start: "Scope", steps: tuple[Step, ...], text: str, body: Body) -> None:
        place = next((at for at, step in enumerate(steps) if isinstance(step, All)), len(steps))
        found = start.walk(steps[:place], text)
        if place == len(steps):
            body(self, found)
            return
        step, kinds = steps[place], self._reach.items(found.kinds, text)
        element = Found(self.name(), Kinds(kinds.branches))
        inner = Scope(self._reach, {(): element}, self.root)
        if kinds.is_nullable:
            inner.lines += [f"if {element.name} is None:", "    continue"]
        if isinstance(step, All) and step.name:
            of = inner.walk((Named(step.name),), text)
            inner.lines += [f"if {of.name} != {_literal(of.kinds, step.value, text)}:", "    continue"]
        inner._loop(inner, steps[place + 1 :], text, body)
        self.lines.append(f"for {element.name} in {_or_empty(found)}:")
        self.lines += indented(inner.lines or ["pass"])

    def walk(self, steps: tuple[Step, ...], text: str) -> Found:
        """What single steps lead to; `text` is the path that they are of. Raises Mismatch."""
        for place, step in enumerate(steps):
            before = self._known[steps[:place]]
            self._step(steps[: place + 1], before, step, text)
        return self._known[steps]

    def _step(self, key: Key, before: Found, step: Step, text: str) -> None:
        match step:
            case Named(name):
                self.once(key, lambda made: self._named(made, before, name, text))
            case At(place):
                self.once(key, lambda made: self._at(made, before, place, text))
            case First(name, value):
                self._first(key, before, name, value, text)
            case All():
                raise Mismatch(text, "leads to many values where one is wanted")

    def _named(self, made: str, before: Found, name: str, text: str) -> tuple[list[str], Kinds]:
        kinds, x = self._reach.field(before.kinds, name, text), before.name
        records = before.kinds.records
        if not records:
            return [f"{made} = None if {x} is None else {x}.get({name!r})"], kinds
        taken = f"{x}[{self._reach.place(before.kinds, name)}]"
        if len(records) < len(before.kinds.branches):
            return [f"{made} = {taken} if {x}.__class__ is tuple else None"], kinds
        if before.kinds.is_nullable:
            return [f"{made} = None if {x} is None else {taken}"], kinds
        return [f"{made} = {taken}"], kinds

    def _at(self, made: str, before: Found, place: int, text: str) -> tuple[list[str], Kinds]:
        kinds, x = self._reach.items(before.kinds, text), before.name
        least = place + 1 if place >= 0 else -place
        there = (
            f"{x} is not None and len({x}) >= {least}" if before.kinds.is_nullable else f"len({x}) >= {least}"
        )
        return [f"{made} = {x}[{place}] if {there} else None"], kinds.of_null

    def _first(self, key: Key, before: Found, name: str, value: str, text: str) -> None:
        items = self._reach.items(before.kinds, text)
        field = self._reach.field(Kinds(items.branches), name, text)

        def index(made: str) -> tuple[list[str], Kinds]:
            place = self._reach.place(items, name)
            known = " if e is not None" if items.is_nullable else ""
            return [f"{made} = {{e[{place}]: e for e in reversed({_or_empty(before)}){known}}}"], items

        by = self.once((*key[:-1], f"by {name}"), index)
        literal = _literal(field, value, text)
        self.once(key, lambda made: ([f"{made} = {by.name}.get({literal})"], Kinds(items.branches).of_null))


def indented(lines: Iterable[str]) -> list[str]:
    """The lines, one level deeper."""
    return [f"    {line}" for line in lines]


def _or_empty(found: Found) -> str:
    return f"({found.name} or ())" if found.kinds.is_nullable else found.name


def _literal(kinds: Kinds, value: str, text: str) -> str:
    """A value to compare with, as the field has it."""
    names = {kind_of(branch) for branch in kinds.branches}
    if names <= {"string", "enum"} and names:
        return repr(value)
    if names <= {"int", "long"} and names and value.lstrip("-").isdigit():
        return repr(int(value))
    raise Mismatch(text, f"compares {value!r} with {kinds}")
