"""What Pinterest's Conversions API demands of one event, read from its raw JSON.

Rules: Pinterest's OpenAPI description (v5) and developers.pinterest.com, the API reference's page of
POST /ad_accounts/{ad_account_id}/events. `SCHEMA` is what the description's types say: whatever it doesn't allow
refuses the request. `RULES` is what the fields' texts say: an event that breaks one fails alone. Where Pinterest is
silent the strictest reading is built: 7 days, no future, hashes in lower case, no names of events but its own.
"""

import re
from collections.abc import Iterator, Mapping

import msgspec
from msgspec import Struct

from consumer.emulators.contract import Event, Key, Means
from consumer.emulators.demands import (
    ADDRESS,
    Listed,
    Shape,
    among,
    amount_text,
    an_object,
    count,
    currency_upper,
    each,
    findings,
    flag,
    form,
    hashed,
    ip,
    money,
    money_text,
    none_or_more,
    read,
    text,
    whole,
)

MEANS: dict[str, Means] = {
    "checkout": "purchase",
    "initiate_checkout": "begin_checkout",
    "add_payment_info": "add_payment_info",
}
NAMES = frozenset(
    {*MEANS, "add_to_cart", "add_to_wishlist", "page_visit", "view_content", "view_category", "search"}
    | {"signup", "lead", "subscribe", "watch_video", "app_install", "app_open", "contact", "custom"}
    | {"customize_product", "find_location", "schedule", "start_trial", "submit_application"}
)
AGE_MAX_S = 7 * 86_400
FUTURE_MAX_S = 60
DEDUPE_WINDOW_MS = 24 * 3_600_000
FLAGS = re.compile(r"[A-Z]+(,[A-Z]+)*")
PARTNER = re.compile(r"ss-[a-z0-9_-]+")
HASHED = ("em", "ph", "ge", "db", "fn", "ln", "ct", "st", "zp", "country", "external_id", "hashed_maids")


class Problem(Struct, frozen=True):
    """What is wrong with an event. `at` is the path below it; `why` holds no customer's data."""

    at: str
    why: str

    def __str__(self) -> str:
        return f"{self.at}: {self.why}"


def misshapen(raw: bytes) -> Problem | None:
    """The first thing that the schema doesn't allow. Raises msgspec.DecodeError."""
    found = next(findings(read(raw), SCHEMA), None)
    return None if found is None else Problem(found.dotted, found.why)


def check_event(raw: bytes, now_ms: int) -> Event | Problem:
    """An event of the schema's shape as Pinterest would take it, or the first rule that it breaks."""
    event = msgspec.convert(read(raw), dict[str, object])
    found = next(_problems(event, now_ms // 1000), None)
    return found or read_event(
        str(event["event_name"]),
        event["event_id"],
        event.get("custom_data", {}),
        raw,
        known_again=event["action_source"] != "offline",
    )


def read_event(name: str, event_id: object, custom: object, raw: bytes, *, known_again: bool = True) -> Event:
    """An event that is right: its id and its money. What took place offline is never known again."""
    value, code = event_money(custom if isinstance(custom, dict) else {})
    own = str(event_id or "")
    keys = (Key(f"{name}\n{own}", DEDUPE_WINDOW_MS),) if own and known_again else ()
    return Event(name, own, MEANS.get(name, "other"), raw, value, code, keys)


def event_money(custom: Mapping[str, object]) -> tuple[int | None, str]:
    """The value in minor units and its currency, both None and "" if not right; a text, of the tag also a number."""
    value, code = custom.get("value"), custom.get("currency")
    return money_text(value, code) if isinstance(value, str) else money(value, code)


def _problems(event: Mapping[str, object], now_s: int) -> Iterator[Problem]:
    for found in findings(event, RULES):
        yield Problem(found.dotted, found.why)
    yield from _time(event["event_time"], now_s)
    user, custom = event["user_data"], event.get("custom_data", {})
    if isinstance(user, dict) and isinstance(custom, dict):
        yield from _user(user)
        yield from _limited(user, custom)
        yield from _money(str(event["event_name"]), custom)


def _time(time: object, now_s: int) -> Iterator[Problem]:
    if not isinstance(time, int):
        return
    if time > now_s + FUTURE_MAX_S:
        yield Problem("event_time", "lies in the future; it is in seconds, not milliseconds")
    if time < now_s - AGE_MAX_S:
        yield Problem("event_time", "is too long ago")


def _user(user: Mapping[str, object]) -> Iterator[Problem]:
    pair = {"client_ip_address", "client_user_agent"}
    if not (user.keys() & {"em", "hashed_maids"} or user.keys() >= pair):
        yield Problem("user_data", "has neither em nor hashed_maids nor both address and user agent")


def _limited(user: Mapping[str, object], custom: Mapping[str, object]) -> Iterator[Problem]:
    # Pinterest would ignore the wish without a word; whoever tells it must know.
    wished = "LDP" in str(custom.get("opt_out_type", "")).split(",")
    if wished and not user.keys() >= {"st", "country"}:
        yield Problem("custom_data.opt_out_type", "LDP has no effect without st and country")


def _money(name: str, custom: Mapping[str, object]) -> Iterator[Problem]:
    # Pinterest would take all of these: it assumes the advertiser's currency, and counts what it can read. But no
    # amount of the shop's is without a currency or has part of a minor unit, so the sender has computed wrongly.
    if name == "checkout" and "value" not in custom:
        yield Problem("custom_data.value", "a checkout has a value")
    if "value" in custom and event_money(custom)[0] is None:
        yield Problem("custom_data.value", "is no whole number of minor units of a currency")
    contents = custom.get("contents")
    for place, content in enumerate(contents if isinstance(contents, list) else []):
        price = {"value": content.get("item_price"), "currency": custom.get("currency")}
        if "item_price" in content and event_money(price)[0] is None:
            yield Problem(f"custom_data.contents[{place}].item_price", "is no whole number of minor units")


def _string(value: object) -> bool:
    return isinstance(value, str)


def _string_or_null(value: object) -> bool:
    return value is None or isinstance(value, str)


_strings = each(_string)

SCHEMA = Shape(
    {
        **dict.fromkeys(("event_name", "event_id"), _string),
        **dict.fromkeys(("event_source_url", "partner_name"), _string_or_null),
        **dict.fromkeys(("app_id", "app_name", "app_version", "device_brand", "device_carrier"), _string),
        **dict.fromkeys(("device_model", "device_type", "os_version", "language"), _string),
        **dict.fromkeys(("opt_out", "wifi", "advertiser_tracking_enabled"), flag),
        **dict.fromkeys(("app_info", "device_info"), an_object),
        "action_source": among("web", "app_ios", "app_android", "offline"),
        "event_time": whole,
        "user_data": Shape(
            {
                **dict.fromkeys(HASHED, _strings),
                **dict.fromkeys(("click_id", "partner_id"), _string),
                **dict.fromkeys(("client_ip_address", "client_user_agent"), _string),
            },
            more=True,
        ),
        "custom_data": Shape(
            {
                **dict.fromkeys(("currency", "value", "order_id", "predicted_ltv", "opt_out_type"), _string),
                **dict.fromkeys(("search_string", "content_name", "content_category"), _string),
                **dict.fromkeys(("content_brand", "np"), _string),
                **dict.fromkeys(("external_measurement_id", "external_measurement_vendor_id"), _string),
                "content_ids": _strings,
                "num_items": whole,
                "contents": Listed(
                    Shape(
                        {
                            **dict.fromkeys(("id", "item_price", "item_name"), _string),
                            **dict.fromkeys(("item_category", "item_brand"), _string),
                            "quantity": whole,
                        }
                    )
                ),
            }
        ),
    },
    demanded=("event_name", "action_source", "event_time", "event_id", "user_data"),
)
RULES = Shape(
    {
        "event_name": among(*NAMES),
        "event_id": text,
        "event_source_url": lambda value: value is None or form(ADDRESS)(value),
        "partner_name": lambda value: value is None or form(PARTNER)(value),
        "user_data": Shape(
            {
                **dict.fromkeys(HASHED, each(hashed)),
                **dict.fromkeys(("click_id", "partner_id", "client_user_agent"), text),
                "client_ip_address": ip,
            },
            more=True,
        ),
        "custom_data": Shape(
            {
                **dict.fromkeys(("order_id", "content_name", "content_category", "content_brand"), text),
                **dict.fromkeys(("value", "predicted_ltv"), amount_text),
                "currency": currency_upper,
                "opt_out_type": form(FLAGS),
                "content_ids": each(text),
                "num_items": none_or_more,
                "contents": Listed(
                    Shape({"id": text, "item_price": amount_text, "quantity": count}, more=True)
                ),
            },
            more=True,
        ),
    },
    more=True,
)
