"""TikTok's Events API 2.0: POST /open_api/v1.3/event/track/.

All answers but a server's errors and throttling come with 200, and the body's code tells; one bad event refuses its
whole batch. Rules as in `tiktok_event`; codes by TikTok's business API SDK. The pixel is told in the names of its own
requests. TikTok unites what pixel and server tell of an event within five minutes; here the first stays as it is.
"""

import hmac
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256

import msgspec
from msgspec import Raw, Struct

from consumer.emulators.contract import Access, Asked, Event, Refused, StandIn, Taken
from consumer.emulators.demands import Shape, among, findings, read, text
from consumer.emulators.faults import Fault
from consumer.emulators.shop.records import Known, PixelFire, Taker
from consumer.emulators.tiktok_event import (
    MEANS,
    PARAMETER,
    PROPERTIES,
    Problem,
    Source,
    check_event,
    event_money,
    is_public,
    read_event,
)

PATH = "/open_api/v1.3/event/track/"
EVENTS_MAX = 1000
BATCH_SIZE, PARTNER, NO_PERMISSION, NO_PATH, WRONG_VERSION = 40061, 40063, 40001, 40400, 40051
TOO_OFTEN, EXPIRED_TOKEN, NO_TOKEN, WRONG_TOKEN, SERVER_ERROR = 40100, 40102, 40104, 40105, 50000
NAMES = {"purchase": "Purchase", "begin_checkout": "InitiateCheckout", "add_payment_info": "AddPaymentInfo"}
ROOT = Shape(
    {
        "event_source": among("web", "app", "offline", "crm"),
        **dict.fromkeys(("event_source_id", "test_event_code", "partner_name"), text),
        "data": lambda value: isinstance(value, list),
    },
    demanded=("event_source", "event_source_id", "data"),
)
_ERRORS = {
    401: (WRONG_TOKEN, "Access token is incorrect"),
    403: (NO_PERMISSION, "No permission"),
    404: (NO_PATH, "No such path"),
    429: (TOO_OFTEN, "Too many requests. Please retry later."),
}
SERVER_ERRORS = range(500, 600)


class _Body(Struct):
    event_source: str
    event_source_id: str
    data: list[Raw]
    partner_name: str = ""


class _Id(Struct):
    event_id: str = ""


class _Ids(Struct):
    data: list[Raw]


class _Code(Struct, frozen=True, forbid_unknown_fields=True):
    code: str


class _Page(Struct, frozen=True, forbid_unknown_fields=True):
    url: str = ""
    referrer: str = ""


class _Visitor(Struct, frozen=True, forbid_unknown_fields=True):
    """`anonymous_id` is the cookie _ttp."""

    anonymous_id: str = ""


class _Ad(Struct, frozen=True, forbid_unknown_fields=True):
    """`callback` is the click id."""

    callback: str = ""


class _Context(Struct, frozen=True, forbid_unknown_fields=True):
    pixel: _Code
    page: _Page = _Page()
    user: _Visitor = _Visitor()
    ad: _Ad = _Ad()


class _Pixel(Struct, forbid_unknown_fields=True):
    event: str
    context: _Context
    timestamp: datetime
    event_id: str = ""
    properties: Raw = Raw(b"{}")


def check(asked: Asked, access: Access, now_ms: int) -> Taken | Refused:
    """The answer to one request."""
    if asked.path != PATH or asked.method != "POST":
        versioned = asked.path.startswith("/open_api/") and asked.path.endswith("/event/track/")
        code = WRONG_VERSION if versioned and asked.path != PATH else NO_PATH
        return _error(code, f"No such path: {asked.method} {asked.path[:80]}")
    token = asked.headers.get("access-token", "")
    if not hmac.compare_digest(token.encode(), access.token.encode()):
        return _error(WRONG_TOKEN, "Access token is incorrect") if token else _error(NO_TOKEN, "No token")
    body = _read(asked)
    if isinstance(body, Refused):
        return body
    if body.partner_name:
        return _error(PARTNER, "No partner has this name")
    if body.event_source_id not in access.accounts:
        return _error(NO_PERMISSION, "No permission to operate this event source")
    return _check_events(body, now_ms)


def event_ids(body: bytes) -> tuple[str, ...]:
    """The ids of a body's events, "" where one has none; nothing if it can't be read."""
    try:
        data = msgspec.json.decode(body, type=_Ids).data
        return tuple(msgspec.json.decode(raw, type=_Id).event_id for raw in data)
    except (msgspec.DecodeError, RecursionError):
        return ()


def failure(fault: Fault, ids: Sequence[str]) -> Refused:
    """TikTok's own reply. A poison names its event as the older API did, since the newer hasn't been seen to."""
    if fault.kind == "poison":
        bad = next((place for place, event_id in enumerate(ids) if event_id in fault.event_ids), 0)
        at = f"Batch.{bad}.properties" if fault.named else "properties"
        return _error(PARAMETER, f"Invalid value for {at}: not a valid value", fault.status or 200)
    if fault.kind == "expired_token":
        return _error(EXPIRED_TOKEN, "Access token has expired", fault.status or 200)
    if fault.kind == "429":
        return _error(TOO_OFTEN, "Too many requests. Please retry later.", fault.status or 429)
    return _of_status(fault.status or 500)


def pixel(body: bytes) -> tuple[Event, ...]:
    """Events in the names of the pixel's requests, one or a list. Raises ValueError with a sentence."""
    try:
        raws = msgspec.json.decode(body, type=list[Raw]) if body.lstrip()[:1] == b"[" else [Raw(body)]
        return tuple(_read_pixel(bytes(raw)) for raw in raws)
    except msgspec.DecodeError as error:
        raise ValueError(f"no pixel event: {error}") from None


def fire(fired: PixelFire) -> bytes:
    """What the shop's pixel sends, as a body of `POST /_emulator/pixel`."""
    context: dict[str, object] = {"pixel": {"code": STAND_IN.account}, "page": {"url": fired.page_url}}
    if ttp := fired.browser.get("ttp"):
        context["user"] = {"anonymous_id": ttp}
    if ttclid := fired.browser.get("ttclid"):
        context["ad"] = {"callback": ttclid}
    properties: dict[str, object] = {
        "value": Decimal(fired.value_minor).scaleb(-fired.exponent),
        "currency": fired.currency,
    }
    if fired.order_id:
        properties["order_id"] = fired.order_id
    return msgspec.json.Encoder(decimal_format="number").encode(
        {
            "event": NAMES[fired.event],
            "event_id": fired.event_id,
            "timestamp": datetime.fromtimestamp(fired.at_ms / 1000, UTC),
            "context": context,
            "properties": properties,
        }
    )


def _read(asked: Asked) -> _Body | Refused:
    """The body with known keys and the right number of events."""
    if asked.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return _error(PARAMETER, "Content-Type must be application/json")
    try:
        root = read(asked.body)
        if found := next(findings(root, ROOT), None):
            return _error(PARAMETER, f"Invalid value for {found.dotted}: {found.why}")
        body = msgspec.json.decode(asked.body, type=_Body)
    except (msgspec.DecodeError, RecursionError):
        return _error(PARAMETER, "The body is not a valid JSON")
    if not 1 <= len(body.data) <= EVENTS_MAX:
        return _error(BATCH_SIZE, f"data: 1 to {EVENTS_MAX} events")
    return body


def _check_events(body: _Body, now_ms: int) -> Taken | Refused:
    source = Source(body.event_source, body.event_source_id)
    events: list[Event] = []
    for raw in body.data:
        match check_event(bytes(raw), source, now_ms):
            case Problem(code, at, why):
                return _error(code, f"Invalid value for {at}: {why}")
            case Event() as event:
                events.append(event)
    return Taken(tuple(events), _reply(0, "OK"))


def _read_pixel(raw: bytes) -> Event:
    told = msgspec.json.decode(raw, type=_Pixel)
    properties = read(bytes(told.properties))
    if not isinstance(properties, dict) or not told.event:
        raise ValueError("no pixel event: event is a name, properties an object")
    if found := next(findings(properties, PROPERTIES), None):
        raise ValueError(f"no pixel event: properties.{found.dotted} {found.why}")
    if MEANS.get(told.event) == "purchase" and event_money(properties)[0] is None:
        raise ValueError("no pixel event: a purchase has a value, in whole minor units, and a currency")
    source, visitor = Source("web", told.context.pixel.code), told.context.user.anonymous_id
    return read_event(told.event, told.event_id, visitor, properties, source, raw)


def _of_status(status: int) -> Refused:
    """What TikTok says with a status."""
    if status in SERVER_ERRORS:
        return _error(SERVER_ERROR, "System error", status)
    return _error(*_ERRORS.get(status, (PARAMETER, "Invalid parameter")), status)


def _error(code: int, message: str, status: int = 200) -> Refused:
    return Refused(status, _reply(code, message))


def _reply(code: int, message: str) -> bytes:
    request_id = sha256(message.encode()).hexdigest()[:24].upper()
    return msgspec.json.encode({"code": code, "message": message, "request_id": request_id, "data": {}})


def _lacks(known: Known) -> str:
    """Of a sale opted out it can be told only beside a public address."""
    if known.sale_opt_out and not is_public(known.browser.get("ip", "")):
        return "no_public_ip"
    return ""


STAND_IN = StandIn(
    name="tiktok",
    account="C0CAPIDEMO0000000001",
    taker=Taker(frozenset(NAMES), lacks=_lacks),
    check=check,
    event_ids=event_ids,
    failure=failure,
    pixel=pixel,
    fire=fire,
)
