"""X's Conversion API, Ads API v12.

Rules: docs.x.com/x-ads-api (measurement/web-conversions with its troubleshooting, and error-codes-and-responses) and
developer.x.com's reference of POST measurement/conversions. One bad event fails its whole batch and X names no index,
so an event is checked here to the depth of those pages before it is sent. X has no event names: the tag that was made
in Events Manager says what an event is. It has no refund, no test mode and no field for an opt-out of sale: refunds
aren't taken, and such events are skipped.

Where sources leave a choice: the pixel's token is sent, not a signature by OAuth 1.0a, which ends in December 2026.
E-mails are put in lower case too, as for X's audiences; phones keep the plus of E.164. Amounts always have a decimal
point, since X was seen to refuse whole numbers. An IP address with a user agent stands for a visitor, either alone does
not. content_type is not sent: X says nowhere of which list it is; nor is event_source_url, which X's own pages don't
have. X counts 60,000 events a quarter of an hour by one page, requests by another: the first is kept to.

Decided by status and code. All that is wrong with an event has one code, INVALID_PARAMETER, and the text tells the
cases apart; here the name of the parameter does, as far as X gives it. An event tag that X doesn't find is the fault of
one event, not of the account: other tags of it may be right.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import msgspec
import orjson

from consumer.forms import form
from consumer.model import Conversion, EventName, Item
from consumer.platforms.contract import (
    Accepted,
    Account,
    BatchRejected,
    Field,
    Limits,
    Platform,
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
from consumer.platforms.shared import STATUS_CODES, decimal_text, unread, utc_text

VERSION = "12"
EVENTS = {
    str(name): str(name)
    for name in (EventName.PURCHASE, EventName.BEGIN_CHECKOUT, EventName.ADD_PAYMENT_INFO)
}
LATEST_MS = 10_000_000_000_000
RATES = ("x-account-rate-limit", "x-rate-limit")

THROTTLING_CODES = frozenset({"TOO_MANY_REQUESTS"})
TRANSIENT_CODES = frozenset(
    {
        "CANCELLED_REQUEST",
        "INTERNAL_ERROR",
        "LOCK_ACQUISITION_TIMEOUT",
        "OVER_CAPACITY",
        "SERVICE_UNAVAILABLE",
    }
)
SETUP_CODES = frozenset(
    {"ACCOUNT_LOCKED_OUT", "ACCOUNT_NOT_FOUND", "ACTION_NOT_ALLOWED", "CURRENT_USER_SUSPENDED"}
    | {"FEATURE_NOT_AVAILABLE", "METHOD_NOT_ALLOWED", "NOT_FOUND", "READONLY_CLIENT_APPLICATION"}
    | {"ROUTE_NOT_FOUND", "UNAUTHORIZED_ACCESS", "UNAUTHORIZED_CLIENT_APPLICATION", "USER_NOT_FOUND"}
)
SETUP_STATUSES = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}
)
TAG_CODE = "WEB_EVENT_TAG_NOT_FOUND"
TAG, PIXEL = "event_id", "pixel_id"
PARAMETER_CODES = ("INVALID_PARAMETER", "MISSING_PARAMETER")
PARAMETERS = frozenset(
    {TAG, PIXEL, "conversions", "conversion_time", "conversion_id", "value", "price_currency", "number_items"}
    | {"identifiers", "twclid", "hashed_email", "hashed_phone_number", "ip_address", "user_agent"}
    | {"contents", "content_id", "content_name", "content_price", "num_items"}
)
"""Only of these the name is part of a verdict's code."""

NONE_PROCESSED = "none_processed"
KNOWN_CODES = (
    STATUS_CODES
    | THROTTLING_CODES
    | TRANSIENT_CODES
    | SETUP_CODES
    | {TAG_CODE, NONE_PROCESSED, *PARAMETER_CODES}
    | {f"{code}/{parameter}" for code in PARAMETER_CODES for parameter in PARAMETERS}
)


def event(conversion: Conversion, account: Account) -> bytes | Unfit:
    """One element of `conversions`, as JSON."""
    tag, identifiers = account.actions.get(conversion.event_name, ""), _identifiers(conversion)
    if not tag:
        return Unfit("event_tag", "the destination's settings name no event tag of X's for this event")
    if not identifiers:
        return Unfit(
            "no_identifiers",
            "the shop gave no e-mail, phone or twclid, nor IP address and user agent together",
        )
    if not 0 < conversion.event_time < LATEST_MS:
        return Unfit("event_time", "event_time is out of range")
    told: dict[str, object] = {
        "conversion_time": utc_text(conversion.event_time),
        "event_id": tag,
        "identifiers": identifiers,
        "conversion_id": conversion.event_id,
        "value": _amount(conversion.value_minor, conversion.currency),
        "price_currency": conversion.currency,
    }
    if number := sum(item.quantity for item in conversion.items):
        told["number_items"] = number
    contents = [_content(item, conversion.currency) for item in conversion.items]
    if named := [content for content in contents if content.keys() & {"content_id", "content_name"}]:
        told["contents"] = named
    return orjson.dumps(told)


def _identifiers(conversion: Conversion) -> list[dict[str, str]]:
    """An object for each kind; none at all if there is but an IP address or a user agent."""
    telling = (
        ("twclid", conversion.click_ids.get("twclid", "").strip()),
        ("hashed_email", form(conversion.identity, "email")),
        ("hashed_phone_number", form(conversion.identity, "phone_e164")),
    )
    told = [{key: each} for key, each in telling if each]
    machine = _known({"ip_address": plain_ip(conversion.ip), "user_agent": conversion.user_agent.strip()})
    return [*told, machine] if machine and (told or len(machine) > 1) else told


def _content(item: Item, currency: str) -> dict[str, object]:
    return {
        **_known({"content_id": item.sku.strip(), "content_name": item.name.strip()}),
        "content_price": _amount(item.price_minor, currency),
        "num_items": item.quantity,
    }


def _amount(amount_minor: int, currency: str) -> orjson.Fragment:
    """A number of JSON, exact to the last digit, and never without a point."""
    text = decimal_text(amount_minor, currency)
    return orjson.Fragment(text if "." in text else f"{text}.0")


def _known(texts: Mapping[str, str]) -> dict[str, str]:
    return {key: text for key, text in texts.items() if text}


def request(account: Account, events: Sequence[bytes]) -> Request:
    """The pixel's token stands bare in a header of X's own."""
    return Request(
        f"{account.base_url}/{VERSION}/measurement/conversions/{account.account}",
        {"X-Pixel-Token": account.token, "Content-Type": "application/json"},
        b'{"conversions":[' + b",".join(events) + b"]}",
    )


class _Error(msgspec.Struct):
    code: str | int | None = None
    parameter: str | None = None


class _Data(msgspec.Struct):
    conversions_processed: int


class _Body(msgspec.Struct):
    data: _Data | None = None
    errors: list[_Error] | None = None


def judge(reply: Reply) -> Verdict:
    """Decided by the first of the errors, else by the number of events that X says it has processed."""
    try:
        body = msgspec.json.decode(reply.body, type=_Body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return unread(reply, "X")
    if body.errors:
        return _judge_error(body.errors[0], reply)
    if body.data is None or reply.status >= HTTPStatus.MULTIPLE_CHOICES:
        return unread(reply, "X")
    if body.data.conversions_processed > 0:
        return Accepted()
    return BatchRejected(NONE_PROCESSED, "X said that all was well, and that it has processed none")


def _judge_error(error: _Error, reply: Reply) -> Verdict:
    code, status = str(error.code or ""), reply.status
    name = _name(code, error.parameter) or f"http_{status}"
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return TooLarge(name)
    if code in THROTTLING_CODES or status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled(name, _regain_s(reply))
    if code in TRANSIENT_CODES or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Transient(name, retry_after_s(reply))
    if code == TAG_CODE or error.parameter == TAG:
        return BatchRejected(
            name, "refused by X: is the tag that `actions` names for this event one of the pixel's?"
        )
    if code in SETUP_CODES or status in SETUP_STATUSES or error.parameter == PIXEL:
        return SetupFault(name, "token, pixel, permission or API version refused by X")
    return BatchRejected(name, "refused by X")


def _name(code: str, parameter: str | None) -> str:
    return f"{code}/{parameter}" if code in PARAMETER_CODES and parameter in PARAMETERS else code[:64]


def _regain_s(reply: Reply) -> float | None:
    """Retry-After, else until the latest reset of a rate that is used up: epoch seconds."""
    asked = retry_after_s(reply)
    if asked is not None:
        return asked
    used_up = [rate for rate in RATES if reply.headers.get(f"{rate}-remaining", "").strip() == "0"]
    resets = [reply.headers.get(f"{rate}-reset", "").strip() for rate in used_up]
    waits = [float(at) - reply.received_at_ms / 1000 for at in resets if at.isdecimal()]
    return max([0.0, *waits]) if waits else None


PLATFORM = Platform(
    name="x",
    version=VERSION,
    base_url="https://ads-api.x.com",
    setup=Setup(
        account=Field("the pixel's id, from Events Manager", r"[0-9a-z]+"),
        credentials="the pixel's access token: Events Manager, Install Pixel, Manual, Conversions API,"
        " Generate access token",
        action=Field(
            "the id of an event of the pixel's, from Events Manager", r"tw-[0-9a-z]+-[0-9a-z]+|[0-9a-z]+"
        ),
    ),
    limits=Limits(
        events_max=500,
        bytes_max=1_000_000,  # not documented
        age_max_ms=7 * 86_400_000,  # not documented; a partner says so
        future_max_ms=60_000,  # not documented
        events_per_s=66,  # 60,000 in 15 minutes
    ),
    events=EVENTS,
    dedupes_server_events=frozenset(),  # the docs tell of pixel and server only
    known_codes=KNOWN_CODES,
    event=event,
    request=request,
    judge=judge,
    identifiers={
        "email": b'"hashed_email":',
        "phone": b'"hashed_phone_number":',
        "click_id": b'"twclid":',
        "ip": b'"ip_address":',
        "user_agent": b'"user_agent":',
    },
    limited_use=False,
)
