"""Snapchat's Conversions API v3: POST /v3/{pixel}/events, and POST /v3/{pixel}/events/validate, which keeps nothing.

One bad event refuses its whole batch, and the reply names it by its place: so a field of Snapchat's schema is read. The
codes of its errors are not documented, and none is told. The second path tells of each event. Rules as in
`snapchat_event`; the pixel is told in the names of its call snaptr('track', …), beside those of what it finds out
itself.
"""

import hmac
import re
from collections.abc import Sequence
from decimal import Decimal

import msgspec
from msgspec import Raw, Struct

from consumer.emulators.contract import Access, Asked, Event, Refused, StandIn, Taken
from consumer.emulators.demands import (
    ADDRESS,
    Shape,
    amount,
    count,
    currency_upper,
    each,
    findings,
    form,
    read,
    text,
    whole,
)
from consumer.emulators.faults import Fault
from consumer.emulators.shop.records import Known, PixelFire, Taker
from consumer.emulators.snapchat_event import MEANS, Problem, check_event, read_event

PATH = re.compile(r"/v3/([^/]+)/events(/validate)?")
EVENTS_MAX = 2000
BODY_MAX_BYTES = 2_000_000
FIRED: dict[str, str] = {means: name for name, means in MEANS.items()}
ROOT = Shape(
    {"data": lambda value: isinstance(value, list), "test_event_code": text},
    demanded=("data",),
)
TRACK = Shape(
    {
        **dict.fromkeys(("event_type", "pixel_id", "transaction_id", "client_dedup_id"), text),
        **dict.fromkeys(("uuid_c1", "click_id", "item_category", "description"), text),
        "price": amount,
        "currency": currency_upper,
        "item_ids": each(text),
        "number_items": count,
        "page_url": form(ADDRESS),
        "timestamp": whole,
    },
    demanded=("event_type", "pixel_id"),
)
REASONS = {
    401: "The access token is invalid",
    403: "The access token may not write to this asset",
    429: "Too many requests",
}
SERVER_ERROR = 500


class _Body(Struct):
    data: list[Raw]


class _Id(Struct):
    event_id: str = ""


def check(asked: Asked, access: Access, now_ms: int) -> Taken | Refused:
    """The answer to one request."""
    path = PATH.fullmatch(asked.path)
    if path is None:
        return _invalid(404, "No such path")
    if asked.method != "POST":
        return _invalid(405, "Not a method of this path")
    if not hmac.compare_digest(asked.query.get("access_token", "").encode(), access.token.encode()):
        return _of_status(401)
    if path[1] not in access.accounts:
        return _of_status(403)
    body = _read(asked)
    if isinstance(body, Refused):
        return body
    checked = [check_event(bytes(raw), path[1], now_ms) for raw in body.data]
    return _validated(checked) if path[2] else _judged(checked)


def event_ids(body: bytes) -> tuple[str, ...]:
    """The ids of a body's events, "" where one has none; nothing if it can't be read."""
    try:
        data = msgspec.json.decode(body, type=_Body).data
        return tuple(msgspec.json.decode(raw, type=_Id).event_id for raw in data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()


def failure(fault: Fault, ids: Sequence[str]) -> Refused:
    """Snapchat's own reply; a poison's names its event's place."""
    if fault.kind == "poison":
        bad = next((place for place, event_id in enumerate(ids) if event_id in fault.event_ids), 0)
        return _invalid(fault.status or 400, "The event is invalid", bad if fault.named else None)
    if fault.kind == "expired_token":
        return _of_status(401)
    return _of_status(fault.status or (429 if fault.kind == "429" else SERVER_ERROR))


def pixel(body: bytes) -> tuple[Event, ...]:
    """Events in the names of the pixel's call, one or a list. Raises ValueError with a sentence."""
    try:
        raws = msgspec.json.decode(body, type=list[Raw]) if body.lstrip()[:1] == b"[" else [Raw(body)]
        return tuple(_read_pixel(bytes(raw)) for raw in raws)
    except msgspec.DecodeError as error:
        raise ValueError(f"no pixel event: {error}") from None


def fire(fired: PixelFire) -> bytes:
    """What the shop's pixel sends, as a body of `POST /_emulator/pixel`."""
    told = {
        "event_type": FIRED[fired.event],
        "pixel_id": STAND_IN.account,
        "price": Decimal(fired.value_minor).scaleb(-fired.exponent),
        "currency": fired.currency,
        "transaction_id": fired.order_id,
        "client_dedup_id": fired.event_id,
        "uuid_c1": fired.browser.get("sc_cookie1", ""),
        "click_id": fired.browser.get("sc_click_id", ""),
        "page_url": fired.page_url,
        "timestamp": fired.at_ms,
    }
    return msgspec.json.Encoder(decimal_format="number").encode(
        {key: each for key, each in told.items() if each != ""}
    )


def _read(asked: Asked) -> _Body | Refused:
    """The body with known keys and the right number of events."""
    if asked.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return _invalid(400, "The body must be application/json")
    if len(asked.body) > BODY_MAX_BYTES:
        return _invalid(413, f"The body must have {BODY_MAX_BYTES} bytes at most")
    try:
        if found := next(findings(read(asked.body), ROOT), None):
            return _invalid(400, f"{found.dotted}: {found.why}")
        body = msgspec.json.decode(asked.body, type=_Body)
    except (msgspec.DecodeError, RecursionError):
        return _invalid(400, "The body must be JSON with a list of events")
    if not 1 <= len(body.data) <= EVENTS_MAX:
        return _invalid(400, f"data must have 1 to {EVENTS_MAX} events")
    return body


def _judged(checked: Sequence[Event | Problem]) -> Taken | Refused:
    """All or none; the first that is wrong is told."""
    for place, one in enumerate(checked):
        if isinstance(one, Problem):
            return _invalid(400, f"{one.at}: {one.why}", place)
    events = tuple(one for one in checked if isinstance(one, Event))
    return Taken(events, msgspec.json.encode({"status": "VALID", "reason": "Accepted"}))


def _validated(checked: Sequence[Event | Problem]) -> Refused:
    """What the test tool finds of each, and of all."""
    wrong = any(isinstance(one, Problem) for one in checked)
    told = {
        "status": "INVALID" if wrong else "VALID",
        "test_event": True,
        "reason": "Some events are invalid" if wrong else "All events are valid",
        "event_logs": [_log(place, one) for place, one in enumerate(checked)],
    }
    return Refused(400 if wrong else 200, msgspec.json.encode(told), is_refusal=wrong)


def _log(place: int, checked: Event | Problem) -> dict[str, object]:
    why = [f"{checked.at}: {checked.why}"] if isinstance(checked, Problem) else []
    return {
        "event": place,
        "status": "INVALID" if why else "VALID",
        "errors": {"codes": [], "error_msgs": why},
        "warnings": [],
    }


def _read_pixel(raw: bytes) -> Event:
    told = read(raw)
    found = next(findings(told, TRACK), None)
    if found is not None or not isinstance(told, dict):
        raise ValueError(f"no pixel event: {found.dotted if found else ''} {found.why if found else ''}")
    name, paid = str(told["event_type"]), (told.get("price"), told.get("currency"))
    event = read_event(
        str(told["pixel_id"]), name, told.get("client_dedup_id"), told.get("transaction_id"), paid, raw
    )
    if event.means == "purchase" and event.value_minor is None:
        raise ValueError("no pixel event: a PURCHASE has a price, in whole minor units, and a currency")
    return event


def _of_status(status: int) -> Refused:
    """What Snapchat says with a status."""
    return _invalid(
        status, REASONS.get(status, "Internal error" if status >= SERVER_ERROR else "Invalid request")
    )


def _invalid(status: int, reason: str, place: int | None = None) -> Refused:
    told: dict[str, object] = {
        "status": "INVALID",
        "reason": reason,
        "errors": {"codes": [], "error_msgs": [reason]},
    }
    if place is not None:
        told["event"] = place
    return Refused(status, msgspec.json.encode(told))


def _lacks(known: Known) -> str:
    """Whoever is known by neither e-mail nor browser can't be told."""
    browser = known.browser.get("ip") and known.browser.get("user_agent")
    return "" if known.customer or browser else "no_identifiers"


STAND_IN = StandIn(
    name="snapchat",
    account="5ca91d00-0000-4000-8000-00000000da7a",
    taker=Taker(frozenset(FIRED), lacks=_lacks),
    check=check,
    event_ids=event_ids,
    failure=failure,
    pixel=pixel,
    fire=fire,
)
