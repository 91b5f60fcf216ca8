"""LinkedIn's Conversions API, conversionEvents.

Rules: learn.microsoft.com/linkedin, marketing/integrations/ads-reporting (conversions-api, conversions-api-schema),
marketing/conversions (deduplication, conversions-faq), marketing/integrations/migrations for how long versions live,
shared/api-guide/concepts (error-handling, protocol-version), and Rest.li's protocol; of what they leave out, 422 above
all, logs of real calls and public connectors. An event names the conversion rule that it is for, and the rule's type
says what it is. One bad event fails its whole batch, and the reply names every bad one. No rule is of a type for
refunds, so they are not taken; nor is there a field for an opt-out of sale, so such events are not sent.

Where there was a choice: an e-mail loses all white space before it is hashed, at Gmail too no more than that. An IP
address goes as a hash, though LinkedIn takes it plain as well; only version 4 is taken. Names LinkedIn wants plain, so
they aren't sent, nor the country that may stand only beside them. li_fat_id is a UUID, and what is none is left out,
since LinkedIn checks no identifier and would count it as one. The value is always there: events without it may be
taken and not counted. An event with an id of more than 64 characters is held back: without its id it would count beside
the Insight Tag's. LinkedIn says nothing of server events that come twice, so after a 2xx that can't be read nobody
knows what counts.
"""

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from http import HTTPStatus

import msgspec
import orjson

from consumer.forms import form
from consumer.model import Conversion
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
    plain_ip,
    retry_after_s,
)
from consumer.platforms.shared import STATUS_CODES, decimal_text, unread

VERSION = "202607"
EVENTS = {"purchase": "PURCHASE", "begin_checkout": "START_CHECKOUT", "add_payment_info": "ADD_BILLING_INFO"}
"""The types of the rules that they are for."""

EVENT_ID_MAX_CHARACTERS = 64
LATEST_MS = 10_000_000_000_000
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

NAMED = re.compile(rb"Index: (\d{1,6}), ERROR ::")
"""A bad event as a 422 names it, each in a line of its own; JSON writes a line break as two characters."""
LISTED = re.compile(rb"\bindices \[([\d, ]*)\]")
"""All bad events as a 400 names them."""
INDEX = re.compile(rb"\b\d{1,6}\b")

RETIRED = (
    "LinkedIn has retired this version of its API: name a newer one, by year and month, as options.version"
)
SETUP_STATUSES: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: "the token is wrong, revoked or expired: put a new one into the token file",
    HTTPStatus.FORBIDDEN: "the token's owner may not write to the ad account, or it has no such conversion rules",
    HTTPStatus.NOT_FOUND: "LinkedIn has nothing at this address",
    HTTPStatus.METHOD_NOT_ALLOWED: "LinkedIn takes no events at this address",
    HTTPStatus.UPGRADE_REQUIRED: RETIRED,
}
SETUP_CODES = {"VERSION_MISSING": "the version of the API was lost on the way: is there a proxy between?"}
WAITING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.LOCKED, *range(500, 600)})
LATER = WAITING | {HTTPStatus.TOO_MANY_REQUESTS}
LATER_S = 60.0
KNOWN_CODES = (
    STATUS_CODES
    | {"http_422", "http_423", "http_426", "NONEXISTENT_VERSION", "VERSION_MISSING", "65600", "65601"}
    | {"INVALID_ACCESS_TOKEN", "REVOKED_ACCESS_TOKEN", "EXPIRED_ACCESS_TOKEN", "EMPTY_ACCESS_TOKEN"}
)


def event(conversion: Conversion, account: Account) -> bytes | Unfit:
    """One element of `elements`, as JSON."""
    if not 0 < conversion.event_time < LATEST_MS:
        return Unfit("event_time", "event_time is out of range")
    if len(conversion.event_id) > EVENT_ID_MAX_CHARACTERS:
        return Unfit(
            "event_id", "an event id of more than 64 characters: the shop must choose a shorter one for it"
        )
    user_ids = _user_ids(conversion)
    if not user_ids:
        return Unfit("no_identifiers", "the shop gave no e-mail, li_fat_id or IPv4 address")
    told = {
        "conversion": f"urn:lla:llaPartnerConversion:{account.actions[conversion.event_name]}",
        "conversionHappenedAt": conversion.event_time,
        "conversionValue": {
            "currencyCode": conversion.currency,
            "amount": decimal_text(conversion.value_minor, conversion.currency),
        },
        "eventId": conversion.event_id,
        "user": {"userIds": user_ids},
    }
    return orjson.dumps(told)


def _user_ids(conversion: Conversion) -> list[dict[str, str]]:
    cookie = conversion.click_ids.get("li_fat_id", "").strip()
    told = {
        "SHA256_EMAIL": form(conversion.identity, "email_no_spaces"),
        "LINKEDIN_FIRST_PARTY_ADS_TRACKING_UUID": cookie if UUID.fullmatch(cookie) else "",
        "SHA256_IP_ADDRESS": _hashed_ipv4(conversion.ip),
    }
    return [{"idType": kind, "idValue": value} for kind, value in told.items() if value]


def _hashed_ipv4(text: str) -> str:
    """Empty if it is no address, or one of version 6."""
    plain = plain_ip(text)
    return sha256(plain.encode()).hexdigest() if plain and ":" not in plain else ""


def request(account: Account, events: Sequence[bytes]) -> Request:
    """Always a batch, be it of one. The version is a setting, since LinkedIn retires each after a year."""
    return Request(
        f"{account.base_url}/rest/conversionEvents",
        {
            "Authorization": account.token.bearer,
            "Content-Type": "application/json",
            "LinkedIn-Version": account.options.get("version") or VERSION,
            "X-RestLi-Method": "BATCH_CREATE",
            "X-Restli-Protocol-Version": "2.0.0",
        },
        b'{"elements":[' + b",".join(events) + b"]}",
    )


class _Element(msgspec.Struct):
    status: int


class _Body(msgspec.Struct):
    elements: list[_Element] = []
    status: int = 0
    code: str | None = None
    service_error_code: int | None = msgspec.field(default=None, name="serviceErrorCode")


def judge(reply: Reply) -> Verdict:
    """Decided by the status and, of some, the code; of the text only the places of bad events are read."""
    try:
        body = msgspec.json.decode(reply.body, type=_Body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _unread(reply)
    success = reply.status < HTTPStatus.MULTIPLE_CHOICES
    if success and body.elements:
        return PerEvent(tuple(_judge_element(element.status) for element in body.elements))
    if body.status < HTTPStatus.MULTIPLE_CHOICES:
        return _unread(reply)
    return _judge_error(body, body.status if success else reply.status, reply)


def _judge_element(status: int) -> EventVerdict:
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Accepted()
    if status in LATER:
        return Later(f"http_{status}", LATER_S)
    return Rejected(f"http_{status}", "refused by LinkedIn, alone of its batch")


def _unread(reply: Reply) -> Verdict:
    """201 and nothing answers an event alone, where Rest.li's own header tells it from a stranger's."""
    if reply.status >= HTTPStatus.MULTIPLE_CHOICES:
        return unread(reply, "LinkedIn")
    if reply.status == HTTPStatus.CREATED and not reply.body and "x-restli-protocol-version" in reply.headers:
        return Accepted()
    return Unconfirmed(f"http_{reply.status}")


def _judge_error(body: _Body, status: int, reply: Reply) -> Verdict:
    name = (body.code or str(body.service_error_code or f"http_{status}"))[:64]
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return TooLarge(name)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled(name, retry_after_s(reply))
    if why := SETUP_STATUSES.get(status) or SETUP_CODES.get(name):
        return SetupFault(name, why)
    if status in WAITING:
        return Transient(name, retry_after_s(reply))
    return BatchRejected(name, "refused by LinkedIn", _culprits(reply.body))


def _culprits(body: bytes) -> tuple[int, ...]:
    """Every place that the text names, in its order."""
    lists = [*NAMED.findall(body), *LISTED.findall(body)]
    return tuple(dict.fromkeys(int(index) for each in lists for index in INDEX.findall(each)))


PLATFORM = Platform(
    name="linkedin",
    version=VERSION,
    base_url="https://api.linkedin.com",
    setup=Setup(
        account=Field("the ad account's id, from Campaign Manager", r"\d+"),
        credentials="an access token from Campaign Manager, Data, Signals manager, Direct API;"
        " or one of OAuth with rw_conversions and r_ads",
        action=Field(
            "the id of a conversion rule whose source is the Conversions API: Campaign Manager, Measurement",
            r"\d+",
        ),
        options={
            "version": Field(
                f"the month of LinkedIn's API version, {VERSION} if left out", r"\d{6}", needed=False
            )
        },
    ),
    limits=Limits(
        events_max=5000,
        bytes_max=1_000_000,  # not documented
        age_max_ms=90 * 86_400_000,
        future_max_ms=0,
        requests_per_s=10,
    ),
    events=EVENTS,
    dedupes_server_events=frozenset(),  # documented between the Insight Tag and the server only
    known_codes=KNOWN_CODES,
    event=event,
    request=request,
    judge=judge,
    identifiers={
        "email": b'"idType":"SHA256_EMAIL"',
        "click_id": b'"idType":"LINKEDIN_FIRST_PARTY_ADS_TRACKING_UUID"',
        "ip": b'"idType":"SHA256_IP_ADDRESS"',
    },
    limited_use=False,
    linger_ms=1000,  # 500,000 requests a day
)
