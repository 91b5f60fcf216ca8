"""Avro writers, compiled: a schema makes one function of a thing that has its fields as attributes.

For the schemas of what we write ourselves: records, arrays, maps, enums, strings, booleans and whole numbers, no
unions. A record is put together as a text whose characters stand for bytes (Latin-1), which ASCII, the common case,
already is: that takes half the time of a library that is given a dict.

Source: Apache Avro specification 1.12, "Binary Encoding".
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

Schema: TypeAlias = Any
"""A schema as JSON gives it, its names in full."""
Writer: TypeAlias = Callable[[object], bytes]
"""A thing to its bytes. Raises one of `MISFITS` for a thing that isn't of the schema."""
Group: TypeAlias = Sequence[str]
"""Names of fields that stand side by side and whose values, taken together, are few: their text is kept."""

MISFITS = (TypeError, ValueError, AttributeError, LookupError)
_SHORT = 1024
_TWO_BYTES = 1 << 14
_FOUR_BYTES = 1 << 27
_BITS = {"int": 31, "long": 63}
_KEPT_MAX = 4_096


class Unwritable(Exception):
    """The schema has a type that no writer is made for."""


def compile_writer(schema: Schema, recurring: Iterable[Group] = ()) -> Writer:
    """The writer of a record. Raises Unwritable."""
    return _Source().compiled(schema, recurring)


_LAST = [chr(number) for number in range(128)]
_MORE = [chr(number | 128) for number in range(128)]
_PAIRS = [low + high for high in _MORE for low in _MORE]
"""Two bytes of a number that goes on."""
_ENDS = [*_LAST, *(low + high for high in _LAST[1:] for low in _MORE)]
"""What ends a number: one byte or two."""


def _varint(number: int) -> str:
    """Seven bits a byte, the least first; here two bytes at once."""
    text = ""
    while number >= _TWO_BYTES:
        text += _PAIRS[number & 16_383]
        number >>= 14
    return text + _ENDS[number]


class _Lengths(dict[int, str]):
    """Lengths and counts as text; the short ones are kept."""

    def __missing__(self, length: int) -> str:
        return _varint(2 * length)


_LENGTHS = _Lengths((length, _varint(2 * length)) for length in range(_SHORT))


def _number(bits: int) -> Callable[[int], str]:
    """Whole numbers of so many bits and a sign, as text. Most are positive and have four bytes at most."""
    most = 1 << bits
    pairs, ends = _PAIRS, _ENDS

    def text_of(number: int) -> str:
        if 0 <= number < _FOUR_BYTES:
            number <<= 1
            return ends[number] if number < _TWO_BYTES else pairs[number & 16_383] + ends[number >> 14]
        if not -most <= number < most:
            raise ValueError("more bits than the type has")
        return _varint((number << 1) ^ (number >> bits))

    return text_of


def _wide(text: str) -> str:
    """A string that isn't ASCII, its bytes as characters."""
    return text.encode().decode("latin-1")


def _block(texts: list[str]) -> str:
    """An array or a map: one block of all elements, then the empty one that ends it."""
    return f"{_LENGTHS[len(texts)]}{''.join(texts)}\0" if texts else "\0"


class _Kept(dict[tuple[object, ...], str]):
    """The texts of a group's values. Values that are too many throw all away now and then."""

    def __init__(self, write: Callable[..., str]) -> None:
        super().__init__()
        self._write = write

    def __missing__(self, values: tuple[object, ...]) -> str:
        text = self._write(*values)
        if len(self) >= _KEPT_MAX:
            self.clear()
        self[values] = text
        return text


_SCOPE: Mapping[str, Any] = {
    "lengths": _LENGTHS,
    "wide": _wide,
    "block": _block,
    "Kept": _Kept,
    "boolean": {False: "\0", True: "\1"}.__getitem__,
    **{kind: _number(bits) for kind, bits in _BITS.items()},
}


class _Source:
    """Python source of writers: a function for each record, of a thing to its text.

    Names out of a schema stand in it only as attributes, and only if they are identifiers.
    """

    def __init__(self) -> None:
        self._named: dict[str, str] = {}
        self._functions: list[str] = []
        self._scope: dict[str, Any] = dict(_SCOPE)

    def compiled(self, schema: Schema, recurring: Iterable[Group]) -> Writer:
        """The function itself, made to give bytes."""
        groups = {field: group for group in recurring for field in group}
        text = self._record(schema, groups).format("thing")
        self._functions.append(f"def write(thing): return {text}.encode('latin-1')")
        exec("\n".join(self._functions), self._scope)  # noqa: S102 - as dataclasses does; see the class
        writer: Writer = self._scope["write"]
        return writer

    def _record(self, schema: Schema, groups: Mapping[str, Group]) -> str:
        """How the text of a record is made, with a place for it; defined once."""
        name = f"record_{len(self._named)}"
        made = self._named[schema["name"]] = f"{name}({{}})"
        fields = {_attribute(field): field["type"] for field in schema["fields"]}
        lines: list[str] = []
        texts: list[str] = []
        for number, (field, kind) in enumerate(fields.items()):
            group = groups.get(field)
            if group is None:
                before, text = self._value(kind, f"v{number}")
                lines += [f"v{number} = thing.{field}", *before]
                texts.append(text)
            elif field == group[0]:
                texts.append(self._kept(group, list(fields.items())[number : number + len(group)]))
        self._functions.append(_function(name, "thing", lines, texts))
        return made

    def _kept(self, group: Group, fields: Sequence[tuple[str, Schema]]) -> str:
        """The text of fields side by side, made once for the same values."""
        if [field for field, _ in fields] != list(group):
            message = f"{', '.join(group)} do not stand side by side"
            raise ValueError(message)
        made = [self._value(kind, f"v{number}") for number, (_, kind) in enumerate(fields)]
        name, values = f"kept_{len(self._functions)}", ", ".join(f"v{number}" for number in range(len(made)))
        lines = [line for before, _ in made for line in before]
        self._functions.append(_function(name, values, lines, [text for _, text in made]))
        self._functions.append(f"{name} = Kept({name})")
        return f"{name}[{''.join(f'thing.{field}, ' for field in group)}]"

    def _value(self, schema: Schema, value: str) -> tuple[list[str], str]:
        """Lines, and then an expression for the text of the value that stands in a variable."""
        kind = schema["type"] if isinstance(schema, dict) else schema
        if isinstance(kind, str) and kind in self._named:
            return [], self._named[kind].format(value)
        match kind:
            case "string":
                return [_checked(value)], f"lengths[len({value})] + {value}"
            case "boolean" | "int" | "long":
                return [], f"{kind}({value})"
            case "array":
                lines, text = self._value(schema["items"], f"{value}_")
                return _loop(value, f"{value}_ in {value}", lines, text)
            case "map":
                key = f"{value}_key"
                lines, text = self._value(schema["values"], f"{value}_")
                text = f"lengths[len({key})] + {key} + {text}"
                return _loop(value, f"{key}, {value}_ in {value}.items()", [_checked(key), *lines], text)
            case "enum" | "record":
                text = self._enum(schema) if kind == "enum" else self._record(schema, {})
                return [], text.format(value)
        raise Unwritable(f"no writer is made for {kind}")

    def _enum(self, schema: Schema) -> str:
        """How the text of a symbol is made, with a place for it; defined once."""
        name = f"enum_{len(self._named)}"
        made = self._named[schema["name"]] = f"{name}[{{}}]"
        self._scope[name] = {symbol: _LENGTHS[number] for number, symbol in enumerate(schema["symbols"])}
        return made


def _attribute(field: Mapping[str, Any]) -> str:
    if not field["name"].isidentifier():
        raise Unwritable(f"{field['name']} can't be an attribute")
    return str(field["name"])


def _function(name: str, arguments: str, lines: Iterable[str], texts: Iterable[str]) -> str:
    made = [*lines, f"return ''.join(({''.join(f'{text}, ' for text in texts)}))"]
    return "\n    ".join([f"def {name}({arguments}):", *made])


def _checked(value: str) -> str:
    return f"if not {value}.isascii(): {value} = wide({value})"


def _loop(value: str, over: str, lines: Iterable[str], text: str) -> tuple[list[str], str]:
    """As one value, what has elements."""
    texts = f"{value}_texts"
    each = [f"    {line}" for line in (*lines, f"{texts}.append({text})")]
    return [f"{texts} = []", f"for {over}:", *each], f"block({texts})"
