"""Amazon Ads' Events API, v1: POST /adsApi/v1/create/events, and the token server of Login with Amazon beside it.

What is wrong with one event refuses that event alone, by its place; a poison that shall not be named refuses them all.
Rules as in `amazon_event`; codes by the schema ErrorCode. The pixel is Amazon's tag, in the names of its requests; of
events with one id, from either, the latest tells the money.
"""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal

import msgspec
from msgspec import Raw, Struct

from consumer.emulators.amazon_access import (
    CLIENT_ID,
    TOKEN_PATH,
    give_token,
    lets_in,
    new_secret,
    token_file,
)
from consumer.emulators.amazon_event import (
    DECIMALS_MAX,
    INVALID,
    PURCHASE,
    UNITS_MAX,
    Problem,
    check_event,
    is_told,
    read_event,
)
from consumer.emulators.contract import Access, Asked, Event, Refused, StandIn, Taken
from consumer.emulators.currencies import EXPONENTS
from consumer.emulators.demands import (
    ADDRESS,
    UUID,
    Shape,
    count,
    currency_upper,
    findings,
    form,
    money,
    read,
    text,
    text_up_to,
    whole,
)
from consumer.emulators.faults import Fault
from consumer.emulators.shop.records import Known, PixelFire, Taker, Truth

EVENTS_PATH = "/adsApi/v1/create/events"
EVENTS_MAX, BODY_MAX_BYTES = 500, 1_000_000
MULTI_STATUS = 207
CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "ACTION_NOT_SUPPORTED",
    409: "CONFLICT",
    413: "CONTENT_TOO_LARGE",
    429: "TOO_MANY_REQUESTS",
}
FIRED = {"purchase": "Off-AmazonPurchases", "begin_checkout": "Checkout"}
TYPES = {"Off-AmazonPurchases": PURCHASE, "Checkout": "CHECKOUT"}
TAG = Shape(
    {
        "pid": form(UUID),
        "event": text_up_to(256),
        "ts": whole,
        "eventSource": text,
        "uuid": form(UUID),
        "url": form(ADDRESS),
        "clientDedupeId": text,
        "value": is_told,
        "currencyCode": currency_upper,
        "unitsSold": lambda value: count(value) and isinstance(value, int) and value <= UNITS_MAX,
        **dict.fromkeys(("arefs", "amazonConsentString", "MATCH_ID"), text),
    },
    demanded=("event",),
)


class _Body(Struct):
    events: list[Raw]


class _Id(Struct):
    eventId: str = ""  # noqa: N815 (Amazon's name)


def check(asked: Asked, access: Access, now_ms: int) -> Taken | Refused:
    """The answer to one request."""
    if (asked.method, asked.path) == ("POST", TOKEN_PATH):
        return give_token(asked, access.token, now_ms)
    verdicts = _verdicts(asked, access, now_ms)
    return verdicts if isinstance(verdicts, Refused) else _answer(asked, verdicts)


def partial(fault: Fault, asked: Asked, access: Access, now_ms: int) -> Taken | Refused:
    """A poison is refused, and what is right beside it is taken."""
    verdicts = _verdicts(asked, access, now_ms)
    if isinstance(verdicts, Refused):
        return verdicts
    if not fault.named or fault.status not in {None, MULTI_STATUS}:
        return _error(fault.status or 400)
    poison = [Problem("matchKeys", INVALID, "could not be processed")]
    told = [
        poison if isinstance(each, Event) and each.event_id in fault.event_ids else each for each in verdicts
    ]
    return _answer(asked, told)


def event_ids(body: bytes) -> tuple[str, ...]:
    """The ids of a body's events, "" where one has none; nothing if it can't be read."""
    try:
        events = msgspec.json.decode(body, type=_Body).events
        return tuple(msgspec.json.decode(raw, type=_Id).eventId for raw in events)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()


def failure(fault: Fault, ids: Sequence[str]) -> Refused:
    """Amazon's own reply."""
    del ids
    statuses = {"429": 429, "expired_token": 401}
    return _error(fault.status or statuses.get(fault.kind, 500))


def pixel(body: bytes) -> tuple[Event, ...]:
    """Events in the names of the tag's requests, one or a list. Raises ValueError with a sentence."""
    try:
        raws = msgspec.json.decode(body, type=list[Raw]) if body.lstrip()[:1] == b"[" else [Raw(body)]
        return tuple(_read_pixel(bytes(raw)) for raw in raws)
    except msgspec.DecodeError as error:
        raise ValueError(f"no pixel event: {error}") from None


def fire(fired: PixelFire) -> bytes:
    """What the shop's tag sends, as a body of `POST /_emulator/pixel`. Only a purchase has money."""
    told: dict[str, object] = {
        "pid": "768411f6-fa20-33cd-2222-8cdf646d1111",
        "event": FIRED[fired.event],
        "ts": fired.at_ms,
        "eventSource": "amzn.js",
        "url": fired.page_url,
        "clientDedupeId": _id(fired.event, fired.event_id),
    }
    if fired.event == "purchase":
        told["value"] = Decimal(_nearest(fired.value_minor, fired.exponent)).scaleb(-fired.exponent)
        told["currencyCode"] = fired.currency
    return msgspec.json.Encoder(decimal_format="number").encode(told)


def told_id(truth: Truth) -> str:
    """The shop's id, behind the event's name: no two events have one."""
    return _id(truth.event, truth.event_id)


def told_value(truth: Truth) -> int:
    """Of an amount with three decimals, the nearest with two."""
    return _nearest(truth.value_minor, EXPONENTS[truth.currency])


def _id(event: str, own: str) -> str:
    return own if own.startswith(f"{event}:") else f"{event}:{own}"


def _nearest(minor: int, exponent: int) -> int:
    unit = Decimal(10 ** max(0, exponent - DECIMALS_MAX))
    return int((minor / unit).quantize(Decimal(1), ROUND_HALF_UP) * unit)


def _verdicts(asked: Asked, access: Access, now_ms: int) -> list[Event | list[Problem]] | Refused:
    """What becomes of each event, if the request is one that is looked into."""
    if status := _stranger(asked, access, now_ms):
        return _error(status)
    raws = _raws(asked)
    if raws is None or not 1 <= len(raws) <= EVENTS_MAX:
        return _error(400)
    try:
        return [check_event(bytes(raw), now_ms) for raw in raws]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _error(400)


def _stranger(asked: Asked, access: Access, now_ms: int) -> int:
    """The status with which a request is sent away; 0 if it is looked into."""
    client_id, account = (asked.headers.get(f"amazon-ads-{name}") for name in ("clientid", "accountid"))
    known = client_id == access.options.get("client_id") and lets_in(asked, access.token, now_ms)
    wrong = {
        404: asked.path != EVENTS_PATH,
        405: asked.method != "POST",
        401: not known,
        403: account not in access.accounts,
        413: len(asked.body) > BODY_MAX_BYTES,
    }
    return next((status for status, is_so in wrong.items() if is_so), 0)


def _raws(asked: Asked) -> list[Raw] | None:
    """The events of a body that has nothing else; None if it is of another shape."""
    if asked.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return None
    try:
        keys = msgspec.json.decode(asked.body, type=dict[str, Raw]).keys()
        return msgspec.json.decode(asked.body, type=_Body).events if keys == {"events"} else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _answer(asked: Asked, verdicts: Sequence[Event | list[Problem]]) -> Taken | Refused:
    """By place: each event as it came, or what is wrong with it. An answer that takes none is a refusal."""
    raws = _raws(asked) or []
    taken = tuple(each for each in verdicts if isinstance(each, Event))
    told = {
        "success": [
            {"index": place, "event": raws[place]}
            for place, each in enumerate(verdicts)
            if isinstance(each, Event)
        ],
        "error": [
            {"index": place, "errors": [_row(place, problem) for problem in each[:20]]}
            for place, each in enumerate(verdicts)
            if not isinstance(each, Event)
        ],
    }
    body = msgspec.json.encode(told)
    return Taken(taken, body, MULTI_STATUS) if taken else Refused(MULTI_STATUS, body)


def _row(place: int, problem: Problem) -> dict[str, str]:
    at = f"events[{place}].{problem.at}".removesuffix(".")
    return {"code": problem.code, "message": problem.why, "fieldLocation": at}


def _error(status: int) -> Refused:
    code = CODES.get(status, "BAD_REQUEST" if status < 500 else "INTERNAL_ERROR")  # noqa: PLR2004 (HTTP)
    return Refused(status, msgspec.json.encode({"code": code, "message": f"{code}: see the ErrorCode enum"}))


def _read_pixel(raw: bytes) -> Event:
    told = read(raw)
    found = next(findings(told, TAG), None)
    if found is not None or not isinstance(told, dict):
        raise ValueError(f"no pixel event: {found.dotted if found else ''} {found.why if found else ''}")
    name = TYPES.get(told["event"], "OTHER")
    if name == PURCHASE and money(told.get("value"), told.get("currencyCode"))[0] is None:
        raise ValueError("no pixel event: a purchase has value, in whole minor units, and currencyCode")
    return read_event(name, told.get("clientDedupeId"), told, raw)


def _lacks(known: Known) -> str:
    """Nobody is known by a browser alone."""
    return "" if known.customer else "no_identifiers"


STAND_IN = StandIn(
    name="amazon",
    account="amzn1.ads-account.g.a1bc2de3fg4hi5jk6lm7no8pq",
    taker=Taker(frozenset(FIRED), lacks=_lacks),
    check=check,
    event_ids=event_ids,
    failure=failure,
    partial=partial,
    pixel=pixel,
    fire=fire,
    told_id=told_id,
    told_value=told_value,
    last_wins=True,
    options={"client_id": CLIENT_ID},
    secret=new_secret,
    credentials=token_file,
)
