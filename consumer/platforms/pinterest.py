"""Pinterest's Conversions API, v5.

Rules: developers.pinterest.com (the API reference's page of POST /ad_accounts/{ad_account_id}/events, the guide to
conversions, the pages on error codes and rate limits), and Pinterest's OpenAPI description. The schema is closed: a key
that it doesn't know refuses the request. An answer tells of each event by its place; one event's fault is its own.

Where sources leave a choice: the action source is always `web`, also of an order that is known without its browser,
since it was placed there all the same, and an `offline` event is never known again, by no id. Others say that what
comes more than an hour after its event is reported as offline, whatever it is told. Between tag and server an event is
known again by event_id and event_name, for 24 or for 48 hours; nothing is said of server and server. The postal code
and the city are normalised as the field's text says, not as Pinterest's own tag template does it. Limited Data
Processing takes effect only with the hashed state and country beside it, so it isn't asked for without them; `opt_out`
tells of the customer's word in any case. With the option `test` events are checked and not recorded. A refund is no
event of Pinterest's.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import TypeVar

import msgspec
import orjson

from consumer.forms import form
from consumer.model import Conversion, Item
from consumer.platforms.contract import (
    Accepted,
    Account,
    BatchRejected,
    EventVerdict,
    Field,
    Limits,
    PerEvent,
    Platform,
    Probe,
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
from consumer.platforms.shared import STATUS_CODES, decimal_text, page_address, unread

VERSION = "v5"
EVENTS = {
    "purchase": "checkout",
    "begin_checkout": "initiate_checkout",
    "add_payment_info": "add_payment_info",
}
HASHED = (
    ("em", "email_no_spaces"),
    ("ph", "phone"),
    ("fn", "first_name_lower"),
    ("ln", "last_name_lower"),
    ("ge", "gender_n"),
    ("db", "date_of_birth"),
    ("ct", "city"),
    ("st", "region_code"),
    ("zp", "postal_code_digits"),
    ("country", "country"),
    ("external_id", "external_id_lower"),
)
LIMITED_BY = frozenset({"st", "country"})
ITEM_TEXTS = (("item_name", "name"), ("item_brand", "brand"), ("item_category", "category"))
LATEST_MS = 10_000_000_000_000

STRANGER, NOT_PERMITTED, TOO_FAST, INVALID, RAMPED_DOWN = 2, 29, 8, 4196, 4197
SETUP_CODES = frozenset({STRANGER, NOT_PERMITTED})
SETUP_STATUSES = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, *range(300, 400)}
)
RAMPED_DOWN_S = 300.0
LISTED_WITH = frozenset({*range(200, 300), HTTPStatus.UNPROCESSABLE_ENTITY})
"""Statuses with which an answer tells of each event."""

Body = TypeVar("Body")


def event(conversion: Conversion, account: Account) -> bytes | Unfit:
    """One element of `data`, as JSON."""
    del account
    user = _user_data(conversion)
    if "em" not in user and not {"client_ip_address", "client_user_agent"} <= user.keys():
        return Unfit(
            "no_identifiers",
            "no e-mail from the shop, and no IP address with its user agent from the checkout: the rest is not enough",
        )
    if not 0 < conversion.event_time < LATEST_MS:
        return Unfit("event_time", "event_time is out of range")
    told: dict[str, object] = {
        "event_name": EVENTS[conversion.event_name],
        "action_source": "web",
        "event_time": conversion.event_time // 1000,
        "event_id": conversion.event_id,
        "user_data": user,
        "custom_data": _custom_data(
            conversion, limited=conversion.sale_opt_out and user.keys() >= LIMITED_BY
        ),
    }
    if page := page_address(conversion.page_url):
        told["event_source_url"] = page
    if conversion.sale_opt_out:
        told["opt_out"] = True
    return orjson.dumps(told)


def _user_data(conversion: Conversion) -> dict[str, object]:
    hashes = {key: form(conversion.identity, each) for key, each in HASHED}
    plain = {
        "click_id": conversion.click_ids.get("epik", "").strip(),
        "client_ip_address": plain_ip(conversion.ip),
        "client_user_agent": conversion.user_agent.strip(),
    }
    return {
        **{key: [digest] for key, digest in hashes.items() if digest},
        **{key: text for key, text in plain.items() if text},
    }


def _custom_data(conversion: Conversion, *, limited: bool) -> dict[str, object]:
    currency = conversion.currency
    custom: dict[str, object] = {
        "currency": currency,
        "value": decimal_text(conversion.value_minor, currency),
    }
    if conversion.order_id:
        custom["order_id"] = conversion.order_id
    if conversion.items:
        custom["num_items"] = sum(item.quantity for item in conversion.items)
    items = [item for item in conversion.items if item.sku.strip()]
    if items:
        custom["content_ids"] = [item.sku for item in items]
        custom["contents"] = [_content(item, currency) for item in items]
    if limited:
        custom["opt_out_type"] = "LDP"
    return custom


def _content(item: Item, currency: str) -> dict[str, object]:
    texts = {key: getattr(item, name).strip() for key, name in ITEM_TEXTS}
    return {
        "id": item.sku,
        "item_price": decimal_text(item.price_minor, currency),
        "quantity": item.quantity,
        **{key: text for key, text in texts.items() if text},
    }


def request(account: Account, events: Sequence[bytes]) -> Request:
    """The token goes into a header."""
    query = "?test=true" if account.options.get("test") == "true" else ""
    return Request(
        f"{account.base_url}/{VERSION}/ad_accounts/{account.account}/events{query}",
        {"Authorization": account.token.bearer, "Content-Type": "application/json"},
        b'{"data":[' + b",".join(events) + b"]}",
    )


def trial(account: Account, events: Sequence[bytes]) -> Request:
    """The same, only to be checked, whatever the settings say."""
    return request(msgspec.structs.replace(account, options={**account.options, "test": "true"}), events)


class _Event(msgspec.Struct):
    status: str


class _List(msgspec.Struct):
    events: list[_Event]
    num_events_received: int | None = None


class _Body(msgspec.Struct):
    code: int | None = None
    details: msgspec.Raw = msgspec.Raw(b"null")


def judge(reply: Reply) -> Verdict:
    """Each event's own verdict, if they are told; else decided by code and status. Texts are never looked at.

    Whether the list comes with 422 as well, and where in it, is not documented: it is looked for at both places.
    """
    body = _read(reply.body, _Body)
    if body is None:
        return unread(reply, "Pinterest")
    if reply.status in LISTED_WITH and (verdicts := _verdicts(reply.body) or _verdicts(body.details)):
        return PerEvent(verdicts)
    if body.code is not None:
        return _judge_code(body.code, reply)
    if reply.status == HTTPStatus.UNPROCESSABLE_ENTITY:
        return _refused(f"http_{reply.status}")
    if reply.status < HTTPStatus.MULTIPLE_CHOICES:
        return Unconfirmed(f"http_{reply.status}")
    return unread(reply, "Pinterest")


def _read(raw: bytes | msgspec.Raw, shape: type[Body]) -> Body | None:
    try:
        return msgspec.json.decode(raw, type=shape, strict=False)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _verdicts(raw: bytes | msgspec.Raw) -> tuple[EventVerdict, ...]:
    """By place; none if there is no list, or one of only some of the events."""
    told = _read(raw, _List)
    if told is None or told.num_events_received not in {None, len(told.events)}:
        return ()
    return tuple(_verdict(each.status) for each in told.events)


def _verdict(status: str) -> EventVerdict:
    if status == "processed":
        return Accepted()
    if status == "failed":
        return Rejected("failed", "Pinterest could not process this event; it gives no code")
    return Rejected("status_unknown", "Pinterest tells a status of this event that is not documented")


def _judge_code(code: int, reply: Reply) -> Verdict:
    name = str(code)
    if reply.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return TooLarge(name)
    if code == TOO_FAST or reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled(name, retry_after_s(reply))
    if code in SETUP_CODES or reply.status in SETUP_STATUSES:
        return SetupFault(name, "Pinterest refused the token, its permission, or the ad account")
    if code == RAMPED_DOWN:
        return Transient(name, retry_after_s(reply) or RAMPED_DOWN_S)
    if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Transient(name, retry_after_s(reply))
    return _refused(name)


def _refused(name: str) -> BatchRejected:
    """No event is named, so they are sent again in halves, under the ids that they had."""
    return BatchRejected(name, "refused by Pinterest, without saying which event is at fault")


PLATFORM = Platform(
    name="pinterest",
    version=VERSION,
    base_url="https://api.pinterest.com",
    setup=Setup(
        account=Field("the ad account's id, from Ads Manager", r"\d{1,18}"),
        credentials="a conversion access token: Ads Manager, Conversions, Conversions API, Generate new token",
        options={
            "test": Field(
                "whether events are only checked and not recorded, 20 a request at most (batch_max_events)",
                "true|false",
                needed=False,
            )
        },
    ),
    limits=Limits(
        events_max=1000,
        bytes_max=1_000_000,  # not documented
        age_max_ms=7 * 86_400_000,  # not documented
        future_max_ms=60_000,  # not documented
        requests_per_s=83.0,  # 5,000 calls a minute and ad account; the guide to rate limits allows more
    ),
    events=EVENTS,
    dedupes_server_events=frozenset(),  # the docs speak of tag and server
    known_codes=STATUS_CODES
    | {str(code) for code in (STRANGER, NOT_PERMITTED, TOO_FAST, INVALID, RAMPED_DOWN)}
    | {"failed"},
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
        "click_id": b'"click_id":',
        "ip": b'"client_ip_address":',
        "user_agent": b'"client_user_agent":',
    },
    probe=Probe(
        trial,
        judge,
        says="Pinterest found an event right, and didn't keep it: the token may write to the ad account",
    ),
)
