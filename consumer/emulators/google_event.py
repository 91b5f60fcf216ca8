"""What the Data Manager API demands of one of `events`, for Google Ads, read from its raw JSON.

Rules: developers.google.com/data-manager/api (the REST reference's Event, devguides/events/google-ads/online/
send-events, devguides/concepts/formatting). A transactionId is demanded, since the conversion actions here are those of
a tag.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from msgspec import Struct

from consumer.emulators.contract import Event, Key, Means
from consumer.emulators.demands import (
    COUNTRY_UPPER,
    Holds,
    Listed,
    Path,
    Shape,
    among,
    amount,
    an_object,
    count,
    currency_upper,
    each,
    findings,
    form,
    hashed,
    ip,
    money,
    text,
    text_up_to,
)

TRANSACTION_ID_MAX = 64
IDENTIFIERS_MAX = 10
AGE_MAX_MS = 90 * 86_400_000
FUTURE_MAX_MS = 60_000
ALWAYS_MS = 10**15
"""No window is documented within which a transaction is known again."""

TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})"
)
DIGITS = re.compile(r"[0-9]{1,18}")
HEX = re.compile(r"[0-9a-fA-F]*")
LANGUAGE = re.compile(r"[a-z]{2}")
POSTAL_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 -]{0,10}")
POSTAL_CODE_OF_US = re.compile(r"[0-9]{5}(-[0-9]{4})?")
CLICK_IDS = ("gclid", "gbraid", "wbraid")
HASHES = frozenset({"emailAddress", "phoneNumber", "givenName", "familyName"})
REASONS = {
    "transactionId": "FIELD_VALUE_TOO_LONG",
    "conversionValue": "INVALID_NUMBER_FORMAT",
    "currency": "INVALID_CURRENCY_CODE",
    "regionCode": "INVALID_REGION_CODE",
    "postalCode": "INVALID_POSTAL_CODE",
    "merchantId": "INVALID_MERCHANT_ID",
    **dict.fromkeys(("eventSource", "adUserData", "adPersonalization", "customerType"), "INVALID_ENUM_VALUE"),
}
"""What a value is called that is not of its field's form; of other fields it is INVALID_FORMAT."""


class Problem(Struct, frozen=True):
    """What is wrong. `at` is the path below the event; `why` holds no customer's data."""

    reason: str
    at: Path
    why: str


def problems(event: object, now_ms: int) -> list[Problem]:
    """All that is wrong with one event; its own rules are looked at once its fields are right."""
    found = [_named(event, finding.path, finding.kind, finding.why) for finding in findings(event, EVENT)]
    if found or not isinstance(event, dict):
        return found
    return list(_own_rules(event, now_ms))


def read_event(told: Mapping[str, object], means: Means, action: str, raw: bytes) -> Event:
    """An event that is right, for one conversion action: with its transaction it is known again."""
    value, code = money(told.get("conversionValue"), told.get("currency"))
    own = str(told["transactionId"])
    keys = (Key(f"{action}\n{own}", ALWAYS_MS),) if own else ()
    return Event(means, own, means, raw, value, code, keys)


def is_too_old(event: Mapping[str, object], now_ms: int) -> bool:
    """So old an event is taken, and found wrong afterwards."""
    at_ms = _time_ms(event["eventTimestamp"])
    return at_ms is not None and now_ms - at_ms > AGE_MAX_MS


def has_people(event: object) -> bool:
    """Whether it holds hashes, whose encoding must be told."""
    return isinstance(event, dict) and "userData" in event


def warned_of(event: Mapping[str, object]) -> bool:
    """A cart does not go with a click id of an app."""
    click = event.get("adIdentifiers", {})
    return "cartData" in event and isinstance(click, dict) and bool(click.keys() & {"gbraid", "wbraid"})


def _named(event: object, path: Path, kind: str, why: str) -> Problem:
    if kind == "missing":
        return Problem("REQUIRED_FIELD_MISSING", path, why)
    if kind == "unknown" or not path:
        return Problem("INVALID_ARGUMENT", path, why)
    key = next((step for step in reversed(path) if isinstance(step, str)), "")
    if key in HASHES:
        value = _at(event, path)
        hexed = isinstance(value, str) and HEX.fullmatch(value)
        return Problem("INVALID_SHA256_FORMAT" if hexed else "INVALID_HEX_ENCODING", path, why)
    if key == "userIdentifiers" and isinstance(found := _at(event, path), list) and found:
        return Problem("TOO_MANY_USER_IDENTIFIERS", path, why)
    return Problem(REASONS.get(key, "INVALID_FORMAT"), path, why)


def _at(value: object, path: Path) -> object:
    for step in path:
        match value, step:
            case dict(), str():
                value = value.get(step)
            case list(), int():
                value = value[step]
            case _:
                return None
    return value


def _own_rules(event: Mapping[str, object], now_ms: int) -> Iterator[Problem]:
    at_ms = _time_ms(event["eventTimestamp"])
    if at_ms is not None and at_ms > now_ms + FUTURE_MAX_MS:
        yield Problem("EVENT_TIME_INVALID", ("eventTimestamp",), "lies in the future")
    if "conversionValue" in event:
        yield from _value(event)
    click, user = event.get("adIdentifiers", {}), event.get("userData", {})
    if isinstance(click, dict) and {"gbraid", "wbraid"} <= click.keys():
        yield Problem("INVALID_EVENT", ("adIdentifiers",), "gbraid and wbraid are never of one click")
    people = user.get("userIdentifiers", []) if isinstance(user, dict) else []
    if not people and not _is_found(event, click):
        yield Problem("NO_IDENTIFIERS_PROVIDED", (), "has no user identifiers and no ad identifiers")
    for place, person in enumerate(people):
        yield from _person(person, ("userData", "userIdentifiers", place))


def _value(event: Mapping[str, object]) -> Iterator[Problem]:
    if "currency" not in event:
        yield Problem("REQUIRED_FIELD_MISSING", ("currency",), "conversionValue needs currency")
    # Google would take it; but no amount of the shop's has part of a minor unit: the sender has computed wrongly.
    elif money(event["conversionValue"], event["currency"])[0] is None:
        yield Problem("INVALID_NUMBER_FORMAT", ("conversionValue",), "is no whole number of minor units")


def _is_found(event: Mapping[str, object], click: object) -> bool:
    """Whether the click is told, or at least from which machine it came."""
    ads = click if isinstance(click, dict) else {}
    devices = (ads.get("landingPageDeviceInfo"), event.get("eventDeviceInfo"))
    told = any(ads.get(key) for key in (*CLICK_IDS, "sessionAttributes"))
    return told or any(isinstance(device, dict) and "ipAddress" in device for device in devices)


def _person(person: Mapping[str, object], path: Path) -> Iterator[Problem]:
    if len(person) != 1:
        yield Problem("INVALID_ARGUMENT", path, "must be one of emailAddress, phoneNumber and address")
    address = person.get("address")
    if isinstance(address, dict) and address["regionCode"] == "US":
        code = address["postalCode"]
        if not isinstance(code, str) or POSTAL_CODE_OF_US.fullmatch(code.strip()) is None:
            yield Problem("INVALID_POSTAL_CODE", (*path, "address", "postalCode"), "is none of the USA")


def _time_ms(value: object) -> int | None:
    """Epoch milliseconds of a time as RFC 3339 has it; None if it is none."""
    if not isinstance(value, str) or TIME.fullmatch(value) is None:
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // _MILLISECOND


def _a_time(value: object) -> bool:
    return _time_ms(value) is not None


def _quantity(value: object) -> bool:
    """A number of 64 bits may be a text."""
    return count(value) or (isinstance(value, str) and DIGITS.fullmatch(value) is not None and int(value) > 0)


_MILLISECOND = datetime(1970, 1, 1, microsecond=1000, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
_said: Holds = among("CONSENT_GRANTED", "CONSENT_DENIED")
_DEVICE = Shape({"userAgent": text, "ipAddress": ip, "languageCode": text}, more=True)
_ADDRESS = Shape(
    {
        **dict.fromkeys(("givenName", "familyName"), hashed),
        "regionCode": form(COUNTRY_UPPER),
        "postalCode": form(POSTAL_CODE),
    },
    demanded=("givenName", "familyName", "regionCode", "postalCode"),
)
_ITEM = Shape(
    {
        **dict.fromkeys(("merchantProductId", "itemId", "merchantId"), text),
        **dict.fromkeys(("unitPrice", "conversionValue"), amount),
        "quantity": _quantity,
    },
    more=True,
)
EVENT = Shape(
    {
        "destinationReferences": each(text),
        "transactionId": text_up_to(TRANSACTION_ID_MAX),
        **dict.fromkeys(("eventTimestamp", "lastUpdatedTimestamp"), _a_time),
        "eventSource": among("WEB", "APP", "IN_STORE", "PHONE", "MESSAGE", "OTHER"),
        **dict.fromkeys(("conversionValue", "conversionCount"), amount),
        "currency": currency_upper,
        "adIdentifiers": Shape(
            {
                **dict.fromkeys((*CLICK_IDS, "dclid", "matchId", "impressionId", "mobileDeviceId"), text),
                **dict.fromkeys(("ppid", "visitorPpid", "sessionAttributes"), text),
                "landingPageDeviceInfo": _DEVICE,
            }
        ),
        "userData": Shape(
            {
                "userIdentifiers": Listed(
                    Shape({"emailAddress": hashed, "phoneNumber": hashed, "address": _ADDRESS}),
                    most=IDENTIFIERS_MAX,
                )
            },
            demanded=("userIdentifiers",),
        ),
        "consent": Shape({"adUserData": _said, "adPersonalization": _said}),
        "eventDeviceInfo": _DEVICE,
        "cartData": Shape(
            {
                "merchantId": form(DIGITS),
                "merchantFeedLabel": text,
                "merchantFeedLanguageCode": form(LANGUAGE),
                "transactionDiscount": amount,
                "couponCodes": each(text),
                "items": Listed(_ITEM),
            },
            demanded=("items",),
        ),
        "userProperties": Shape(
            {
                "customerType": among("NEW", "RETURNING", "REENGAGED"),
                "customerValueBucket": among("LOW", "MEDIUM", "HIGH"),
            }
        ),
        "customVariables": each(an_object),
    },
    demanded=("transactionId", "eventTimestamp"),
)
