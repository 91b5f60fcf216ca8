"""How Google's APIs refuse: google.rpc.Status, with the fields that are wrong."""

import re
from collections.abc import Iterable, Sequence
from hashlib import sha256

import msgspec
from msgspec import Struct

from consumer.emulators.contract import Refused
from consumer.emulators.demands import Finding, Path
from consumer.emulators.faults import Fault

TOLD_MAX = 20
"""So many wrong fields are named."""
STATES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
SERVER_ERRORS = range(500, 600)
GATE = "googleapis.com"
SERVICE = "datamanager.googleapis.com"
CAPITAL = re.compile(r"(?<=[a-z0-9])([A-Z])")
TYPE = "type.googleapis.com/google.rpc."


class Violation(Struct, frozen=True):
    """A field of the request, and what is wrong with it."""

    path: Path
    reason: str
    why: str


def failure(fault: Fault, ids: Sequence[str]) -> Refused:
    """Google's own reply: a poison names its event's field."""
    if fault.kind == "poison":
        bad = next((place for place, event_id in enumerate(ids) if event_id in fault.event_ids), 0)
        path = ("events", bad, "userData", "userIdentifiers")
        found = [Violation(path, "INVALID_HEX_ENCODING", "Email is not hex encoded.")] if fault.named else []
        return invalid(found, fault.status or 400)
    if fault.kind == "expired_token":
        sentence = "Request had invalid authentication credentials."
        return error(401, "ACCESS_TOKEN_EXPIRED", sentence, domain=GATE)
    if fault.kind == "429":
        return error(fault.status or 429, "RESOURCE_EXHAUSTED", "Too many requests.")
    code = fault.status or 500
    reason = "INTERNAL_ERROR" if code in SERVER_ERRORS else STATES.get(code, "INVALID_ARGUMENT")
    return error(code, reason, "Told to fail.")


def invalid(found: Iterable[Violation], code: int = 400) -> Refused:
    """A request with these fields wrong."""
    violations = [
        {"field": written(each.path), "description": each.why, "reason": each.reason} for each in found
    ]
    more = [{"@type": f"{TYPE}BadRequest", "fieldViolations": violations[:TOLD_MAX]}] if violations else []
    return error(code, "INVALID_ARGUMENT", "There was a problem with the request.", more)


def error(
    code: int, reason: str, sentence: str, more: Sequence[object] = (), *, domain: str = SERVICE
) -> Refused:
    """A reply in the shape of google.rpc.Status."""
    trace = sha256(f"{reason} {sentence}".encode()).hexdigest()[:22]
    details = [
        {"@type": f"{TYPE}ErrorInfo", "reason": reason, "domain": domain},
        {"@type": f"{TYPE}RequestInfo", "requestId": trace},
        *more,
    ]
    told = {"code": code, "message": sentence, "status": STATES.get(code, "UNKNOWN"), "details": details}
    return Refused(code, msgspec.json.encode({"error": told}))


def written(path: Path) -> str:
    """Google's way: names with underscores, and the list in its message.

    >>> written(("events", 3, "userData", "userIdentifiers", 0))
    'events.events[3].user_data.user_identifiers[0]'
    """
    told = CAPITAL.sub(r"_\1", Finding(path, "wrong", "").dotted).lower()
    return f"events.{told}" if told.startswith("events[") else told
