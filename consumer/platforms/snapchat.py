"""Snapchat's Conversions API, v3.

Rules: developers.snap.com, Conversions API (Introduction, Using the API, Parameters, Deduplication, Best Practices),
and the schema in Snapchat's business SDK v3. The body's status decides, VALID or INVALID; an INVALID names one event,
which is taken for its place in the request, and all of the request for refused. Snapchat has no refund event: refunds
are not taken.

Where sources leave a choice: an event may be 37 days old, as Snapchat's own page says; partners stop at 28 or 7. To
stop early would lose orders that Snapchat takes, while one that it finds too old after all is refused alone. What comes
late may meet its pixel event no more, which is known for 48 hours, a purchase's order for 30 days. The action source is
always WEB, also of an order that is known without its page: it was placed there all the same, and pixel and server are
matched within one source. The value is a number, as in the schema; quantity and price of an item are texts, as in
schema and pages. A date of birth is left out, since no page says how it is hashed.

A sale that was opted out bears LDU, with the country and the state where the page knows them, and opt_out as well,
since LDU is a matter of certain places. A page says that a wrong token too is a 400: unless a code tells it, that looks
like an event's own fault.
"""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Literal

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
from consumer.platforms.shared import STATUS_CODES, decimal_text, page_address, unread

VERSION = "v3"
EVENTS = {"purchase": "PURCHASE", "begin_checkout": "START_CHECKOUT", "add_payment_info": "ADD_BILLING"}
HASHED = (
    ("em", "email"),
    ("ph", "phone"),
    ("fn", "first_name"),
    ("ln", "last_name"),
    ("ge", "gender"),
    ("ct", "city"),
    ("st", "region_code"),
    ("zp", "postal_code"),
    ("country", "country"),
    ("external_id", "external_id_lower"),
)
IDENTIFYING = frozenset({"em", "ph"})
BROWSER = frozenset({"client_ip_address", "client_user_agent"})
"""Together they identify too; all else, even the click id, only helps."""

CALIFORNIA = 1000
LATEST_MS = 10_000_000_000_000
INVALID = "INVALID"
CODE = re.compile(r"[\w.-]{1,64}", re.ASCII)
ABOUT_ACCESS = re.compile(r"token|auth|permission", re.IGNORECASE)
"""Codes are not documented. One that speaks of these, and of no event, is about us."""

REFUSING = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, *range(300, 400)})


def event(conversion: Conversion, account: Account) -> bytes | Unfit:
    """One element of `data`, as JSON."""
    del account
    if not 0 < conversion.event_time < LATEST_MS:
        return Unfit("event_time", "event_time is out of range")
    user = _user_data(conversion)
    if IDENTIFYING.isdisjoint(user) and not user.keys() >= BROWSER:
        return Unfit(
            "no_identifiers", "the shop gave no e-mail or phone, nor IP address and user agent together"
        )
    told: dict[str, object] = {
        "event_name": EVENTS[conversion.event_name],
        "event_time": conversion.event_time // 1000,
        "event_id": conversion.event_id,
        "action_source": "WEB",
        "user_data": user,
        "custom_data": _custom_data(conversion),
    }
    if page := page_address(conversion.page_url):
        told["event_source_url"] = page
    if conversion.sale_opt_out:
        told |= _limited_use(conversion.consent_region)
    return orjson.dumps(told)


def _user_data(conversion: Conversion) -> dict[str, object]:
    clicks = conversion.click_ids
    hashes = {key: [digest] for key, wanted in HASHED if (digest := form(conversion.identity, wanted))}
    plain = {
        "client_ip_address": plain_ip(conversion.ip),
        "client_user_agent": conversion.user_agent.strip(),
        "sc_click_id": clicks.get("sc_click_id", "").strip(),
        "sc_cookie1": clicks.get("sc_cookie1", "").strip(),
    }
    return {**hashes, **_known(plain)}


def _custom_data(conversion: Conversion) -> dict[str, object]:
    currency = conversion.currency
    custom: dict[str, object] = {"currency": currency, "value": major(conversion.value_minor, currency)}
    if conversion.order_id:
        custom["order_id"] = conversion.order_id
    items = [item for item in conversion.items if item.sku.strip()]
    if items:
        custom["num_items"] = sum(item.quantity for item in items)
        custom["content_ids"] = [item.sku for item in items]
        custom["contents"] = [_content(item, currency) for item in items]
    return custom


def _content(item: Item, currency: str) -> dict[str, str]:
    price = decimal_text(item.price_minor, currency)
    told = {"id": item.sku, "quantity": str(item.quantity), "item_price": price}
    return {**told, **_known({"brand": item.brand.strip()})}


def _known(texts: Mapping[str, str]) -> dict[str, str]:
    return {key: text for key, text in texts.items() if text}


def _limited_use(region: str) -> dict[str, object]:
    """0 asks Snapchat to find the country or the state by the IP address."""
    place = region.upper()
    return {
        "data_processing_options": ["LDU"],
        "data_processing_options_country": int(place.partition("-")[0] == "US"),
        "data_processing_options_state": CALIFORNIA if place == "US-CA" else 0,
        "opt_out": True,
    }


def request(account: Account, events: Sequence[bytes]) -> Request:
    """The token stands in the query, where alone Snapchat's pages and its SDK put it."""
    code = account.test_event_code
    tail = b',"test_event_code":' + orjson.dumps(code) + b"}" if code else b"}"
    return Request(
        f"{account.base_url}/{VERSION}/{account.account}/events",
        {"Content-Type": "application/json"},
        b'{"data":[' + b",".join(events) + b"]" + tail,
        {"access_token": account.token},
    )


def trial(account: Account, events: Sequence[bytes]) -> Request:
    """The same for Snapchat's test tool, which shows events in the test view and does no more with them."""
    made = request(account, events)
    return msgspec.structs.replace(made, url=f"{made.url}/validate")


class _Body(msgspec.Struct):
    """What stands in it is not relied on, but for the status."""

    status: Literal["VALID", "INVALID"]
    event: object = None
    errors: object = None


def judge(reply: Reply) -> Verdict:
    """Decided by the body's status, the reply's and a code, never by text."""
    try:
        body = msgspec.json.decode(reply.body, type=_Body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return unread(reply, "Snapchat")
    if body.status == INVALID:
        return _judge_error(body, reply)
    return Accepted() if reply.status < HTTPStatus.MULTIPLE_CHOICES else unread(reply, "Snapchat")


def _judge_error(body: _Body, reply: Reply) -> Verdict:
    name, status = _code(body.errors), reply.status
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return TooLarge(name)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled(name, retry_after_s(reply))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Transient(name, retry_after_s(reply))
    if status in REFUSING or (body.event is None and ABOUT_ACCESS.search(name)):
        return SetupFault(name, "token, permission or pixel refused by Snapchat")
    return BatchRejected(name, "refused by Snapchat", _culprits(body.event))


def _culprits(place: object) -> tuple[int, ...]:
    return (place,) if isinstance(place, int) and not isinstance(place, bool) and place >= 0 else ()


def _code(errors: object) -> str:
    """The first code that is one; without any, the body's status."""
    codes = errors.get("codes") if isinstance(errors, dict) else None
    told = (str(code) for code in codes) if isinstance(codes, list) else ()
    return next((code for code in told if CODE.fullmatch(code)), INVALID)


PLATFORM = Platform(
    name="snapchat",
    version=VERSION,
    base_url="https://tr.snapchat.com",
    setup=Setup(
        account=Field(
            "the Snap Pixel's id, from Events Manager",
            r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
        ),
        credentials="a Conversions API token: Ads Manager, Business Details, Conversions API Tokens, Generate Token",
    ),
    limits=Limits(
        events_max=2000,
        bytes_max=2_000_000,  # not documented; what a partner keeps to
        age_max_ms=37 * 86_400_000,
        future_max_ms=60_000,  # not documented
    ),
    events=EVENTS,
    dedupes_server_events=frozenset(),  # the pages tell of pixel and server, not of server and server
    known_codes=STATUS_CODES | {INVALID},
    event=event,
    request=request,
    judge=judge,
    identifiers={
        "email": b'"em":',
        "phone": b'"ph":',
        "first_name": b'"fn":',
        "last_name": b'"ln":',
        "gender": b'"ge":',
        "city": b'"ct":',
        "region": b'"st":',
        "postal_code": b'"zp":',
        "country": b'"country":',
        "external_id": b'"external_id":',
        "click_id": b'"sc_click_id":',
        "browser_id": b'"sc_cookie1":',
        "ip": b'"client_ip_address":',
        "user_agent": b'"client_user_agent":',
    },
    probe=Probe(
        trial,
        judge,
        says="Snapchat found an event right, and didn't keep it: the token may write to the pixel",
    ),
)
