"""What TikTok demands of one element of `data`, read from its raw JSON.

Rules: ads.tiktok.com/help (event-deduplication, supported-standard-events) and TikTok's own template for Google Tag
Manager's server. Where nobody says what TikTok makes of a key it doesn't know, of a time in the future or of an event
that nobody can be matched by, it is refused here.
"""

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address

from msgspec import Struct

from consumer.emulators.contract import Event, Key, Means
from consumer.emulators.demands import (
    ADDRESS,
    COUNTRY_LOWER,
    Finding,
    Listed,
    Shape,
    among,
    amount,
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
    none_or_more,
    one_or_each,
    read,
    text,
    whole,
)

MEANS: dict[str, Means] = {
    "Purchase": "purchase",
    "CompletePayment": "purchase",
    "InitiateCheckout": "begin_checkout",
    "AddPaymentInfo": "add_payment_info",
}
"""The second is what a purchase was called until May 2025."""
PARAMETER, NOT_HASHED = 40002, 40062
DAY_S = 86_400
ONLINE = frozenset({"web", "app"})
AGE_MAX_S = 7 * DAY_S
OFFLINE_AGE_MAX_S = 28 * DAY_S
FUTURE_MAX_S = 60
DEDUPE_WINDOW_MS = 48 * 3_600_000
VISITOR_WINDOW_MS = 5 * 60_000
"""For events without an id, told of one visitor."""

HASHED = ("email", "phone", "external_id", "first_name", "last_name", "zip_code")
SEVERAL = frozenset({"email", "phone", "external_id"})
IDENTIFYING = frozenset({"email", "phone", "external_id", "ttclid", "ttp", "idfa", "gaid", "idfv"})
PLACE = re.compile(r"\S(.*\S)?")


class Source(Struct, frozen=True):
    """Whose events they are: web, app, offline or crm, and its id."""

    kind: str
    id: str


class Problem(Struct, frozen=True):
    """Why an event is refused. `at` is the path below the event; `why` holds no customer's data."""

    code: int
    at: str
    why: str


def check_event(raw: bytes, source: Source, now_ms: int) -> Event | Problem:
    """One event as TikTok would take it, or the first thing wrong with it."""
    event = read(raw)
    if not isinstance(event, dict):
        return Problem(PARAMETER, "", "must be an object")
    found = next(_problems(event, source, now_ms // 1000), None)
    if found is not None:
        return found
    user = event["user"]
    ttp = user.get("ttp") if isinstance(user, dict) else None
    return read_event(str(event["event"]), event.get("event_id"), ttp, event.get("properties"), source, raw)


def read_event(
    name: str, event_id: object, ttp: object, properties: object, source: Source, raw: bytes
) -> Event:
    """An event that is right: its ids and its money."""
    value, code = event_money(properties if isinstance(properties, dict) else {})
    own = str(event_id or "")
    keys: tuple[Key, ...] = ()
    if own:
        keys = (Key(f"{source.id}\n{name}\nid\n{own}", DEDUPE_WINDOW_MS),)
    elif ttp:
        keys = (Key(f"{source.id}\n{name}\nttp\n{ttp}", VISITOR_WINDOW_MS),)
    return Event(name, own, MEANS.get(name, "other"), raw, value, code, keys)


def event_money(properties: Mapping[str, object]) -> tuple[int | None, str]:
    """The value in minor units and its currency; None and "" if the two are not there or not right."""
    return money(properties.get("value"), properties.get("currency"))


def is_public(address: str) -> bool:
    """Whether an address is one of the whole internet: neither of a network's own nor of documentation."""
    return ip(address) and ip_address(address).is_global


def _problems(event: Mapping[str, object], source: Source, now_s: int) -> Iterator[Problem]:
    yield from map(_problem, findings(event, EVENT))
    yield from _time(event["event_time"], source, now_s)
    user, properties = event["user"], event.get("properties", {})
    if isinstance(user, dict):
        yield from _user(user)
        yield from _limited_use(event, user, source)
    if isinstance(properties, dict):
        yield from _properties(event, properties)


def _problem(found: Finding) -> Problem:
    """What should be a hash and is none has a code of its own."""
    in_user = found.kind == "wrong" and found.path[:1] == ("user",)
    code = NOT_HASHED if in_user and found.path[-1] in HASHED else PARAMETER
    return Problem(code, found.dotted, "is not hashed" if code == NOT_HASHED else found.why)


def _time(time: object, source: Source, now_s: int) -> Iterator[Problem]:
    if not isinstance(time, int):
        return
    if time > now_s + FUTURE_MAX_S:
        yield Problem(PARAMETER, "event_time", "lies in the future; it is in seconds, not milliseconds")
    if now_s - time > (AGE_MAX_S if source.kind in ONLINE else OFFLINE_AGE_MAX_S):
        yield Problem(PARAMETER, "event_time", "is too long ago")


def _user(user: Mapping[str, object]) -> Iterator[Problem]:
    if IDENTIFYING.isdisjoint(user) and not user.keys() >= {"ip", "user_agent"}:
        yield Problem(PARAMETER, "user", "nobody can be matched by it")


def _limited_use(
    event: Mapping[str, object], user: Mapping[str, object], source: Source
) -> Iterator[Problem]:
    at = "limited_data_use"
    if at in event and source.kind not in ONLINE:
        yield Problem(PARAMETER, at, "is for events of the web and of apps")
    if event.get(at) and not is_public(str(user.get("ip", ""))):
        yield Problem(PARAMETER, at, "takes a public user.ip beside it")


def _properties(event: Mapping[str, object], properties: Mapping[str, object]) -> Iterator[Problem]:
    told = properties.keys() & {"value", "currency"}
    purchase = MEANS.get(str(event["event"])) == "purchase"
    if (purchase or told) and told != {"value", "currency"}:
        yield Problem(PARAMETER, "properties", "value and currency belong together, and to a purchase")
    if properties.keys() >= {"contents", "content_ids"}:
        yield Problem(PARAMETER, "properties.content_ids", "is in place of contents, not beside it")
    # TikTok would take it; but no amount of the shop's has part of a minor unit, so the sender has computed wrongly.
    if told and event_money(properties)[0] is None:
        yield Problem(PARAMETER, "properties.value", "is no whole number of minor units")


def _low(value: object) -> bool:
    """A place in lower case."""
    return isinstance(value, str) and PLACE.fullmatch(value) is not None and value == value.lower()


def _low_in_one(value: object) -> bool:
    """A place in lower case and without spaces."""
    return isinstance(value, str) and _low(value) and not any(map(str.isspace, value))


_kind = among("product", "product_group")

USER = Shape(
    {
        **{key: one_or_each(hashed) if key in SEVERAL else hashed for key in HASHED},
        **dict.fromkeys(("ttclid", "ttp", "user_agent", "locale"), text),
        **dict.fromkeys(("idfa", "idfv", "gaid", "att_status"), text),
        "ip": ip,
        "city": _low_in_one,
        "state": _low,
        "country": form(COUNTRY_LOWER),
    }
)
CONTENT = Shape(
    {
        **dict.fromkeys(("content_id", "content_name", "content_category", "brand"), text),
        "content_type": _kind,
        "price": amount,
        "quantity": count,
    },
    demanded=("content_id",),
)
PROPERTIES = Shape(
    {
        **dict.fromkeys(("order_id", "shop_id", "query", "search_string", "description"), text),
        **dict.fromkeys(("value", "predicted_ltv"), amount),
        "currency": currency_upper,
        "content_type": _kind,
        "contents": Listed(CONTENT),
        "content_ids": each(text),
        "num_items": none_or_more,
        "delivery_category": among("in_store", "curbside", "home_delivery"),
    }
)
PAGE = Shape({"url": form(ADDRESS), "referrer": text})
EVENT = Shape(
    {
        **dict.fromkeys(("event", "event_id"), text),
        "event_time": whole,
        "user": USER,
        "properties": PROPERTIES,
        "page": PAGE,
        "limited_data_use": flag,
        **dict.fromkeys(("device", "app", "ad", "lead"), an_object),
    },
    demanded=("event", "event_time", "user"),
)
