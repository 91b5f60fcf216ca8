"""OpenAI's Conversions API: POST /v1/events?pid={pixel}.

One bad event refuses its whole batch, and the reply names the first that is wrong. Rules as in `openai_event`. OpenAI
documents no reply: the success is as public code saw it, the error has the shape of OpenAI's other APIs, and that it
names the event is this emulator's own. The pixel is told in the names of its call
`oaiq("measure", event, data, options)`.
"""

import hmac
from collections.abc import Sequence

import msgspec
from msgspec import Raw, Struct

from consumer.emulators.contract import Access, Asked, Event, Refused, StandIn, Taken
from consumer.emulators.demands import Shape, among, findings, flag, read, text
from consumer.emulators.faults import Fault
from consumer.emulators.openai_event import (
    CUSTOM,
    CUSTOM_NAME,
    MEANS,
    SHAPE_OF,
    Problem,
    check_event,
    data_shape,
    money_problem,
    read_event,
)
from consumer.emulators.shop.records import SALES, PixelFire

PATH = "/v1/events"
EVENTS_MAX = 1000
BYTES_MAX = 4_000_000
"""OpenAI documents none; a partner keeps to it."""

NAMES: dict[str, str] = {means: name for name, means in MEANS.items()}
UNAUTHORIZED = 401
TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
SERVER_ERROR = "server_error"
FIRST_SERVER_ERROR = 500
OPTIONS = Shape({"event_id": text, "custom_event_name": CUSTOM_NAME, "opt_out": flag})


class _Body(Struct, forbid_unknown_fields=True):
    events: list[Raw]
    validate_only: bool = False
    integration_source: str = ""


class _Told(Struct):
    events: list[Raw]


class _Id(Struct):
    id: str = ""


def check(asked: Asked, access: Access, now_ms: int) -> Taken | Refused:
    """The answer to one request."""
    if asked.path != PATH:
        return _refused(404, Problem("", "Unknown request URL"))
    if asked.method != "POST":
        return _refused(405, Problem("", "Method not allowed"))
    scheme, _, token = asked.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(token.encode(), access.token.encode()):
        return _unauthorized()
    if "pid" not in asked.query:
        return _refused(400, Problem("pid", "Missing required parameter: pid"))
    if asked.query["pid"] not in access.accounts:
        return _refused(404, Problem("pid", "No such pixel"))
    return _check_body(asked, now_ms)


def event_ids(body: bytes) -> tuple[str, ...]:
    """The ids of a body's events, "" where one has none; nothing if it can't be read."""
    try:
        told = msgspec.json.decode(body, type=_Told).events
        return tuple(msgspec.json.decode(raw, type=_Id).id for raw in told)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()


def failure(fault: Fault, ids: Sequence[str]) -> Refused:
    """OpenAI's own reply: a poison names the first of its events, if asked to."""
    if fault.kind == "poison":
        bad = next((place for place, event_id in enumerate(ids) if event_id in fault.event_ids), 0)
        at = f"events[{bad}]" if fault.named else ""
        return _refused(fault.status or 400, Problem(at, "Invalid event"))
    if fault.kind == "expired_token" or fault.status == UNAUTHORIZED:
        return _unauthorized()
    return _refused(
        fault.status or (429 if fault.kind == "429" else 500), Problem("", "Something went wrong")
    )


def pixel(body: bytes) -> tuple[Event, ...]:
    """Events in the names of the pixel's call, one or a list. Raises ValueError with a sentence."""
    try:
        raws = msgspec.json.decode(body, type=list[Raw]) if body.lstrip()[:1] == b"[" else [Raw(body)]
        return tuple(_read_pixel(bytes(raw)) for raw in raws)
    except msgspec.DecodeError as error:
        raise ValueError(f"no pixel event: {error}") from None


def fire(fired: PixelFire) -> bytes:
    """What the shop's pixel sends, as a body of `POST /_emulator/pixel`."""
    name = NAMES[fired.event]
    options = {"event_id": fired.event_id}
    if name in CUSTOM:
        options["custom_event_name"] = name
    told = {
        "event": "custom" if name in CUSTOM else name,
        "data": {
            "type": "custom" if name in CUSTOM else "contents",
            "amount": fired.value_minor,
            "currency": fired.currency,
        },
        "options": options,
    }
    return msgspec.json.encode(told)


def _check_body(asked: Asked, now_ms: int) -> Taken | Refused:
    if asked.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return _refused(400, Problem("", "Expected a body of application/json"))
    if len(asked.body) > BYTES_MAX:
        return _refused(413, Problem("", f"A body has {BYTES_MAX} bytes at most"))
    try:
        body = msgspec.json.decode(asked.body, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _refused(400, Problem("", "Expected JSON with a list of events, and no unknown field"))
    if not 1 <= len(body.events) <= EVENTS_MAX:
        return _refused(400, Problem("events", f"A batch has 1 to {EVENTS_MAX} events"))
    events: list[Event] = []
    for place, raw in enumerate(body.events):
        found = check_event(bytes(raw), now_ms)
        if isinstance(found, Problem):
            at = ".".join(filter(None, (f"events[{place}]", found.at)))
            return _refused(400, Problem(at, found.why))
        events.append(found)
    kept = () if body.validate_only else tuple(events)
    return Taken(kept, msgspec.json.encode({"accepted_events": len(events)}))


def _read_pixel(raw: bytes) -> Event:
    told = read(raw)
    name = str(told.get("event")) if isinstance(told, dict) else ""
    call = Shape(
        {"event": among(*SHAPE_OF), "data": data_shape(name), "options": OPTIONS},
        demanded=("event", "data", "options"),
    )
    found = next(findings(told, call), None)
    if found is not None or not isinstance(told, dict):
        raise ValueError(f"no pixel event: {found.dotted if found else ''} {found.why if found else ''}")
    own_name = str(told["options"].get("custom_event_name", ""))
    if (name == "custom") != bool(own_name):
        raise ValueError("no pixel event: a custom event has a custom_event_name, and no other has")
    if problem := money_problem(told["data"]):
        raise ValueError(f"no pixel event: data.{problem.at} {problem.why}")
    if name == "order_created" and "amount" not in told["data"]:
        raise ValueError("no pixel event: an order has an amount")
    return read_event(own_name or name, told["options"].get("event_id", ""), told["data"], raw)


def _unauthorized() -> Refused:
    """As public code has seen it of a key of another kind."""
    return _refused(UNAUTHORIZED, Problem("", "Missing scopes: ads.third_party_events.write"))


def _refused(status: int, problem: Problem) -> Refused:
    type_ = TYPES.get(status, SERVER_ERROR if status >= FIRST_SERVER_ERROR else TYPES[400])
    error = {"message": problem.why, "type": type_, "param": problem.at or None, "code": None}
    return Refused(status, msgspec.json.encode({"error": error}))


STAND_IN = StandIn(
    name="openai",
    account="CapiDemoPixel000000042",
    taker=SALES,
    check=check,
    event_ids=event_ids,
    failure=failure,
    pixel=pixel,
    fire=fire,
)
