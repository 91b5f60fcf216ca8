"""What LinkedIn demands of one conversion event, read from its raw JSON.

Rules: learn.microsoft.com/linkedin, marketing/integrations/ads-reporting/conversions-api and conversions-api-schema.
LinkedIn looks at no identifier's value: a hash in upper case, or an e-mail as it is, would be taken and match nobody.
Here it is refused, since whoever sends it has hashed wrongly; so is an amount with part of a minor unit.
"""

import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address

from consumer.emulators.contract import Event, Key, Means
from consumer.emulators.demands import (
    COUNTRY_UPPER,
    UUID,
    Holds,
    Listed,
    Shape,
    among,
    amount_text,
    currency_upper,
    findings,
    form,
    hashed,
    money_text,
    text,
    text_up_to,
    whole,
)

TYPES: dict[Means, str] = {
    "purchase": "PURCHASE",
    "begin_checkout": "START_CHECKOUT",
    "add_payment_info": "ADD_BILLING_INFO",
}
"""Of a conversion rule, which alone says what an event is."""

AGE_MAX_MS = 90 * 86_400_000
ALWAYS_MS = 10**15
"""No window is documented within which the tag's event and the server's are known as one."""

RULE = re.compile(r"urn:lla:llaPartnerConversion:([0-9]+)")
LEAD = re.compile(r"urn:li:\S+")


def ipv4(value: object) -> bool:
    """An IP address of version 4."""
    try:
        return isinstance(value, str) and bool(IPv4Address(value))
    except ValueError:
        return False


def _uuid(value: object) -> bool:
    return isinstance(value, str) and UUID.fullmatch(value.lower()) is not None


def _one_at_most(holds: Holds) -> Holds:
    return lambda value: isinstance(value, list) and len(value) <= 1 and all(map(holds, value))


IDENTIFIERS: dict[str, Holds] = {
    "SHA256_EMAIL": hashed,
    "SHA256_IP_ADDRESS": hashed,
    "PLAINTEXT_IP_ADDRESS": ipv4,
    "LINKEDIN_FIRST_PARTY_ADS_TRACKING_UUID": _uuid,
    **dict.fromkeys(("ACXIOM_ID", "GOOGLE_AID", "ORACLE_MOAT_ID"), text),
}
USER = Shape(
    {
        "userIds": Listed(
            Shape({"idType": among(*IDENTIFIERS), "idValue": text}, demanded=("idType", "idValue")), least=0
        ),
        "userInfo": Shape(
            {
                **dict.fromkeys(("firstName", "lastName", "companyName", "title"), text),
                "countryCode": form(COUNTRY_UPPER),
            },
            demanded=("firstName", "lastName"),
        ),
        "externalIds": _one_at_most(text),
        "lead": form(LEAD),
    },
    demanded=("userIds",),
)
EVENT = Shape(
    {
        "conversion": form(RULE),
        "conversionHappenedAt": whole,
        "conversionValue": Shape(
            {"currencyCode": currency_upper, "amount": amount_text}, demanded=("currencyCode", "amount")
        ),
        "eventId": text_up_to(64),
        "user": USER,
    },
    demanded=("conversion", "conversionHappenedAt", "user"),
)


def problems(told: object) -> list[str]:
    """What is wrong with an event, each as a path and a sentence that holds no customer's data."""
    found = [f"/{'/'.join(map(str, each.path))} :: {each.why}" for each in findings(told, EVENT)]
    return found or [f"/{path} :: {why}" for path, why in _rules(told)]


def _rules(told: object) -> Iterator[tuple[str, str]]:
    """What no table can say of an event that is of the right shape."""
    user, value = _object(told, "user"), _object(told, "conversionValue")
    ids = user["userIds"]
    if not ids and not user.get("externalIds") and user.keys().isdisjoint({"userInfo", "lead"}):
        yield "user", "needs a user id, both names, an external id or a lead"
    for place, each in enumerate(ids if isinstance(ids, list) else []):
        if not IDENTIFIERS[each["idType"]](each["idValue"]):
            yield f"user/userIds/{place}/idValue", "is not of the form that this idType has"
    if value and money_text(value["amount"], value["currencyCode"])[0] is None:
        yield "conversionValue/amount", "is no whole number of minor units"


def _object(told: object, key: str) -> Mapping[str, object]:
    found = told.get(key) if isinstance(told, dict) else None
    return found if isinstance(found, dict) else {}


def in_time(told: Mapping[str, object], now_ms: int) -> bool:
    """Not older than 90 days, and not in the future; the time is in milliseconds."""
    at_ms = told["conversionHappenedAt"]
    return isinstance(at_ms, int) and now_ms - AGE_MAX_MS <= at_ms <= now_ms


def rule_of(told: Mapping[str, object]) -> str:
    """The number of an event's conversion rule."""
    return str(told["conversion"]).rpartition(":")[2]


def read_event(means: Means, event_id: object, value: tuple[int | None, str], raw: bytes) -> Event:
    """An event that is right. By its id alone it is known again, whatever its rule, from whatever source."""
    own = str(event_id or "")
    keys = (Key(own, ALWAYS_MS),) if own else ()
    return Event(TYPES[means], own, means, raw, *value, keys)


def counts(told: Mapping[str, object]) -> bool:
    """What has no value is taken, and never seen again."""
    return "conversionValue" in told


def value_of(told: Mapping[str, object]) -> tuple[int | None, str]:
    """Its money."""
    value = _object(told, "conversionValue")
    return money_text(value.get("amount"), value.get("currencyCode"))
