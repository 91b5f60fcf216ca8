"""LinkedIn's Conversions API: POST /rest/conversionEvents, of one event or, with BATCH_CREATE, of many.

One bad event refuses its whole batch, and all bad ones are named. What an event is, the type of its rule says. Rules as
in `linkedin_event`; the pixel is the Insight Tag, in the names of `lintrk`, with rules of its own. Of its event and the
server's with one id, LinkedIn keeps the tag's. What LinkedIn makes of an id that the server tells twice isn't
documented: here it is known again, and counted as a repeat.
"""

import hmac
from collections.abc import Mapping, Sequence
from decimal import Decimal
from http import HTTPStatus

import msgspec
from msgspec import Raw, Struct

from consumer.emulators.contract import Access, Asked, Event, Means, Refused, StandIn, Taken
from consumer.emulators.demands import Shape, amount, currency, findings, money, read, text, whole
from consumer.emulators.faults import Fault
from consumer.emulators.linkedin_event import (
    TYPES,
    counts,
    in_time,
    ipv4,
    problems,
    read_event,
    rule_of,
    value_of,
)
from consumer.emulators.shop.records import Known, PixelFire, Taker

PATH = "/rest/conversionEvents"
VERSIONS = frozenset({"202601", "202602", "202603", "202604", "202605", "202606", "202607"})
EVENTS_MAX = 5000
RULES: dict[Means, str] = {"purchase": "104012", "begin_checkout": "104013", "add_payment_info": "104014"}
TAG_RULES: dict[Means, int] = {"purchase": 204012, "begin_checkout": 204013, "add_payment_info": 204014}
"""Each source has rules of its own."""

TAG_MEANS: dict[object, Means] = {rule: means for means, rule in TAG_RULES.items()}
PIXEL = Shape(
    {"conversion_id": whole, "event_id": text, "conversion_value": amount, "currency": currency},
    demanded=("conversion_id",),
)
REVOKED = (401, "The token used in the request has been revoked by the user", "REVOKED_ACCESS_TOKEN", 65601)
_SENTENCES = {
    403: "No ad accounts found",
    426: "Requested version is not active",
    429: "Resource level throttle limit for calls to this resource is reached",
}


class _Batch(Struct, forbid_unknown_fields=True):
    elements: list[Raw]


class _Id(Struct, rename="camel"):
    event_id: str = ""


class _Ids(Struct, rename="camel"):
    elements: list[_Id] | None = None
    event_id: str = ""


def check(asked: Asked, access: Access, now_ms: int) -> Taken | Refused:
    """The answer to one request."""
    if asked.path != PATH:
        return _error(404, "No virtual resource found", "RESOURCE_NOT_FOUND")
    if asked.method != "POST":
        return _error(405, f"{asked.method} is not allowed here")
    if refused := _stranger(asked, access) or _headers(asked):
        return refused
    method = asked.headers.get("x-restli-method", "")
    if method == "BATCH_CREATE":
        return _batch(asked.body, access, now_ms)
    return _error(400, "This method is not known") if method else _one(asked.body, access, now_ms)


def event_ids(body: bytes) -> tuple[str, ...]:
    """The ids of a body's events, "" where one has none; nothing if it can't be read."""
    try:
        told = msgspec.json.decode(body, type=_Ids)
    except (msgspec.DecodeError, RecursionError):
        return ()
    return (told.event_id,) if told.elements is None else tuple(each.event_id for each in told.elements)


def failure(fault: Fault, ids: Sequence[str]) -> Refused:
    """LinkedIn's own reply; a poison names all that are, as a 400 does it or as a 422."""
    if fault.kind == "poison":
        bad = [place for place, event_id in enumerate(ids) if event_id in fault.event_ids]
        return _poisoned(fault.status or 422, bad if fault.named else [])
    if fault.kind == "expired_token":
        return _error(*REVOKED)
    return _of_status(fault.status or (429 if fault.kind == "429" else 500))


def pixel(body: bytes) -> tuple[Event, ...]:
    """Events as the tag is told of them, one or a list. Raises ValueError with a sentence."""
    try:
        raws = msgspec.json.decode(body, type=list[Raw]) if body.lstrip()[:1] == b"[" else [Raw(body)]
        return tuple(_read_pixel(bytes(raw)) for raw in raws)
    except msgspec.DecodeError as error:
        raise ValueError(f"no pixel event: {error}") from None


def fire(fired: PixelFire) -> bytes:
    """What the shop tells the tag, as a body of `POST /_emulator/pixel`."""
    told = {
        "conversion_id": next(rule for means, rule in TAG_RULES.items() if means == fired.event),
        "conversion_value": Decimal(fired.value_minor).scaleb(-fired.exponent),
        "currency": fired.currency,
        "event_id": fired.event_id,
    }
    return msgspec.json.Encoder(decimal_format="number").encode(told)


def _stranger(asked: Asked, access: Access) -> Refused | None:
    scheme, _, token = asked.headers.get("authorization", "").partition(" ")
    if not token:
        return _error(401, "Empty oauth2 access token", "EMPTY_ACCESS_TOKEN", 65604)
    if scheme.lower() == "bearer" and hmac.compare_digest(token.encode(), access.token.encode()):
        return None
    return _error(401, "Invalid access token", "INVALID_ACCESS_TOKEN", 65600)


def _headers(asked: Asked) -> Refused | None:
    """Versions and the content's type, without which nothing is read."""
    version = asked.headers.get("linkedin-version", "")
    if not version:
        return _error(400, "A version must be present", "VERSION_MISSING")
    if version not in VERSIONS:
        return _error(
            426, f"Requested version {ascii(version[:8])[1:-1]}01 is not active", "NONEXISTENT_VERSION"
        )
    if asked.headers.get("x-restli-protocol-version") != "2.0.0":
        return _error(400, "X-Restli-Protocol-Version must be 2.0.0")
    if asked.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return _error(415, "The content must be JSON")
    return None


def _batch(body: bytes, access: Access, now_ms: int) -> Taken | Refused:
    try:
        raws = [bytes(raw) for raw in msgspec.json.decode(body, type=_Batch).elements]
        told = [read(raw) for raw in raws]
    except (msgspec.DecodeError, RecursionError):
        return _error(400, "The body is no batch: an object with elements, a list")
    if not 1 <= len(raws) <= EVENTS_MAX:
        return _error(400, f"A batch has 1 to {EVENTS_MAX} elements")
    taken = _events(told, raws, access, now_ms)
    if isinstance(taken, Refused):
        return taken
    return Taken(taken, msgspec.json.encode({"elements": [{"status": 201}] * len(raws)}))


def _one(body: bytes, access: Access, now_ms: int) -> Taken | Refused:
    try:
        told = read(body)
    except (msgspec.DecodeError, RecursionError):
        return _error(400, "The body is no JSON")
    taken = _events([told], [body], access, now_ms)
    return taken if isinstance(taken, Refused) else Taken(taken, b"", 201)


def _events(
    told: Sequence[object], raws: Sequence[bytes], access: Access, now_ms: int
) -> tuple[Event, ...] | Refused:
    """The events that are kept; whole is refused what has any that is wrong."""
    found = {place: wrong for place, each in enumerate(told) if (wrong := problems(each))}
    if found:
        return _error(422, "".join(_lines(place, wrong) for place, wrong in found.items()))
    events = [each for each in told if isinstance(each, dict)]
    if late := [place for place, each in enumerate(events) if not in_time(each, now_ms)]:
        return _error(
            400,
            f"Conversion time should be within 90 days and not in the future, indices {late} (0-indexed).",
        )
    means = {rule: each for each in TYPES if (rule := access.actions.get(each))}
    if any(rule_of(each) not in means for each in events):
        return _error(403, _SENTENCES[403])
    return tuple(
        read_event(means[rule_of(each)], each.get("eventId"), value_of(each), raw)
        for each, raw in zip(events, raws, strict=True)
        if counts(each)
    )


def _lines(place: int, wrong: Sequence[str]) -> str:
    """Only the first of an event's lines has its place."""
    return f"Index: {place}, " + "".join(f"ERROR :: {each}\n" for each in wrong)


def _poisoned(status: int, places: Sequence[int]) -> Refused:
    if status == HTTPStatus.BAD_REQUEST:
        named = f", indices {list(places)} (0-indexed)" if places else ""
        return _error(status, f"Conversion method should be CONVERSIONS_API{named}.")
    lines = "".join(_lines(place, ["/conversion :: is poison"]) for place in places)
    return _error(status, lines or "Invalid Urn format")


def _of_status(status: int) -> Refused:
    if status == HTTPStatus.UNAUTHORIZED:
        return _error(*REVOKED)
    return _error(status, _SENTENCES.get(status, "Something went wrong"))


def _error(status: int, message: str, code: str = "", number: int = 0) -> Refused:
    told: Mapping[str, object] = {
        "status": status,
        "serviceErrorCode": number,
        "code": code,
        "message": message,
    }
    return Refused(status, msgspec.json.encode({key: each for key, each in told.items() if each}))


def _read_pixel(raw: bytes) -> Event:
    told = read(raw)
    found = next(findings(told, PIXEL), None)
    if found is not None or not isinstance(told, dict):
        raise ValueError(f"no pixel event: {found.dotted if found else ''} {found.why if found else ''}")
    means = TAG_MEANS.get(told["conversion_id"])
    if means is None:
        raise ValueError("no pixel event: conversion_id is no rule of the tag's")
    value = money(told.get("conversion_value"), told.get("currency"))
    if value[0] is None:
        raise ValueError("no pixel event: it has conversion_value, in whole minor units, and currency")
    return read_event(means, told.get("event_id"), value, raw)


def _lacks(known: Known) -> str:
    """LinkedIn has no field for an opt-out of sale, and takes no phone, and no address of version 6."""
    if known.sale_opt_out:
        return "sale_opt_out"
    found = known.customer or known.browser.get("li_fat_id") or ipv4(known.browser.get("ip"))
    return "" if found else "no_identifiers"


STAND_IN = StandIn(
    name="linkedin",
    account="512345678",
    taker=Taker(frozenset(TYPES), lacks=_lacks),
    check=check,
    event_ids=event_ids,
    failure=failure,
    pixel=pixel,
    fire=fire,
    actions={str(means): rule for means, rule in RULES.items()},
)
