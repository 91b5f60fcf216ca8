"""What Google Ads demands of one element of `conversionAdjustments`, read from its raw JSON.

Rules: the reference of ConversionAdjustment and of the errors that name its fields. The conversions themselves are not
known here: none is missing, expired or too recent, but for an adjustment so old that its conversion must be. Only what
takes back is taken, not what adds a customer's data. Google reads numbers from texts as well; here none may be one.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal

from msgspec import Struct

from consumer.emulators.contract import Event, Key
from consumer.emulators.demands import Listed, Path, Shape, among, amount, currency_upper, money

RETRACTION, RESTATEMENT, ENHANCEMENT = "RETRACTION", "RESTATEMENT", "ENHANCEMENT"
DAY_MS = 86_400_000
AGE_MAX_MS = 54 * DAY_MS
FUTURE_MAX_MS = 60_000
ALWAYS_MS = 10**15
"""An adjustment is known by its conversion and its time, however long ago that was."""

ORDER_ID_MAX = 64
UPLOAD = "conversionAdjustmentUploadError"
RESOURCE = re.compile(r"customers/([0-9]{10})/conversionActions/([0-9]+)")
MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}[+-][0-9]{2}:[0-9]{2}")


class Problem(Struct, frozen=True):
    """What is wrong, and where below the adjustment. `why` holds no customer's data."""

    path: Path
    family: str
    code: str
    why: str


def problems(
    told: Mapping[str, object], customer: str, actions: frozenset[str], now_ms: int
) -> Iterator[Problem]:
    """What is wrong with an adjustment whose fields are all of their types."""
    kind = told.get("adjustmentType")
    yield from _missing(told, "adjustmentType", "conversionAction", "adjustmentDateTime")
    if kind == ENHANCEMENT:
        yield Problem((), UPLOAD, "CONVERSION_ACTION_NOT_ELIGIBLE_FOR_ENHANCEMENT", "is no such action")
    yield from _conversion(told, customer, actions)
    yield from _time(told.get("adjustmentDateTime"), now_ms)
    if kind == RESTATEMENT:
        yield from _value(told.get("restatementValue"))
    for key in ("userIdentifiers", "userAgent", *(() if kind == RESTATEMENT else ("restatementValue",))):
        if key in told and kind != ENHANCEMENT:
            yield Problem((key,), "fieldError", "VALUE_MUST_BE_UNSET", "is not this kind of adjustment's")


def read_event(told: Mapping[str, object], raw: bytes) -> Event:
    """An adjustment that is right. Its value is what is left of a purchase; it tells no refund's worth."""
    order_id = str(told["orderId"])
    key = Key(f"{told['conversionAction']} {order_id} {told['adjustmentDateTime']}", ALWAYS_MS)
    return Event(str(told["adjustmentType"]), order_id, "refund", raw, keys=(key,))


def _missing(told: Mapping[str, object], *keys: str) -> Iterator[Problem]:
    for key in keys:
        if not told.get(key):
            yield Problem((key,), "fieldError", "REQUIRED", "The required field was not present.")


def _conversion(told: Mapping[str, object], customer: str, actions: frozenset[str]) -> Iterator[Problem]:
    """Which one is meant: of a web page's, by its order id alone."""
    resource, order_id = RESOURCE.fullmatch(str(told.get("conversionAction"))), str(told.get("orderId", ""))
    if "conversionAction" in told and (
        resource is None or resource[1] != customer or resource[2] not in actions
    ):
        yield Problem(("conversionAction",), UPLOAD, "NO_CONVERSION_ACTION_FOUND", "can't be found")
    if "gclidDateTimePair" in told and order_id:
        code = "GCLID_DATE_TIME_PAIR_AND_ORDER_ID_BOTH_SET"
        yield Problem((), UPLOAD, code, "names its conversion twice")
    if not order_id.strip():
        yield Problem(("orderId",), UPLOAD, "MISSING_ORDER_ID_FOR_WEBPAGE", "needs an order id")
    if len(order_id) > ORDER_ID_MAX:
        yield Problem(("orderId",), "stringLengthError", "TOO_LONG", "is too long")
    if MAIL.search(order_id):
        yield Problem(("orderId",), UPLOAD, "ORDER_ID_CONTAINS_PII", "must not be personal")


def _time(told: object, now_ms: int) -> Iterator[Problem]:
    if not told:
        return
    path = ("adjustmentDateTime",)
    try:
        at_ms = datetime.fromisoformat(str(told)).timestamp() * 1000 if TIME.fullmatch(str(told)) else None
    except ValueError:
        at_ms = None
    if at_ms is None:
        code = "INVALID_STRING_DATE_TIME_SECONDS_WITH_OFFSET"
        yield Problem(path, "dateError", code, "The format should be yyyy-mm-dd hh:mm:ss+|-hh:mm.")
    elif at_ms > now_ms + FUTURE_MAX_MS:
        yield Problem(path, "dateError", "LATER_THAN_MAXIMUM_DATE", "lies in the future")
    elif at_ms < now_ms - AGE_MAX_MS:
        yield Problem(path, UPLOAD, "CONVERSION_EXPIRED", "is of a conversion older than 54 days")


def _value(told: object) -> Iterator[Problem]:
    value = told if isinstance(told, dict) else {}
    path = ("restatementValue", "adjustedValue")
    adjusted, code = value.get("adjustedValue"), value.get("currencyCode", "USD")
    if adjusted is None:
        yield Problem(path, "fieldError", "REQUIRED", "The required field was not present.")
    elif not amount(adjusted):
        yield Problem(path, "rangeError", "TOO_LOW", "is negative")
    if not currency_upper(code):
        yield Problem(("restatementValue", "currencyCode"), "currencyCodeError", "UNSUPPORTED", "is unknown")
    # Google would take it; but no amount of the shop's has part of a minor unit, so the sender has computed wrongly.
    elif amount(adjusted) and money(adjusted, code)[0] is None:
        yield Problem(path, "rangeError", "TOO_LOW", "is no whole number of minor units")


def _text(value: object) -> bool:
    return isinstance(value, str)


def _number(value: object) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


ADJUSTMENT = Shape(
    {
        "adjustmentType": among(RETRACTION, RESTATEMENT, ENHANCEMENT),
        **dict.fromkeys(("conversionAction", "orderId", "adjustmentDateTime", "userAgent"), _text),
        "gclidDateTimePair": Shape(dict.fromkeys(("gclid", "conversionDateTime"), _text)),
        "restatementValue": Shape({"adjustedValue": _number, "currencyCode": _text}),
        "userIdentifiers": Listed(Shape({}, more=True), most=5),
    }
)
"""Its fields' types. Another one makes the whole request unreadable."""
