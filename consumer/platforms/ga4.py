"""Google Analytics 4, Measurement Protocol.

Rules: developers.google.com/analytics/devguides/collection/protocol/ga4 (reference, reference/events, sending-events,
validating-events, use-cases, changelog), collection/ga4/uid-data for user_data, and the ecommerce guide's limits.

Analytics answers every request alike: 2xx and nothing in it, be the secret wrong or the event malformed. Whatever it
would drop in silence is held back here. Only purchases of a web stream are known again, by transaction_id. With the
option `debug` events go to the validation server instead, which says what is wrong with them and records nothing.

Where sources leave a choice: client_id is sent as its two numbers, as the reference advises, though the whole cookie
is taken since February 2026. E-mails follow Google's newer rule, without dots and plus part at Gmail. user_id is not
sent: it must be the one that the shop's tag sends, and another would tell one visitor as two. engagement_time_msec is
not sent either, since no shop knows it. Google counts revenue without tax and shipping; what a destination counts an
order as is for its settings to say. Names of items are cut at 100 characters; ids are sent whole or not at all.
"""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from unicodedata import category

import msgspec
import orjson

from consumer.forms import form
from consumer.model import ConsentState, Conversion, EventName, Item
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

EVENTS = {str(name): str(name) for name in EventName}
BY_ORDER = frozenset({EventName.PURCHASE, EventName.REFUND})
BODY_MAX_BYTES = 130_000
ITEMS_MAX = 200
TEXT_MAX_CHARACTERS = 100
LATEST_MS = 10_000_000_000_000
ITEM_TEXTS = (
    ("item_name", "name"),
    ("item_brand", "brand"),
    ("item_category", "category"),
    ("item_variant", "variant"),
)
CLIENT_ID = re.compile(r"(?:GA\d\.[\d-]+\.)?(\d+\.\d+)", re.ASCII)
"""Bare, or as the end of the cookie `_ga`."""
SESSION_ID = re.compile(r"(?:GS\d\.\d+\.s?)?(\d+)(?:[.$].*)?", re.ASCII)
"""Bare, or in the stream's cookie `_ga_…`, of the older or the newer form."""

FOREIGN = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, *range(300, 400)})
NOT_WELL = frozenset({HTTPStatus.REQUEST_TIMEOUT, *range(500, 600)})
VALIDATION_CODES = frozenset(
    {"VALUE_INVALID", "VALUE_REQUIRED", "VALUE_OUT_OF_BOUNDS", "EXCEEDED_MAX_ENTITIES"}
    | {"NAME_INVALID", "NAME_RESERVED", "NAME_DUPLICATED"}
)
KNOWN_STATUSES = (400, 401, 403, 404, 408, 413, 429, 500, 502, 503, 504)


def event(conversion: Conversion, account: Account) -> bytes | Unfit:
    """One event with all that is told of its visitor: the whole body of a request."""
    client_id = CLIENT_ID.fullmatch(conversion.click_ids.get("ga_client_id", "").strip())
    if client_id is None:
        return Unfit(
            "client_id", "no ga_client_id: the shop must pass on the visitor's cookie _ga with the checkout"
        )
    if not 0 < conversion.event_time < LATEST_MS:
        return Unfit("event_time", "event_time is out of range")
    if conversion.event_name in BY_ORDER and not _whole(conversion.order_id):
        return Unfit("order_id", "no order id of the shop's, or one of more than 100 characters")
    told: dict[str, object] = {
        "client_id": client_id[1],
        "timestamp_micros": conversion.event_time * 1000,
        "ip_override": plain_ip(conversion.ip),
        "user_agent": conversion.user_agent.strip(),
        "consent": _consent(conversion),
        "user_data": _user_data(conversion),
    }
    if account.options.get("debug") == "true":
        told["validation_behavior"] = "ENFORCE_RECOMMENDATIONS"
    return _fitting(_known(told), conversion)


def _fitting(told: Mapping[str, object], conversion: Conversion) -> bytes:
    """With all of its items; where they are too large, without their names, or without any."""
    named, bare = _items(conversion, ITEM_TEXTS), _items(conversion, ())
    for items in (named, bare):
        body = _body(told, conversion, items)
        if len(body) < BODY_MAX_BYTES:
            return body
    return _body(told, conversion, [])


def _body(told: Mapping[str, object], conversion: Conversion, items: list[dict[str, object]]) -> bytes:
    params = _known({**_params(conversion), "items": items})
    return orjson.dumps({**told, "events": [{"name": EVENTS[conversion.event_name], "params": params}]})


def _params(conversion: Conversion) -> dict[str, object]:
    currency = conversion.currency
    session_id = SESSION_ID.fullmatch(conversion.click_ids.get("ga_session_id", "").strip())
    return {
        "transaction_id": conversion.order_id if conversion.event_name in BY_ORDER else "",
        "currency": currency,
        "value": major(conversion.value_minor, currency),
        "tax": conversion.tax_minor and major(conversion.tax_minor, currency),
        "shipping": conversion.shipping_minor and major(conversion.shipping_minor, currency),
        "session_id": session_id[1] if session_id else "",
        "event_id": _whole(conversion.event_id),
    }


def _items(conversion: Conversion, texts: Sequence[tuple[str, str]]) -> list[dict[str, object]]:
    """An item is known by its id or its name; what has neither is left out."""
    told = (_item(item, conversion.currency, texts) for item in conversion.items)
    return [item for item in told if item.keys() & {"item_id", "item_name"}][:ITEMS_MAX]


def _item(item: Item, currency: str, texts: Sequence[tuple[str, str]]) -> dict[str, object]:
    named = {key: getattr(item, name).strip()[:TEXT_MAX_CHARACTERS].strip() for key, name in texts}
    return {
        **_known({"item_id": _whole(item.sku), **named}),
        "price": major(item.price_minor, currency),
        "quantity": item.quantity,
    }


def _consent(conversion: Conversion) -> dict[str, object]:
    """What the customer said; who opted out of sales gets no personal ads. Unsaid, the visitor's own hits tell."""
    said = {
        "ad_user_data": conversion.consent_ads,
        "ad_personalization": ConsentState.DENIED.value
        if conversion.sale_opt_out
        else conversion.consent_personalisation,
    }
    return {purpose: state for purpose, state in said.items() if state != ConsentState.UNSPECIFIED}


def _user_data(conversion: Conversion) -> dict[str, object]:
    """For ads alone, so not against the customer's word on them."""
    if conversion.consent_ads == ConsentState.DENIED:
        return {}
    hashes = {
        "sha256_email_address": form(conversion.identity, "email_gmail"),
        "sha256_phone_number": form(conversion.identity, "phone_e164"),
    }
    told: dict[str, object] = {key: [digest] for key, digest in hashes.items() if digest}
    if address := _address(conversion):
        told["address"] = [address]
    return told


def _address(conversion: Conversion) -> dict[str, object]:
    """Who lives where: of use only with both names, the postal code and the country."""
    demanded = {
        "sha256_first_name": form(conversion.identity, "first_name_words"),
        "sha256_last_name": form(conversion.identity, "last_name_words"),
        "postal_code": re.sub(r"[.~]", "", conversion.postal_code).strip(),
        "country": conversion.country,
    }
    more = {
        "sha256_street": form(conversion.identity, "street"),
        "city": _letters(conversion.city),
        "region": _letters(conversion.region),
    }
    return _known({**demanded, **more}) if all(demanded.values()) else {}


def _letters(text: str) -> str:
    """In lower case, without digits and signs: marks belong to letters.

    >>> _letters(" Winston-Salem 2 "), _letters("St. John's")
    ('winstonsalem', 'st johns')
    """
    kept = (each if category(each)[0] in "LM" else " " if each.isspace() else "" for each in text.lower())
    return " ".join("".join(kept).split())


def _whole(text: str) -> str:
    """An id as it is, or nothing if Analytics would cut it: another id it would be."""
    return text if text.strip() and len(text) <= TEXT_MAX_CHARACTERS else ""


def _known(fields: Mapping[str, object]) -> dict[str, object]:
    """Without the empty ones; a zero as a number of money stays."""
    return {key: value for key, value in fields.items() if value or isinstance(value, float)}


def request(account: Account, events: Sequence[bytes]) -> Request:
    """The visitor is the request's, so it has one event. The secret can't stand elsewhere than in the query."""
    path = "/debug/mp/collect" if account.options.get("debug") == "true" else "/mp/collect"
    return Request(
        f"{account.base_url}{path}?measurement_id={account.account}",
        {"Content-Type": "application/json"},
        events[0],
        secret_query={"api_secret": account.token},
    )


def trial(account: Account, events: Sequence[bytes]) -> Request:
    """The same to the validation server, whatever the settings say."""
    return request(msgspec.structs.replace(account, options={**account.options, "debug": "true"}), events)


class _Message(msgspec.Struct, rename="camel"):
    validation_code: str = ""


class _Validated(msgspec.Struct, rename="camel"):
    validation_messages: list[_Message]


def judge(reply: Reply) -> Verdict:
    """A status other than 2xx says that the request was not taken; the docs ask not to send it again as it was."""
    name = f"http_{reply.status}"
    if reply.status < HTTPStatus.MULTIPLE_CHOICES:
        return _received(reply, name)
    if reply.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return TooLarge(name)
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled(name, retry_after_s(reply))
    if reply.status in FOREIGN:
        return SetupFault(name, "not what Google Analytics answers: is the address Google's?")
    if reply.status in NOT_WELL:
        return Transient(name, retry_after_s(reply))
    return BatchRejected(name, "refused by Google Analytics, without a reason")


def _received(reply: Reply, name: str) -> Verdict:
    """Nothing, which is all that ever comes of a success; or the validation server's findings."""
    if not reply.body.strip():
        return Accepted()
    try:
        found = msgspec.json.decode(reply.body, type=_Validated).validation_messages
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return SetupFault(
            name, "answered with a page, where Google Analytics says nothing: is the address Google's?"
        )
    if not found:
        return Accepted()
    return BatchRejected(
        found[0].validation_code[:64] or "validation", "found wrong by the validation server"
    )


def judge_trial(reply: Reply) -> Verdict:
    """The validation server always answers in words."""
    if reply.status < HTTPStatus.MULTIPLE_CHOICES and not reply.body.strip():
        return SetupFault(f"http_{reply.status}", "no validation server answers: is the address Google's?")
    return judge(reply)


PLATFORM = Platform(
    name="ga4",
    version="mp",
    base_url="https://www.google-analytics.com",
    setup=Setup(
        account=Field("the web stream's measurement id, from Admin, Data streams", r"G-[A-Z0-9]+"),
        credentials="the web stream's secret: Admin, Data streams, Measurement Protocol API secrets, Create",
        options={
            "debug": Field(
                "whether events go to the validation server, which records none", "true|false", needed=False
            )
        },
    ),
    limits=Limits(
        events_max=1,
        bytes_max=BODY_MAX_BYTES,
        age_max_ms=72 * 3_600_000,  # older ones are taken, and told as of 72 hours ago
        future_max_ms=60_000,  # not documented
    ),
    events=EVENTS,
    dedupes_server_events=frozenset({"purchase"}),  # by transaction_id; nothing is said of others
    known_codes=VALIDATION_CODES | {f"http_{status}" for status in KNOWN_STATUSES},
    event=event,
    request=request,
    judge=judge,
    identifiers={
        "email": b'"sha256_email_address":',
        "phone": b'"sha256_phone_number":',
        "address": b'"address":',
        "browser_id": b'"client_id":',
        "session_id": b'"session_id":',
        "ip": b'"ip_override":',
        "user_agent": b'"user_agent":',
    },
    purpose="analytics",
    reports=False,
    probe=Probe(
        trial,
        judge_trial,
        says="the validation server finds no fault with an event; it looks at neither the secret nor the measurement"
        " id",
    ),
)
