"""What Meta demands of one element of `data`, read from its raw JSON.

Rules: developers.facebook.com/documentation/ads-commerce/conversions-api, parameters/server-event,
parameters/customer-information-parameters, parameters/custom-data, data-processing-options.
"""

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from consumer.emulators.contract import Event, Key, Means
from consumer.emulators.demands import (
    ADDRESS,
    HASH,
    Listed,
    Path,
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
    ip,
    money,
    none_or_more,
    one_or_each,
    read,
    text,
    whole,
)

MEANS: dict[str, Means] = {
    "Purchase": "purchase",
    "InitiateCheckout": "begin_checkout",
    "AddPaymentInfo": "add_payment_info",
    "Refund": "refund",
}
TOO_OLD, NO_VALUE, PARAMETER, TOO_BROAD = 2804003, 2804009, 2804019, 2804050
DAY_S = 86_400
AGE_MAX_S = 7 * DAY_S
IN_STORE_AGE_MAX_S = 62 * DAY_S
FUTURE_MAX_S = 60
DEDUPE_WINDOW_MS = 48 * 3_600_000
SOURCES = frozenset(
    {"email", "website", "app", "phone_call", "chat", "physical_store", "system_generated"}
    | {"business_messaging", "other"}
)
BROAD = (
    frozenset({"ct", "country", "st", "zp", "ge", "client_user_agent"}),
    frozenset({"db", "client_user_agent"}),
    frozenset({"fn", "ge"}),
    frozenset({"ln", "ge"}),
)
"""Who is told by no more than one of these can't be matched."""

_APPENDIX = r"(\.([A-Za-z0-9_-]{8}|AQ|Ag|Aw|BA|BQ|Bg))?"  # of Meta's own parameter builder
HASHED = re.compile(HASH.pattern + _APPENDIX)
FBC = re.compile(r"fb\.[0-9]\.[0-9]{13}\.[^\s.]\S*")
FBP = re.compile(r"fb\.[0-9]\.[0-9]{13}\.[0-9]+" + _APPENDIX)


class Problem(Struct, frozen=True):
    """Why an event is refused. `at` is the path below the event; `why` holds no customer's data."""

    subcode: int
    at: str
    why: str


def check_event(raw: bytes, now_ms: int) -> Event | Problem:
    """One event as Meta would take it, or the first thing wrong with it."""
    event = read(raw)
    if not isinstance(event, dict):
        return Problem(PARAMETER, "", "must be an object")
    found = next(_problems(event, now_ms // 1000), None)
    return found or read_event(str(event["event_name"]), event.get("event_id"), event.get("custom_data"), raw)


def read_event(name: str, event_id: object, custom: object, raw: bytes) -> Event:
    """An event that is right: its ids and its money."""
    value, code = custom_money(custom if isinstance(custom, dict) else {})
    own = str(event_id or "")
    keys = (Key(f"{name}\n{own}", DEDUPE_WINDOW_MS),) if own else ()
    return Event(name, own, MEANS.get(name, "other"), raw, value, code, keys)


def custom_money(custom: Mapping[str, object]) -> tuple[int | None, str]:
    """The value in minor units and its currency; None and "" if the two are not there or not right."""
    return money(custom.get("value"), custom.get("currency"))


def _problems(event: Mapping[str, object], now_s: int) -> Iterator[Problem]:
    yield from _shape(event, EVENT)
    yield from _time(event, now_s)
    user, custom = event["user_data"], event.get("custom_data", {})
    if isinstance(user, dict):
        yield from _user(event, user)
    if isinstance(custom, dict):
        yield from _custom(event, custom)
    original = event.get("original_event_data")
    if isinstance(original, dict):
        yield from _shape(original, ORIGINAL, "original_event_data")


def _shape(told: Mapping[str, object], shape: Shape, *path: str) -> Iterator[Problem]:
    """Graph names a wrong value by its own path, a key that is missing or unknown by its object's."""
    for found in findings(told, shape, path):
        at = found.path if found.kind == "wrong" else found.path[:-1]
        yield Problem(PARAMETER, _at(at), found.why)


def _at(path: Path) -> str:
    return "".join(f"[{step!r}]" for step in path)


def _time(event: Mapping[str, object], now_s: int) -> Iterator[Problem]:
    time = event["event_time"]
    if not isinstance(time, int):
        return
    at, in_store = "['event_time']", event["action_source"] == "physical_store"
    if time > now_s + FUTURE_MAX_S:
        yield Problem(PARAMETER, at, "lies in the future; it is in seconds, not milliseconds")
    if now_s - time > (IN_STORE_AGE_MAX_S if in_store else AGE_MAX_S):
        yield Problem(TOO_OLD, at, "is too long ago")


def _user(event: Mapping[str, object], user: Mapping[str, object]) -> Iterator[Problem]:
    at = "['user_data']"
    yield from _shape(user, USER, "user_data")
    if any(user.keys() <= broad for broad in BROAD):
        yield Problem(
            TOO_BROAD, at, "no customer information, or only a combination that is too broad to match"
        )
    if event["action_source"] == "website":
        for key, where in (("event_source_url", event), ("client_user_agent", user)):
            if key not in where:
                yield Problem(PARAMETER, "" if where is event else at, f"website events require {key}")
    limited = event.get("data_processing_options") == ["LDU"]
    if limited and "client_ip_address" not in user and "data_processing_options_state" not in event:
        yield Problem(PARAMETER, "", "data_processing_options_state is required without an IP address")


def _custom(event: Mapping[str, object], custom: Mapping[str, object]) -> Iterator[Problem]:
    at = "['custom_data']"
    purchase = event["event_name"] == "Purchase"
    if purchase and not (amount(custom.get("value")) and currency(custom.get("currency"))):
        yield Problem(NO_VALUE, at, "a Purchase requires value, a number, and currency")
    yield from _shape(custom, CUSTOM, "custom_data")
    # Meta would take it; but no amount of the shop's has part of a minor unit, so the sender has computed wrongly.
    if custom_money(custom)[0] is None and {"value", "currency"} <= custom.keys():
        yield Problem(PARAMETER, f"{at}['value']", "is no whole number of minor units")


def _id_number(value: object) -> bool:
    return count(value) or (isinstance(value, str) and value.isascii() and value.isdigit())


_delivery = among("in_store", "curbside", "home_delivery")

EVENT = Shape(
    {
        **dict.fromkeys(("event_name", "event_id", "referrer_url"), text),
        **dict.fromkeys(("customer_segmentation", "messaging_channel", "advanced_measurement_table"), text),
        **dict.fromkeys(
            ("user_data", "custom_data", "original_event_data", "app_data", "attribution_data"), an_object
        ),
        "event_time": whole,
        "action_source": among(*SOURCES),
        "event_source_url": form(ADDRESS),
        "opt_out": flag,
        "data_processing_options": among([], ["LDU"]),
        "data_processing_options_country": among(0, 1),
        "data_processing_options_state": among(0, *range(1000, 1014)),
    },
    demanded=("event_name", "event_time", "action_source", "user_data"),
)
ORIGINAL = Shape(
    {
        **dict.fromkeys(("event_name", "order_id", "event_id"), text),
        "event_time": whole,
    }
)
USER = Shape(
    {
        **dict.fromkeys(
            ("em", "ph", "fn", "ln", "ge", "db", "ct", "st", "zp", "country"), one_or_each(form(HASHED))
        ),
        **dict.fromkeys(("fb_login_id", "lead_id"), _id_number),
        **dict.fromkeys(("subscription_id", "anon_id", "madid", "page_id", "page_scoped_user_id"), text),
        **dict.fromkeys(("ctwa_clid", "ig_account_id", "ig_sid", "client_user_agent"), text),
        "external_id": one_or_each(text),
        "client_ip_address": ip,
        "fbc": form(FBC),
        "fbp": form(FBP),
    }
)
CONTENT = Shape(
    {
        **dict.fromkeys(("id", "title", "description", "brand", "category"), text),
        "quantity": count,
        "item_price": amount,
        "delivery_category": _delivery,
    },
    demanded=("id", "quantity"),
)
CUSTOM = Shape(
    {
        **dict.fromkeys(("order_id", "search_string", "content_name", "content_category", "status"), text),
        **dict.fromkeys(("value", "net_revenue", "predicted_ltv"), amount),
        "currency": currency,
        "content_ids": each(text),
        "contents": Listed(CONTENT),
        "content_type": among("product", "product_group"),
        "num_items": none_or_more,
        "delivery_category": _delivery,
    },
    more=True,
)
