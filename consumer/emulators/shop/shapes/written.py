"""How the shapes write what all of them tell: ids, money, times, and the reference fields that they are made of."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode
from zlib import crc32

from consumer.emulators.shop.records import Fields
from consumer.emulators.shop.visit import EXPONENTS

STEPS = ("STARTED", "CONTACT", "SHIPPING", "PAYMENT", "COMPLETED")
LANDING = {
    "fbclid": "fbclid",
    "gclid": "gclid",
    "gbraid": "gbraid",
    "wbraid": "wbraid",
    "ttclid": "ttclid",
    "sc_click_id": "ScCid",
    "rdt_cid": "rdt_cid",
    "twclid": "twclid",
    "msclkid": "msclkid",
}
"""Fields of the browser that come with the landing address, to their parameters."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def text(of: Fields, name: str) -> str:
    """A field that is text, empty if it is left out."""
    return str(of.get(name, ""))


def number(of: Fields, name: str) -> int:
    """A field that is a number, 0 if it is left out."""
    value = of.get(name, 0)
    return value if isinstance(value, int) else 0


def group(of: Fields, name: str) -> Fields:
    """A record within, empty if it is left out."""
    value = of.get(name, {})
    return value if isinstance(value, dict) else {}


def rows(of: Fields, name: str) -> list[Fields]:
    """Records within, none if they are left out."""
    value = of.get(name, [])
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list | tuple) else []


def digits(currency: str) -> int:
    """Minor digits of a currency; a shop that has lost its currency still writes two."""
    return EXPONENTS.get(currency, 2)


def decimal(minor: int, currency: str) -> str:
    """Minor units as a decimal number with a point.

    >>> decimal(1999, "EUR"), decimal(-5, "EUR"), decimal(700, "JPY")
    ('19.99', '-0.05', '700')
    """
    places = digits(currency)
    whole = str(abs(minor)).rjust(places + 1, "0")
    told = f"{whole[:-places]}.{whole[-places:]}" if places else whole
    return f"-{told}" if minor < 0 else told


def iso(at_ms: int) -> str:
    """ISO 8601, UTC; empty for 0. Years of six digits have a sign, as the standard has it.

    >>> iso(1795737600250)
    '2026-11-27T00:00:00.250Z'
    """
    if not at_ms:
        return ""
    try:
        at = _EPOCH + timedelta(milliseconds=at_ms)
    except OverflowError:
        return "+318857-05-20T17:46:40.000Z"
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def local_iso(at_ms: int) -> str:
    """The same without its zone, as some write UTC."""
    return iso(at_ms).removesuffix("Z")


def long_id(told: str) -> int:
    """A number for an id that is text here."""
    return 10**12 + crc32(told.encode())


def landing(browser: Fields) -> str:
    """The query of the address where the visit began; empty if it had none."""
    told = {parameter: value for name, parameter in LANDING.items() if (value := text(browser, name))}
    return f"?{urlencode(told)}" if told else ""


def reached(step: str, least: str) -> bool:
    """Whether a step is that one or a later one."""
    return STEPS.index(step) >= STEPS.index(least)
