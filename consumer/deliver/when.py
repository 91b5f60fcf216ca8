"""A destination's condition: which conversions it is meant for, in CEL (https://cel.dev).

`currency in ["EUR"] && country != "CH"`, `shop == "de"`, `value > 10.0`: comparisons of what a conversion tells, joined
by `&&`, `||`, `!` and `?:`. Nothing of it points to a person.

What a condition can't decide for every conversion is refused when the settings are read. CEL itself looks no further
than it must: `order_only && value > "x"` fails first when an order comes without its checkout. So the text is taken
apart at `&&`, `||` and `?:`, and each part must decide every example alone. A part knows no arithmetic, no conversion
of types, no index and no loop, so that only the kinds of its operands, which are the same in all conversions, and a
pattern that isn't one can make it fail.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import TypeAlias

import cel
from msgspec.structs import replace

from consumer.model import Conversion, EventName
from consumer.money import major

LENGTH_MAX_CHARACTERS = 2_000
Value: TypeAlias = str | float | bool

VARIABLES: Mapping[str, Callable[[Conversion], Value]] = {
    "event": lambda conversion: conversion.event_name,
    "currency": lambda conversion: conversion.currency,
    "country": lambda conversion: conversion.country,
    "region": lambda conversion: conversion.region,
    "shop": lambda conversion: conversion.shop,
    "value": lambda conversion: major(conversion.value_minor, conversion.currency),
    "order_only": lambda conversion: conversion.order_only,
    "sale_opt_out": lambda conversion: conversion.sale_opt_out,
    "consent_region": lambda conversion: conversion.consent_region,
}
FUNCTIONS = frozenset({"startsWith", "endsWith", "contains", "matches", "size"})
_OPERATORS = frozenset(
    {"_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "@in", "_&&_", "_||_", "!_", "_?_:_", "-_"}
)
_MACROS = {"@not_strictly_false": "all and exists"}

_PURCHASE = Conversion("purchase:1", "purchase", 0, "EUR", 1999, 0, shop="de", country="DE", region="BY")
_EXAMPLES: tuple[Mapping[str, Value], ...] = tuple(
    {name: read(conversion) for name, read in VARIABLES.items()}
    for conversion in (replace(_PURCHASE, event_name=event.value) for event in EventName)
)
_ODD: Mapping[str, Value] = {
    name: "(" if isinstance(value, str) else value for name, value in _EXAMPLES[0].items()
}
"""No shop is called so. But where such a text is taken for a pattern, it isn't one."""

_HIDDEN = re.compile(
    r"""(?:[rR][bB]?|[bB][rR])(?:\"{3}[\s\S]*?\"{3}|'{3}[\s\S]*?'{3}|"[^"\n]*"|'[^'\n]*')"""
    r"""|[bB]?(?:\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')"""
    r"""|(?P<comment>//[^\n]*)"""
)
_WHERE = re.compile(r"<input>:(\d+):(\d+): (?:Syntax error: )?(.*)")
_HINTS = (
    (re.compile(r"(?<![=!<>])=(?!=)"), "two values are compared with =="),
    (re.compile(r"\b(?:and|or|not)\b"), "conditions are joined by &&, || and !"),
)
_LOGIC = re.compile(r"&&|\|\||\?")
_EQUALITY = re.compile(r"[=!]=")
_MEMBER = re.compile(r"\bin\b")
_FAILED = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)


class WhenError(ValueError):
    """A condition that was accepted couldn't be decided: a fault of ours, and the conversion must not pass silently."""


class When:
    """A condition, compiled. Raises ValueError, with a sentence that says what to write, if it isn't one.

    Threads may share it; no regular expression that CEL takes can run away, since they are searched in linear time.
    """

    def __init__(self, text: str) -> None:
        if len(text) > LENGTH_MAX_CHARACTERS:
            raise ValueError(
                f"a condition has {LENGTH_MAX_CHARACTERS} characters at most, this one {len(text)}"
            )
        self.text = text
        self._program = _compiled(text)
        masked = _masked(text)
        _refuse_functions(self._program, masked)
        names = self._program.variables()
        for name in names:
            _refuse_unknown(name, masked)
        for start, end in _parts(masked, 0, len(text)):
            _Part(text[start:end], masked[start:end]).check()
        self._reads = [(name, VARIABLES[name]) for name in names]

    def __repr__(self) -> str:
        return f"<When: {self.text}>"

    def holds(self, conversion: Conversion) -> bool:
        """Whether the conversion is meant. Raises WhenError where it can't be told."""
        try:
            held = self._program.execute({name: read(conversion) for name, read in self._reads})
        except _FAILED as error:
            raise WhenError(f"the condition {self.text!r} can't be decided: {_first_line(error)}") from None
        return held is True


class _Part:
    """What is true or false by itself: the text between `&&`, `||` and `?:`."""

    def __init__(self, text: str, masked: str) -> None:
        self.text, self._masked = text, masked

    def check(self) -> None:
        """Raise ValueError unless it is true or false for every conversion."""
        if _LOGIC.search(self._masked):
            raise ValueError(
                f"{self.text!r} compares what is joined by &&, || or ?: — write it without comparing"
            )
        for example in (*_EXAMPLES, _ODD):
            if type(self._tried(self.text, example)) is not bool:
                raise ValueError(f"{self.text!r} is neither true nor false: compare it with something")
        for text in self._ordered():
            self._tried(text, _EXAMPLES[0])

    def _ordered(self) -> Iterator[str]:
        """The same with an order instead of each equality: CEL has none between two kinds, and says so.

        Of things of different kinds it would only say that they are not equal, in whatever conversion.
        """
        yield _swapped(self.text, self._masked)
        found = [at for at in _MEMBER.finditer(self._masked) if _depth(self._masked[: at.start()]) == 0]
        if len(found) == 1:
            sought, among = self.text[: found[0].start()], self.text[found[0].end() :]
            yield f"({among}).map(each, each <= ({sought}))"

    def _tried(self, text: str, example: Mapping[str, Value]) -> object:
        try:
            return cel.compile(text).execute(dict(example))
        except TypeError:
            raise ValueError(
                f"{self.text!r} mixes kinds: text stands in quotes, value is a number, "
                "order_only and sale_opt_out are true or false"
            ) from None
        except _FAILED as error:
            raise ValueError(
                f'{self.text!r} can\'t be decided: write it like shop.startsWith("de"), '
                f"with a regular expression in quotes for matches ({_first_line(error)})"
            ) from None


def _compiled(text: str) -> cel.Program:
    try:
        return cel.compile(text)
    except ValueError as error:
        found, masked = _WHERE.search(str(error)), _masked(text)
        where = f"line {found[1]}, character {found[2]}: {found[3]}" if found else _first_line(error)
        hints = "".join(f"; {hint}" for slip, hint in _HINTS if slip.search(masked))
        raise ValueError(f"no condition in CEL: {where}{hints}") from None


def _refuse_functions(program: cel.Program, masked: str) -> None:
    for name in program.functions():
        if name not in FUNCTIONS | _OPERATORS:
            known = ", ".join(sorted(FUNCTIONS))
            near = _nearest(name, FUNCTIONS)
            raise ValueError(
                f"a condition can't use {_MACROS.get(name, name.strip('_'))}{near}: it has {known} and comparisons"
            )
    if "{" in masked:
        raise ValueError("a condition can't use { }: it compares with text, numbers and [lists] of them")


def _refuse_unknown(name: str, masked: str) -> None:
    if name in VARIABLES:
        return
    near = _nearest(name, VARIABLES)
    listed = any(
        masked[: at.start()].count("[") > masked[: at.start()].count("]")
        for at in re.finditer(rf"\b{re.escape(name)}\b", masked)
    )
    if listed or not near:
        raise ValueError(
            f'{name} is text: put {name} in quotes, "{name}". Known without: {", ".join(VARIABLES)}'
        )
    raise ValueError(f'{name} is unknown{near} If it is text, put it in quotes: "{name}"')


def _nearest(name: str, known: Mapping[str, object] | frozenset[str]) -> str:
    found = get_close_matches(name, known, n=1)
    return f" (did you mean {found[0]}?)" if found else ""


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _masked(text: str) -> str:
    """The text with each literal and comment blotted out, character for character."""
    return _HIDDEN.sub(lambda found: (" " if found["comment"] else "~") * len(found[0]), text)


def _swapped(text: str, masked: str) -> str:
    """The text with `<=` for each `==` and `!=` outside its literals."""
    characters = list(text)
    for found in _EQUALITY.finditer(masked):
        characters[found.start() : found.end()] = "<="
    return "".join(characters)


def _depth(masked: str) -> int:
    return sum(masked.count(left) for left in "([{") - sum(masked.count(right) for right in ")]}")


def _parts(masked: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """From where to where each part goes."""
    start, end = _bare(masked, start, end)
    cuts = _cuts(masked, start, end)
    if not cuts:
        yield start, end
        return
    for left, right in zip(
        [start, *(after for _, after in cuts)], [*(at for at, _ in cuts), end], strict=True
    ):
        yield from _parts(masked, left, right)


def _bare(masked: str, start: int, end: int) -> tuple[int, int]:
    """Without blanks and what encloses it as a whole: brackets, and `!` before these."""
    while start < end and (masked[start].isspace() or masked[end - 1].isspace()):
        start, end = start + masked[start].isspace(), end - masked[end - 1].isspace()
    inner = re.compile(r"[!\s]*\(").match(masked, start, end)
    if inner is None or _closing(masked, inner.end(), end) != end - 1:
        return start, end
    return _bare(masked, inner.end(), end - 1)


def _closing(masked: str, start: int, end: int) -> int:
    depth = 1
    for at in range(start, end):
        depth += (masked[at] in "([{") - (masked[at] in ")]}")
        if depth == 0:
            return at
    return end


def _cuts(masked: str, start: int, end: int) -> list[tuple[int, int]]:
    """Where the operators stand that join its outermost parts."""
    depth, found = 0, []
    for at in range(start, end):
        depth += (masked[at] in "([{") - (masked[at] in ")]}")
        if depth == 0 and masked[at] in "?:":
            found.append((at, at + 1))
        elif depth == 0 and masked[at : at + 2] in {"&&", "||"}:
            found.append((at, at + 2))
    return found
