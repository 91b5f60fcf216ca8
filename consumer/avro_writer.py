"""Avro writers, compiled: a schema makes one function of a thing that has its fields as attributes.

For the schemas of what we write ourselves: records, arrays, maps, enums, strings, booleans and whole numbers, no
unions. A record is put together as a text whose characters stand for bytes (Latin-1), which ASCII, the common case,
already is: that takes half the time of a library that is given a dict.

Source: Apache Avro specification 1.12, "Binary Encoding".
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

Schema: TypeAlias = Any
"""A schema as JSON gives it, its names in full."""
Writer: TypeAlias = Callable[[object], bytes]
"""A thing to its bytes. Raises one of `MISFITS` for a thing that isn't of the schema."""

MISFITS = (TypeError, ValueError, AttributeError, LookupError)
_LAST_MAX = 127
_SHORT = 1024
_BITS = {"int": 31, "long": 63}


class Unwritable(Exception):
    """The schema has a type that no writer is made for."""


def compile_writer(schema: Schema) -> Writer:
    """The writer of a record. Raises Unwritable."""
    return _Source().compiled(schema)


def _varint(number: int) -> str:
    text = ""
    while number > _LAST_MAX:
        text += chr(number & 127 | 128)
        number >>= 7
    return text + chr(number)


class _Lengths(dict[int, str]):
    """Lengths and counts as text; the short ones are kept."""

    def __missing__(self, length: int) -> str:
        return _varint(2 * length)


_LENGTHS = _Lengths((length, _varint(2 * length)) for length in range(_SHORT))


def _number(bits: int) -> Callable[[int], str]:
    """Whole numbers of so many bits and a sign, as text."""
    near = {number: _varint(2 * number) for number in range(_SHORT)}
    most = 1 << bits

    def text_of(number: int) -> str:
        if (text := near.get(number)) is not None:
            return text
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


_SCOPE: Mapping[str, Any] = {
    "lengths": _LENGTHS,
    "wide": _wide,
    "block": _block,
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

    def compiled(self, schema: Schema) -> Writer:
        """The function itself, made to give bytes."""
        text = self._value(schema, "thing")[1]
        self._functions.append(f"def write(thing): return {text}.encode('latin-1')")
        exec("\n".join(self._functions), self._scope)  # noqa: S102 - as dataclasses does; see the class
        writer: Writer = self._scope["write"]
        return writer

    def _define(self, schema: Schema, name: str) -> None:
        lines: list[str] = []
        texts: list[str] = []
        for number, field in enumerate(schema["fields"]):
            if not field["name"].isidentifier():
                raise Unwritable(f"{field['name']} can't be an attribute")
            before, text = self._value(field["type"], f"v{number}")
            lines += [f"v{number} = thing.{field['name']}", *before]
            texts.append(text)
        made = [*lines, f"return ''.join(({''.join(f'{text}, ' for text in texts)}))"]
        self._functions.append("\n    ".join([f"def {name}(thing):", *made]))

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
                return [], self._name(schema, kind).format(value)
        raise Unwritable(f"no writer is made for {kind}")

    def _name(self, schema: Schema, kind: str) -> str:
        """How the text of a named type is made, with a place for the value; defined once."""
        name = f"{kind}_{len(self._named)}"
        if kind == "enum":
            made = self._named[schema["name"]] = f"{name}[{{}}]"
            self._scope[name] = {symbol: _LENGTHS[number] for number, symbol in enumerate(schema["symbols"])}
        else:
            made = self._named[schema["name"]] = f"{name}({{}})"
            self._define(schema, name)
        return made


def _checked(value: str) -> str:
    return f"if not {value}.isascii(): {value} = wide({value})"


def _loop(value: str, over: str, lines: Iterable[str], text: str) -> tuple[list[str], str]:
    """As one value, what has elements."""
    texts = f"{value}_texts"
    each = [f"    {line}" for line in (*lines, f"{texts}.append({text})")]
    return [f"{texts} = []", f"for {over}:", *each], f"block({texts})"
