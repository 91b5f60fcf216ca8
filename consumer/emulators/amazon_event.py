"""What Amazon demands of one element of `events`, read from its raw JSON.

Rules: advertising.amazon.com/API/docs, the schemas EventCreate and ErrorCode, the guides to events and to consent. The
schemas don't say whether there may be more fields than theirs; here there may not. No age beyond which an event is
refused is told of this API; the older one's seven days are kept to. Data set names are as long as a partner has them.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal

from msgspec import Struct

from consumer.emulators.contract import Event, Key, Means
from consumer.emulators.demands import (
    COUNTRY_UPPER,
    HASH,
    Finding,
    Holds,
    Listed,
    Shape,
    among,
    amount,
    count,
    each,
    findings,
    form,
    ip,
    money,
    read,
    text,
    text_up_to,
)

PURCHASE = "OFF_AMAZON_PURCHASES"
MEANS: dict[str, Means] = {PURCHASE: "purchase", "CHECKOUT": "begin_checkout"}
TYPES = frozenset(
    {PURCHASE, "CHECKOUT", "ADD_TO_SHOPPING_CART", "PAGE_VIEW", "SEARCH", "SIGN_UP", "SUBSCRIBE", "LEAD"}
    | {"CONTACT", "APPLICATION", "MOBILE_APP_FIRST_START", "OTHER"}
)
HASHED = frozenset({"EMAIL", "PHONE", "FIRST_NAME", "LAST_NAME", "ADDRESS", "CITY", "STATE", "POSTAL"})
PLAIN = frozenset({"MAID", "RAMP_ID", "MATCH_ID", "REAL_ID", "MERKLE_ID", "KANTAR_ID"})
_MONEY = (
    "AED ARS AUD AZN BBD BGN BHD BMD BND BOB BRL BSD CAD CHF CLP CNY COP CRC CZK DKK DOP DZD EGP EUR GBP GHS GTQ HKD "
    "HNL HRK HUF IDR ILS INR JMD JOD JPY KES KRW KWD KYD KZT LBP LKR MAD MUR MXN MXP MYR NAD NGN NOK NZD PAB PEN PHP "
    "PKR PLN PYG QAR RON RSD RUB SAR SEK SGD THB TND TRY TTD TWD TZS UAH USD UYU VND XAF XCD XOF XPF "
    "ZAR"  # codespell:ignore zar
)
_EEA = "AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE IS LI NO"
CONSENTING = frozenset({*_EEA.split(), "GB", "OTHER_EEA"})
DAY_MS = 86_400_000
AGE_MAX_MS = 7 * DAY_MS
FUTURE_MAX_MS = 60_000
ALWAYS_MS = 10**15
"""No window is documented within which an id is known again."""

DECIMALS_MAX = 2
UNITS_MAX = 2**31 - 1
TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})"
)
WORD = re.compile(r"[A-Za-z0-9_]+")
DATA_SET = re.compile(r"[A-Za-z][A-Za-z0-9_-]{4,99}")
AREF = re.compile(r"[A-Za-z0-9]{10}\.[0-9]{13}")
AREFS = re.compile(rf"{AREF.pattern}(\|{AREF.pattern})*")
INVALID, OUT_OF_RANGE, NULL = "FIELD_VALUE_IS_INVALID", "FIELD_VALUE_IS_OUT_OF_RANGE", "FIELD_VALUE_IS_NULL"
ONLY_OF_SALES, SIGNS = "FIELD_VALUE_MUST_BE_EMPTY_OR_NULL", "FIELD_VALUE_CONTAINS_INVALID_CHARACTERS"


class Problem(Struct, frozen=True):
    """What is wrong, and where below the event. `why` holds no customer's data."""

    at: str
    code: str
    why: str


def check_event(raw: bytes, now_ms: int) -> Event | list[Problem]:
    """One event as Amazon would take it, or all that is wrong with it."""
    event = read(raw)
    if not isinstance(event, dict):
        return [Problem("", INVALID, "must be an object")]
    if found := [_said(each_) for each_ in findings(event, EVENT)]:
        return found
    name = str(event["eventDescription"]["conversionType"])
    return list(_problems(name, event, now_ms)) or read_event(name, event.get("eventId"), event, raw)


def read_event(name: str, event_id: object, told: Mapping[str, object], raw: bytes) -> Event:
    """An event that is right: its id, which is known again whatever the type, and its money, if it is a purchase."""
    own = str(event_id or "")
    value, code = money(told.get("value"), told.get("currencyCode")) if name == PURCHASE else (None, "")
    keys = (Key(own, ALWAYS_MS),) if own else ()
    return Event(name, own, MEANS.get(name, "other"), raw, value, code, keys)


def is_told(value: object) -> bool:
    """A number with two decimals at most."""
    if not isinstance(value, int | Decimal) or isinstance(value, bool):
        return False
    exponent = Decimal(value).normalize().as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -DECIMALS_MAX


def _said(found: Finding) -> Problem:
    code = NULL if found.kind == "missing" else INVALID
    signs = found.kind == "wrong" and "customData" in found.path and found.path[-1] in {"name", "value"}
    return Problem(found.dotted, SIGNS if signs else code, found.why)


def _problems(name: str, event: Mapping[str, object], now_ms: int) -> Iterator[Problem]:
    yield from _time(str(event["eventTime"]), now_ms)
    yield from _match_keys(event["matchKeys"])
    yield from _sale(name, event)
    if event["countryCode"] in CONSENTING and not event.get("consent"):
        yield Problem("consent", NULL, "an event of this country needs a signal of consent")


def _time(told: str, now_ms: int) -> Iterator[Problem]:
    try:
        at_ms = datetime.fromisoformat(told).timestamp() * 1000
    except ValueError:
        yield Problem("eventTime", INVALID, "is no time of the calendar")
        return
    if not now_ms - AGE_MAX_MS <= at_ms <= now_ms + FUTURE_MAX_MS:
        yield Problem("eventTime", OUT_OF_RANGE, "lies in the future, or longer than seven days ago")


def _match_keys(told: object) -> Iterator[Problem]:
    for place, key in enumerate(told if isinstance(told, list) else []):
        if not KEYS[key["type"]](key["values"][0]):
            yield Problem(f"matchKeys[{place}].values[0]", INVALID, "is not of the form that its type has")


def _sale(name: str, event: Mapping[str, object]) -> Iterator[Problem]:
    value, code = event.get("value"), event.get("currencyCode")
    if name != PURCHASE:
        for key in ("currencyCode", "unitsSold"):
            if key in event:
                yield Problem(key, ONLY_OF_SALES, f"{key} is a purchase's alone")
        return
    if "value" in event and not amount(value):
        yield Problem("value", OUT_OF_RANGE, "is negative")
    # Amazon would take it; but no amount of the shop's has part of a minor unit, so the sender has computed wrongly.
    elif money(value, code)[1] and money(value, code)[0] is None:
        yield Problem("value", OUT_OF_RANGE, "is no whole number of minor units")


def _units(value: object) -> bool:
    return count(value) and isinstance(value, int) and value <= UNITS_MAX


def _one(holds: Holds) -> Holds:
    several = each(holds)
    return lambda value: isinstance(value, list) and len(value) == 1 and several(value)


def _any(*shapes: Holds) -> Holds:
    return lambda value: any(holds(value) for holds in shapes)


KEYS: Mapping[str, Holds] = {
    **dict.fromkeys(HASHED, form(HASH)),
    **dict.fromkeys(PLAIN, text),
    "FIP": ip,
}
_said_of = among("GRANTED", "DENIED")
EVENT = Shape(
    {
        "eventDescription": Shape(
            {
                "name": text,
                "conversionType": among(*TYPES),
                "eventSource": among(
                    "WEBSITE", "ANDROID", "IOS", "FIRE_TV", "OFFLINE", "MEASUREMENT_ATTRIBUTION_PARTNER"
                ),
                "eventIngestionMethod": among("SERVER_TO_SERVER"),
                "dataSetName": form(DATA_SET),
            },
            demanded=("name", "conversionType", "eventSource", "eventIngestionMethod"),
        ),
        "eventTime": form(TIME),
        "eventId": text,
        "countryCode": _any(form(COUNTRY_UPPER), among("OTHER", "OTHER_EEA")),
        "matchKeys": Listed(
            Shape({"type": among(*KEYS), "values": _one(text)}, demanded=("type", "values")), most=15
        ),
        "value": is_told,
        "currencyCode": among(*_MONEY.split()),
        "unitsSold": _units,
        "dataProcessingOptions": Shape({"options": among("LIMITED_DATA_USE")}, demanded=("options",)),
        "consent": Shape(
            {
                "geo": Shape({"ipAddress": ip}),
                "amazonConsent": Shape(
                    dict.fromkeys(("amznUserData", "amznAdStorage"), _said_of), demanded=("amznUserData",)
                ),
                **dict.fromkeys(("tcf", "gpp"), text),
            }
        ),
        "customData": Listed(
            Shape(
                {
                    **dict.fromkeys(("name", "value"), form(WORD)),
                    "dataType": among("STRING", "INTEGER", "TIMESTAMP"),
                },
                demanded=("name", "value"),
            ),
            least=0,
            most=13,
        ),
        "deviceInfo": Shape({"userAgent": text_up_to(512)}),
        "arefMeasurementTokens": form(AREFS),
        **dict.fromkeys(("amazonAdEventKey", "partner"), text),
    },
    demanded=("eventDescription", "eventTime", "countryCode", "matchKeys"),
)
