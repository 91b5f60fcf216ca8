"""Google Analytics 4, Measurement Protocol: POST /mp/collect, and POST /debug/mp/collect, which records nothing.

The first says nothing whatever comes. What it drops, for a wrong secret or a wrong event, counts as rejected here,
and a header tells people why; Analytics sends no such header. The second tells what is wrong, and looks at no secret.
Rules as in `ga4_event`; the pixel is the Google tag, in the names of its requests' query.
"""

import hmac
from collections.abc import Sequence
from decimal import Decimal

import msgspec
from msgspec import Raw, Struct

from consumer.emulators.contract import Access, Asked, Event, Refused, StandIn, Taken
from consumer.emulators.demands import Shape, amount, currency, findings, money, read, text
from consumer.emulators.faults import Fault
from consumer.emulators.ga4_event import MEANS, Problem, event_id, read_body, read_event
from consumer.emulators.shop.records import Known, PixelFire, Taker

COLLECT, VALIDATE = "/mp/collect", "/debug/mp/collect"
DROPPED = "Emulator-Dropped"
HTML = {"Content-Type": "text/html; charset=UTF-8"}
PIXEL = Shape(
    {
        **dict.fromkeys(("v", "tid", "cid", "sid", "dl", "dr", "ep.transaction_id", "ep.event_id"), text),
        **dict.fromkeys(("epn.value", "epn.tax", "epn.shipping"), amount),
        "en": text,
        "cu": currency,
    },
    demanded=("en",),
)


class _Event(Struct):
    params: dict[str, object] = {}


class _Body(Struct):
    events: list[_Event] = []


def check(asked: Asked, access: Access, now_ms: int) -> Taken | Refused:
    """The answer to one request."""
    if asked.path not in (COLLECT, VALIDATE):
        return _page(404)
    if asked.method != "POST":
        return _page(405)
    told = read_body(asked.body, now_ms)
    problems = told if isinstance(told, list) else []
    if asked.path == VALIDATE:
        return _validated(problems)
    if why := _stranger(asked, access) or (problems and f"{problems[0].path}: {problems[0].why}"):
        return _dropped(why)
    return Taken(tuple(each for each in told if isinstance(each, Event)), b"", 204)


def event_ids(body: bytes) -> tuple[str, ...]:
    """What a body's events are called, "" where one has no name; nothing if it can't be read."""
    try:
        return tuple(event_id(event.params) for event in msgspec.json.decode(body, type=_Body).events)
    except (msgspec.DecodeError, RecursionError):
        return ()


def failure(fault: Fault, ids: Sequence[str]) -> Refused:
    """An expired secret and a poison are dropped in silence, as Analytics does; else a page with the status."""
    del ids
    if fault.kind == "429":
        return _page(fault.status or 429)
    if fault.status is None and fault.kind in {"poison", "expired_token"}:
        return _dropped(fault.kind)
    return _page(fault.status or 500)


def pixel(body: bytes) -> tuple[Event, ...]:
    """Events in the names of the tag's query, one or a list. Raises ValueError with a sentence."""
    try:
        raws = msgspec.json.decode(body, type=list[Raw]) if body.lstrip()[:1] == b"[" else [Raw(body)]
        return tuple(_read_pixel(bytes(raw)) for raw in raws)
    except msgspec.DecodeError as error:
        raise ValueError(f"no pixel event: {error}") from None


def fire(fired: PixelFire) -> bytes:
    """What the shop's tag sends, as a body of `POST /_emulator/pixel`."""
    value = Decimal(fired.value_minor).scaleb(-fired.exponent)
    told = {
        "v": "2",
        "tid": STAND_IN.account,
        "cid": fired.browser.get("ga_client_id", ""),
        "sid": fired.browser.get("ga_session_id", ""),
        "dl": fired.page_url,
        "en": fired.event,
        "cu": fired.currency,
        "epn.value": value,
        "ep.transaction_id": fired.order_id,
        "ep.event_id": fired.event_id,
    }
    return msgspec.json.Encoder(decimal_format="number").encode(
        {key: each for key, each in told.items() if each != ""}
    )


def _read_pixel(raw: bytes) -> Event:
    told = read(raw)
    found = next(findings(told, PIXEL), None)
    if found is not None or not isinstance(told, dict):
        raise ValueError(f"no pixel event: {found.dotted if found else ''} {found.why if found else ''}")
    params = {
        "transaction_id": told.get("ep.transaction_id"),
        "event_id": told.get("ep.event_id"),
        "value": told.get("epn.value"),
        "currency": told.get("cu"),
    }
    if told["en"] == "purchase" and money(params["value"], params["currency"])[0] is None:
        raise ValueError("no pixel event: a purchase has epn.value, in whole minor units, and cu")
    return read_event(params, told["en"], raw)


def _stranger(asked: Asked, access: Access) -> str:
    """Why whoever asks may not write; empty if they may."""
    if not hmac.compare_digest(asked.query.get("api_secret", "").encode(), access.token.encode()):
        return "api_secret"
    return "" if asked.query.get("measurement_id") in access.accounts else "measurement_id"


def _dropped(why: str) -> Refused:
    return Refused(204, b"", {DROPPED: ascii(why)[1:-1]})


def _validated(problems: Sequence[Problem]) -> Refused:
    messages = [
        {"fieldPath": each.path, "description": each.why, "validationCode": each.code} for each in problems
    ]
    body = msgspec.json.encode({"validationMessages": messages})
    return Refused(200, body, is_refusal=bool(problems))


def _page(status: int) -> Refused:
    page = f"<!DOCTYPE html><html lang=en><title>Error {status}</title><p>That is an error.</html>"
    return Refused(status, page.encode(), HTML)


def _lacks(known: Known) -> str:
    """Nobody is known without the tag's cookie."""
    return "" if known.browser.get("ga_client_id") else "no_client_id"


STAND_IN = StandIn(
    name="ga4",
    account="G-CAPIDEMO01",
    taker=Taker(frozenset(MEANS), purpose="analytics", lacks=_lacks),
    check=check,
    event_ids=event_ids,
    failure=failure,
    pixel=pixel,
    fire=fire,
)
