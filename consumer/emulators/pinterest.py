"""Pinterest's Conversions API, v5: POST /v5/ad_accounts/{ad_account_id}/events.

What the schema doesn't allow refuses the request, with 400. Else each event is taken or fails alone: the answer tells
of each by its place, and comes with 422 if not all are taken, as the reference has it. Where in that answer the list
stands is not documented; here it is the details. With `?test=true` nothing is kept. Rules as in `pinterest_event`;
error codes by the API reference. The pixel is the Pinterest tag, in the names of its requests' query.
"""

import hmac
import re
from collections.abc import Sequence
from decimal import Decimal

import msgspec
from msgspec import Raw, Struct

from consumer.emulators.contract import Access, Asked, Event, Refused, StandIn, Taken
from consumer.emulators.demands import Shape, an_object, currency, findings, flag, read, text, whole
from consumer.emulators.faults import Fault
from consumer.emulators.pinterest_event import NAMES, Problem, check_event, event_money, misshapen, read_event
from consumer.emulators.shop.records import Known, PixelFire, Taker

PATH = re.compile(r"/v5/ad_accounts/([0-9]{1,18})/events")
EVENTS_MAX, TEST_EVENTS_MAX = 1000, 20
ALL, NOT_ALL = 200, 422
STRANGER, TOO_FAST, NOT_PERMITTED, NOT_FOUND, INVALID, RAMPED_DOWN, BROKEN = 2, 8, 29, 50, 4196, 4197, 11
ERRORS = {
    400: (INVALID, "The request was invalid."),
    401: (STRANGER, "Authentication failed."),
    403: (NOT_PERMITTED, "You are not permitted to access that resource."),
    404: (NOT_FOUND, "Not found."),
    NOT_ALL: (INVALID, "Not all events were successfully processed."),
    429: (TOO_FAST, "You have exceeded your rate limit. Try again later."),
    503: (RAMPED_DOWN, "The endpoint is currently not accepting events."),
}
FIRED = {"purchase": "checkout", "begin_checkout": "initiatecheckout", "add_payment_info": "addpaymentinfo"}
TAG_NAMES = {name.replace("_", ""): name for name in NAMES}
"""The tag writes them without a line; what a payment's is, is not documented."""

ROOT = Shape({"data": lambda value: isinstance(value, list)}, demanded=("data",))
TAG = Shape(
    {
        **dict.fromkeys(("event", "tid"), text),
        **dict.fromkeys(("pd", "ad"), an_object),
        "cb": whole,
        "noscript": flag,
        "ed": Shape(
            {**dict.fromkeys(("event_id", "order_id"), text), "order_quantity": whole, "currency": currency},
            more=True,
        ),
    },
    demanded=("event",),
)


class _Body(Struct):
    data: list[Raw]


class _Id(Struct):
    event_id: str = ""


def check(asked: Asked, access: Access, now_ms: int) -> Taken | Refused:
    """The answer to one request."""
    answer = _verdicts(asked, access, now_ms)
    return answer if isinstance(answer, Refused) else _answer(asked, answer, NOT_ALL)


def partial(fault: Fault, asked: Asked, access: Access, now_ms: int) -> Taken | Refused:
    """A poison fails, and what is right beside it is taken; if it is not named, the answer says no more than that."""
    answer = _verdicts(asked, access, now_ms)
    if isinstance(answer, Refused):
        return answer
    poison = Problem("event", "could not be processed")
    told = [
        poison if isinstance(each, Event) and each.event_id in fault.event_ids else each for each in answer
    ]
    return _answer(asked, told, fault.status or NOT_ALL, listed=fault.named)


def event_ids(body: bytes) -> tuple[str, ...]:
    """The ids of a body's events, "" where one has none; nothing if it can't be read."""
    try:
        data = msgspec.json.decode(body, type=_Body).data
        return tuple(msgspec.json.decode(raw, type=_Id).event_id for raw in data)
    except (msgspec.DecodeError, RecursionError):
        return ()


def failure(fault: Fault, ids: Sequence[str]) -> Refused:
    """Pinterest's own reply."""
    del ids
    statuses = {"429": 429, "expired_token": 401}
    return _error(fault.status or statuses.get(fault.kind, 500))


def pixel(body: bytes) -> tuple[Event, ...]:
    """Events in the names of the tag's query, one or a list. Raises ValueError with a sentence."""
    try:
        raws = msgspec.json.decode(body, type=list[Raw]) if body.lstrip()[:1] == b"[" else [Raw(body)]
        return tuple(_read_pixel(bytes(raw)) for raw in raws)
    except msgspec.DecodeError as error:
        raise ValueError(f"no pixel event: {error}") from None


def fire(fired: PixelFire) -> bytes:
    """What the shop's tag sends, as a body of `POST /_emulator/pixel`."""
    data: dict[str, object] = {
        "value": Decimal(fired.value_minor).scaleb(-fired.exponent),
        "currency": fired.currency,
        "event_id": fired.event_id,
    }
    if fired.order_id:
        data["order_id"] = fired.order_id
    return msgspec.json.Encoder(decimal_format="number").encode(
        {
            "event": FIRED[fired.event],
            "tid": "2612345678901",
            "ed": data,
            "ad": {"loc": fired.page_url},
            "cb": fired.at_ms,
        }
    )


def _verdicts(asked: Asked, access: Access, now_ms: int) -> list[Event | Problem] | Refused:
    """What becomes of each event, if the request is one that is looked into."""
    if refused := _stranger(asked, access):
        return refused
    try:
        raws = _raws(asked)
        shapes = ((place, misshapen(raw)) for place, raw in enumerate(raws))
        if wrong := next((f"data[{place}].{problem}" for place, problem in shapes if problem), ""):
            return _error(400, wrong)
        return [check_event(raw, now_ms) for raw in raws]
    except ValueError as error:
        return _error(400, str(error))
    except RecursionError:
        return _error(400, "The body is not a valid JSON")


def _raws(asked: Asked) -> list[bytes]:
    """The events. Raises ValueError with a sentence, as does whatever reads JSON."""
    if asked.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise ValueError("Content-Type must be application/json")
    if found := next(findings(read(asked.body), ROOT), None):
        raise ValueError(f"{found.dotted}: {found.why}")
    data = msgspec.json.decode(asked.body, type=_Body).data
    most = TEST_EVENTS_MAX if _only_tests(asked) else EVENTS_MAX
    if not 1 <= len(data) <= most:
        raise ValueError(f"data: 1 to {most} events")
    return [bytes(raw) for raw in data]


def _stranger(asked: Asked, access: Access) -> Refused | None:
    path = PATH.fullmatch(asked.path)
    if path is None:
        return _error(404)
    if asked.method != "POST":
        return _error(405, "Method not allowed.")
    scheme, _, token = asked.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(token.encode(), access.token.encode()):
        return _error(401)
    if path[1] not in access.accounts:
        return _error(403)
    if asked.query.get("test", "false") not in {"true", "false"}:
        return _error(400, "test: must be true or false")
    return None


def _only_tests(asked: Asked) -> bool:
    return asked.query.get("test") == "true"


def _answer(
    asked: Asked, verdicts: Sequence[Event | Problem], status: int, *, listed: bool = True
) -> Taken | Refused:
    """200 and what became of each, or the status for those that are not all taken."""
    taken = tuple(each for each in verdicts if isinstance(each, Event))
    told: dict[str, object] = {
        "num_events_received": len(verdicts),
        "num_events_processed": len(taken),
        "events": [_told(each) for each in verdicts],
    }
    if len(taken) == len(verdicts):
        status = ALL
    elif status != ALL or not listed:
        code, message = ERRORS[NOT_ALL]
        told = {"code": code, "message": message, "details": told if listed else {}}
    body = msgspec.json.encode(told)
    if _only_tests(asked):
        return Refused(status, body, is_refusal=len(taken) < len(verdicts))
    return Taken(taken, body, status)


def _told(verdict: Event | Problem) -> dict[str, object]:
    failed = isinstance(verdict, Problem)
    return {
        "status": "failed" if failed else "processed",
        "error_message": str(verdict) if failed else None,
        "warning_message": None,
    }


def _read_pixel(raw: bytes) -> Event:
    told = read(raw)
    if found := next(findings(told, TAG), None):
        raise ValueError(f"no pixel event: {found.dotted} {found.why}")
    event = msgspec.convert(told, dict[str, object])
    name, data = TAG_NAMES.get(str(event["event"]), str(event["event"])), event.get("ed", {})
    if not isinstance(data, dict) or (name == "checkout" and event_money(data)[0] is None):
        raise ValueError("no pixel event: a checkout has ed.value, in whole minor units, and ed.currency")
    return read_event(name, data.get("event_id"), data, raw)


def _error(status: int, message: str = "") -> Refused:
    code, usual = ERRORS.get(status, (BROKEN, "Something went wrong on our end."))
    return Refused(status, msgspec.json.encode({"code": code, "message": message or usual}))


def _lacks(known: Known) -> str:
    """Whoever is known by neither e-mail nor browser can't be told."""
    browser = known.browser.get("ip") and known.browser.get("user_agent")
    return "" if known.customer or browser else "no_identifiers"


STAND_IN = StandIn(
    name="pinterest",
    account="549755885175",
    taker=Taker(frozenset(FIRED), lacks=_lacks),
    check=check,
    event_ids=event_ids,
    failure=failure,
    partial=partial,
    pixel=pixel,
    fire=fire,
)
