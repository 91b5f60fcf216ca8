"""Microsoft's Campaign Management API v13, as far as refunds need it: POST …/OnlineConversionAdjustments/Apply.

A row that is wrong fails alone; the reply tells of such rows by their place, with a number and a symbol, and the others
were applied. Rules: learn.microsoft.com/advertising, campaign-management-service (ApplyOnlineConversionAdjustments,
OnlineConversionAdjustment) and guides (operation-error-codes).

It knows no purchases, so it takes every transaction but those that a fault of kind `late` names: their rows fail with
its reason as symbol. It is told what is left of a purchase and never what was refunded, so its refunds have no money.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from msgspec import Raw, Struct

from consumer.emulators.contract import Access, Asked, Event, Key, Refused, StandIn, Taken
from consumer.emulators.demands import (
    Shape,
    among,
    amount,
    currency_upper,
    findings,
    money,
    read,
    text,
)
from consumer.emulators.faults import Fault
from consumer.emulators.microsoft_refunds_access import (
    EXPIRED,
    INVALID,
    TOKEN_PATH,
    denied,
    give_token,
    new_secret,
    token_file,
)
from consumer.emulators.shop.records import PixelFire, Taker, Truth, own_value

PATH = "/CampaignManagement/v13/OnlineConversionAdjustments/Apply"
ROWS_MAX = 1000
BODY_MAX_BYTES = 1_000_000
DAYS_90_MS = 90 * 86_400_000
ALWAYS_MS = 10**15
SERVER_ERROR = 500
PREFIX = "OfflineConversion"
POISONED = f"{PREFIX}RestateRetractNotSupported"
NUMBERS = {
    "InternalError": 0,
    "NullRequest": 100,
    INVALID: 105,
    "UserIsNotAuthorized": 106,
    EXPIRED: 109,
    "CallRateExceeded": 117,
    f"{PREFIX}sNullOrEmpty": 5600,
    f"{PREFIX}sLimitExceeded": 5601,
    f"{PREFIX}IsNull": 5602,
    f"{PREFIX}NameNullOrEmpty": 5605,
    f"{PREFIX}NameInvalid": 5606,
    f"{PREFIX}ValueInvalid": 5610,
    f"{PREFIX}CurrencyCodeInvalid": 5611,
    f"{PREFIX}NotAcceptedForGoal": 5615,
    f"{PREFIX}InvalidAdjustmentType": 5618,
    f"{PREFIX}AdjustmentTimeNullOrEmpty": 5619,
    f"{PREFIX}AdjustmentTimeInvalid": 5621,
    f"{PREFIX}FutureAdjustmentTimeCannotBeSet": 5622,
    f"{PREFIX}AdjustmentTimeOutOfWindow": 5623,
    f"{PREFIX}AdjustmentValueNotExpected": 5624,
    f"{PREFIX}AdjustmentValueRequired": 5625,
    f"{PREFIX}CurrencyValueRequired": 5626,
    POISONED: 5627,
}
UNKNOWN_NUMBER = 5999
"""Of symbols that no page names."""

WRONG = {
    "AdjustmentType": f"{PREFIX}InvalidAdjustmentType",
    "AdjustmentTime": f"{PREFIX}AdjustmentTimeInvalid",
    "AdjustmentValue": f"{PREFIX}ValueInvalid",
    "AdjustmentCurrencyCode": f"{PREFIX}CurrencyCodeInvalid",
    "ConversionName": f"{PREFIX}NameInvalid",
}
MISSING = {
    "AdjustmentType": f"{PREFIX}InvalidAdjustmentType",
    "AdjustmentTime": f"{PREFIX}AdjustmentTimeNullOrEmpty",
    "ConversionName": f"{PREFIX}NameNullOrEmpty",
}
OTHERWISE = "NullRequest"
"""Of what no code is documented for: an unknown key, or a transaction that is no text."""

UTC_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,7})?Z", re.ASCII)


def _time_ms(told: object) -> int | None:
    """A time of the calendar in UTC, in epoch milliseconds."""
    if not isinstance(told, str) or UTC_TIME.fullmatch(told) is None:
        return None
    try:
        at = datetime.fromisoformat(told)
    except ValueError:
        return None
    return round(at.astimezone(UTC).timestamp() * 1000)


ROW = Shape(
    {
        "AdjustmentType": among("Restate", "Retract"),
        "AdjustmentTime": lambda value: _time_ms(value) is not None,
        "AdjustmentValue": amount,
        "AdjustmentCurrencyCode": currency_upper,
        **dict.fromkeys(("ConversionName", "TransactionId"), text),
    },
    demanded=("AdjustmentType", "AdjustmentTime", "ConversionName", "TransactionId"),
)


class _Body(Struct, rename="pascal"):
    online_conversion_adjustments: list[Raw]


class _Id(Struct, rename="pascal"):
    transaction_id: str = ""


def check(asked: Asked, access: Access, now_ms: int) -> Taken | Refused:
    """The answer to one request."""
    return _applied(asked, access, now_ms, lambda transaction: access.late.get(transaction, ""))


def partial(fault: Fault, asked: Asked, access: Access, now_ms: int) -> Taken | Refused:
    """The same, with the rows of the fault's transactions failing; the whole request, if none shall be named."""
    bad = frozenset(fault.event_ids)
    answer = _applied(asked, access, now_ms, lambda transaction: POISONED if transaction in bad else "")
    return answer if fault.named or isinstance(answer, Refused) else _fault(fault.status or 400, OTHERWISE)


def event_ids(body: bytes) -> tuple[str, ...]:
    """The transactions of a body's rows, "" where one has none; nothing if it can't be read."""
    try:
        rows = msgspec.json.decode(body, type=_Body).online_conversion_adjustments
        return tuple(msgspec.json.decode(raw, type=_Id).transaction_id for raw in rows)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()


def failure(fault: Fault, ids: Sequence[str]) -> Refused:
    """Microsoft's own fault, as a whole."""
    del ids
    if fault.kind == "expired_token":
        return _fault(401, EXPIRED)
    if fault.kind == "429":
        return _fault(fault.status or 429, "CallRateExceeded")
    status = fault.status or SERVER_ERROR
    return _fault(status, "InternalError" if status >= SERVER_ERROR else OTHERWISE)


def pixel(body: bytes) -> tuple[Event, ...]:
    """Raises ValueError: no browser tells of refunds."""
    del body
    raise ValueError("there is no pixel for refunds")


def fire(fired: PixelFire) -> bytes:
    """Nothing that can be told."""
    del fired
    return b"null"


def told_id(truth: Truth) -> str:
    """Of a refund, the order's."""
    return truth.order_id


def told_value(truth: Truth) -> int:
    """Of a refund, none: what is told is what is left."""
    return 0 if truth.event == "refund" else own_value(truth)


def _applied(asked: Asked, access: Access, now_ms: int, spoilt: Callable[[str], str]) -> Taken | Refused:
    if (asked.method, asked.path) == ("POST", TOKEN_PATH):
        return give_token(asked, access.token, now_ms)
    rows = _rows(asked, access, now_ms)
    if isinstance(rows, Refused):
        return rows
    events: list[Event] = []
    errors: list[dict[str, object]] = []
    for place, raw in enumerate(rows):
        row = read(bytes(raw))
        symbol = next(_problems(row, access, now_ms), "") or spoilt(_transaction(row))
        if symbol:
            errors.append({**_error(symbol), "Index": place, "Type": "BatchError"})
        else:
            events.append(_event(_transaction(row), bytes(raw)))
    return Taken(tuple(events), msgspec.json.encode({"PartialErrors": errors}))


def _rows(asked: Asked, access: Access, now_ms: int) -> list[Raw] | Refused:
    """The rows, of a request that may be made."""
    if asked.path != PATH:
        return Refused(404, b"")
    if asked.method != "POST":
        return Refused(405, b"")
    if symbol := denied(asked, access.token, now_ms):
        return _fault(401, symbol)
    customer = asked.headers.get("customerid", "")
    if asked.headers.get("customeraccountid") not in access.accounts or customer != access.options.get(
        "customer_id"
    ):
        return _fault(403, "UserIsNotAuthorized")
    if len(asked.body) > BODY_MAX_BYTES:
        return Refused(413, b"")
    return _read(asked)


def _read(asked: Asked) -> list[Raw] | Refused:
    if asked.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return Refused(415, b"")
    try:
        rows = msgspec.json.decode(asked.body, type=_Body).online_conversion_adjustments
    except (msgspec.DecodeError, RecursionError):
        return _fault(400, OTHERWISE)
    if not rows:
        return _fault(400, f"{PREFIX}sNullOrEmpty")
    return rows if len(rows) <= ROWS_MAX else _fault(400, f"{PREFIX}sLimitExceeded")


def _problems(row: object, access: Access, now_ms: int) -> Iterator[str]:
    """Symbols of what is wrong with a row."""
    if not isinstance(row, dict):
        yield f"{PREFIX}IsNull"
        return
    for found in findings(row, ROW):
        table = MISSING if found.kind == "missing" else WRONG if found.kind == "wrong" else {}
        yield table.get(str(found.path[-1]), OTHERWISE)
    at_ms = _time_ms(row.get("AdjustmentTime")) or 0
    if at_ms > now_ms:
        yield f"{PREFIX}FutureAdjustmentTimeCannotBeSet"
    if at_ms < now_ms - DAYS_90_MS:
        yield f"{PREFIX}AdjustmentTimeOutOfWindow"
    if row.get("ConversionName") not in access.actions.values():
        yield f"{PREFIX}NameInvalid"
    yield from _value(row)


def _value(row: Mapping[str, object]) -> Iterator[str]:
    """A retraction has none; what is restated is a whole number of minor units, as all amounts of the shop's are."""
    if row.get("AdjustmentType") == "Retract":
        if "AdjustmentValue" in row:
            yield f"{PREFIX}AdjustmentValueNotExpected"
        return
    if "AdjustmentValue" not in row:
        yield f"{PREFIX}AdjustmentValueRequired"
    elif "AdjustmentCurrencyCode" not in row:
        yield f"{PREFIX}CurrencyValueRequired"
    elif not money(row["AdjustmentValue"], row["AdjustmentCurrencyCode"])[0]:
        yield f"{PREFIX}ValueInvalid"


def _transaction(row: object) -> str:
    return str(row.get("TransactionId", "")) if isinstance(row, dict) else ""


def _event(transaction: str, raw: bytes) -> Event:
    """The same row again is the same adjustment."""
    key = Key(msgspec.json.format(raw, indent=-1).decode(), ALWAYS_MS)
    return Event("OnlineConversionAdjustment", transaction, "refund", raw, keys=(key,))


def _fault(status: int, symbol: str) -> Refused:
    told = {"TrackingId": "emulated", "Type": "AdApiFaultDetail", "Errors": [_error(symbol)]}
    return Refused(status, msgspec.json.encode(told))


def _error(symbol: str) -> dict[str, object]:
    return {
        "Code": NUMBERS.get(symbol, UNKNOWN_NUMBER),
        "ErrorCode": symbol,
        "Message": "made up",
        "Details": None,
    }


STAND_IN = StandIn(
    name="microsoft_refunds",
    account="150000001",
    taker=Taker(frozenset({"refund"})),
    check=check,
    event_ids=event_ids,
    failure=failure,
    partial=partial,
    pixel=pixel,
    fire=fire,
    told_id=told_id,
    told_value=told_value,
    actions={"refund": "Purchases"},
    options={"customer_id": "250000001"},
    secret=new_secret,
    credentials=token_file,
)
