"""Amazon Ads' Events API, v1 (the Conversions API of old is another one).

Rules: advertising.amazon.com/API/docs (the reference's page of POST /adsApi/v1/create/events with its schemas
EventCreate and ErrorCode, the guides to events, to consent and to Ads data manager), Amazon's sample of events with
custom attributes, and the normalisers of its uploader to Marketing Cloud. An answer tells of each event by its place.

Of events with one id only the latest is kept, whatever their types, so that an id must name its event: where a shop's
own id doesn't begin with the event's name and a colon, it is put before it, and Amazon's tag must send the same as
clientDedupeId. The same id again is safe, and no window is named for it.

Where sources leave a choice: the value is told with two decimals at most, so that amounts of currencies with three are
rounded half up; to lose such orders would be worse. Only of a purchase it is money: the value of another event is a
score of the advertiser's, and left to the settings there. In the European Economic Area and the United Kingdom an
event must say what the customer allowed; where nothing is known it isn't sent. One signal is sent, Amazon's own, and
no IP address, neither as consent's place nor as a match key. Custom attributes take letters and digits alone, which
ids of products seldom are: none are sent. A sale that was opted out bears LIMITED_DATA_USE. Amazon has no event for
payment details, and none for refunds.
"""

import re
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from http import HTTPStatus

import msgspec
import orjson

from consumer.forms import form
from consumer.model import ConsentState, Conversion, EventName
from consumer.platforms import oauth
from consumer.platforms.contract import (
    Accepted,
    Account,
    BatchRejected,
    EventVerdict,
    Field,
    Later,
    Limits,
    PerEvent,
    Platform,
    Rejected,
    Reply,
    Request,
    Setup,
    SetupFault,
    Throttled,
    TooLarge,
    Transient,
    Unconfirmed,
    Unfit,
    Verdict,
    retry_after_s,
)
from consumer.platforms.shared import STATUS_CODES, decimal_text, unread, utc_text

EVENTS = {"purchase": "OFF_AMAZON_PURCHASES", "begin_checkout": "CHECKOUT"}
MATCH_KEYS = (
    ("EMAIL", "email_ascii"),
    ("PHONE", "phone"),
    ("FIRST_NAME", "first_name_ascii"),
    ("LAST_NAME", "last_name_ascii"),
    ("ADDRESS", "street_short"),
    ("CITY", "city_ascii"),
    ("STATE", "region_code"),
    ("POSTAL", "postal_code_short"),
)
_MONEY = (
    "AED ARS AUD AZN BBD BHD BMD BND BOB BRL BSD CAD CHF CLP CNY COP CRC CZK DKK DOP DZD EGP EUR GBP GHS GTQ HKD HNL "
    "HUF IDR ILS INR JMD JOD JPY KES KRW KWD KYD KZT LBP LKR MAD MUR MXN MYR NAD NGN NOK NZD PAB PEN PHP PKR PLN PYG "
    "QAR RON RSD RUB SAR SEK SGD THB TND TRY TTD TWD TZS UAH USD UYU VND XAF XCD XOF XPF "
    "ZAR"  # codespell:ignore zar
)
_UNION = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK "
_ITS_REGIONS = "AX GF GP MF MQ RE YT "
_LIKE_IT = "IS LI NO GB "
CURRENCIES = frozenset(_MONEY.split())
CONSENTING = frozenset((_UNION + _ITS_REGIONS + _LIKE_IT).split())
"""Where an event must say what its customer allowed: the European Economic Area and the United Kingdom."""

DECIMALS_MAX = 2
CENT = Decimal("0.01")
UNITS_MAX = 2**31 - 1
USER_AGENT_MAX_CHARACTERS = 512
LATEST_MS = 10_000_000_000_000
COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)
LOCATION = re.compile(r"[\w.\[\]$/-]{1,100}", re.ASCII)

SETUP_CODES = frozenset(
    {"UNAUTHORIZED", "FORBIDDEN", "NOT_FOUND", "ACCESS_DENIED_FOR_MANAGER_ACCOUNT"}
    | {"FEATURE_DISCONTINUED", "FEATURE_NOT_AVAILABLE", "UNSUPPORTED_MARKETPLACE"}
)
SETUP_STATUSES = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, *range(300, 400)}
)
THROTTLING, TOO_LARGE = "TOO_MANY_REQUESTS", "CONTENT_TOO_LARGE"
TRANSIENT_CODES = frozenset({"INTERNAL_ERROR", "CONFLICT"})
PASSING_CODES = TRANSIENT_CODES | {THROTTLING}
"""Of one event alone: it may be taken when it is sent again."""

PASSING_S = 60.0
FAULT_CODES = frozenset(
    {
        "BAD_REQUEST",
        "INVALID_INPUT",
        "ACTION_NOT_SUPPORTED",
        "DUPLICATE_FIELD_VALUE_FOUND",
        "RESOURCE_IS_NULL",
    }
    | {f"FIELD_SIZE_IS_{how}" for how in ("ABOVE_MAXIMUM_LIMIT", "BELOW_MINIMUM_LIMIT", "OUT_OF_RANGE")}
    | {f"FIELD_VALUE_IS_{how}" for how in ("ABOVE_MAXIMUM_LIMIT", "BELOW_MINIMUM_LIMIT", "OUT_OF_RANGE")}
    | {f"FIELD_VALUE_IS_{how}" for how in ("EMPTY", "INVALID", "NULL")}
    | {f"FIELD_VALUE_{how}" for how in ("CONTAINS_INVALID_CHARACTERS", "MISMATCH", "MUST_BE_EMPTY_OR_NULL")}
    | {f"FIELD_VALUE_{how}" for how in ("NOT_FOUND", "NOT_UNIQUE", "CONTAINS_BLOCKLISTED_WORDS")}
)


def event(conversion: Conversion, account: Account) -> bytes | Unfit:
    """One element of `events`, as JSON."""
    del account
    keys = _match_keys(conversion)
    if unfit := _lack(conversion, some=bool(keys)):
        return unfit
    told: dict[str, object] = {
        "eventDescription": {
            "name": conversion.event_name,
            "conversionType": EVENTS[conversion.event_name],
            "eventSource": "WEBSITE",
            "eventIngestionMethod": "SERVER_TO_SERVER",
        },
        "eventTime": utc_text(conversion.event_time),
        "eventId": _event_id(conversion),
        "countryCode": conversion.country,
        "matchKeys": keys,
    }
    if conversion.event_name == EventName.PURCHASE:
        told |= _sale(conversion)
    if conversion.consent_ads != ConsentState.UNSPECIFIED:
        said = dict.fromkeys(("amznUserData", "amznAdStorage"), conversion.consent_ads)
        told["consent"] = {"amazonConsent": said}
    if conversion.sale_opt_out:
        told["dataProcessingOptions"] = {"options": "LIMITED_DATA_USE"}
    agent = conversion.user_agent.strip()
    if 0 < len(agent) <= USER_AGENT_MAX_CHARACTERS:
        told["deviceInfo"] = {"userAgent": agent}
    return orjson.dumps(told)


def _lack(conversion: Conversion, *, some: bool) -> Unfit | None:
    """What Amazon demands and isn't there; `some` if there are match keys."""
    lands = {conversion.country, conversion.consent_region[:2].upper()}
    if not some:
        return Unfit(
            "no_identifiers", "the shop gives neither e-mail, phone, name nor address of the customer"
        )
    if not COUNTRY.fullmatch(conversion.country):
        return Unfit(
            "country", "no country, which the shop must give with an address of the order or checkout"
        )
    if not 0 < conversion.event_time < LATEST_MS:
        return Unfit("event_time", "event_time is out of range")
    if conversion.event_name == EventName.PURCHASE and conversion.currency not in CURRENCIES:
        return Unfit("currency", "Amazon takes no money in the order's currency")
    if conversion.consent_ads == ConsentState.UNSPECIFIED and lands & CONSENTING:
        return Unfit(
            "consent_signal", "the shop must pass on what the customer allowed: Amazon demands it there"
        )
    return None


def _match_keys(conversion: Conversion) -> list[dict[str, object]]:
    found = ((key, form(conversion.identity, wanted)) for key, wanted in MATCH_KEYS)
    return [{"type": key, "values": [digest]} for key, digest in found if digest]


def _event_id(conversion: Conversion) -> str:
    """Never that of another event, whatever the shop calls both."""
    beginning = f"{conversion.event_name}:"
    own = conversion.event_id
    return own if own.startswith(beginning) else beginning + own


def _sale(conversion: Conversion) -> dict[str, object]:
    worth = Decimal(decimal_text(conversion.value_minor, conversion.currency))
    told: dict[str, object] = {
        "value": float(worth.quantize(CENT, ROUND_HALF_UP)),
        "currencyCode": conversion.currency,
    }
    units = sum(item.quantity for item in conversion.items)
    return {**told, "unitsSold": units} if 0 < units <= UNITS_MAX else told


def request(account: Account, events: Sequence[bytes]) -> Request:
    """Which host it is for is the advertiser's region: North America's if `base_url` doesn't say."""
    return Request(
        f"{account.base_url}/adsApi/v1/create/events",
        {
            "Authorization": account.token.bearer,
            "Amazon-Ads-ClientId": account.options.get("client_id", ""),
            "Amazon-Ads-AccountId": account.account,
            "Content-Type": "application/json",
        },
        b'{"events":[' + b",".join(events) + b"]}",
    )


class _Fault(msgspec.Struct, rename="camel"):
    code: str = ""
    field_location: str = ""


class _Taken(msgspec.Struct):
    index: int


class _Refused(msgspec.Struct):
    index: int
    errors: list[_Fault]


class _Body(msgspec.Struct):
    """Of each event, or of the request as a whole."""

    success: list[_Taken] | None = None
    error: list[_Refused] | None = None
    code: str = ""


def judge(reply: Reply) -> Verdict:
    """Each event's own verdict, if they are told; else decided by code and status."""
    try:
        body = msgspec.json.decode(reply.body, type=_Body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return unread(reply, "Amazon")
    if body.code:
        return _of_request(body.code[:64], reply)
    if reply.status < HTTPStatus.MULTIPLE_CHOICES:
        return _of_each(body.success or [], body.error or [], reply)
    return unread(reply, "Amazon")


def _of_each(taken: Sequence[_Taken], refused: Sequence[_Refused], reply: Reply) -> Verdict:
    """Told of all, from the first on, and of none twice; else nobody knows what became of them.

    If none is taken and all for what the settings say, no event is at fault.
    """
    if not taken and refused and all(_first(each).code in SETUP_CODES for each in refused):
        return _setup_fault(_first(refused[0]).code)
    told: list[tuple[int, EventVerdict]] = [(each.index, Accepted()) for each in taken]
    told += [(each.index, _of_event(_first(each), reply)) for each in refused]
    told.sort(key=lambda each: each[0])
    if not told or [index for index, _ in told] != list(range(len(told))):
        return Unconfirmed("not_of_each")
    return PerEvent(tuple(verdict for _, verdict in told))


def _first(refused: _Refused) -> _Fault:
    return refused.errors[0] if refused.errors else _Fault()


def _of_event(fault: _Fault, reply: Reply) -> EventVerdict:
    code = fault.code[:64] or "no_code"
    if code in PASSING_CODES:
        return Later(code, retry_after_s(reply) or PASSING_S)
    where = f", at {fault.field_location}" if LOCATION.fullmatch(fault.field_location) else ""
    return Rejected(code, f"refused by Amazon{where}")


def _of_request(code: str, reply: Reply) -> Verdict:
    if code == TOO_LARGE or reply.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return TooLarge(code)
    if code == THROTTLING or reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled(code, retry_after_s(reply))
    if code in SETUP_CODES or reply.status in SETUP_STATUSES:
        return _setup_fault(code)
    if code in TRANSIENT_CODES or reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Transient(code, retry_after_s(reply))
    return BatchRejected(code, "refused by Amazon, without saying which event is at fault")


def _setup_fault(code: str) -> SetupFault:
    return SetupFault(code, "Amazon refused the token, its permission, the client id or the account")


PLATFORM = Platform(
    name="amazon",
    version="v1",
    base_url="https://advertising-api.amazon.com",
    setup=Setup(
        account=Field(
            "the advertiser account's id, from Amazon Ads, Account access and settings",
            r"[A-Za-z0-9][A-Za-z0-9._-]*",
        ),
        credentials="JSON with client_id, client_secret and refresh_token, of an app of Login with Amazon that Amazon"
        " Ads let in, by a user who may edit events (event_manager_edit); token_uri for another region's token server",
        options={
            "client_id": Field(
                "the app's client id, the same as in the token file",
                r"amzn1\.application-oa2-client\.[A-Za-z0-9]+",
            )
        },
    ),
    limits=Limits(
        events_max=500,
        bytes_max=1_000_000,  # not documented
        age_max_ms=7 * 86_400_000,  # not documented; the older API drops what is older
        future_max_ms=60_000,  # not documented
    ),
    events=EVENTS,
    dedupes_server_events=frozenset(EVENTS),  # of one eventId, the latest
    known_codes=STATUS_CODES
    | SETUP_CODES
    | TRANSIENT_CODES
    | FAULT_CODES
    | {THROTTLING, TOO_LARGE, "not_of_each"},
    event=event,
    request=request,
    judge=judge,
    identifiers={
        "email": b'"type":"EMAIL"',
        "phone": b'"type":"PHONE"',
        "first_name": b'"type":"FIRST_NAME"',
        "last_name": b'"type":"LAST_NAME"',
        "street": b'"type":"ADDRESS"',
        "city": b'"type":"CITY"',
        "region": b'"type":"STATE"',
        "postal_code": b'"type":"POSTAL"',
        "user_agent": b'"userAgent":',
    },
    decimals_max=DECIMALS_MAX,
    grant=oauth.refresh_token("https://api.amazon.com/auth/o2/token"),
)
