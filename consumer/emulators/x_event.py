"""What X demands of one element of `conversions`, read from its raw JSON.

Rules: docs.x.com/x-ads-api/measurement/web-conversions and developer.x.com's reference of POST measurement/conversions.
X tells no age beyond which an event is refused; a partner's seven days are kept to here. Fields that its pages don't
have are refused, and so are amounts without a decimal point, as X was seen to do.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal

from msgspec import Struct

from consumer.emulators.contract import Event, Key, Means
from consumer.emulators.demands import (
    Finding,
    Listed,
    Shape,
    count,
    currency_upper,
    findings,
    form,
    hashed,
    ip,
    money,
    read,
    text,
)

MEANS: dict[str, Means] = {
    "purchase": "purchase",
    "begin_checkout": "begin_checkout",
    "add_payment_info": "add_payment_info",
}
DAY_MS = 86_400_000
AGE_MAX_MS = 7 * DAY_MS
FUTURE_MAX_MS = 60_000
DEDUPE_WINDOW_MS = 2 * DAY_MS
"""X tells no window."""

TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{3})?Z")
TAG = re.compile(r"(tw-[0-9a-z]+-)?[0-9a-z]+")
MACHINE = frozenset({"ip_address", "user_agent"})
KINDS = ({"twclid"}, {"hashed_email"}, {"hashed_phone_number"}, {"ip_address"}, {"user_agent"}, MACHINE)
"""What one object of identifiers may hold."""


class Tags(Struct, frozen=True):
    """A pixel and the events that were made for it: our event name to its tag."""

    pixel: str
    tags: Mapping[str, str]

    def named(self, tag: object) -> str:
        """Our name of the event that a tag stands for, be it written in full or in short; empty if there is none."""
        short = self._short(str(tag))
        return next((name for name, each in self.tags.items() if self._short(each) == short), "")

    def _short(self, tag: str) -> str:
        return tag.removeprefix(f"tw-{self.pixel}-")


class Problem(Struct, frozen=True):
    """What is wrong. `parameter` is the field's own name; `why` holds no customer's data."""

    parameter: str
    why: str
    code: str = "INVALID_PARAMETER"


def check_event(raw: bytes, tags: Tags, now_ms: int) -> Event | list[Problem]:
    """One event as X would take it, or all that is wrong with it."""
    try:
        event = read(raw)
    except UnicodeDecodeError:
        event = None
    if not isinstance(event, dict):
        return [Problem("conversions", "Expected a list of objects in UTF-8")]
    return list(_problems(event, tags, now_ms)) or read_event(
        tags.named(event["event_id"]), event.get("conversion_id"), event, raw
    )


def read_event(name: str, conversion_id: object, told: Mapping[str, object], raw: bytes) -> Event:
    """An event that is right: its ids and its money."""
    own = str(conversion_id or "")
    keys = (Key(f"{name}\n{own}", DEDUPE_WINDOW_MS),) if own else ()
    value, code = money(told.get("value"), told.get("price_currency"))
    return Event(name, own, MEANS.get(name, "other"), raw, value, code, keys)


def _problems(event: Mapping[str, object], tags: Tags, now_ms: int) -> Iterator[Problem]:
    yield from map(_said, findings(event, EVENT))
    yield from _tag(event.get("event_id"), tags)
    yield from _time(event.get("conversion_time"), now_ms)
    yield from _identifiers(event.get("identifiers"))
    yield from _money(event)


def _said(found: Finding) -> Problem:
    """X names a parameter without its path."""
    parameter = next((step for step in reversed(found.path) if isinstance(step, str)), "conversions")
    if parameter in {"hashed_email", "hashed_phone_number"}:
        return Problem(parameter, f"{parameter.capitalize()} is not a valid SHA-256 hash")
    if found.kind == "missing" and parameter in SAID_OF_MISSING:
        return Problem(parameter, SAID_OF_MISSING[parameter])
    code = "MISSING_PARAMETER" if found.kind == "missing" else "INVALID_PARAMETER"
    return Problem(parameter, f"{parameter}: {found.why}", code)


def _tag(tag: object, tags: Tags) -> Iterator[Problem]:
    if isinstance(tag, str) and TAG.fullmatch(tag) and not tags.named(tag):
        yield Problem("event_id", f"Event_id ({tag[:40]}) is not a single event tag (SET)")


def _time(told: object, now_ms: int) -> Iterator[Problem]:
    if not isinstance(told, str) or not TIME.fullmatch(told):
        return
    try:
        at_ms = datetime.fromisoformat(told).timestamp() * 1000
    except ValueError:
        yield Problem("conversion_time", "Expected a time of the calendar for conversion_time")
        return
    if at_ms > now_ms + FUTURE_MAX_MS:
        yield Problem("conversion_time", "conversion_time lies in the future")
    if now_ms - at_ms > AGE_MAX_MS:
        yield Problem("conversion_time", "conversion_time is too long ago")


def _identifiers(told: object) -> Iterator[Problem]:
    if not isinstance(told, list):
        return
    objects = [each for each in told if isinstance(each, dict)]
    if any(each.keys() not in KINDS for each in objects):
        yield Problem("identifiers", "Each object of identifiers has one kind of identifier")
    kinds = {key for each in objects for key in each}
    if not kinds:
        yield Problem("identifiers", SAID_OF_MISSING["identifiers"])
    elif len(kinds) == 1 and kinds <= MACHINE:
        yield Problem("identifiers", f"{min(kinds)} needs a second identifier")


def _money(event: Mapping[str, object]) -> Iterator[Problem]:
    value, code = event.get("value"), event.get("price_currency")
    if value is not None and code is None:
        yield Problem("price_currency", "without price_currency the value counts as USD", "MISSING_PARAMETER")
    # X would take it; but no amount of the shop's has part of a minor unit, so the sender has computed wrongly.
    if _decimal(value) and currency_upper(code) and money(value, code)[0] is None:
        yield Problem("value", "value is no whole number of minor units")


def _decimal(value: object) -> bool:
    """A number that is not negative, written with a decimal point and without an exponent of ten above it."""
    if not isinstance(value, Decimal) or value < 0:
        return False
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and exponent < 0


def _trimmed(value: object) -> bool:
    return isinstance(value, str) and bool(value) and value == value.strip()


SAID_OF_MISSING = {
    "identifiers": "At least one user identifier must be provided",
    "event_id": "Event ID was not found",
}
IDENTIFIER = Shape(
    {
        **dict.fromkeys(("twclid", "user_agent"), _trimmed),
        **dict.fromkeys(("hashed_email", "hashed_phone_number"), hashed),
        "ip_address": ip,
    }
)
CONTENT = Shape(
    {
        **dict.fromkeys(("content_id", "content_group_id", "content_name", "content_type"), text),
        "content_price": _decimal,
        "num_items": count,
    }
)
EVENT = Shape(
    {
        **dict.fromkeys(("conversion_id", "description", "search_string"), text),
        "conversion_time": form(TIME),
        "event_id": form(TAG),
        "identifiers": Listed(IDENTIFIER, least=0),
        "value": _decimal,
        "price_currency": currency_upper,
        "number_items": count,
        "contents": Listed(CONTENT, least=0),
    },
    demanded=("conversion_time", "event_id", "identifiers"),
)
