"""Reddit's Conversions API v3.

Rules: ads-api.reddit.com/docs/v3 (Conversions API: direct integration, migration from v2, event testing, errors), the
help pages about event metadata, advanced matching, event deduplication and conversion access tokens, and Reddit's own
tag for Google Tag Manager. A field that Reddit doesn't know, or one bad event, fails the whole batch. There is no
refund event and no adjustment: refunds are not taken.

Where sources leave a choice: e-mails follow the newer rule, letters and digits only before the at. The conversion id
is sent as it is; the pixel must send the same, hashed by neither. Checkouts are custom events, whose names the pixel
must use, too, since a lead would be counted as what it isn't. Of the visitor's cookie only the UUID is sent, for one
that is none refuses the batch. Who opted out of sales is sent for limited use with a country, or not at all. Products
need an id and a category, as the tag says. An address counts as a signal only with its browser.
"""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import msgspec
import orjson

from consumer.forms import form
from consumer.model import Conversion, EventName, Item
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

EVENTS = {
    str(EventName.PURCHASE): "PURCHASE",
    str(EventName.BEGIN_CHECKOUT): "InitiateCheckout",
    str(EventName.ADD_PAYMENT_INFO): "AddPaymentInfo",
}
STANDARD = frozenset({"PURCHASE"})
"""Names that are Reddit's; the others are custom ones."""

HASHED = (
    ("email", "email_alphanumeric"),
    ("phone_number", "phone_e164"),
    ("external_id", "external_id_exact"),
)
SIGNALS = frozenset({"email", "phone_number", "external_id", "uuid"})
BROWSER = frozenset({"ip_address", "user_agent"})
LATEST_MS = 10_000_000_000_000
UUID = re.compile(
    r"(?:\d+\.)?([0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})",
    re.ASCII | re.IGNORECASE,
)
"""Bare, or behind the time in the cookie `_rdt_uuid`."""
REGION = re.compile(r"([A-Z]{2})(-[A-Z0-9]{1,3})?", re.ASCII)
CULPRIT = re.compile(r"data\.events\[(\d{1,6})\]\.?([\w.\[\]]{0,64})", re.ASCII)
STRANGE = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, *range(300, 400)})
WAITING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY})
KNOWN_CODES = STATUS_CODES | {"400", "401", "403", "404", "413", "429", "500", "503", "UNAUTHORIZED"}


def event(conversion: Conversion, account: Account) -> bytes | Unfit:
    """One element of `data.events`, as JSON."""
    del account
    user, click_id = _user(conversion), conversion.click_ids.get("rdt_cid", "").strip()
    if not click_id and SIGNALS.isdisjoint(user) and not user.keys() >= BROWSER:
        return Unfit(
            "no_identifiers", "neither customer nor visitor: the shop must pass on either, or a Reddit click"
        )
    if not 0 < conversion.event_time < LATEST_MS:
        return Unfit("event_time", "event_time is out of range")
    if conversion.sale_opt_out:
        limited = _limited_use(conversion)
        if not limited:
            return Unfit(
                "country", "limited use needs a country: the shop's consent, or its order, must tell it"
            )
        user["data_processing_options"] = limited
    told = {
        "event_at": conversion.event_time,
        "action_source": "WEBSITE",
        "type": _type(EVENTS[conversion.event_name]),
        "click_id": click_id,
        "event_source_url": page_address(conversion.page_url),
        "metadata": _metadata(conversion),
        "user": user,
    }
    return orjson.dumps(_known(told))


def _type(name: str) -> dict[str, str]:
    return (
        {"tracking_type": name}
        if name in STANDARD
        else {"tracking_type": "CUSTOM", "custom_event_name": name}
    )


def _user(conversion: Conversion) -> dict[str, object]:
    uuid = UUID.fullmatch(conversion.click_ids.get("rdt_uuid", "").strip())
    return _known(
        {
            **{key: form(conversion.identity, wanted) for key, wanted in HASHED},
            "ip_address": plain_ip(conversion.ip),
            "user_agent": conversion.user_agent.strip(),
            "uuid": uuid[1] if uuid else "",
        }
    )


def _limited_use(conversion: Conversion) -> dict[str, object]:
    """By the region of the customer's word, else by the order's country; nothing where neither is known."""
    place = REGION.fullmatch(conversion.consent_region.strip().upper()) or REGION.fullmatch(
        conversion.country
    )
    if place is None:
        return {}
    return _known({"modes": ["LDU"], "country": place[1], "region": place[0] if place[2] else ""})


def _metadata(conversion: Conversion) -> dict[str, object]:
    """The amount may be told of purchases and custom events, which all of ours are."""
    currency = conversion.currency
    return _known(
        {
            "conversion_id": conversion.event_id,
            "currency": currency,
            "value": major(conversion.value_minor, currency),
            "item_count": sum(item.quantity for item in conversion.items),
            "products": [
                _product(item, currency)
                for item in conversion.items
                if item.sku.strip() and item.category.strip()
            ],
        }
    )


def _product(item: Item, currency: str) -> dict[str, object]:
    return {
        **_known({"id": item.sku, "name": item.name.strip(), "category": item.category}),
        "quantity": item.quantity,
        "item_price": major(item.price_minor, currency),
    }


def _known(fields: Mapping[str, object]) -> dict[str, object]:
    """Without the empty ones; a zero as a number of money stays."""
    return {key: value for key, value in fields.items() if value or isinstance(value, float)}


def request(account: Account, events: Sequence[bytes]) -> Request:
    """Reddit slows down whoever doesn't say who they are: the user agent must be like no other."""
    code = account.test_event_code
    head = b'{"data":{"test_id":' + orjson.dumps(code) + b"," if code else b'{"data":{'
    return Request(
        f"{account.base_url}/api/v3/pixels/{account.account}/conversion_events",
        {
            "Authorization": account.token.bearer,
            "Content-Type": "application/json",
            "User-Agent": f"web:capi-consumer:v1 (server-side conversions of {account.account})",
        },
        head + b'"events":[' + b",".join(events) + b"]}}",
    )


class _Fault(msgspec.Struct):
    field: str = ""


class _Error(msgspec.Struct):
    code: int | None = None
    reason: str | None = None
    fields: list[_Fault] | None = None


class _Data(msgspec.Struct):
    message: str = ""


class _Body(msgspec.Struct):
    error: _Error | str | None = None
    data: _Data | None = None
    message: str | None = None


def judge(reply: Reply) -> Verdict:
    """Decided by status, never by text; the indices of culprits are read from the paths that the reply names."""
    try:
        body = msgspec.json.decode(reply.body, type=_Body, strict=False)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return unread(reply, "Reddit")
    if body.error or (body.message and reply.status >= HTTPStatus.BAD_REQUEST):
        return _judge_error(body.error if isinstance(body.error, _Error) else _Error(), reply)
    if reply.status < HTTPStatus.MULTIPLE_CHOICES and body.data and body.data.message:
        return Accepted()
    return unread(reply, "Reddit")


def _judge_error(error: _Error, reply: Reply) -> Verdict:
    """Culprits go before a 403, by which Reddit has been seen to refuse a wrong type, too."""
    status = reply.status if reply.status >= HTTPStatus.MULTIPLE_CHOICES else error.code or 0
    name = (error.reason or str(error.code or status))[:64]
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return TooLarge(name)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled(name, retry_after_s(reply))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in WAITING:
        return Transient(name, retry_after_s(reply))
    found = [match for fault in error.fields or () if (match := CULPRIT.search(fault.field))]
    if found:
        culprits = tuple(dict.fromkeys(int(match[1]) for match in found))
        return BatchRejected(name, f"refused by Reddit, for {found[0][2] or 'the event'}", culprits)
    if status in STRANGE:
        return SetupFault(
            name,
            "Reddit refuses the token, its right to this pixel (scope adsconversions), or the pixel's id",
        )
    return BatchRejected(name, "refused by Reddit, which doesn't say which event")


PLATFORM = Platform(
    name="reddit",
    version="v3",
    base_url="https://ads-api.reddit.com",
    setup=Setup(
        account=Field("the pixel's id, from Events Manager", r"(?:t2|a2|p2)_[A-Za-z0-9]+"),
        credentials="a conversion access token, which doesn't expire: Events Manager, Conversions API, Generate",
    ),
    limits=Limits(
        events_max=1000,
        bytes_max=1_000_000,  # not documented
        age_max_ms=7 * 86_400_000,
        future_max_ms=5 * 60_000,  # not in Reddit's own pages
        requests_per_s=83,  # older pages: 5,000 a minute; newer ones: 1,000 a second
        events_per_s=4_000,  # older pages: 250,000 a minute; newer ones: 10,000 a second
    ),
    events=EVENTS,
    dedupes_server_events=frozenset(EVENTS),  # by conversion id and type, sent within two days
    known_codes=KNOWN_CODES,
    event=event,
    request=request,
    judge=judge,
    identifiers={
        "email": b'"email":',
        "phone": b'"phone_number":',
        "external_id": b'"external_id":',
        "click_id": b'"click_id":',
        "browser_id": b'"uuid":',
        "ip": b'"ip_address":',
        "user_agent": b'"user_agent":',
    },
    probe=Probe(
        request,
        judge,
        says="Reddit took a test event, which may count: the token may write to the pixel",
        counts=True,  # nobody says that one with a test_id doesn't
    ),
)
