"""Money and counts as shops write them, to minor units and whole numbers: exactly, or not at all.

`digits` is how many minor digits the currency has. Each function names the path in what it raises, never the value:
Unmappable with `bad_money`, or the reason given for a count.
"""

import re

from consumer.errors import Unmappable
from consumer.ingest.shape import shape

NOISE = 1e-6
"""Of a minor unit: so far a double may be off by what computers do to sums, and no farther."""
DIGITS_MAX = 18
DOUBLE_MAX_MINOR = 2.0**53

_POWERS: tuple[int, ...] = tuple(10**power for power in range(DIGITS_MAX + 1))
_DECIMAL = re.compile(r"([+-]?)(\d{1,18})(?:\.(\d{0,18}))?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)


def text_minor(text: str, digits: int, path: str) -> int:
    """A decimal number with a point, such as `19.99`.

    >>> text_minor("19.99", 2, "total"), text_minor("-5", 0, "total"), text_minor("1.500", 2, "total")
    (1999, -5, 150)
    """
    if digits and text[-digits - 1 : -digits] == ".":
        plain = text[: -digits - 1] + text[-digits:]
        if plain.isdigit() and plain.isascii() and digits < len(plain) <= DIGITS_MAX:
            return int(plain)
    found = _DECIMAL.fullmatch(text.strip())
    if found is None:
        raise Unmappable("bad_money", f"{path} is not a decimal number with a point ({shape(text)})")
    sign, whole, fraction = found[1], found[2], (found[3] or "").rstrip("0")
    if len(fraction) > digits:
        raise _too_fine(path)
    amount = int(whole + fraction.ljust(digits, "0"))
    return -amount if sign == "-" else amount


def double_minor(amount: float, digits: int, path: str) -> int:
    """A floating-point number of the currency's own unit, free of the noise that such numbers have.

    >>> double_minor(19.99, 2, "total"), double_minor(0.1 + 0.2, 2, "total")
    (1999, 30)
    """
    scaled = _scaled(amount, digits, path)
    minor = round(scaled)
    if abs(scaled - minor) > NOISE:
        raise _too_fine(path)
    return minor


def decimal_minor(unscaled: bytes, scale: int, digits: int, path: str) -> int:
    r"""Avro's decimal: a big-endian two's complement number of 10^-scale.

    >>> decimal_minor(b"\x07\xcf", 2, 2, "total"), decimal_minor(b"\x07\xcf", 2, 3, "total")
    (1999, 19990)
    """
    return rescaled(int.from_bytes(unscaled, "big", signed=True), scale, digits, path)


def rescaled(amount: int, scale: int, digits: int, path: str) -> int:
    """A number of 10^-scale in minor units.

    >>> rescaled(1999, 2, 2, "total"), rescaled(19990, 3, 2, "total"), rescaled(20, 0, 2, "total")
    (1999, 1999, 2000)
    """
    if not 0 <= scale <= DIGITS_MAX:
        raise Unmappable("bad_money", f"{path} has an absurd number of digits")
    if scale <= digits:
        return amount * _POWERS[digits - scale]
    minor, rest = divmod(amount, _POWERS[scale - digits])
    if rest:
        raise _too_fine(path)
    return minor


def rounded_minor(amount: str | float, digits: int, path: str) -> int:
    """A price that was divided, to the nearest minor unit; only where the mapping says `rounded`.

    >>> rounded_minor(6.666666666666667, 2, "price"), rounded_minor("3.3333", 2, "price")
    (667, 333)
    """
    try:
        return round(_scaled(float(amount), digits, path))
    except ValueError:
        raise Unmappable(
            "bad_money", f"{path} is not a decimal number with a point ({shape(amount)})"
        ) from None


def whole_text(text: str, reason: str, path: str) -> int:
    """A whole number written as text.

    >>> whole_text("1999", "bad_money", "total")
    1999
    """
    if _WHOLE.fullmatch(bare := text.strip()) is None:
        raise Unmappable(reason, f"{path} is not a whole number ({shape(text)})")
    return int(bare)


def whole_double(number: float, reason: str, path: str) -> int:
    """A whole number in a floating-point field.

    >>> whole_double(2.0, "bad_quantity", "qty")
    2
    """
    if not number.is_integer():
        raise Unmappable(reason, f"{path} is not a whole number ({shape(number)})")
    return int(number)


def _scaled(amount: float, digits: int, path: str) -> float:
    scaled = amount * 10.0**digits
    if not -DOUBLE_MAX_MINOR < scaled < DOUBLE_MAX_MINOR:
        raise Unmappable("bad_money", f"{path} is no amount, or more than a double can tell exactly")
    return scaled


def _too_fine(path: str) -> Unmappable:
    return Unmappable("bad_money", f"{path} has more decimals than its currency")
