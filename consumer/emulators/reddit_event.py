"""What Reddit demands of one element of `data.events`, read from its raw JSON.

Rules: ads-api.reddit.com/docs/v3 (Conversions API: direct integration, migration from v2), the help pages about event
metadata and advanced matching. Reddit would take an e-mail or a phone number raw, and an amount that no currency has;
here they are refused, since no sender of the shop's may tell either.
"""

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from consumer.emulators.contract import Event, Key, Means
from consumer.emulators.demands import (
    ADDRESS,
    COUNTRY_UPPER,
    Finding,
    Listed,
    Shape,
    among,
    amount,
    count,
    currency_upper,
    findings,
    form,
    hashed,
    ip,
    money,
    none_or_more,
    read,
    text,
    text_up_to,
    whole,
)

MEANS: dict[tuple[str, str], Means] = {
    ("PURCHASE", ""): "purchase",
    ("CUSTOM", "InitiateCheckout"): "begin_checkout",
    ("CUSTOM", "AddPaymentInfo"): "add_payment_info",
}
DAY_MS = 86_400_000
AGE_MAX_MS = 7 * DAY_MS
FUTURE_MAX_MS = 5 * 60_000
DEDUPE_WINDOW_MS = 2 * DAY_MS
SESSION_MS = 5 * 60_000
NAME_MAX = 64
COUNTED = frozenset({"PURCHASE", "ADD_TO_CART", "ADD_TO_WISHLIST", "CUSTOM"})
VALUED = COUNTED | {"LEAD", "SIGN_UP"}
TYPES = VALUED | {"PAGE_VISIT", "VIEW_CONTENT", "SEARCH"}
SOURCES = ("WEBSITE", "APP", "PHYSICAL_STORE", "OTHER")
SIGNALS = frozenset({"email", "phone_number", "external_id", "uuid", "idfa", "aaid"})
BROWSER = frozenset({"ip_address", "user_agent"})
UUID = re.compile(
    r"([0-9]{10,13}\.)?[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
    re.IGNORECASE,
)
REGION = re.compile(r"([A-Z]{2}-)?[A-Z0-9]{1,3}")
SCREEN_MAX = 32768


class Problem(Struct, frozen=True):
    """What is wrong with an event, and where below it; `why` holds no customer's data.

    If `malformed`, it is no event at all: Reddit reads none of its batch then, and names no event.
    """

    at: str
    why: str
    malformed: bool = False


def check_event(raw: bytes, now_ms: int) -> Event | list[Problem]:
    """One event as Reddit would take it, or all that is wrong with it."""
    told = read(raw)
    problems = [_problem(found) for found in findings(told, EVENT)]
    if not isinstance(told, dict) or problems:
        return problems
    return list(_rules(told, now_ms)) or read_event(_typed(told), _part(told, "metadata"), told, raw)


def read_event(
    of: tuple[str, str], metadata: Mapping[str, object], told: Mapping[str, object], raw: bytes
) -> Event:
    """An event that is right: its id, its money, and by what it is known again within its channel."""
    value, code = money(metadata.get("value"), metadata.get("currency"))
    own = str(metadata.get("conversion_id", ""))
    name = "\n".join((str(told.get("action_source", SOURCES[0])), *of))
    user = _part(told, "user")
    visitors = {key: user[key] for key in ("uuid", "external_id") if key in user}
    keys = (
        (Key(f"{name}\n{own}", DEDUPE_WINDOW_MS),)
        if own
        else tuple(Key(f"{name}\n{key}\n{visitor}", SESSION_MS) for key, visitor in visitors.items())
    )
    return Event(of[1] or of[0], own, MEANS.get(of, "other"), raw, value, code, keys)


def _typed(told: Mapping[str, object]) -> tuple[str, str]:
    type_ = _part(told, "type")
    return str(type_["tracking_type"]), str(type_.get("custom_event_name", ""))


def _part(told: Mapping[str, object], key: str) -> Mapping[str, object]:
    part = told.get(key)
    return part if isinstance(part, dict) else {}


def _problem(found: Finding) -> Problem:
    """Reddit reads no JSON with a field that it doesn't know, and tells no more than the field's name."""
    if found.kind == "unknown":
        return Problem("", f'JSON error "unknown field" on field "{found.path[-1]}"', malformed=True)
    return Problem(found.dotted, found.why, malformed=not found.path)


def _rules(told: Mapping[str, object], now_ms: int) -> Iterator[Problem]:
    name, own_name = _typed(told)
    if (name == "CUSTOM") != bool(own_name):
        yield Problem("type.custom_event_name", "CUSTOM events have one, and no others")
    if told["action_source"] != "WEBSITE" and "event_source_url" in told:
        yield Problem("event_source_url", "is for the action source WEBSITE only")
    yield from _time(told["event_at"], now_ms)
    yield from _metadata(name, _part(told, "metadata"))
    user = _part(told, "user")
    if "click_id" not in told and SIGNALS.isdisjoint(user) and not user.keys() >= BROWSER:
        yield Problem("user", "at least one attribution signal is required")
    limited = _part(user, "data_processing_options")
    land, dash, _ = str(limited.get("region", "")).partition("-")
    if dash and land != limited["country"]:
        yield Problem("user.data_processing_options.region", "is of another country")


def _time(event_at: object, now_ms: int) -> Iterator[Problem]:
    if not isinstance(event_at, int):
        return
    if event_at > now_ms + FUTURE_MAX_MS:
        yield Problem("event_at", "event_at timestamp must not be in the future")
    if now_ms - event_at > AGE_MAX_MS:
        yield Problem("event_at", "event_at timestamp must be less than 168h0m0s old")


def _metadata(name: str, metadata: Mapping[str, object]) -> Iterator[Problem]:
    if name not in COUNTED and "item_count" in metadata:
        yield Problem("metadata.item_count", f"is not for {name}")
    amount_keys = metadata.keys() & {"value", "currency"}
    if not amount_keys:
        return
    if name not in VALUED:
        yield Problem("metadata.value", f"is not for {name}")
    if len(amount_keys) == 1:
        yield Problem("metadata", "value and currency belong together")
    elif money(metadata["value"], metadata["currency"])[0] is None:
        yield Problem("metadata.value", "is no whole number of minor units")


def _side(value: object) -> bool:
    return none_or_more(value) and isinstance(value, int) and value < SCREEN_MAX


TYPE = Shape(
    {"tracking_type": among(*TYPES), "custom_event_name": text_up_to(NAME_MAX)}, demanded=("tracking_type",)
)
PRODUCT = Shape(
    {
        **dict.fromkeys(("id", "name", "category"), text),
        "quantity": count,
        "item_price": amount,
    },
    demanded=("id", "category"),
)
METADATA = Shape(
    {
        "conversion_id": text,
        "currency": currency_upper,
        "value": amount,
        "item_count": none_or_more,
        "products": Listed(PRODUCT),
    }
)
USER = Shape(
    {
        **dict.fromkeys(("email", "phone_number", "idfa", "aaid"), hashed),
        **dict.fromkeys(("external_id", "user_agent"), text),
        "ip_address": lambda value: ip(value) or hashed(value),
        "uuid": form(UUID),
        "screen_dimensions": Shape({"width": _side, "height": _side}, demanded=("width", "height")),
        "data_processing_options": Shape(
            {"modes": among(["LDU"]), "country": form(COUNTRY_UPPER), "region": form(REGION)},
            demanded=("modes", "country"),
        ),
    }
)
EVENT = Shape(
    {
        "event_at": whole,
        "action_source": among(*SOURCES),
        "type": TYPE,
        "click_id": text,
        "event_source_url": form(ADDRESS),
        "metadata": METADATA,
        "user": USER,
    },
    demanded=("event_at", "action_source", "type"),
)
