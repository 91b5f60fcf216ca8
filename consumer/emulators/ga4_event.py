"""What the Measurement Protocol demands of a request's body, read from its raw JSON, and the events in it.

Rules: developers.google.com/analytics/devguides/collection/protocol/ga4 (reference, reference/events, sending-events)
and collection/ga4/uid-data. In its own default mode Analytics takes more than these pages allow, and counts it wrongly
or not at all; here it is found wrong. Only the time of what is too old is overwritten, as Analytics does.
"""

import re
from collections.abc import Iterator, Mapping

import msgspec
from msgspec import Struct

from consumer.emulators.contract import Event, Key, Means
from consumer.emulators.demands import (
    COUNTRY_UPPER,
    Holds,
    Listed,
    Shape,
    among,
    amount,
    an_object,
    count,
    currency,
    each,
    findings,
    flag,
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

MEANS: dict[str, Means] = {
    "purchase": "purchase",
    "refund": "refund",
    "begin_checkout": "begin_checkout",
    "add_payment_info": "add_payment_info",
}
EVENTS_MAX, PARAMS_MAX, ITEMS_MAX, TEXT_MAX, BODY_MAX_BYTES = 25, 25, 200, 100, 130_000
MICROS = 1_000_000
AGE_MAX_US = 72 * 3600 * MICROS
FUTURE_MAX_US = 60 * MICROS
EARLIEST_US = 1_000_000_000 * MICROS
ALWAYS_MS = 10**15
"""No window is documented within which a transaction is known again."""

CLIENT_ID = re.compile(r"(GA[0-9]\.[0-9-]+\.)?[0-9]+\.[0-9]+")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
PLACE = re.compile(r"[^\dA-Z!-/:-@\[-`{-~]+")
RESERVED = frozenset(
    {"ad_activeview", "ad_click", "ad_exposure", "ad_query", "ad_reward", "adunit_exposure", "error"}
    | {"app_clear_data", "app_exception", "app_install", "app_remove", "app_store_refund", "app_update"}
    | {"app_upgrade", "app_store_subscription_cancel", "app_store_subscription_convert"}
    | {"app_store_subscription_renew", "app_background", "dynamic_link_app_open", "dynamic_link_app_update"}
    | {"dynamic_link_first_open", "firebase_campaign", "firebase_in_app_message_action"}
    | {"firebase_in_app_message_dismiss", "firebase_in_app_message_impression", "first_open", "first_visit"}
    | {"in_app_purchase", "notification_dismiss", "notification_foreground", "notification_open"}
    | {"notification_receive", "os_update", "screen_view", "session_start", "user_engagement"}
)
RESERVED_BEGINNINGS = ("_", "firebase_", "ga_", "google_", "gtag.")
CODES = {"missing": "VALUE_REQUIRED", "unknown": "NAME_INVALID", "wrong": "VALUE_INVALID"}


class Problem(Struct, frozen=True):
    """What is wrong, in the words of the validation server; `why` holds no customer's data."""

    path: str
    code: str
    why: str


def read_body(raw: bytes, now_ms: int) -> tuple[Event, ...] | list[Problem]:
    """A request's events, or all that is wrong with it."""
    if len(raw) >= BODY_MAX_BYTES:
        return [Problem("", "VALUE_OUT_OF_BOUNDS", "the body must be smaller than 130 kB")]
    try:
        body = read(raw)
    except (msgspec.DecodeError, RecursionError):
        body = None
    if not isinstance(body, dict):
        return [Problem("", "VALUE_INVALID", "the payload is no JSON object")]
    if found := list(_shape(body, BODY)):
        return found
    if len(body["events"]) > EVENTS_MAX:
        return [Problem("events", "EXCEEDED_MAX_ENTITIES", f"a request has {EVENTS_MAX} events at most")]
    if found := [problem for place in range(len(body["events"])) for problem in _event(body, place, now_ms)]:
        return found
    return tuple(_kept(body, event, now_ms) for event in body["events"])


def read_event(params: Mapping[str, object], name: str, raw: bytes) -> Event:
    """An event that is right. Only a purchase is known again, by its transaction: an empty one is one, too."""
    value, code = money(params.get("value"), params.get("currency"))
    transaction = params.get("transaction_id")
    known_again = name == "purchase" and transaction is not None
    return Event(
        name,
        event_id(params),
        MEANS.get(name, "other"),
        raw,
        value,
        code,
        (Key(f"{name}\n{transaction}", ALWAYS_MS),) if known_again else (),
    )


def event_id(params: Mapping[str, object]) -> str:
    """What an event is called: the sender's own parameter, else its transaction."""
    return str(params.get("event_id") or params.get("transaction_id") or "")


def _kept(body: Mapping[str, object], event: Mapping[str, object], now_ms: int) -> Event:
    """With what the request tells of the visitor; if it is too old, as of 72 hours ago."""
    told = {**{key: value for key, value in body.items() if key != "events"}, **event}
    if isinstance(told.get("timestamp_micros"), int):
        told["timestamp_micros"] = max(_time(body, event), now_ms * 1000 - AGE_MAX_US)
    raw = msgspec.json.Encoder(decimal_format="number").encode(told)
    return read_event(_params(event), str(event["name"]), raw)


def _params(event: Mapping[str, object]) -> Mapping[str, object]:
    params = event.get("params", {})
    return params if isinstance(params, dict) else {}


def _time(body: Mapping[str, object], event: Mapping[str, object]) -> int:
    told = event.get("timestamp_micros", body.get("timestamp_micros"))
    return told if isinstance(told, int) else 0


def _shape(told: object, shape: Shape, *path: str) -> Iterator[Problem]:
    for found in findings(told, shape, path):
        yield Problem(found.dotted, CODES[found.kind], found.why)


def _event(body: Mapping[str, object], place: int, now_ms: int) -> Iterator[Problem]:
    events = body["events"]
    event = events[place] if isinstance(events, list) else {}
    name, params, path = str(event["name"]), _params(event), f"events[{place}]"
    if name in RESERVED or name.startswith(RESERVED_BEGINNINGS):
        yield Problem("events", "NAME_RESERVED", f"event at index {place} has a reserved name")
    elif NAME.fullmatch(name) is None:
        yield Problem("events", "NAME_INVALID", f"event at index {place} has an invalid name")
    if "timestamp_micros" in body or "timestamp_micros" in event:
        yield from _age(body, event, now_ms)
    yield from _parameters(params, f"{path}.params")
    yield from _sale(name, params, f"{path}.params")
    yield from _items(params.get("items", []), f"{path}.params")


def _age(body: Mapping[str, object], event: Mapping[str, object], now_ms: int) -> Iterator[Problem]:
    time_us, now_us = _time(body, event), now_ms * 1000
    strict = body.get("validation_behavior") == "ENFORCE_RECOMMENDATIONS"
    if time_us < EARLIEST_US:
        yield Problem("timestamp_micros", "VALUE_OUT_OF_BOUNDS", "is not in microseconds")
    elif time_us > now_us + FUTURE_MAX_US:
        yield Problem("timestamp_micros", "VALUE_OUT_OF_BOUNDS", "lies in the future; it is in microseconds")
    elif strict and time_us < now_us - AGE_MAX_US:
        yield Problem("timestamp_micros", "VALUE_OUT_OF_BOUNDS", "is longer than 72 hours ago")


def _parameters(params: Mapping[str, object], path: str) -> Iterator[Problem]:
    if len(params) > PARAMS_MAX:
        yield Problem(path, "EXCEEDED_MAX_ENTITIES", f"an event has {PARAMS_MAX} parameters at most")
    for name, value in params.items():
        if name.startswith(RESERVED_BEGINNINGS):
            yield Problem(path, "NAME_RESERVED", "a parameter has a reserved name")
        elif NAME.fullmatch(name) is None:
            yield Problem(path, "NAME_INVALID", "a parameter has an invalid name")
        elif name != "items" and (value is None or isinstance(value, dict | list)):
            yield Problem(f"{path}.{name}", "VALUE_INVALID", "must not be null, a list or an object")
        elif isinstance(value, str) and len(value) > TEXT_MAX:
            yield Problem(f"{path}.{name}", "VALUE_OUT_OF_BOUNDS", f"is longer than {TEXT_MAX} characters")


def _sale(name: str, params: Mapping[str, object], path: str) -> Iterator[Problem]:
    yield from (
        Problem(f"{path}.{key}", "VALUE_REQUIRED", f"the parameter {key} is required")
        for key in DEMANDED.get(name, ())
        if key not in params
    )
    yield from (
        Problem(f"{path}.{key}", "VALUE_INVALID", "is not of the form that this parameter has")
        for key, holds in PARAMS.items()
        if key in params and not holds(params[key])
    )
    if name == "refund" and params.get("transaction_id") == "":
        yield Problem(f"{path}.transaction_id", "VALUE_REQUIRED", "is empty")
    if "value" in params and "currency" not in params:
        yield Problem(f"{path}.currency", "VALUE_REQUIRED", "the parameter value needs currency")
    # Analytics would take it; but no amount of the shop's has part of a minor unit: the sender has computed wrongly.
    elif amount(params.get("value")) and money(params["value"], params["currency"])[0] is None:
        yield Problem(f"{path}.value", "VALUE_INVALID", "is no whole number of minor units")


def _items(items: object, at: str) -> Iterator[Problem]:
    if not isinstance(items, list):
        yield Problem(f"{at}.items", "VALUE_INVALID", "must be a list")
        return
    if len(items) > ITEMS_MAX:
        yield Problem(f"{at}.items", "EXCEEDED_MAX_ENTITIES", f"an event has {ITEMS_MAX} items at most")
    for place, item in enumerate(items):
        yield from _shape(item, ITEM, f"{at}.items[{place}]")
        if isinstance(item, dict) and not item.keys() & {"item_id", "item_name"}:
            yield Problem(f"{at}.items[{place}]", "VALUE_REQUIRED", "an item has item_id or item_name")


def _up_to(most: int, holds: Holds) -> Holds:
    """One, or a list of so many at most."""
    several = each(holds)
    return lambda value: holds(value) or (isinstance(value, list) and len(value) <= most and several(value))


_said = among("GRANTED", "DENIED")

ADDRESS = Shape(
    {
        **dict.fromkeys(("sha256_first_name", "sha256_last_name", "sha256_street"), hashed),
        **dict.fromkeys(("city", "region"), form(PLACE)),
        "postal_code": text,
        "country": form(COUNTRY_UPPER),
    }
)
EVENT = Shape({"name": text, "params": an_object, "timestamp_micros": whole}, demanded=("name",))
BODY = Shape(
    {
        **dict.fromkeys(("user_id", "user_agent"), text),
        **dict.fromkeys(("user_properties", "device"), an_object),
        "client_id": form(CLIENT_ID),
        "timestamp_micros": whole,
        "user_data": Shape(
            {
                **dict.fromkeys(("sha256_email_address", "sha256_phone_number"), _up_to(3, hashed)),
                "address": Listed(ADDRESS, most=2),
            }
        ),
        "consent": Shape({"ad_user_data": _said, "ad_personalization": _said}),
        "non_personalized_ads": flag,
        "user_location": Shape(
            dict.fromkeys(("city", "region_id", "country_id", "subcontinent_id", "continent_id"), text)
        ),
        "ip_override": ip,
        "validation_behavior": among("RELAXED", "ENFORCE_RECOMMENDATIONS"),
        "events": Listed(EVENT),
    },
    demanded=("client_id", "events"),
)
ITEM = Shape(
    {
        **dict.fromkeys(
            (
                "item_id",
                "item_name",
                "item_brand",
                "item_variant",
                "item_list_id",
                "item_list_name",
                "item_category",
            ),
            text_up_to(TEXT_MAX),
        ),
        **dict.fromkeys((f"item_category{place}" for place in range(2, 6)), text_up_to(TEXT_MAX)),
        **dict.fromkeys(("affiliation", "coupon", "location_id"), text_up_to(TEXT_MAX)),
        **dict.fromkeys(("price", "discount"), amount),
        "quantity": count,
        "index": none_or_more,
    },
    more=True,
)
DEMANDED = {
    "purchase": ("transaction_id", "currency", "value"),
    "refund": ("transaction_id", "currency", "value"),
}
PARAMS: Mapping[str, Holds] = {
    "transaction_id": lambda value: isinstance(value, str),
    "currency": currency,
    **dict.fromkeys(("value", "tax", "shipping"), amount),
}
