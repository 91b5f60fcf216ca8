"""X's Conversion API, Ads API v12: POST /12/measurement/conversions/{pixel}.

One bad event refuses its whole batch, and the reply lists all errors of all events without saying whose they are. Rules
as in `x_event`; codes by the Ads API's page of error codes. The pixel is told in the names of its call
`twq('event', tag, parameters)`. Whether X knows a server's event again that the server had told already is not known;
here it does, and `server_repeats` counts them.
"""

import hmac
import re
from collections.abc import Sequence
from decimal import Decimal
from hashlib import sha256

import msgspec
from msgspec import Raw, Struct

from consumer.emulators.contract import Access, Asked, Event, Refused, StandIn, Taken
from consumer.emulators.demands import Shape, amount, currency_upper, findings, form, money, read, text
from consumer.emulators.faults import Fault
from consumer.emulators.shop.records import Known, PixelFire, Taker
from consumer.emulators.x_event import MEANS, TAG, Problem, Tags, check_event, read_event

PATH = re.compile(r"/12/measurement/conversions/([^/]+)")
EVENTS_MAX = 500
ERRORS_MAX = 1000
PIXEL = "o8z6j"
TAGS = {name: f"tw-{PIXEL}-o8z2{place}" for place, name in enumerate(MEANS, 1)}
CODES = {
    400: "INVALID_PARAMETER",
    401: "UNAUTHORIZED_ACCESS",
    403: "UNAUTHORIZED_CLIENT_APPLICATION",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "CANCELLED_REQUEST",
    423: "LOCK_ACQUISITION_TIMEOUT",
    429: "TOO_MANY_REQUESTS",
    503: "SERVICE_UNAVAILABLE",
}
SERVER_ERROR = 500
FIRE = Shape(
    {
        "event": form(TAG),
        "value": amount,
        "currency": currency_upper,
        **dict.fromkeys(("conversion_id", "twclid", "email_address", "phone_number", "description"), text),
    },
    demanded=("event",),
)


class _Body(Struct):
    conversions: list[Raw]


class _Id(Struct):
    conversion_id: str = ""


def check(asked: Asked, access: Access, now_ms: int) -> Taken | Refused:
    """The answer to one request."""
    path = PATH.fullmatch(asked.path)
    if path is None:
        return _refused(404, Problem("", "The path was not found", "ROUTE_NOT_FOUND"))
    if asked.method != "POST":
        return _of_status(405)
    if not hmac.compare_digest(asked.headers.get("x-pixel-token", "").encode(), access.token.encode()):
        return _of_status(401)
    if path[1] not in access.accounts:
        return _refused(404, Problem("pixel_id", "The pixel was not found", "NOT_FOUND"))
    body = _read(asked)
    if isinstance(body, Problem):
        return _refused(400, body)
    return _check_events(body, Tags(path[1], access.actions), now_ms)


def event_ids(body: bytes) -> tuple[str, ...]:
    """The conversion ids of a body's events, "" where one has none; nothing if it can't be read."""
    try:
        told = msgspec.json.decode(body, type=_Body).conversions
        return tuple(msgspec.json.decode(raw, type=_Id).conversion_id for raw in told)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()


def failure(fault: Fault, ids: Sequence[str]) -> Refused:
    """X's own reply. A poison is never named, be it asked for or not: X has no words for that."""
    del ids
    if fault.kind == "poison":
        return _of_status(fault.status or 400)
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
        "event": TAGS[fired.event],
        "value": Decimal(fired.value_minor).scaleb(-fired.exponent),
        "currency": fired.currency,
        "conversion_id": fired.event_id,
        "twclid": fired.browser.get("twclid", ""),
    }
    return msgspec.json.Encoder(decimal_format="number").encode(
        {key: each for key, each in told.items() if each != ""}
    )


def _read(asked: Asked) -> _Body | Problem:
    """The body, with the right number of events and nothing else."""
    if asked.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return Problem("conversions", "Expected a body of application/json", "MISSING_PARAMETER")
    try:
        told = msgspec.json.decode(asked.body, type=dict[str, Raw])
        if unknown := told.keys() - {"conversions"}:
            return Problem(min(unknown)[:40], "unexpected parameter")
        if "conversions" not in told:
            return Problem("conversions", "conversions is required", "MISSING_PARAMETER")
        body = msgspec.json.decode(asked.body, type=_Body)
    except (msgspec.DecodeError, RecursionError):
        return Problem("conversions", "Expected JSON with a list of conversions")
    if len(body.conversions) > EVENTS_MAX:
        return Problem("conversions", f"Conversion count limit is {EVENTS_MAX}")
    return body if body.conversions else Problem("conversions", "Expected at least one conversion")


def _check_events(body: _Body, tags: Tags, now_ms: int) -> Taken | Refused:
    events: list[Event] = []
    problems: list[Problem] = []
    for raw in body.conversions:
        match check_event(bytes(raw), tags, now_ms):
            case Event() as event:
                events.append(event)
            case found:
                problems += found
    if problems:
        return _refused(400, *problems[:ERRORS_MAX])
    taken = {
        "request": {"params": {"pixel_id": tags.pixel}},
        "data": {"conversions_processed": len(events), "debug_id": _debug_id(now_ms)},
    }
    return Taken(tuple(events), msgspec.json.encode(taken))


def _read_pixel(raw: bytes) -> Event:
    told = read(raw)
    found = next(findings(told, FIRE), None)
    if found is not None or not isinstance(told, dict):
        raise ValueError(f"no pixel event: {found.dotted if found else ''} {found.why if found else ''}")
    name = Tags(PIXEL, TAGS).named(told["event"])
    if not name:
        raise ValueError("no pixel event: event is no tag of the pixel's")
    if name == "purchase" and money(told.get("value"), told.get("currency"))[0] is None:
        raise ValueError("no pixel event: a purchase has a value, in whole minor units, and a currency")
    server = {"value": told.get("value"), "price_currency": told.get("currency")}
    return read_event(name, told.get("conversion_id"), server, raw)


def _of_status(status: int) -> Refused:
    """What the Ads API says with a status."""
    code = CODES.get(status, "INTERNAL_ERROR" if status >= SERVER_ERROR else "INVALID_PARAMETER")
    return _refused(status, Problem("", code.replace("_", " ").capitalize(), code))


def _refused(status: int, *problems: Problem) -> Refused:
    errors = [_error(each) for each in problems]
    return Refused(status, msgspec.json.encode({"errors": errors, "request": {"params": {}}}))


def _error(problem: Problem) -> dict[str, str]:
    named = {"parameter": problem.parameter} if problem.parameter else {}
    return {"code": problem.code, "message": problem.why, **named}


def _debug_id(now_ms: int) -> str:
    return sha256(str(now_ms).encode()).hexdigest()[:16]


def _lacks(known: Known) -> str:
    """X has no field for an opt-out of sale, and knows nobody by an IP address or a user agent alone."""
    if known.sale_opt_out:
        return "sale_opt_out"
    machine = known.browser.keys() >= {"ip", "user_agent"}
    return "" if known.customer or machine or known.browser.get("twclid") else "no_identifiers"


STAND_IN = StandIn(
    name="x",
    account=PIXEL,
    taker=Taker(frozenset(MEANS), lacks=_lacks),
    check=check,
    event_ids=event_ids,
    failure=failure,
    pixel=pixel,
    fire=fire,
    actions=TAGS,
)
