"""Meta's Conversions API, Graph v22.0 to v26.0: POST /{version}/{dataset}/events.

One bad event refuses its whole batch. Rules as in `meta_event`; error codes by the Graph API's error reference.
"""

import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from decimal import Decimal
from hashlib import sha256
from math import ceil

import msgspec
from msgspec import Raw, Struct

from consumer.emulators.contract import Access, Asked, Event, Refused, StandIn, Taken
from consumer.emulators.demands import read
from consumer.emulators.faults import Fault
from consumer.emulators.meta_event import MEANS, PARAMETER, Problem, check_event, custom_money, read_event
from consumer.emulators.shop.records import SALES, PixelFire

VERSIONS = frozenset({"v22.0", "v23.0", "v24.0", "v25.0", "v26.0"})
EVENTS_MAX = 1000
PATH = re.compile(r"/(v\d+\.\d+)/([^/]+)/events/?")
BODY_KEYS = frozenset(
    {"data", "access_token", "appsecret_proof", "test_event_code", "partner_agent", "namespace_id"}
    | {"upload_id", "upload_tag", "upload_source"}
)
NAMES: dict[str, str] = {means: name for name, means in MEANS.items()}
SERVER_ERRORS = range(500, 600)
_ERRORS = {
    401: (190, "Error validating access token"),
    403: (200, "Permissions error"),
    429: (4, "Application request limit reached"),
}


class _Body(Struct):
    data: list[Raw]
    access_token: str = ""
    test_event_code: str | None = None


class _Id(Struct):
    event_id: str = ""


class _Pixel(Struct, forbid_unknown_fields=True):
    """The pixel's query, as JSON: `cd` is custom data, `ts` epoch milliseconds."""

    ev: str
    ts: int
    eid: str = ""
    cd: Raw = Raw(b"{}")
    ud: Raw = Raw(b"{}")
    id: str = ""
    dl: str = ""
    rl: str = ""
    fbp: str = ""
    fbc: str = ""


def check(asked: Asked, access: Access, now_ms: int) -> Taken | Refused:
    """The answer to one request."""
    path = PATH.fullmatch(asked.path)
    if path is None or path[1] not in VERSIONS:
        return graph_error(400, 2500, f"Unknown path components: {asked.path[:80]}")
    if asked.method != "POST":
        return graph_error(
            400, 100, f"Unsupported {asked.method.lower()} request.", 33, "GraphMethodException"
        )
    body = _read(asked)
    if not hmac.compare_digest(_token(asked, body).encode(), access.token.encode()):
        return graph_error(401, 190, "Invalid OAuth access token - Cannot parse access token")
    if path[2] not in access.accounts:
        return graph_error(
            400, 100, f"Object with ID '{path[2][:40]}' does not exist", 33, "GraphMethodException"
        )
    return _check_events(body, now_ms) if isinstance(body, _Body) else body


def event_ids(body: bytes) -> tuple[str, ...]:
    """The ids of a body's events, "" where one has none; nothing if it can't be read."""
    try:
        data = msgspec.json.decode(body, type=_Body).data
        return tuple(msgspec.json.decode(raw, type=_Id).event_id for raw in data)
    except msgspec.DecodeError:
        return ()


def failure(fault: Fault, ids: Sequence[str]) -> Refused:
    """Graph's own reply: a poison names its event's path, throttling tells a wait in minutes as well."""
    if fault.kind == "poison":
        bad = next((place for place, event_id in enumerate(ids) if event_id in fault.event_ids), 0)
        path = f" $['data'][{bad}]" if fault.named else ""
        return _invalid(fault.status or 400, PARAMETER, f"Invalid parameter{path}")
    if fault.kind == "expired_token":
        return graph_error(401, 190, "Error validating access token: Session has expired", 463)
    if fault.kind == "429":
        return _throttled(fault)
    return _of_status(fault.status or 500)


def _of_status(status: int) -> Refused:
    """What Graph says with a status."""
    if status in _ERRORS:
        return graph_error(status, *_ERRORS[status])
    if status in SERVER_ERRORS:
        return graph_error(status, 2, "Service temporarily unavailable", transient=True)
    return _invalid(status, PARAMETER, "Invalid parameter")


def graph_error(
    status: int,
    code: int,
    message: str,
    subcode: int = 0,
    kind: str = "OAuthException",
    *,
    transient: bool = False,
) -> Refused:
    """A reply in the shape of Graph's errors."""
    error: dict[str, object] = {"message": message, "type": kind, "code": code}
    if subcode:
        error["error_subcode"] = subcode
    error |= {"is_transient": transient, "fbtrace_id": _trace(message)}
    return Refused(status, msgspec.json.encode({"error": error}), {"WWW-Authenticate": f'OAuth "{code}"'})


def pixel(body: bytes) -> tuple[Event, ...]:
    """Events in the names of the pixel's query, one or a list. Raises ValueError with a sentence."""
    try:
        raws = msgspec.json.decode(body, type=list[Raw]) if body.lstrip()[:1] == b"[" else [Raw(body)]
        return tuple(_read_pixel(bytes(raw)) for raw in raws)
    except msgspec.DecodeError as error:
        raise ValueError(f"no pixel event: {error}") from None


def fire(fired: PixelFire) -> bytes:
    """What the shop's pixel sends, as a body of `POST /_emulator/pixel`."""
    value = Decimal(fired.value_minor).scaleb(-fired.exponent)
    return msgspec.json.Encoder(decimal_format="number").encode(
        {
            "ev": NAMES[fired.event],
            "eid": fired.event_id,
            "ts": fired.at_ms,
            "dl": fired.page_url,
            "cd": {"value": value, "currency": fired.currency},
            **{name: cookie for name in ("fbp", "fbc") if (cookie := fired.browser.get(name))},
        }
    )


def _read(asked: Asked) -> _Body | Refused:
    """The body with known parameters and the right number of events."""
    if asked.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return graph_error(400, 100, "(#100) The parameter data is required")
    try:
        unknown = msgspec.json.decode(asked.body, type=dict[str, Raw]).keys() - BODY_KEYS
        body = msgspec.json.decode(asked.body, type=_Body)
    except msgspec.DecodeError:
        return graph_error(400, 100, "(#100) The parameter data is required: a JSON body with an array")
    if unknown:
        return _invalid(400, PARAMETER, f"Unexpected key {min(unknown)[:40]!r}")
    if body.test_event_code == "":
        return _invalid(400, PARAMETER, "test_event_code is empty")
    if not 1 <= len(body.data) <= EVENTS_MAX:
        return graph_error(400, 100, f"(#100) Param data must have 1 to {EVENTS_MAX} elements")
    return body


def _token(asked: Asked, body: _Body | Refused) -> str:
    scheme, _, token = asked.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token
    return asked.query.get("access_token", "") or (body.access_token if isinstance(body, _Body) else "")


def _check_events(body: _Body, now_ms: int) -> Taken | Refused:
    events: list[Event] = []
    for place, raw in enumerate(body.data):
        match check_event(bytes(raw), now_ms):
            case Problem(subcode, at, why):
                return _invalid(400, subcode, f"Invalid parameter $['data'][{place}]{at}: {why}")
            case Event() as event:
                events.append(event)
    taken = {"events_received": len(events), "messages": [], "fbtrace_id": _trace(str(now_ms))}
    return Taken(tuple(events), msgspec.json.encode(taken))


def _read_pixel(raw: bytes) -> Event:
    told = msgspec.json.decode(raw, type=_Pixel)
    custom = read(bytes(told.cd))
    if not isinstance(custom, dict) or not told.ev:
        raise ValueError("no pixel event: ev is a name, cd an object")
    if told.ev == "Purchase" and custom_money(custom)[0] is None:
        raise ValueError("no pixel event: a Purchase has a value, in whole minor units, and a currency")
    return read_event(told.ev, told.eid, custom, raw)


def _throttled(fault: Fault) -> Refused:
    """As the Marketing API does it. With status 400 only the usage header tells the wait, in minutes."""
    refused = graph_error(
        fault.status or 429, 80004, "There have been too many calls", 2446079, transient=True
    )
    if fault.retry_after_s is None:
        return refused
    usage = {"type": "ads_management", "call_count": 100, "total_cputime": 25, "total_time": 25}
    minutes = {"estimated_time_to_regain_access": ceil(fault.retry_after_s / 60)}
    header = msgspec.json.encode({"1234567890": [usage | minutes]}).decode()
    return Refused(refused.status, refused.body, {**refused.headers, "X-Business-Use-Case-Usage": header})


def _invalid(status: int, subcode: int, sentence: str) -> Refused:
    error = {
        "message": sentence,
        "type": "OAuthException",
        "code": 100,
        "error_subcode": subcode,
        "is_transient": False,
        "error_user_title": "Invalid parameter",
        "error_user_msg": sentence,
        "fbtrace_id": _trace(sentence),
    }
    return Refused(status, msgspec.json.encode({"error": error}))


def _trace(text: str) -> str:
    return "A" + urlsafe_b64encode(sha256(text.encode()).digest())[:22].decode()


STAND_IN = StandIn(
    name="meta",
    account="1234567890",
    taker=SALES,
    check=check,
    event_ids=event_ids,
    failure=failure,
    pixel=pixel,
    fire=fire,
)
