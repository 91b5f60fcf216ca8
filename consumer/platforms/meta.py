"""Meta's Conversions API, Graph v26.0.

Rules: developers.facebook.com/documentation/ads-commerce/conversions-api (using-the-api, parameters/server-event,
parameters/customer-information-parameters, parameters/custom-data, data-processing-options) and the Graph API's error
reference. One bad event fails its whole batch, so an event is checked here to the depth of those pages before it is
sent. Meta has no refund event and no adjustment: refunds are not taken.
"""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated

import msgspec
import orjson

from consumer.model import Conversion
from consumer.money import major
from consumer.platforms.contract import (
    Accepted,
    Account,
    BatchRejected,
    Field,
    Limits,
    Platform,
    Probe,
    Reply,
    Request,
    Setup,
    SetupFault,
    Throttled,
    TooLarge,
    Transient,
    Unfit,
    Verdict,
    plain_ip,
    retry_after_s,
)

VERSION = "v26.0"
EVENTS = {"purchase": "Purchase", "begin_checkout": "InitiateCheckout", "add_payment_info": "AddPaymentInfo"}
HASHED = (
    ("em", "email"),
    ("ph", "phone"),
    ("fn", "first_name"),
    ("ln", "last_name"),
    ("ge", "gender"),
    ("db", "date_of_birth"),
    ("ct", "city"),
    ("st", "region"),
    ("zp", "postal_code"),
    ("country", "country"),
    ("external_id", "external_id"),
)
TOO_BROAD = (
    frozenset({"ct", "country", "st", "zp", "ge", "client_user_agent"}),
    frozenset({"db", "client_user_agent"}),
    frozenset({"fn", "ge"}),
    frozenset({"ln", "ge"}),
)
"""An event whose user_data has no more than one of these can't be matched, and is refused (2804050)."""

STATES = {
    "CA": 1000, "CO": 1001, "CT": 1002, "FL": 1003, "OR": 1004, "TX": 1005, "MT": 1006,
    "DE": 1007, "NE": 1008, "NH": 1009, "NJ": 1010, "MN": 1011, "MD": 1012, "RI": 1013,
}  # fmt: skip
"""Limited Data Use: a state of the USA to Meta's number for it; 0 lets Meta find the place by the IP address."""

FBC = re.compile(r"fb\.\d\.\d{13}\.[^\s.]\S*", re.ASCII)
FBP = re.compile(
    r"fb\.\d\.\d{13}\.\d+(?:\.(?:[\w-]{8}|\w{2}))?", re.ASCII
)  # may end with a builder's appendix
URL = re.compile(r"https?://[^\s/]\S*")
CULPRIT = re.compile(rb"\$\['data'\]\[(\d{1,6})\]")
LATEST_SECONDS = 10_000_000_000
SETUP_CODES = frozenset({3, 10, 102, 190, 2500, 2635, *range(200, 300)})
THROTTLING_CODES = frozenset({4, 17, 32, 341, 368, 613, *range(80000, 80015)})
TRANSIENT_CODES = frozenset({1, 2, 21009})
PARAMETER = 100
NO_SUCH_DATASET = 33
TOLD_BY_CODE = (SETUP_CODES | THROTTLING_CODES | TRANSIENT_CODES) - {190}
"""Codes whose subcode changes nothing; only of others it is part of the verdict's code."""

LONG_BACK_OFF_S = {368: 3600.0}
FOREIGN = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, *range(300, 400)})
"""Statuses that, without Meta's own error, say that someone else answers at this address."""

KNOWN_CODES = frozenset(
    {
        "100",
        "100/33",
        "100/2804001",
        "100/2804003",
        "100/2804007",
        "100/2804009",
        "100/2804014",
        "100/2804016",
    }
    | {
        "100/2804017",
        "100/2804019",
        "100/2804048",
        "100/2804050",
        "105",
        "190",
        "190/460",
        "190/463",
        "190/467",
    }
    | {
        "http_401",
        "http_403",
        "http_404",
        "http_413",
        "http_429",
        "http_500",
        "http_502",
        "http_503",
        "http_504",
    }
    | {str(code) for code in TOLD_BY_CODE}
)


def event(conversion: Conversion, account: Account) -> bytes | Unfit:
    """One element of `data`, as JSON."""
    del account
    user = _user_data(conversion)
    if any(user.keys() <= broad for broad in TOO_BROAD):
        return Unfit("no_identifiers", "no identifier that Meta can match on, or only too broad ones")
    if not 0 < conversion.event_time < LATEST_SECONDS * 1000:
        return Unfit("event_time", "event_time is out of range")
    told: dict[str, object] = {
        "event_name": EVENTS[conversion.event_name],
        "event_time": conversion.event_time // 1000,
        "event_id": conversion.event_id,
        "action_source": "website",
        "user_data": user,
        "custom_data": _custom_data(conversion),
    }
    if URL.fullmatch(conversion.page_url) and "client_user_agent" in user:
        told["event_source_url"] = conversion.page_url
    else:  # an event of a website must have both
        told["action_source"] = "system_generated"
    if conversion.referrer_url:
        told["referrer_url"] = conversion.referrer_url
    if conversion.sale_opt_out:
        told |= _limited_use(conversion)
    return orjson.dumps(told)


def _user_data(conversion: Conversion) -> dict[str, object]:
    identity, clicks = conversion.identity, conversion.click_ids
    hashes = {key: [identity[form]] for key, form in HASHED if form in identity}
    fbp = clicks.get("fbp", "")
    plain = {
        "client_ip_address": plain_ip(conversion.ip),
        "client_user_agent": conversion.user_agent.strip(),
        "fbc": _fbc(clicks, conversion.fbclid_at),
        "fbp": fbp if FBP.fullmatch(fbp) else "",
    }
    return {**hashes, **{key: value for key, value in plain.items() if value}}


def _fbc(clicks: Mapping[str, str], fbclid_at_ms: int) -> str:
    """The cookie, unless it is absent or of an older click; then made of the click id, as the cookie would be."""
    cookie, fbclid = clicks.get("fbc", ""), clicks.get("fbclid", "")
    if FBC.fullmatch(cookie) and (not fbclid or f"{cookie.split('.', 3)[3]}.".startswith(f"{fbclid}.")):
        return cookie
    made = f"fb.1.{fbclid_at_ms}.{fbclid}"
    return made if FBC.fullmatch(made) else ""


def _custom_data(conversion: Conversion) -> dict[str, object]:
    currency = conversion.currency
    custom: dict[str, object] = {"currency": currency, "value": major(conversion.value_minor, currency)}
    if conversion.order_id:
        custom["order_id"] = conversion.order_id
    items = [item for item in conversion.items if item.sku.strip()]
    if items:
        custom["content_type"] = "product"
        custom["content_ids"] = [item.sku for item in items]
        custom["contents"] = [
            {"id": item.sku, "quantity": item.quantity, "item_price": major(item.price_minor, currency)}
            for item in items
        ]
    if conversion.event_name == "begin_checkout":
        custom["num_items"] = sum(item.quantity for item in conversion.items)
    return custom


def _limited_use(conversion: Conversion) -> dict[str, object]:
    """State 0 asks Meta to find the place, which takes an IP address; without one the country is given at least."""
    land, _, state = conversion.consent_region.upper().partition("-")
    known = STATES.get(state, 0) if land == "US" else 0
    unplaced = land in {"US", ""} and not plain_ip(conversion.ip)
    return {
        "data_processing_options": ["LDU"],
        "data_processing_options_country": 1 if known or unplaced else 0,
        "data_processing_options_state": known,
    }


def request(account: Account, events: Sequence[bytes]) -> Request:
    """The token goes into a header, so that no access log has it."""
    code = account.test_event_code
    tail = b',"test_event_code":' + orjson.dumps(code) + b"}" if code else b"}"
    return Request(
        f"{account.base_url}/{VERSION}/{account.account}/events",
        {"Authorization": account.token.bearer, "Content-Type": "application/json"},
        b'{"data":[' + b",".join(events) + b"]" + tail,
    )


class _Error(msgspec.Struct):
    code: int = 0
    error_subcode: int | None = 0
    is_transient: bool | None = False


class _Body(msgspec.Struct):
    error: _Error | None = None
    events_received: Annotated[int, msgspec.Meta(ge=1)] | None = None


def judge(reply: Reply) -> Verdict:
    """Decided by code, subcode and is_transient, never by text; only a culprit's index is read from it."""
    try:
        body = msgspec.json.decode(reply.body, type=_Body, strict=False)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _unread(reply)
    if body.error is not None:
        return _judge_error(body.error, reply)
    if reply.status < HTTPStatus.MULTIPLE_CHOICES and body.events_received:
        return Accepted()
    return _unread(reply)


def _unread(reply: Reply) -> Verdict:
    """A body that isn't Meta's: a proxy's page, or nothing. Few statuses speak for themselves."""
    name = f"http_{reply.status}"
    if reply.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return TooLarge(name)
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled(name, _regain_s(reply))
    if reply.status in FOREIGN:
        return SetupFault(name, "answered without Meta's own error: is the address Meta's?")
    return Transient(name, retry_after_s(reply))


def _judge_error(error: _Error, reply: Reply) -> Verdict:
    code, subcode = error.code, error.error_subcode
    name = f"{code}/{subcode}" if subcode and code not in TOLD_BY_CODE else str(code)
    if reply.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return TooLarge(name)
    if code in THROTTLING_CODES or reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled(name, _regain_s(reply) or LONG_BACK_OFF_S.get(code))
    if code in SETUP_CODES:
        return SetupFault(name, "token, permission or API version refused")
    if code == PARAMETER and subcode == NO_SUCH_DATASET:
        return SetupFault(name, "the dataset does not exist, or the token may not write to it")
    if error.is_transient or code in TRANSIENT_CODES or reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Transient(name, retry_after_s(reply))
    culprits = tuple(dict.fromkeys(int(index) for index in CULPRIT.findall(reply.body)))
    return BatchRejected(name, "refused by Meta", culprits)


class _Usage(msgspec.Struct):
    estimated_time_to_regain_access: float = 0


def _regain_s(reply: Reply) -> float | None:
    """Retry-After, else the longest wait that the usage header names, in minutes there."""
    asked = retry_after_s(reply)
    if asked is not None:
        return asked
    try:
        usage = msgspec.json.decode(
            reply.headers.get("x-business-use-case-usage", "{}"), type=dict[str, list[_Usage]]
        )
    except (msgspec.MsgspecError, RecursionError):
        return None
    waits = [each.estimated_time_to_regain_access for uses in usage.values() for each in uses]
    return max([0.0, *waits]) * 60 or None


PLATFORM = Platform(
    name="meta",
    version=VERSION,
    base_url="https://graph.facebook.com",
    setup=Setup(
        account=Field("the dataset's id (pixel id), from Events Manager", r"\d+"),
        credentials="a token of a system user, or the dataset's own: Events Manager, Settings, Conversions API",
    ),
    limits=Limits(
        events_max=1000,
        bytes_max=1_000_000,  # not documented
        age_max_ms=7 * 86_400_000,
        future_max_ms=60_000,  # not documented
    ),
    events=EVENTS,
    dedupes_server_events=frozenset(),  # the docs are silent on server and server
    known_codes=KNOWN_CODES,
    event=event,
    request=request,
    judge=judge,
    identifiers={
        "email": b'"em":',
        "phone": b'"ph":',
        "first_name": b'"fn":',
        "last_name": b'"ln":',
        "gender": b'"ge":',
        "date_of_birth": b'"db":',
        "city": b'"ct":',
        "region": b'"st":',
        "postal_code": b'"zp":',
        "country": b'"country":',
        "external_id": b'"external_id":',
        "click_id": b'"fbc":',
        "browser_id": b'"fbp":',
        "ip": b'"client_ip_address":',
        "user_agent": b'"client_user_agent":',
    },
    probe=Probe(
        request,
        judge,
        says="Meta took a test event, which counts: the token may write to the dataset",
        counts=True,
    ),
)
