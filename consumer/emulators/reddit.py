"""Reddit's Conversions API v3: POST /api/v3/pixels/{pixel}/conversion_events.

One bad event refuses its whole batch, and the reply names each by its path; JSON with a field that Reddit doesn't
know is refused without a path. Rules as in `reddit_event`; replies by ads-api.reddit.com/docs/v3, its table of errors.
The pixel is told in the names of its own requests' query. Of equal events Reddit keeps the richer one, and decides
each hour; here the first is kept at once.
"""

import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec
from msgspec import Raw, Struct

from consumer.emulators.contract import Access, Asked, Event, Refused, StandIn, Taken
from consumer.emulators.demands import (
    Shape,
    amount,
    currency_upper,
    findings,
    money,
    none_or_more,
    read,
    text,
)
from consumer.emulators.faults import Fault
from consumer.emulators.reddit_event import MEANS, Problem, check_event, read_event
from consumer.emulators.shop.records import SALES, PixelFire

EVENTS_MAX = 1000
PATH = re.compile(r"/api/v3/pixels/([^/]+)/conversion_events")
ANYBODY = re.compile(
    r"|(aiohttp|axios|curl|go-http-client|java|node|okhttp|python|ruby|urllib|wget)\b.*", re.IGNORECASE
)
"""User agents that say no more than which library asks; aiohttp's begins with Python's name."""

TYPES = {
    "PageVisit": "PAGE_VISIT",
    "ViewContent": "VIEW_CONTENT",
    "Search": "SEARCH",
    "AddToCart": "ADD_TO_CART",
    "AddToWishlist": "ADD_TO_WISHLIST",
    "Purchase": "PURCHASE",
    "Lead": "LEAD",
    "SignUp": "SIGN_UP",
    "Custom": "CUSTOM",
}
"""What the pixel calls the types of events."""
NAMES: dict[str, tuple[str, str]] = {means: of for of, means in MEANS.items()}
PIXEL_NAMES = {type_: name for name, type_ in TYPES.items()}
UNAUTHORIZED = 401
PIXEL = Shape(
    {
        **dict.fromkeys(("id", "uuid", "em", "pn", "external_id", "aaid", "idfa", "integration", "v"), text),
        **dict.fromkeys(("m.conversionId", "m.customEventName", "m.transactionId", "m.products"), text),
        **dict.fromkeys(("ts", "m.itemCount"), none_or_more),
        "event": lambda value: value in TYPES,
        "m.valueDecimal": amount,
        "m.currency": currency_upper,
    },
    demanded=("event", "ts"),
)
_SAID = {
    403: "You're not authorized to post conversions to this Pixel ID.",
    404: "Not Found",
    429: "Too many requests/events within timeframe.",
    500: "The service is currently unavailable. No conversion events were processed.",
}


class _Data(Struct, forbid_unknown_fields=True):
    events: list[Raw]
    test_id: str | None = None
    partner: str | None = None
    partner_version: str | None = None


class _Body(Struct, forbid_unknown_fields=True):
    data: _Data


class _Told(Struct):
    events: list[Raw]


class _Any(Struct):
    data: _Told


class _Metadata(Struct):
    conversion_id: str = ""


class _Id(Struct):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


def check(asked: Asked, access: Access, now_ms: int) -> Taken | Refused:
    """The answer to one request."""
    path = PATH.fullmatch(asked.path)
    if path is None:
        return _error(404, _SAID[404])
    if asked.method != "POST":
        return _error(405, "Method Not Allowed")
    return _stranger(asked, access, path[1]) or _check_body(asked, now_ms)


def event_ids(body: bytes) -> tuple[str, ...]:
    """The conversion ids of a body's events, "" where one has none; nothing if it can't be read."""
    try:
        events = msgspec.json.decode(body, type=_Any).data.events
        return tuple(msgspec.json.decode(raw, type=_Id).metadata.conversion_id for raw in events)
    except (msgspec.DecodeError, RecursionError):
        return ()


def failure(fault: Fault, ids: Sequence[str]) -> Refused:
    """Reddit's own reply: a poison names each of its events by the path."""
    if fault.kind == "poison":
        bad = [place for place, event_id in enumerate(ids) if event_id in fault.event_ids]
        named = {place: [Problem("type", "is poison")] for place in bad} if fault.named else {}
        return _invalid(len(bad), named, fault.status or 400)
    if fault.kind == "expired_token" or fault.status == UNAUTHORIZED:
        return _unauthorized()
    status = fault.status or (429 if fault.kind == "429" else 500)
    return _error(status, _SAID.get(status, "Something went wrong"))


def pixel(body: bytes) -> tuple[Event, ...]:
    """Events in the names of the pixel's query, one or a list. Raises ValueError with a sentence."""
    try:
        raws = msgspec.json.decode(body, type=list[Raw]) if body.lstrip()[:1] == b"[" else [Raw(body)]
        return tuple(_read_pixel(bytes(raw)) for raw in raws)
    except msgspec.DecodeError as error:
        raise ValueError(f"no pixel event: {error}") from None


def fire(fired: PixelFire) -> bytes:
    """What the shop's pixel sends, as a body of `POST /_emulator/pixel`."""
    type_, custom = NAMES[fired.event]
    told = {
        "id": STAND_IN.account,
        "ts": fired.at_ms,
        "event": PIXEL_NAMES[type_],
        "m.customEventName": custom,
        "m.conversionId": fired.event_id,
        "m.valueDecimal": Decimal(fired.value_minor).scaleb(-fired.exponent),
        "m.currency": fired.currency,
        "uuid": fired.browser.get("rdt_uuid", "").rpartition(".")[2],
    }
    return msgspec.json.Encoder(decimal_format="number").encode(
        {key: each for key, each in told.items() if each != ""}
    )


def _stranger(asked: Asked, access: Access, account: str) -> Refused | None:
    """The answer to whoever may not write."""
    if ANYBODY.fullmatch(asked.headers.get("user-agent", "").strip()):
        return _error(429, "Your user agent was automatically ratelimited.")
    scheme, _, token = asked.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return _error(UNAUTHORIZED, "No bearer token provided")
    if not hmac.compare_digest(token.encode(), access.token.encode()):
        return _unauthorized()
    return None if account in access.accounts else _error(403, _SAID[403])


def _check_body(asked: Asked, now_ms: int) -> Taken | Refused:
    if asked.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return _error(400, "Bad Request")
    try:
        body = msgspec.json.decode(asked.body, type=_Body)
    except (msgspec.DecodeError, RecursionError) as error:
        return _error(400, f"JSON error: {error}"[:200])
    if not 1 <= len(body.data.events) <= EVENTS_MAX or body.data.test_id == "":
        return _error(400, "Bad Request")
    found = [check_event(bytes(raw), now_ms) for raw in body.data.events]
    wrong = {place: each for place, each in enumerate(found) if isinstance(each, list)}
    if malformed := next((each for each in _all(wrong) if each.malformed), None):
        return _error(400, malformed.why)
    if wrong:
        return _invalid(len(wrong), wrong)
    events = tuple(each for each in found if isinstance(each, Event))
    said = {"message": f"Successfully processed {len(events)} conversion events."}
    return Taken(events, msgspec.json.encode({"data": said}))


def _read_pixel(raw: bytes) -> Event:
    told = read(raw)
    found = next(findings(told, PIXEL), None)
    if found is not None or not isinstance(told, dict):
        raise ValueError(f"no pixel event: {found.dotted if found else ''} {found.why if found else ''}")
    names = {"m.conversionId": "conversion_id", "m.valueDecimal": "value", "m.currency": "currency"}
    metadata = {name: told[key] for key, name in names.items() if key in told}
    if told["event"] == "Purchase" and money(metadata.get("value"), metadata.get("currency"))[0] is None:
        raise ValueError(
            "no pixel event: a Purchase has m.valueDecimal, in whole minor units, and m.currency"
        )
    of = (TYPES[told["event"]], told.get("m.customEventName", ""))
    visitor = {key: told[key] for key in ("uuid", "external_id") if key in told}
    return read_event(of, metadata, {"user": visitor}, raw)


def _all(wrong: Mapping[int, Sequence[Problem]]) -> Iterable[Problem]:
    return (problem for problems in wrong.values() for problem in problems)


def _invalid(count: int, named: Mapping[int, Sequence[Problem]], status: int = 400) -> Refused:
    """Paths are in Go's names, of which one is known to differ from JSON's."""
    fields = [
        {
            "field": f"$.data.events[{place}].{problem.at}".replace(".user.uuid", ".user.UUID"),
            "message": f"{problem.at}: {problem.why}",
        }
        for place, problems in named.items()
        for problem in problems
    ]
    sentence = f"There were {count} invalid conversion events. None were processed."
    return _error(status, sentence, {"fields": fields} if fields else {})


def _unauthorized() -> Refused:
    error = {"reason": "UNAUTHORIZED", "explanation": "The token can't be authenticated."}
    return Refused(UNAUTHORIZED, msgspec.json.encode({"error": error}))


def _error(status: int, message: str, more: Mapping[str, object] | None = None) -> Refused:
    error = {"code": status, "message": message, **(more or {})}
    return Refused(status, msgspec.json.encode({"error": error}))


STAND_IN = StandIn(
    name="reddit",
    account="t2_capidemo",
    taker=SALES,
    check=check,
    event_ids=event_ids,
    failure=failure,
    pixel=pixel,
    fire=fire,
)
