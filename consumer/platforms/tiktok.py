"""TikTok's Events API 2.0, business API v1.3.

Rules: ads.tiktok.com/help (event-deduplication, supported-standard-events, adopting TikTok's updated standard events),
TikTok's own template for Google Tag Manager's server and its plugin for WooCommerce, and the codes of its business API
SDK. The body's code decides: the status is 200 for most errors too. TikTok has no refund event: refunds are not taken.

An event for which a sale was opted out bears limited_data_use, which TikTok takes only beside the visitor's own public
IP address. Without one it isn't sent at all: TikTok could not be told of the opt-out, and would use what it got freely.
The event stripped of its identifiers would be no better, since TikTok could match it with nobody.

Where sources leave a choice: content_type stands in properties, once, though TikTok's template repeats it in each item.
external_id keeps its case, as in the template. An IP address that isn't public is sent, as the template does; it is no
reason for TikTok to refuse an event that is free to use. Some partners pass on events without any identifier, others
say that TikTok refuses them: here they are held back. Code 20001 is a partial success that nobody has seen explained;
it counts as taken, since what is sent again would be dropped as a double.
"""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from ipaddress import ip_address
from typing import Annotated

import msgspec
import orjson

from consumer.forms import form
from consumer.model import Conversion, Item
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
from consumer.platforms.shared import STATUS_CODES, page_address, unread

VERSION = "v1.3"
EVENTS = {"purchase": "Purchase", "begin_checkout": "InitiateCheckout", "add_payment_info": "AddPaymentInfo"}
HASHED = (
    ("email", "email"),
    ("phone", "phone_e164"),
    ("external_id", "external_id_exact"),
    ("first_name", "first_name"),
    ("last_name", "last_name"),
    ("zip_code", "postal_code"),
)
IDENTIFYING = frozenset({"email", "phone", "external_id", "ttclid", "ttp"})
BROWSER = frozenset({"ip", "user_agent"})
"""Together they identify too; names and places only help."""

ITEM_TEXTS = (("content_name", "name"), ("content_category", "category"), ("brand", "brand"))
CULPRIT = re.compile(rb"\b(?:Batch\.|data\.|data\[)(\d{1,6})\b")
LATEST_MS = 10_000_000_000_000
FIRST_CODE = 10_000
"""Errors of TikTok's have five digits; a smaller number is somebody else's, such as a proxy's status."""

TAKEN_CODES = frozenset({0, 20001, 40050})
THROTTLING_CODES = frozenset({40100, 40132, 61000})
SETUP_CODES = frozenset(
    {
        40001,
        40003,
        40101,
        40113,
        40117,
        40118,
        40130,
        40300,
        40301,
    }  # permission, partner, app, scope, advertiser
    | {40006, 40051, 40400}  # version or path of the API
    | {40063}  # name of a partner
    | {40102, 40104, 40105}  # token expired, empty, invalid
    | {41000, 41001}  # blocked, interface offline
)
TRANSIENT_CODES = frozenset({60001, *range(50_000, 60_000)})
BATCH_SIZE = 40061
STRANGERS = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})
KNOWN_CODES = STATUS_CODES | {
    str(code)
    for code in (
        *(40000, 40002, 40062, BATCH_SIZE),
        *(50000, 50002, 60001, *range(51_000, 54_000)),
        *THROTTLING_CODES,
        *SETUP_CODES,
    )
}


def event(conversion: Conversion, account: Account) -> bytes | Unfit:
    """One element of `data`, as JSON."""
    del account
    if not 0 < conversion.event_time < LATEST_MS:
        return Unfit("event_time", "event_time is out of range")
    user = _user(conversion)
    if IDENTIFYING.isdisjoint(user) and not user.keys() >= BROWSER:
        return Unfit(
            "no_identifiers",
            "the shop gave no e-mail, phone, customer id, ttclid or ttp, nor IP address and user agent together",
        )
    if conversion.sale_opt_out and not _is_public(user.get("ip", "")):
        return Unfit(
            "public_ip",
            "a sale was opted out, of which TikTok can be told only with the visitor's own public IP address,"
            " which the shop must pass on",
        )
    told: dict[str, object] = {
        "event": EVENTS[conversion.event_name],
        "event_time": conversion.event_time // 1000,
        "event_id": conversion.event_id,
        "user": user,
        "properties": _properties(conversion),
    }
    page = _known({"url": page_address(conversion.page_url), "referrer": conversion.referrer_url.strip()})
    if page:
        told["page"] = page
    if conversion.sale_opt_out:
        told["limited_data_use"] = True
    return orjson.dumps(told)


def _user(conversion: Conversion) -> dict[str, str]:
    clicks = conversion.click_ids
    hashes = {key: form(conversion.identity, wanted) for key, wanted in HASHED}
    plain = {
        "ttclid": clicks.get("ttclid", "").strip(),
        "ttp": clicks.get("ttp", "").strip(),
        "ip": plain_ip(conversion.ip),
        "user_agent": conversion.user_agent.strip(),
        "city": "".join(conversion.city.lower().split()),
        "state": conversion.region.strip().lower(),
        "country": conversion.country.lower(),
    }
    return _known({**hashes, **plain})


def _is_public(ip: str) -> bool:
    """Of the whole internet: not private, and not of documentation."""
    return bool(ip) and ip_address(ip).is_global


def _properties(conversion: Conversion) -> dict[str, object]:
    currency = conversion.currency
    told: dict[str, object] = {"currency": currency, "value": major(conversion.value_minor, currency)}
    if conversion.order_id:
        told["order_id"] = conversion.order_id
    contents = [_content(item, currency) for item in conversion.items if item.sku.strip()]
    if contents:
        told |= {"content_type": "product", "contents": contents}
    return told


def _content(item: Item, currency: str) -> dict[str, object]:
    return {
        "content_id": item.sku,
        **_known({key: getattr(item, name).strip() for key, name in ITEM_TEXTS}),
        "price": major(item.price_minor, currency),
        "quantity": item.quantity,
    }


def _known(texts: Mapping[str, str]) -> dict[str, str]:
    return {key: text for key, text in texts.items() if text}


def request(account: Account, events: Sequence[bytes]) -> Request:
    """The token stands bare in a header of TikTok's own. The pixel is the request's, and so is the test code."""
    head = {"event_source": "web", "event_source_id": account.account}
    if account.test_event_code:
        head["test_event_code"] = account.test_event_code
    return Request(
        f"{account.base_url}/open_api/{VERSION}/event/track/",
        {"Access-Token": account.token, "Content-Type": "application/json"},
        orjson.dumps(head)[:-1] + b',"data":[' + b",".join(events) + b"]}",
    )


class _Body(msgspec.Struct):
    code: Annotated[int, msgspec.Meta(ge=0, lt=1_000_000)]


def judge(reply: Reply) -> Verdict:
    """Decided by the body's code, then by the status; only a culprit's index is read from the text."""
    try:
        code = msgspec.json.decode(reply.body, type=_Body).code
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return unread(reply, "TikTok")
    if code in TAKEN_CODES:
        return Accepted()
    if code < FIRST_CODE:
        return unread(reply, "TikTok")
    return _judge_error(code, reply)


def _judge_error(code: int, reply: Reply) -> Verdict:
    name, status = str(code), reply.status
    if code == BATCH_SIZE or status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return TooLarge(name)
    if code in THROTTLING_CODES or status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled(name, retry_after_s(reply))
    if code in SETUP_CODES or status in STRANGERS:
        return SetupFault(name, "token, permission, pixel or API version refused by TikTok")
    if code in TRANSIENT_CODES or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Transient(name, retry_after_s(reply))
    culprits = tuple(dict.fromkeys(int(index) for index in CULPRIT.findall(reply.body)))
    return BatchRejected(name, "refused by TikTok", culprits)


PLATFORM = Platform(
    name="tiktok",
    version=VERSION,
    base_url="https://business-api.tiktok.com",
    setup=Setup(
        account=Field("the pixel's id, from Events Manager, Web", r"[A-Z0-9]+"),
        credentials="the pixel's access token: Events Manager, the pixel, Settings, Events API, Generate Access Token",
    ),
    limits=Limits(
        events_max=1000,
        bytes_max=1_000_000,  # not documented
        age_max_ms=7 * 86_400_000,  # not documented for the web; offline events may be 28 days old
        future_max_ms=60_000,  # not documented
        requests_per_s=1000,
    ),
    events=EVENTS,
    dedupes_server_events=frozenset(EVENTS),  # by pixel, event and event_id, for 48 hours
    known_codes=KNOWN_CODES,
    event=event,
    request=request,
    judge=judge,
    identifiers={
        "email": b'"email":',
        "phone": b'"phone":',
        "first_name": b'"first_name":',
        "last_name": b'"last_name":',
        "city": b'"city":',
        "region": b'"state":',
        "postal_code": b'"zip_code":',
        "country": b'"country":',
        "external_id": b'"external_id":',
        "click_id": b'"ttclid":',
        "browser_id": b'"ttp":',
        "ip": b'"ip":',
        "user_agent": b'"user_agent":',
    },
    probe=Probe(
        request,
        judge,
        says="TikTok took a test event, which may count: the token may write to the pixel",
        counts=True,  # nobody says that one with a test_event_code doesn't
    ),
)
