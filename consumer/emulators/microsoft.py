"""Microsoft's UET Conversions API v1: POST /v1/{tag}/events.

One bad event refuses its whole batch, unless the request wants such events skipped. The reply tells of the first ten
things it found, errors and warnings together. Rules as in `microsoft_event`; the tag is told in the names of its call
uetq.push('event', …), beside its own id.
"""

import hmac
import re
from collections.abc import Sequence
from decimal import Decimal

import msgspec
from msgspec import Raw, Struct

from consumer.emulators.contract import Access, Asked, Event, Refused, StandIn, Taken
from consumer.emulators.demands import Shape, amount, currency_upper, findings, flag, form, read, text
from consumer.emulators.faults import Fault
from consumer.emulators.microsoft_event import EVENTS, Checked, Detail, check_event, read_event
from consumer.emulators.shop.records import Known, PixelFire, Taker

PATH = re.compile(r"/v1/([0-9]+)/events")
EVENTS_MAX = 1000
BODY_MAX_BYTES = 1_000_000
DETAILS_MAX = 10
SERVER_ERROR = 500
INVALID = "ValidationError"
CODES = {401: "Unauthorized", 404: "NotFound", 405: "MethodNotAllowed", 413: "RequestTooLarge"}
ROOT = Shape(
    {
        "data": lambda value: isinstance(value, list) and 1 <= len(value) <= EVENTS_MAX,
        "continueOnValidationError": flag,
        "dataProvider": text,
    },
    demanded=("data",),
)
PUSHED = Shape(
    {
        **dict.fromkeys(("event", "event_id", "transaction_id", "event_category", "event_label"), text),
        "ti": form(re.compile("[0-9]+")),
        **dict.fromkeys(("revenue_value", "event_value", "ecomm_totalvalue"), amount),
        "currency": currency_upper,
    },
    demanded=("ti", "event"),
)


class _Body(Struct, rename="camel"):
    data: list[Raw]
    continue_on_validation_error: bool = False


class _Ids(Struct):
    data: list[Raw]


class _Id(Struct, rename="camel"):
    event_id: str = ""


def check(asked: Asked, access: Access, now_ms: int) -> Taken | Refused:
    """The answer to one request."""
    path = PATH.fullmatch(asked.path)
    if path is None:
        return _refused(404)
    if asked.method != "POST":
        return _refused(405)
    scheme, _, token = asked.headers.get("authorization", "").partition(" ")
    right = hmac.compare_digest(token.encode(), access.token.encode())
    if scheme != "Bearer" or not right or path[1] not in access.accounts:
        return _refused(401)
    body = _read(asked)
    if isinstance(body, Refused):
        return body
    checked = [check_event(bytes(raw), path[1], place, now_ms) for place, raw in enumerate(body.data)]
    return _answer(checked, skip=body.continue_on_validation_error)


def event_ids(body: bytes) -> tuple[str, ...]:
    """The ids of a body's events, "" where one has none; nothing if it can't be read."""
    try:
        data = msgspec.json.decode(body, type=_Ids).data
        return tuple(msgspec.json.decode(raw, type=_Id).event_id for raw in data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()


def failure(fault: Fault, ids: Sequence[str]) -> Refused:
    """Microsoft's own reply; a poison's names its event's place, among the first ten at least."""
    if fault.kind == "poison":
        bad = [place for place, event_id in enumerate(ids) if event_id in fault.event_ids]
        details = [_poisonous(place) for place in bad if fault.named]
        return _refused(fault.status or 400, details)
    if fault.kind == "expired_token":
        return _refused(401)
    return _refused(fault.status or (429 if fault.kind == "429" else SERVER_ERROR))


def pixel(body: bytes) -> tuple[Event, ...]:
    """Events in the names of the tag's call, one or a list. Raises ValueError with a sentence."""
    try:
        raws = msgspec.json.decode(body, type=list[Raw]) if body.lstrip()[:1] == b"[" else [Raw(body)]
        return tuple(_read_pushed(bytes(raw)) for raw in raws)
    except msgspec.DecodeError as error:
        raise ValueError(f"no pixel event: {error}") from None


def fire(fired: PixelFire) -> bytes:
    """What the shop's tag sends, as a body of `POST /_emulator/pixel`."""
    told = {
        "ti": STAND_IN.account,
        "event": fired.event,
        "event_id": fired.event_id,
        "revenue_value": Decimal(fired.value_minor).scaleb(-fired.exponent),
        "currency": fired.currency,
        "transaction_id": fired.order_id,
    }
    return msgspec.json.Encoder(decimal_format="number").encode(
        {key: each for key, each in told.items() if each != ""}
    )


def _read(asked: Asked) -> _Body | Refused:
    """The body with known keys and the right number of events."""
    if len(asked.body) > BODY_MAX_BYTES:
        return _refused(413)
    if asked.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return _refused(400)
    try:
        if next(findings(read(asked.body), ROOT), None):
            return _refused(400)
        return msgspec.json.decode(asked.body, type=_Body)
    except (msgspec.DecodeError, RecursionError):
        return _refused(400)


def _answer(checked: Sequence[Checked], *, skip: bool) -> Taken | Refused:
    details = [detail for one in checked for detail in one.details]
    events = tuple(one.event for one in checked if one.event is not None)
    if len(events) < len(checked) and not (skip and events):
        return _refused(400, details)
    told: dict[str, object] = {"eventsReceived": len(events)}
    if details:
        told |= _error(INVALID, details)
    return Taken(events, _written(told))


def _read_pushed(raw: bytes) -> Event:
    told = read(raw)
    found = next(findings(told, PUSHED), None)
    if found is not None or not isinstance(told, dict):
        raise ValueError(f"no pixel event: {found.dotted if found else ''} {found.why if found else ''}")
    paid = (told.get("revenue_value"), told.get("currency"))
    event = read_event(str(told["ti"]), told["event"], told.get("event_id"), paid, raw)
    if event.means == "purchase" and event.value_minor is None:
        raise ValueError("no pixel event: a purchase has revenue_value, in whole minor units, and a currency")
    return event


def _poisonous(place: int) -> Detail:
    return Detail(place, f"data[{place}].customData", None, "is not what it must be", "InvalidValue")


def _refused(status: int, details: Sequence[Detail] = ()) -> Refused:
    code = CODES.get(status, "InternalError" if status >= SERVER_ERROR else INVALID)
    return Refused(status, _written(_error(code, details)))


def _error(code: str, details: Sequence[Detail]) -> dict[str, object]:
    message = "One or more validation errors occurred." if details else "The request was not taken."
    return {"error": {"code": code, "message": message, "details": details[:DETAILS_MAX]}}


def _written(told: dict[str, object]) -> bytes:
    return msgspec.json.Encoder(decimal_format="number").encode({**told, "traceId": "emulated"})


def _lacks(known: Known) -> str:
    """Whoever is known by neither customer nor click can't be told."""
    return "" if known.customer or known.browser.get("msclkid") else "no_identifiers"


STAND_IN = StandIn(
    name="microsoft",
    account="97200001",
    taker=Taker(frozenset(EVENTS), lacks=_lacks),
    check=check,
    event_ids=event_ids,
    failure=failure,
    pixel=pixel,
    fire=fire,
)
