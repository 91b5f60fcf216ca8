"""Google's Data Manager API, v1: POST /v1/events:ingest, GET /v1/requestStatus:retrieve, and a token server at /token.

One bad event refuses its whole request. What is wrong by what Google knows alone, such as an event too old, is taken,
doesn't count, and is told when the request is asked about; see `google_later`. Rules as in `google_event`; reasons by
the reference's ErrorReason. The same transaction again changes the money of the first, whichever came first. Of a
request that is only validated errors are told, and nothing else. The pixel is the Google tag, in the names of a
conversion's query. Only hex is read here, though Google takes base64 as well.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Raw, Struct

from consumer.emulators.contract import Access, Asked, Event, Means, Refused, StandIn, Taken
from consumer.emulators.demands import Listed, Shape, among, an_object, findings, flag, form, read, text
from consumer.emulators.google_access import TOKEN_PATH, denied, give_token, key_file, new_key
from consumer.emulators.google_errors import GATE, TOLD_MAX, Violation, error, failure, invalid, written
from consumer.emulators.google_event import (
    DIGITS,
    has_people,
    is_too_old,
    problems,
    read_event,
    warned_of,
)
from consumer.emulators.google_later import (
    EVENT_TOO_OLD,
    KEPT,
    MONTHS_MS,
    PREFIX,
    Destination,
    read_id,
    request_id,
    status,
)
from consumer.emulators.google_tag import ACTIONS, EVENTS, fire, pixel
from consumer.emulators.shop.records import Known, Taker, Truth

INGEST, STATUS = ("POST", "/v1/events:ingest"), ("GET", "/v1/requestStatus:retrieve")
EVENTS_MAX, DESTINATIONS_MAX, BODY_MAX_BYTES = 2000, 10, 1_000_000
_ACCOUNT = Shape(
    {
        "accountType": among("GOOGLE_ADS"),
        "accountId": form(DIGITS),
    },
    demanded=("accountType", "accountId"),
)
ROOT = Shape(
    {
        "destinations": Listed(
            Shape(
                {
                    "reference": text,
                    **dict.fromkeys(("operatingAccount", "loginAccount", "linkedAccount"), _ACCOUNT),
                    "productDestinationId": form(DIGITS),
                },
                demanded=("operatingAccount", "productDestinationId"),
            )
        ),
        "events": lambda value: isinstance(value, list) and bool(value),
        "consent": an_object,
        "validateOnly": flag,
        "encoding": among("HEX"),
    },
    demanded=("destinations", "events"),
)


class _Id(Struct, rename="camel"):
    transaction_id: str = ""


class _Ids(Struct):
    events: list[Raw]


class _Account(Struct, rename="camel"):
    account_id: str


class _To(Struct, rename="camel"):
    operating_account: _Account
    product_destination_id: str
    reference: str = ""
    login_account: _Account | None = None


class _Body(Struct, rename="camel"):
    destinations: list[_To]
    events: list[Raw]
    validate_only: bool = False
    encoding: str = ""


def check(asked: Asked, access: Access, now_ms: int) -> Taken | Refused:
    """The answer to one request."""
    if (asked.method, asked.path) == ("POST", TOKEN_PATH):
        return give_token(asked, access.token, now_ms)
    if (asked.method, asked.path) not in (INGEST, STATUS):
        return Refused(
            404, b"<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>", {"Content-Type": "text/html"}
        )
    if reason := denied(asked, access.token, now_ms):
        return error(401, reason, "Request had invalid authentication credentials.", domain=GATE)
    if (asked.method, asked.path) == STATUS:
        return _told_later(asked.query.get("requestId", ""), now_ms)
    return _ingest(asked, access, now_ms)


def event_ids(body: bytes) -> tuple[str, ...]:
    """The transactions of a body's events, "" where one has none; nothing if it can't be read."""
    try:
        events = msgspec.json.decode(body, type=_Ids).events
        return tuple(msgspec.json.decode(raw, type=_Id).transaction_id for raw in events)
    except (msgspec.DecodeError, RecursionError):
        return ()


def told_id(truth: Truth) -> str:
    """Of a purchase the order's bare id, as the tag has it."""
    return truth.order_id if truth.event == "purchase" else truth.event_id


def _told_later(text_: str, now_ms: int) -> Refused:
    later = read_id(text_)
    if later is None:
        return invalid([Violation(("requestId",), "INVALID_REQUEST_ID", "The request ID is invalid.")])
    if now_ms - later.taken_ms > MONTHS_MS:
        return invalid([Violation(("requestId",), "REQUEST_TOO_OLD", "The request is too old.")])
    return Refused(200, status(later), is_refusal=False)


def _ingest(asked: Asked, access: Access, now_ms: int) -> Taken | Refused:
    body = _read(asked)
    if isinstance(body, Refused):
        return body
    if stranger := _strangers(body, access):
        return stranger
    events = [read(bytes(raw)) for raw in body.events]
    if found := [*_destinations(body, access), *_events(body, events, access, now_ms)]:
        return invalid(found)
    if body.validate_only:
        return Taken((), b"{}")
    told = [event for event in events if isinstance(event, dict)]
    return _take(asked.body, body, told, access, now_ms)


def _read(asked: Asked) -> _Body | Refused:
    """The body with known fields of the right form, and no more events than there may be."""
    if len(asked.body) > BODY_MAX_BYTES:
        return error(
            413, "INVALID_ARGUMENT", f"Request payload size exceeds the limit: {BODY_MAX_BYTES} bytes."
        )
    try:
        told = read(asked.body)
    except (msgspec.DecodeError, RecursionError):
        return invalid([Violation((), "INVALID_ARGUMENT", "Invalid JSON payload received.")])
    reasons = {"missing": "REQUIRED_FIELD_MISSING", "unknown": "INVALID_ARGUMENT", "wrong": "INVALID_FORMAT"}
    if found := [Violation(each.path, reasons[each.kind], each.why) for each in findings(told, ROOT)]:
        return invalid(found)
    body = msgspec.json.decode(asked.body, type=_Body)
    if len(body.events) > EVENTS_MAX:
        return invalid([Violation(("events",), "TOO_MANY_EVENTS", f"At most {EVENTS_MAX} are allowed.")])
    if len(body.destinations) > DESTINATIONS_MAX:
        return invalid([Violation(("destinations",), "TOO_MANY_DESTINATIONS", "At most 10 are allowed.")])
    return body


def _strangers(body: _Body, access: Access) -> Refused | None:
    """An account that these credentials have no access to."""
    known = access.accounts | {access.options.get("login_account", "")}
    for to in body.destinations:
        login = to.login_account
        if to.operating_account.account_id not in access.accounts or (
            login and login.account_id not in known
        ):
            return error(403, "PERMISSION_DENIED", "The caller does not have permission.")
    return None


def _destinations(body: _Body, access: Access) -> Iterable[Violation]:
    seen: set[str] = set()
    for place, to in enumerate(body.destinations):
        at = ("destinations", place)
        if to.product_destination_id not in access.actions.values():
            yield Violation(
                (*at, "productDestinationId"), "INVALID_CONVERSION_ACTION_ID", "is no conversion action"
            )
        if to.reference and to.reference in seen:
            yield Violation((*at, "reference"), "DUPLICATE_DESTINATION_REFERENCE", "is there twice")
        seen.add(to.reference)


def _events(body: _Body, events: Sequence[object], access: Access, now_ms: int) -> Iterable[Violation]:
    known = {to.reference for to in body.destinations if to.reference}
    merchant = access.options.get("merchant_id")
    if not body.encoding and any(map(has_people, events)):
        yield Violation(("encoding",), "REQUIRED_FIELD_MISSING", "userData needs encoding")
    for place, event in enumerate(events):
        at = ("events", place)
        yield from (Violation((*at, *each.at), each.reason, each.why) for each in problems(event, now_ms))
        if not isinstance(event, dict):
            continue
        if _references(event) - known:
            why = "names a destination that the request has not"
            yield Violation((*at, "destinationReferences"), "INVALID_DESTINATION", why)
        cart = event.get("cartData")
        if isinstance(cart, dict) and cart.get("merchantId", merchant) != merchant:
            yield Violation((*at, "cartData", "merchantId"), "INVALID_MERCHANT_ID", "is no merchant")


def _references(event: Mapping[str, object]) -> set[str]:
    told = event.get("destinationReferences", [])
    return {each for each in told if isinstance(each, str)} if isinstance(told, list) else set()


def _take(
    raw: bytes, body: _Body, events: Sequence[Mapping[str, object]], access: Access, now_ms: int
) -> Taken:
    """What counts of it, and an id that tells the rest."""
    late = [_late(event, access, now_ms) for event in events]
    kept: list[Event] = []
    destinations: list[Destination] = []
    for to in body.destinations:
        means = _means(to, access)
        mine = [place for place, event in enumerate(events) if _is_for(event, to)]
        destinations.append(_told_of(to, mine, late))
        kept += (
            read_event(events[place], means, to.product_destination_id, bytes(body.events[place]))
            for place in mine
            if not late[place] or late[place] in KEPT
        )
    told: dict[str, object] = {"requestId": request_id(raw, now_ms, tuple(destinations))}
    if warnings := [_warning(place) for place, event in enumerate(events) if warned_of(event)]:
        told["fieldWarnings"] = warnings[:TOLD_MAX]
    return Taken(tuple(kept), msgspec.json.encode(told))


def _means(to: _To, access: Access) -> Means:
    return next((name for name in EVENTS if access.actions.get(name) == to.product_destination_id), "other")


def _told_of(to: _To, mine: Sequence[int], late: Sequence[str]) -> Destination:
    faults: dict[str, list[int]] = {}
    for place in mine:
        if late[place]:
            faults.setdefault(late[place], []).append(place)
    account = to.operating_account.account_id
    return Destination(account, to.product_destination_id, to.reference, len(mine), faults)


def _is_for(event: Mapping[str, object], to: _To) -> bool:
    """An event that names no destination is for all of them."""
    named = _references(event)
    return not named or to.reference in named


def _late(event: Mapping[str, object], access: Access, now_ms: int) -> str:
    """What is found wrong with an event once it is taken."""
    if is_too_old(event, now_ms):
        return EVENT_TOO_OLD
    return access.late.get(str(event["transactionId"]), "").removeprefix(PREFIX)


def _warning(place: int) -> dict[str, str]:
    field = written(("events", place, "cartData"))
    why = "a cart is not told with gbraid or wbraid"
    return {"field": field, "description": why, "reason": "WARNING_REASON_GENERIC"}


def _lacks(known: Known) -> str:
    """Nobody is found without a customer or a click."""
    clicked = any(known.browser.get(name) for name in ("gclid", "gbraid", "wbraid"))
    return "" if known.customer or clicked else "no_identifiers"


STAND_IN = StandIn(
    name="google",
    account="1234567890",
    taker=Taker(frozenset(EVENTS), lacks=_lacks),
    check=check,
    event_ids=event_ids,
    failure=failure,
    pixel=pixel,
    fire=fire,
    told_id=told_id,
    last_wins=True,
    actions=ACTIONS,
    options={"merchant_id": "5550001"},
    secret=new_key,
    credentials=key_file,
)
