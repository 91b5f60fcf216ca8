"""Google Ads' conversion adjustments: the Google Ads API, v26, and a token server at /token.

What is wrong with one adjustment refuses that one alone, by its place, with status 200; a request that can't be read is
refused whole. Rules as in `google_refunds_event`; errors are GoogleAdsFailure's. The same adjustment again is taken
again and folds into the first, where Google says that it is there already. It knows no purchases, so it takes those of
every order but the ones that a fault of kind `late` names: they are refused with its reason as their code. It is told
what is left of a purchase and never what was refunded, so its refunds have no money. Let in are service accounts, not
users. There is no pixel of refunds.
"""

import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

import msgspec
from msgspec import Raw, Struct

from consumer.emulators.contract import Access, Asked, Event, Refused, StandIn, Taken
from consumer.emulators.demands import Path, Shape, findings, flag, read, whole
from consumer.emulators.faults import Fault
from consumer.emulators.google_access import TOKEN_PATH, denied, give_token, key_file, new_key
from consumer.emulators.google_errors import GATE, STATES, error
from consumer.emulators.google_refunds_event import ADJUSTMENT, UPLOAD, Problem, problems, read_event
from consumer.emulators.shop.records import PixelFire, Taker, Truth, own_value

SCOPE = "https://www.googleapis.com/auth/adwords"
PATH = re.compile(r"/v([0-9]{1,3})/customers/([0-9]{1,20}):uploadConversionAdjustments")
VERSION = "26"
ADJUSTMENTS_MAX, BODY_MAX_BYTES, JOB_ID_MAX = 2000, 1_000_000, 2**31 - 1
TOLD_MAX = 20
LIST = "conversionAdjustments"
FAILURE = f"type.googleapis.com/google.ads.googleads.v{VERSION}.errors.GoogleAdsFailure"
CAPITAL = re.compile(r"(?<=[a-z0-9])([A-Z])")
INTERNAL_FROM = 500
INVALID_ARGUMENT = 3
"""What gRPC calls it by number."""
UNAUTHENTICATED = "Request had invalid authentication credentials."
ACTION = "7100000001"
"""That of purchases."""
ROOT = Shape(
    {
        LIST: lambda value: isinstance(value, list) and bool(value),
        **dict.fromkeys(("partialFailure", "validateOnly"), flag),
        "jobId": whole,
    },
    demanded=(LIST,),
)


class _Id(Struct, rename="camel"):
    order_id: str = ""


class _Ids(Struct, rename="camel"):
    conversion_adjustments: list[_Id]


class _Body(Struct, rename="camel"):
    conversion_adjustments: list[Raw]
    partial_failure: bool = False
    validate_only: bool = False
    job_id: int = 1


def check(asked: Asked, access: Access, now_ms: int) -> Taken | Refused:
    """The answer to one request."""
    if (asked.method, asked.path) == ("POST", TOKEN_PATH):
        return give_token(asked, access.token, now_ms, SCOPE)
    found = _looked_into(asked, access, now_ms)
    return found if isinstance(found, Refused) else _answer(*found)


def partial(fault: Fault, asked: Asked, access: Access, now_ms: int) -> Taken | Refused:
    """A poison is refused by its place, and what is right beside it is taken."""
    found = _looked_into(asked, access, now_ms)
    if isinstance(found, Refused):
        return found
    if not fault.named or fault.status not in {None, 200}:
        return failure(fault, ())
    body, verdicts = found
    poison = [Problem(("orderId",), UPLOAD, "ORDER_ID_CONTAINS_PII", "Told to be refused.")]
    return _answer(
        body,
        [
            poison if isinstance(each, Event) and each.event_id in fault.event_ids else each
            for each in verdicts
        ],
    )


def event_ids(body: bytes) -> tuple[str, ...]:
    """The order ids of a body's adjustments, "" where one has none; nothing if it can't be read."""
    try:
        return tuple(each.order_id for each in msgspec.json.decode(body, type=_Ids).conversion_adjustments)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()


def failure(fault: Fault, ids: Sequence[str]) -> Refused:
    """Google's own reply."""
    del ids
    if fault.kind == "expired_token":
        return error(401, "ACCESS_TOKEN_EXPIRED", UNAUTHENTICATED, domain=GATE)
    if fault.kind == "429":
        wait = f"{30 if fault.retry_after_s is None else fault.retry_after_s:g}s"
        more = {"quotaErrorDetails": {"rateScope": "DEVELOPER", "retryDelay": wait}}
        row = _row(Problem((), "quotaError", "RESOURCE_EXHAUSTED", "Too many requests."))
        return _refused(fault.status or 429, {**row, "details": more})
    status = fault.status or (400 if fault.kind == "poison" else 500)
    family, code = (
        ("internalError", "INTERNAL_ERROR") if status >= INTERNAL_FROM else ("requestError", "UNKNOWN")
    )
    return _refused(status, _row(Problem((), family, code, "Told to fail.")))


def pixel(body: bytes) -> tuple[Event, ...]:
    """No browser tells of refunds. Raises ValueError, always."""
    del body
    raise ValueError("no pixel event: Google's tag tells no refund")


def fire(fired: PixelFire) -> bytes:
    """Nothing that a browser sends. Raises ValueError, always."""
    raise ValueError(f"no tag sends {fired.event} as a refund")


def told_id(truth: Truth) -> str:
    """Of a refund the order's bare id: which one of several it was is told by its time alone."""
    return truth.order_id


def told_value(truth: Truth) -> int:
    """Of a refund, none: an adjustment says what is left of a purchase."""
    return 0 if truth.event == "refund" else own_value(truth)


def developer_token(secret: str) -> str:
    """A manager account's, for which there need not be a secret of its own here."""
    return sha256(f"developer {secret.strip()}".encode()).hexdigest()[:22]


def token_file(secret: str, url: str) -> str:
    """A service account's key, and a developer token beside it."""
    told = msgspec.json.decode(key_file(secret, url), type=dict[str, str])
    more = msgspec.json.encode({**told, "developer_token": developer_token(secret)})
    return msgspec.json.format(more).decode() + "\n"


def _looked_into(
    asked: Asked, access: Access, now_ms: int
) -> tuple[_Body, list[Event | list[Problem]]] | Refused:
    """What becomes of each adjustment, if the request is one that is looked into."""
    found = PATH.fullmatch(asked.path)
    if found is None or asked.method != "POST":
        return Refused(404, b"<!DOCTYPE html><title>Error 404</title>", {"Content-Type": "text/html"})
    if found[1] != VERSION:
        return _refused(400, _row(Problem((), "requestError", "UNSUPPORTED_VERSION", "is deprecated.")))
    if reason := denied(asked, access.token, now_ms):
        return error(401, reason, UNAUTHENTICATED, domain=GATE)
    if stranger := _stranger(asked.headers, found[2], access):
        return stranger
    body = _read(asked.body)
    if isinstance(body, Refused):
        return body
    return body, _verdicts(body, found[2], access, now_ms)


def _stranger(headers: Mapping[str, str], customer: str, access: Access) -> Refused | None:
    """Someone without a developer token, or without access to this account."""
    told = headers.get("developer-token", "")
    if not hmac.compare_digest(told.encode(), developer_token(access.token).encode()):
        why = "The developer token is not valid."
        return _refused(401, _row(Problem((), "authenticationError", "DEVELOPER_TOKEN_INVALID", why)))
    login = headers.get("login-customer-id")
    known = access.accounts | {access.options.get("login_account", "")}
    if customer not in access.accounts or (login is not None and login not in known):
        why = "User doesn't have permission to access customer."
        return _refused(403, _row(Problem((), "authorizationError", "USER_PERMISSION_DENIED", why)))
    return None


def _read(raw: bytes) -> _Body | Refused:
    """A body whose fields are all known and of their types, with no more adjustments than there may be."""
    if len(raw) > BODY_MAX_BYTES:
        return error(413, "INVALID_ARGUMENT", "Request payload size exceeds the limit.")
    try:
        told = read(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _unreadable([])
    if found := [each.path for each in findings(told, ROOT)] or list(_mistyped(told)):
        return _unreadable(found)
    body = msgspec.json.decode(raw, type=_Body)
    wrong = {
        ("requestError", "PARTIAL_FAILURE_MODE_REQUIRED"): not body.partial_failure,
        (UPLOAD, "TOO_MANY_ADJUSTMENTS_IN_REQUEST"): len(body.conversion_adjustments) > ADJUSTMENTS_MAX,
        (UPLOAD, "INVALID_JOB_ID"): not 1 <= body.job_id <= JOB_ID_MAX,
    }
    for (family, code), is_so in wrong.items():
        if is_so:
            return _refused(400, _row(Problem((), family, code, "is not allowed")))
    return body


def _mistyped(told: object) -> Iterable[Path]:
    adjustments = told[LIST] if isinstance(told, dict) else []
    for place, each in enumerate(adjustments):
        yield from ((LIST, place, *found.path) for found in findings(each, ADJUSTMENT))


def _verdicts(body: _Body, customer: str, access: Access, now_ms: int) -> list[Event | list[Problem]]:
    """Each as Google would take it, or all that is wrong with it; of two the same the later is wrong."""
    actions, seen = frozenset(access.actions.values()), set[tuple[object, ...]]()
    verdicts: list[Event | list[Problem]] = []
    for raw in body.conversion_adjustments:
        told = read(bytes(raw))
        if not isinstance(told, dict):
            continue
        found = list(problems(told, customer, actions, now_ms))
        same = tuple(told.get(key) for key in ("conversionAction", "orderId", "adjustmentDateTime"))
        if same in seen:
            found.append(Problem((), UPLOAD, "DUPLICATE_ADJUSTMENT_IN_REQUEST", "is there twice"))
        seen.add(same)
        if reason := access.late.get(str(told.get("orderId"))):
            found.append(Problem(("orderId",), UPLOAD, reason, "Told to be refused."))
        verdicts.append(found or read_event(told, bytes(raw)))
    return verdicts


def _answer(body: _Body, verdicts: Sequence[Event | list[Problem]]) -> Taken | Refused:
    """By place: what was taken, or an empty object, and what is wrong. An answer that takes none is a refusal."""
    taken = tuple(each for each in verdicts if isinstance(each, Event))
    rows = [
        _row(problem, (LIST, place))
        for place, each in enumerate(verdicts)
        if not isinstance(each, Event)
        for problem in each[:TOLD_MAX]
    ]
    results = [msgspec.json.decode(each.raw) if isinstance(each, Event) else {} for each in verdicts]
    told: dict[str, object] = {} if body.validate_only else {"results": results, "jobId": str(body.job_id)}
    if rows:
        message = f"Multiple errors in \u2018details\u2019. First error: {rows[0]['message']}"
        told["partialFailureError"] = {
            "code": INVALID_ARGUMENT,
            "message": message,
            "details": [_failure(rows)],
        }
    encoded = msgspec.json.encode(told)
    if not taken:
        return Refused(200, encoded)
    return Taken(() if body.validate_only else taken, encoded)


def _row(problem: Problem, above: Path = ()) -> dict[str, object]:
    told: dict[str, object] = {"errorCode": {problem.family: problem.code}, "message": problem.why}
    if above:
        told["location"] = {"fieldPathElements": list(_steps((*above, *problem.path)))}
    return told


def _steps(path: Path) -> Iterable[dict[str, object]]:
    """As Google writes a path: names with underscores, each with its place if it is a list."""
    for at, step in enumerate(path):
        if isinstance(step, str):
            after = path[at + 1] if at + 1 < len(path) else None
            yield {"fieldName": _name(step), **({"index": after} if isinstance(after, int) else {})}


def _name(key: str) -> str:
    return CAPITAL.sub(r"_\1", key).lower()


def _failure(rows: Sequence[Mapping[str, object]]) -> dict[str, object]:
    trace = sha256(msgspec.json.encode(rows)).hexdigest()[:22]
    return {"@type": FAILURE, "errors": rows, "requestId": trace}


def _refused(status: int, row: Mapping[str, object]) -> Refused:
    told = {
        "code": status,
        "message": "Request contains an invalid argument.",
        "status": STATES.get(status, "UNKNOWN"),
        "details": [_failure([row])],
    }
    return Refused(status, msgspec.json.encode({"error": told}))


def _unreadable(paths: Iterable[Path]) -> Refused:
    """JSON that doesn't fit the request's message: the fields that don't."""
    fields = [
        {"field": ".".join(map(str, path)), "description": "Invalid JSON payload received."} for path in paths
    ]
    more = [{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": fields[:TOLD_MAX]}]
    return error(400, "INVALID_ARGUMENT", "Invalid JSON payload received.", more)


STAND_IN = StandIn(
    name="google_refunds",
    account="1234567890",
    taker=Taker(frozenset({"refund"})),
    check=check,
    event_ids=event_ids,
    failure=failure,
    partial=partial,
    pixel=pixel,
    fire=fire,
    told_id=told_id,
    told_value=told_value,
    actions={"refund": ACTION},
    secret=new_key,
    credentials=token_file,
)
