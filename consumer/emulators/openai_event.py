"""What OpenAI demands of one element of `events`, read from its raw JSON.

Rules: developers.openai.com/ads (Conversions API, supported events). Fields that its pages don't have are refused, but
in the data of a custom event, which may have any. OpenAI would pass over a value of the user's that isn't of its form;
here it is refused, since no sender of the shop's may tell one.
"""

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from consumer.emulators.contract import Event, Key, Means
from consumer.emulators.demands import (
    ADDRESS,
    UUID,
    Holds,
    Listed,
    Shape,
    among,
    count,
    currency,
    each,
    findings,
    flag,
    form,
    hashed,
    ip,
    none_or_more,
    read,
    text,
    text_up_to,
    whole,
)

MEANS: dict[str, Means] = {
    "order_created": "purchase",
    "checkout_started": "begin_checkout",
    "add_payment_info": "add_payment_info",
}
CUSTOM = frozenset({"add_payment_info"})
DAY_MS = 86_400_000
AGE_MAX_MS = 7 * DAY_MS
FUTURE_MAX_MS = 10 * 60_000
DEDUPE_WINDOW_MS = AGE_MAX_MS
"""OpenAI tells no window; an older event isn't taken anyway."""

SHAPES = {
    "contents": ("checkout_started", "contents_viewed", "items_added", "order_created", "page_viewed"),
    "customer_action": (
        *("app_installed", "app_opened", "appointment_scheduled", "lead_created"),
        "registration_completed",
    ),
    "plan_enrollment": ("subscription_created", "trial_started"),
    "custom": ("custom",),
}
OF_APPS = frozenset({"app_installed", "app_opened"})
SHAPE_OF = {name: shape for shape, names in SHAPES.items() for name in names}
STANDARD = SHAPE_OF.keys() - {"custom"}
SOURCES = ("web", "mobile_app", "offline", "physical_store", "phone_call", "email", "other")
CUSTOM_NAME = form(re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,62}[A-Za-z0-9])?"))
COUNTRY = re.compile(r"[A-Z]{2}")
POSTAL_CODE = re.compile(r"[A-Za-z0-9 -]{1,32}")


class Problem(Struct, frozen=True):
    """What is wrong, and where: a path within the event, or a parameter. `why` holds no customer's data."""

    at: str
    why: str


def check_event(raw: bytes, now_ms: int) -> Event | Problem:
    """One event as OpenAI would take it, or the first thing that is wrong with it."""
    try:
        told = read(raw)
    except UnicodeDecodeError:
        return Problem("", "must be in UTF-8")
    type_ = told.get("type") if isinstance(told, dict) else None
    found = next(findings(told, _shape(type_)), None)
    if found is not None or not isinstance(told, dict):
        return Problem(found.dotted if found else "", found.why if found else "must be an object")
    if problem := next(_rules(told, now_ms), None):
        return problem
    name = str(told.get("custom_event_name", told["type"]))
    return read_event(name, told["id"], told["data"], raw)


def read_event(name: str, event_id: str, data: Mapping[str, object], raw: bytes) -> Event:
    """An event that is right: its id, its money in minor units, and by what it is known again."""
    amount, code = data.get("amount"), data.get("currency")
    keys = (Key(f"{name}\n{event_id}", DEDUPE_WINDOW_MS),) if event_id else ()
    value = amount if isinstance(amount, int) else None
    return Event(name, event_id, MEANS.get(name, "other"), raw, value, str(code or "").upper(), keys)


def data_shape(type_: object) -> Shape:
    """What the data of a type of event may hold."""
    kind = SHAPE_OF.get(str(type_), "custom")
    fields: dict[str, Holds | Shape | Listed] = {
        "type": among(kind),
        "amount": none_or_more,
        "currency": currency,
    }
    if kind != "customer_action":
        fields["contents"] = Listed(CONTENT, least=0)
    if kind in ("plan_enrollment", "custom"):
        fields["plan_id"] = text
    return Shape(fields, demanded=("type",), more=kind == "custom")


def money_problem(data: Mapping[str, object]) -> Problem | None:
    """An amount without a currency."""
    if "currency" in data:
        return None
    if "amount" in data:
        return Problem("currency", "belongs to an amount")
    contents = data.get("contents", [])
    for place, item in enumerate(contents if isinstance(contents, list) else []):
        if "amount" in item and "currency" not in item:
            return Problem(f"contents[{place}].currency", "belongs to an amount")
    return None


def _rules(told: Mapping[str, object], now_ms: int) -> Iterator[Problem]:
    type_, own_name, source = str(told["type"]), told.get("custom_event_name"), told.get("action_source")
    if (type_ == "custom") != (own_name is not None):
        yield Problem("custom_event_name", "custom events have one, and no others")
    if str(own_name).lower() in STANDARD:
        yield Problem("custom_event_name", "is a standard event's name")
    if type_ in OF_APPS and source != "mobile_app":
        yield Problem("action_source", "must be mobile_app for this type")
    if source == "web" and "source_url" not in told:
        yield Problem("source_url", "is required where action_source is web")
    yield from _time(told["timestamp_ms"], now_ms)
    data = told["data"]
    if isinstance(data, dict) and (problem := money_problem(data)):
        yield Problem(f"data.{problem.at}", problem.why)


def _time(at_ms: object, now_ms: int) -> Iterator[Problem]:
    if not isinstance(at_ms, int):
        return
    if at_ms > now_ms + FUTURE_MAX_MS:
        yield Problem("timestamp_ms", "is more than 10 minutes ahead")
    if now_ms - at_ms > AGE_MAX_MS:
        yield Problem("timestamp_ms", "is more than 7 days ago")


def _shape(type_: object) -> Shape:
    return Shape({**EVENT, "data": data_shape(type_)}, demanded=("id", "type", "timestamp_ms", "data"))


CONTENT = Shape(
    {
        **dict.fromkeys(("id", "group_id", "name", "content_type"), text),
        "quantity": count,
        "amount": none_or_more,
        "currency": currency,
        "variant_dict": lambda told: isinstance(told, dict) and all(map(text, told.values())),
    }
)
USER = Shape(
    {
        **dict.fromkeys(
            (
                *("emails_sha256", "phone_numbers_sha256", "external_ids_sha256"),
                *("first_names_sha256", "last_names_sha256"),
            ),
            each(hashed),
        ),
        **dict.fromkeys(("regions", "cities"), each(text_up_to(128))),
        "countries": each(form(COUNTRY)),
        "postal_codes": each(form(POSTAL_CODE)),
        **dict.fromkeys(("obref", "user_agent"), text),
        "ip_address": ip,
        "android_advertising_id": form(UUID),
    }
)
EVENT: Mapping[str, Holds | Shape] = {
    **dict.fromkeys(("id", "oppref"), text),
    "type": among(*SHAPE_OF),
    "timestamp_ms": whole,
    "custom_event_name": CUSTOM_NAME,
    "source_url": form(ADDRESS),
    "action_source": among(*SOURCES),
    "user": USER,
    "opt_out": flag,
}
