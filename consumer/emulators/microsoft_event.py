"""What Microsoft demands of one element of `data`, read from its raw JSON.

Rules: learn.microsoft.com/advertising/guides, Conversions API (CAPI) guide. Some fields that can't be read only raise a
warning, and are dropped. Where the guide is silent the stricter reading is refused: a key it doesn't name, a time in
the future, a click id that is no UUID, an event that lost all its identifiers to warnings, and an amount with part of
a minor unit, which no amount of the shop's has.
"""

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from consumer.emulators.contract import Event, Key, Means
from consumer.emulators.demands import (
    ADDRESS,
    Finding,
    Listed,
    Shape,
    among,
    amount,
    an_object,
    count,
    currency,
    each,
    findings,
    form,
    hashed,
    ip,
    money,
    read,
    text,
    whole,
)

EVENTS: dict[str, Means] = {
    "purchase": "purchase",
    "begin_checkout": "begin_checkout",
    "add_payment_info": "add_payment_info",
}
AGE_MAX_S = 7 * 86_400
FUTURE_MAX_S = 60
ALWAYS_MS = 10**15
"""No window is documented within which the tag's event and the server's are known as one."""

IDENTIFYING = ("anonymousId", "externalId", "em", "ph", "msclkid", "idfa", "gaid")
UUID_ANY = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
UUID_V4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)
PAGE_TYPES = ("cart", "category", "home", "other", "product", "purchase", "searchresults")
WARNED = frozenset(
    {("userData", "em"), ("userData", "ph"), ("referrerUrl",), ("customData", "currency")}
    | {("customData", "pageType")}
)
"""Fields that are dropped, with a warning, if they are not of their form."""

CODES = {
    **dict.fromkeys(("em", "ph"), "InvalidSha256"),
    **dict.fromkeys(("eventSourceUrl", "referrerUrl"), "InvalidUrl"),
    **dict.fromkeys(("eventType", "adStorageConsent", "pageType"), "InvalidEnumValue"),
    "eventTime": "InvalidEventTime",
}


class Detail(Struct, frozen=True, rename="camel"):
    """One thing wrong with an event, as Microsoft tells it: with what was in the field, whosever it is."""

    index: int
    property_name: str
    attempted_value: object
    error_message: str
    error_code: str
    is_warning: bool = False


class Checked(Struct, frozen=True):
    """One event as it is kept, None if it is refused, and what was found."""

    event: Event | None
    details: tuple[Detail, ...]


class _Wrong(Struct, frozen=True):
    path: tuple[str | int, ...]
    code: str
    why: str
    is_warning: bool = False


def check_event(raw: bytes, tag: str, place: int, now_ms: int) -> Checked:
    """One event as Microsoft would take it, and all that is wrong with it."""
    told = read(raw)
    if not isinstance(told, dict):
        return Checked(None, (_detail(_Wrong((), "InvalidValue", "must be an object"), told, place),))
    wrong = tuple(_wrong(told, now_ms // 1000))
    details = tuple(_detail(each_, told, place) for each_ in wrong)
    if not all(each_.is_warning for each_ in wrong):
        return Checked(None, details)
    custom = told.get("customData")
    custom = custom if isinstance(custom, dict) else {}
    paid = (custom.get("value"), custom.get("currency"))
    return Checked(read_event(tag, told.get("eventName"), told.get("eventId"), paid, raw), details)


def read_event(tag: str, name: object, event_id: object, paid: tuple[object, object], raw: bytes) -> Event:
    """An event that is right: its name, its id, by which alone it is known again, and its money."""
    called, own = str(name or "pageLoad"), str(event_id or "")
    keys = (Key(f"{tag}\n{called}\n{own}", ALWAYS_MS),) if own and name else ()
    return Event(called, own, EVENTS.get(called, "other"), raw, *money(*paid), keys)


def _wrong(event: Mapping[str, object], now_s: int) -> Iterator[_Wrong]:
    found = [_of(finding) for finding in findings(event, EVENT)]
    yield from found
    if not any(each_.path[:1] == ("eventTime",) for each_ in found):
        yield from _time(event["eventTime"], now_s)
    yield from _user(event.get("userData"), {each_.path for each_ in found})
    if event.get("eventType") == "pageLoad" and "eventSourceUrl" not in event:
        yield _Wrong(("eventSourceUrl",), "Empty", "is demanded of a pageLoad")
    custom = event.get("customData")
    if isinstance(custom, dict):
        yield from _money(event, custom)


def _time(time: object, now_s: int) -> Iterator[_Wrong]:
    if not isinstance(time, int) or not now_s - AGE_MAX_S <= time <= now_s + FUTURE_MAX_S:
        why = "must be a UNIX timestamp in seconds, within the last 7 days"
        yield _Wrong(("eventTime",), "InvalidEventTime", why)


def _user(user: object, wrong: set[tuple[str | int, ...]]) -> Iterator[_Wrong]:
    if isinstance(user, dict) and not any(
        key in user and ("userData", key) not in wrong for key in IDENTIFYING
    ):
        yield _Wrong(("userData",), "Empty", "must have an identifier")


def _money(event: Mapping[str, object], custom: Mapping[str, object]) -> Iterator[_Wrong]:
    if "value" in custom and event.get("eventType") == "pageLoad":
        yield _Wrong(("customData", "value"), "InvalidValue", "is for custom events")
    if money(custom.get("value"), custom.get("currency")) == (None, str(custom.get("currency")).upper()):
        yield _Wrong(("customData", "value"), "InvalidValue", "is no whole number of minor units")


def _of(finding: Finding) -> _Wrong:
    key = str(finding.path[-1]) if finding.path else ""
    codes = {"missing": "Empty", "unknown": "UnknownProperty", "wrong": CODES.get(key, "InvalidValue")}
    warned = finding.path in WARNED and finding.kind == "wrong"
    return _Wrong(finding.path, codes[finding.kind], finding.why, warned)


def _detail(wrong: _Wrong, event: object, place: int) -> Detail:
    dotted = Finding(wrong.path, "wrong", "").dotted
    name = f"data[{place}]" + (f".{dotted}" if dotted else "")
    attempted = event
    for step in wrong.path:
        if isinstance(attempted, dict):
            attempted = attempted.get(step)
        elif isinstance(attempted, list) and isinstance(step, int):
            attempted = attempted[step]
    return Detail(place, name, attempted, wrong.why, wrong.code, wrong.is_warning)


USER = Shape(
    {
        **dict.fromkeys(("anonymousId", "externalId", "idfa", "gaid", "clientUserAgent"), text),
        **dict.fromkeys(("em", "ph"), hashed),
        "msclkid": form(UUID_ANY),
        "clientIpAddress": ip,
    }
)
ITEM = Shape({"id": text, "name": text, "price": amount, "quantity": count})
CUSTOM = Shape(
    {
        **dict.fromkeys(
            ("eventCategory", "eventLabel", "searchTerm", "transactionId", "ecommCategory"), text
        ),
        **dict.fromkeys(("eventValue", "value", "ecommTotalValue"), amount),
        "currency": currency,
        "items": Listed(ITEM),
        "itemIds": each(text),
        "pageType": among(*PAGE_TYPES),
        "hotelData": an_object,
    }
)
EVENT = Shape(
    {
        "eventType": among("pageLoad", "custom"),
        **dict.fromkeys(("eventName", "eventId", "pageTitle", "keywords"), text),
        "eventTime": whole,
        **dict.fromkeys(("eventSourceUrl", "referrerUrl"), form(ADDRESS)),
        "pageLoadId": form(UUID_V4),
        "adStorageConsent": among("G", "D"),
        "userData": USER,
        "customData": CUSTOM,
    },
    demanded=("eventType", "eventTime", "userData"),
)
