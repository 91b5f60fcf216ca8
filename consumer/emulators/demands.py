"""What platforms demand of an event's JSON: tables of fields, forms of values, and a walk that finds what is wrong.

A platform's file writes its tables as `Shape`s and names each field's form; what no table can say are its own rules.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from ipaddress import ip_address
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from consumer.emulators.currencies import EXPONENTS, minor

Holds: TypeAlias = Callable[[object], bool]
"""Whether a value of JSON is of a form. Numbers with a point or an exponent come as Decimal."""
Path: TypeAlias = tuple[str | int, ...]
"""Keys and places, from the event down."""

HASH = re.compile(r"[0-9a-f]{64}")
ADDRESS = re.compile(r"https?://[^\s/]+\S*")
COUNTRY_UPPER = re.compile(r"[A-Z]{2}")
COUNTRY_LOWER = re.compile(r"[a-z]{2}")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
AMOUNT = re.compile(r"[0-9]{1,13}(\.[0-9]{1,6})?")
KEY_MAX = 40
"""So much of an unknown key is told back."""

_decoder = msgspec.json.Decoder(float_hook=Decimal)


class Shape(Struct, frozen=True):
    """An object: the form of each field, those that must be there, and whether `more` than these may be.

    A field may itself be an object or a list of objects.
    """

    fields: "Mapping[str, Holds | Shape | Listed]"
    demanded: tuple[str, ...] = ()
    more: bool = False


class Listed(Struct, frozen=True):
    """A list of objects."""

    of: Shape
    least: int = 1
    most: int = 100_000


class Finding(Struct, frozen=True):
    """Something wrong. `path` ends with the key in question; `why` holds no customer's data."""

    path: Path
    kind: Literal["missing", "unknown", "wrong"]
    why: str

    @property
    def dotted(self) -> str:
        """The path as most platforms write it: `user_data.em`, `contents[0].id`."""
        parts = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path)
        return "".join(parts).removeprefix(".")


def findings(told: object, shape: Shape, path: Path = ()) -> Iterator[Finding]:
    """What is wrong with an object and all that its shape knows below: keys missing first, then in its own order."""
    if not isinstance(told, dict):
        yield Finding(path, "wrong", "must be an object")
        return
    for key in shape.demanded:
        if key not in told:
            yield Finding((*path, key), "missing", f"the parameter {key} is required")
    for key, value in told.items():
        if key in shape.fields:
            yield from _value(value, shape.fields[key], (*path, key))
        elif not shape.more:
            shown = key[:KEY_MAX]
            yield Finding((*path, shown), "unknown", f"unexpected key {shown!r}")


def _value(value: object, form_: Holds | Shape | Listed, path: Path) -> Iterator[Finding]:
    match form_:
        case Shape():
            yield from findings(value, form_, path)
        case Listed(of, least, most):
            if not isinstance(value, list) or not least <= len(value) <= most:
                yield Finding(path, "wrong", f"must be a list of {least} to {most} objects")
                return
            for place, each_ in enumerate(value):
                yield from findings(each_, of, (*path, place))
        case _:
            if not form_(value):
                yield Finding(path, "wrong", "is not of the form that this parameter has")


def read(raw: bytes) -> object:
    """JSON, with Decimal for what is no whole number. Raises msgspec.DecodeError."""
    return _decoder.decode(raw)


def money(value: object, code: object) -> tuple[int | None, str]:
    """A JSON number in minor units, and its currency; None and "" if either is not right.

    The amount is None alone if it is no whole number of minor units.

    >>> money(Decimal("12.34"), "usd"), money(Decimal("0.305"), "USD"), money("12.34", "USD")
    ((1234, 'USD'), (None, 'USD'), (None, ''))
    """
    if not isinstance(value, int | Decimal) or isinstance(value, bool) or not currency(code):
        return None, ""
    upper = str(code).upper()
    return minor(value, upper), upper


def money_text(value: object, code: object) -> tuple[int | None, str]:
    """The same of an amount that is written as a text.

    >>> money_text("12.34", "USD"), money_text("1,200", "JPY")
    ((1234, 'USD'), (None, ''))
    """
    return money(Decimal(str(value)) if amount_text(value) else None, code)


def text(value: object) -> bool:
    """A text with something in it."""
    return isinstance(value, str) and bool(value.strip())


def text_up_to(characters: int) -> Holds:
    """A text with something in it, of so many characters at most."""
    return lambda value: isinstance(value, str) and bool(value.strip()) and len(value) <= characters


def whole(value: object) -> bool:
    """A whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def none_or_more(value: object) -> bool:
    """A whole number from 0 on."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def count(value: object) -> bool:
    """A whole number from 1 on."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def flag(value: object) -> bool:
    """True or false."""
    return isinstance(value, bool)


def amount(value: object) -> bool:
    """A number that is not negative."""
    return isinstance(value, int | Decimal) and not isinstance(value, bool) and value >= 0


def amount_text(value: object) -> bool:
    """A number that is not negative, as a text with digits and perhaps a point."""
    return isinstance(value, str) and AMOUNT.fullmatch(value) is not None


def currency(value: object) -> bool:
    """A code of ISO 4217, all in upper or all in lower case."""
    return isinstance(value, str) and value in (value.upper(), value.lower()) and value.upper() in EXPONENTS


def currency_upper(value: object) -> bool:
    """A code of ISO 4217 in upper case."""
    return isinstance(value, str) and value in EXPONENTS


def an_object(value: object) -> bool:
    """An object, whatever is in it."""
    return isinstance(value, dict)


def ip(value: object) -> bool:
    """An IP address of version 4 or 6, without a zone."""
    if not isinstance(value, str) or "%" in value:
        return False
    try:
        return bool(ip_address(value))
    except ValueError:
        return False


def form(pattern: re.Pattern[str]) -> Holds:
    """A text that is of a pattern from end to end."""
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def among(*values: object) -> Holds:
    """One of these; 1 is not true."""
    return lambda value: not isinstance(value, bool) and value in values


def each(holds: Holds) -> Holds:
    """A list with something in it, and all of it of a form."""
    return lambda value: isinstance(value, list) and bool(value) and all(map(holds, value))


def one_or_each(holds: Holds) -> Holds:
    """Of a form, or a list of such."""
    several = each(holds)
    return lambda value: holds(value) or several(value)


hashed: Holds = form(HASH)
"""A SHA-256 as 64 digits, in lower case."""
