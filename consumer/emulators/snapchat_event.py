"""What Snapchat demands of one element of `data`, read from its raw JSON.

Rules: developers.snap.com, Conversions API (Parameters, Deduplication), and the schema in Snapchat's business SDK v3.
Where nobody says what Snapchat makes of a key that it doesn't know, of a time in the future or in milliseconds, or of a
value as a text, which a page shows and the schema doesn't allow, it is refused here.
"""

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from consumer.emulators.contract import Event, Key, Means
from consumer.emulators.demands import (
    ADDRESS,
    Listed,
    Shape,
    among,
    amount,
    amount_text,
    an_object,
    currency_upper,
    each,
    findings,
    flag,
    form,
    hashed,
    ip,
    money,
    none_or_more,
    one_or_each,
    read,
    text,
    whole,
)

MEANS: dict[str, Means] = {
    "PURCHASE": "purchase",
    "START_CHECKOUT": "begin_checkout",
    "ADD_BILLING": "add_payment_info",
}
NAMES = frozenset(
    {*MEANS, "ADD_CART", "VIEW_CONTENT", "ADD_TO_WISHLIST", "SEARCH", "SIGN_UP", "PAGE_VIEW", "LIST_VIEW"}
    | {"SUBSCRIBE", "START_TRIAL", "RESERVE", "LOGIN", "SAVE", "COMPLETE_TUTORIAL"}
    | {f"CUSTOM_EVENT_{number}" for number in range(1, 6)}
)
SOURCES = frozenset(
    {"WEB", "MOBILE_APP", "OFFLINE", "website", "app", "physical_store", "phone_call", "email", "chat"}
)
DAY_S = 86_400
AGE_MAX_S = 37 * DAY_S
FUTURE_MAX_S = 60
DEDUPE_WINDOW_MS = 48 * 3_600_000
ORDER_WINDOW_MS = 30 * DAY_S * 1000
COUNT = re.compile(r"[1-9][0-9]{0,8}")
IDENTIFYING = frozenset({"em", "ph", "madid", "mobile_ad_id"})
BROWSER = frozenset({"client_ip_address", "client_user_agent"})


class Problem(Struct, frozen=True):
    """Why an event is refused. `at` is the path below the event; `why` holds no customer's data."""

    at: str
    why: str


def check_event(raw: bytes, pixel: str, now_ms: int) -> Event | Problem:
    """One event as Snapchat would take it, or the first thing wrong with it."""
    event = read(raw)
    if not isinstance(event, dict):
        return Problem("", "must be an object")
    found = next(_problems(event, now_ms // 1000), None)
    if found is not None:
        return found
    custom = event.get("custom_data", {})
    told = (custom.get("value"), custom.get("currency"))
    return read_event(
        pixel, str(event["event_name"]), event.get("event_id"), custom.get("order_id"), told, raw
    )


def read_event(
    pixel: str, name: str, event_id: object, order_id: object, told: tuple[object, object], raw: bytes
) -> Event:
    """An event that is right, from server or pixel: its ids, and of `told` its money.

    Known again by event id, and a purchase by its order's id too, for longer.
    """
    own, order = str(event_id or ""), str(order_id or "")
    by_id = (Key(f"{pixel}\n{name}\n{own}", DEDUPE_WINDOW_MS),) if own else ()
    is_order = name == "PURCHASE" and bool(order)
    by_order = (Key(f"{pixel}\norder\n{order}", ORDER_WINDOW_MS),) if is_order else ()
    value, currency = money(*told)
    return Event(name, own, MEANS.get(name, "other"), raw, value, currency, (*by_id, *by_order))


def _problems(event: Mapping[str, object], now_s: int) -> Iterator[Problem]:
    for found in findings(event, EVENT):
        yield Problem(found.dotted, found.why)
    yield from _time(event["event_time"], now_s)
    user, custom = event["user_data"], event.get("custom_data", {})
    if isinstance(user, dict) and IDENTIFYING.isdisjoint(user) and not user.keys() >= BROWSER:
        yield Problem("user_data", "em, ph, madid, or client_ip_address and client_user_agent are required")
    if isinstance(custom, dict):
        yield from _money(event["event_name"], custom)


def _time(told: object, now_s: int) -> Iterator[Problem]:
    if not isinstance(told, int):
        return
    if told > now_s + FUTURE_MAX_S:
        yield Problem("event_time", "lies in the future; it is in seconds, not milliseconds")
    if now_s - told > AGE_MAX_S:
        yield Problem("event_time", "is too long ago")


def _money(name: object, custom: Mapping[str, object]) -> Iterator[Problem]:
    if name == "PURCHASE" and not custom.keys() >= {"value", "currency"}:
        yield Problem("custom_data", "a PURCHASE requires value and currency")
    # Snapchat would take it; but no amount of the shop's has part of a minor unit, so the sender has computed wrongly.
    if {"value", "currency"} <= custom.keys() and money(custom["value"], custom["currency"])[0] is None:
        yield Problem("custom_data.value", "is no whole number of minor units")


USER = Shape(
    {
        **dict.fromkeys(("em", "ph", "fn", "ln", "ge", "ct", "st", "zp", "country"), one_or_each(hashed)),
        "external_id": one_or_each(hashed),
        "client_ip_address": ip,
        **dict.fromkeys(("client_user_agent", "sc_click_id", "sc_cookie1", "madid", "mobile_ad_id"), text),
        **dict.fromkeys(("idfv", "subscription_id", "lead_id", "download_id", "partner_id"), text),
        "anon_id": each(text),
    }
)
CONTENT = Shape(
    {
        **dict.fromkeys(("id", "delivery_category", "brand"), text),
        "quantity": form(COUNT),
        "item_price": amount_text,
    },
    demanded=("id",),
)
CUSTOM = Shape(
    {
        "currency": currency_upper,
        **dict.fromkeys(("value", "predicted_ltv"), amount),
        "content_ids": each(text),
        "contents": Listed(CONTENT),
        "num_items": none_or_more,
        **dict.fromkeys(("content_category", "content_type", "content_name", "order_id", "brands"), text),
        **dict.fromkeys(("search_string", "sign_up_method", "status", "event_tag"), text),
        "delivery_category": text,
        "custom_fields": an_object,
    }
)
EVENT = Shape(
    {
        "event_name": among(*NAMES),
        "event_time": whole,
        "action_source": among(*SOURCES),
        **dict.fromkeys(("event_id", "integration"), text),
        "event_source_url": form(ADDRESS),
        "user_data": USER,
        "custom_data": CUSTOM,
        "app_data": an_object,
        "data_processing_options": among([], ["LDU"]),
        "data_processing_options_country": among(0, 1),
        "data_processing_options_state": among(0, 1000),
        "opt_out": flag,
    },
    demanded=("event_name", "event_time", "action_source", "user_data"),
)
