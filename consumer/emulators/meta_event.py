"""What Meta demands of one element of `data`, read from its raw JSON.

Rules: developers.facebook.com/documentation/ads-commerce/conversions-api, parameters/server-event,
parameters/customer-information-parameters, parameters/custom-data, data-processing-options.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from ipaddress import ip_address
from typing import TypeAlias

import msgspec
from msgspec import Struct

from consumer.emulators.contract import Event, Means
from consumer.emulators.currencies import EXPONENTS, minor

Holds: TypeAlias = Callable[[object], bool]
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
HASH = re.compile(r"[0-9a-f]{64}" + _APPENDIX)
FBC = re.compile(r"fb\.[0-9]\.[0-9]{13}\.[^\s.]\S*")
FBP = re.compile(r"fb\.[0-9]\.[0-9]{13}\.[0-9]+" + _APPENDIX)
ADDRESS = re.compile(r"https?://[^\s/]+\S*")

_decoder = msgspec.json.Decoder(float_hook=Decimal)


class Problem(Struct, frozen=True):
    """Why an event is refused. `at` is the path below the event; `why` holds no customer's data."""

    subcode: int
    at: str
    why: str


def check_event(raw: bytes, now_ms: int) -> Event | Problem:
    """One event as Meta would take it, or the first thing wrong with it."""
    event = _decoder.decode(raw)
    if not isinstance(event, dict):
        return Problem(PARAMETER, "", "must be an object")
    found = next(_problems(event, now_ms // 1000), None)
    return found or read_event(str(event["event_name"]), event.get("event_id"), event.get("custom_data"), raw)


def read_event(name: str, event_id: object, custom: object, raw: bytes) -> Event:
    """An event that is right: its ids and its money."""
    value, currency = money(custom if isinstance(custom, dict) else {})
    return Event(name, str(event_id or ""), MEANS.get(name, "other"), raw, value, currency)


def money(custom: Mapping[str, object]) -> tuple[int | None, str]:
    """The value in minor units and its currency; None and "" if the two are not there or not right."""
    value, currency = custom.get("value"), str(custom.get("currency", "")).upper()
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or currency not in EXPONENTS:
        return None, ""
    return minor(value, currency), currency


def _problems(event: Mapping[str, object], now_s: int) -> Iterator[Problem]:
    yield from _shape(event, EVENT, "", ("event_name", "event_time", "action_source", "user_data"))
    yield from _time(event, now_s)
    user, custom = event["user_data"], event.get("custom_data", {})
    if isinstance(user, dict):
        yield from _user(event, user)
    if isinstance(custom, dict):
        yield from _custom(event, custom)
    original = event.get("original_event_data")
    if isinstance(original, dict):
        yield from _shape(original, ORIGINAL, "['original_event_data']")


def _shape(
    told: Mapping[str, object],
    fields: Mapping[str, Holds],
    at: str,
    demanded: tuple[str, ...] = (),
    *,
    more: bool = False,
) -> Iterator[Problem]:
    """Keys unknown (unless `more` are free), keys missing, and values of the wrong type or form."""
    for key in demanded:
        if key not in told:
            yield Problem(PARAMETER, at, f"the parameter {key} is required")
    for key, value in told.items():
        if key in fields and not fields[key](value):
            yield Problem(PARAMETER, f"{at}['{key}']", "is not of the form that this parameter has")
        if key not in fields and not more:
            yield Problem(PARAMETER, at, f"unexpected key {key[:40]!r}")


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
    yield from _shape(user, USER, at)
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
    if purchase and not (_amount(custom.get("value")) and _currency(custom.get("currency"))):
        yield Problem(NO_VALUE, at, "a Purchase requires value, a number, and currency")
    yield from _shape(custom, CUSTOM, at, more=True)
    # Meta would take it; but no amount of the shop's has part of a minor unit, so the sender has computed wrongly.
    if money(custom)[0] is None and {"value", "currency"} <= custom.keys():
        yield Problem(PARAMETER, f"{at}['value']", "is no whole number of minor units")
    contents = custom.get("contents")
    for place, content in enumerate(contents if isinstance(contents, list) else ()):
        yield from _shape(content, CONTENT, f"{at}['contents'][{place}]", ("id", "quantity"))


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _none_or_more(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _flag(value: object) -> bool:
    return isinstance(value, bool)


def _amount(value: object) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool) and value >= 0


def _currency(value: object) -> bool:
    return isinstance(value, str) and value in (value.upper(), value.lower()) and value.upper() in EXPONENTS


def _object(value: object) -> bool:
    return isinstance(value, dict)


def _ip(value: object) -> bool:
    if not isinstance(value, str) or "%" in value:
        return False
    try:
        return bool(ip_address(value))
    except ValueError:
        return False


def _id_number(value: object) -> bool:
    return _count(value) or (isinstance(value, str) and value.isascii() and value.isdigit())


def _form(pattern: re.Pattern[str]) -> Holds:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def _among(*values: object) -> Holds:
    return lambda value: not isinstance(value, bool) and value in values


def _each(holds: Holds) -> Holds:
    return lambda value: isinstance(value, list) and bool(value) and all(map(holds, value))


def _one_or_each(holds: Holds) -> Holds:
    several = _each(holds)
    return lambda value: holds(value) or several(value)


_delivery = _among("in_store", "curbside", "home_delivery")

EVENT: dict[str, Holds] = {
    **dict.fromkeys(("event_name", "event_id", "referrer_url"), _text),
    **dict.fromkeys(("customer_segmentation", "messaging_channel", "advanced_measurement_table"), _text),
    **dict.fromkeys(
        ("user_data", "custom_data", "original_event_data", "app_data", "attribution_data"), _object
    ),
    "event_time": _whole,
    "action_source": _among(*SOURCES),
    "event_source_url": _form(ADDRESS),
    "opt_out": _flag,
    "data_processing_options": _among([], ["LDU"]),
    "data_processing_options_country": _among(0, 1),
    "data_processing_options_state": _among(0, *range(1000, 1014)),
}
ORIGINAL: dict[str, Holds] = {
    **dict.fromkeys(("event_name", "order_id", "event_id"), _text),
    "event_time": _whole,
}
USER: dict[str, Holds] = {
    **dict.fromkeys(
        ("em", "ph", "fn", "ln", "ge", "db", "ct", "st", "zp", "country"), _one_or_each(_form(HASH))
    ),
    **dict.fromkeys(("fb_login_id", "lead_id"), _id_number),
    **dict.fromkeys(("subscription_id", "anon_id", "madid", "page_id", "page_scoped_user_id"), _text),
    **dict.fromkeys(("ctwa_clid", "ig_account_id", "ig_sid", "client_user_agent"), _text),
    "external_id": _one_or_each(_text),
    "client_ip_address": _ip,
    "fbc": _form(FBC),
    "fbp": _form(FBP),
}
CUSTOM: dict[str, Holds] = {
    **dict.fromkeys(("order_id", "search_string", "content_name", "content_category", "status"), _text),
    **dict.fromkeys(("value", "net_revenue", "predicted_ltv"), _amount),
    "currency": _currency,
    "content_ids": _each(_text),
    "contents": _each(_object),
    "content_type": _among("product", "product_group"),
    "num_items": _none_or_more,
    "delivery_category": _delivery,
}
CONTENT: dict[str, Holds] = {
    **dict.fromkeys(("id", "title", "description", "brand", "category"), _text),
    "quantity": _count,
    "item_price": _amount,
    "delivery_category": _delivery,
}
