"""Failures on demand: what an emulator was told to do wrong, and which of it the next request meets."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

Kind: TypeAlias = Literal["status", "429", "hang", "reset", "html", "slow", "expired_token", "poison", "late"]
HANG_MAX_S = 60.0
STATUSES = range(200, 600)


class Fault(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One failure, for `count` requests, or until deleted.

    `status`: the HTTP status, where the kind has none of its own. `delay_s`: how long `slow` and `hang` wait.
    `event_ids`: a poison's; a batch that holds one is refused, and the refusal names its index if `named`. Or those
    of `late`: no request meets it, but the platform tells its `reason` of these events when asked afterwards.
    `after_body`: the request is handled and its events kept before things go wrong, so the client can't know.
    """

    kind: Kind
    status: int | None = None
    retry_after_s: float | None = None
    delay_s: float | None = None
    event_ids: tuple[str, ...] = ()
    count: int | None = None
    after_body: bool = False
    named: bool = True
    reason: str = ""


class Drawn(Struct, frozen=True):
    """The fault that a request meets, if any, and the faults that are left for the next one."""

    fault: Fault | None
    left: tuple[Fault, ...]


def read_fault(body: bytes) -> Fault:
    """A fault from JSON. Raises ValueError with a sentence."""
    try:
        fault = msgspec.json.decode(body, type=Fault)
    except msgspec.DecodeError as error:
        raise ValueError(f"no fault: {error}") from None
    if problem := _problem(fault):
        raise ValueError(problem)
    return fault


def draw(faults: Sequence[Fault], event_ids: Collection[str]) -> Drawn:
    """The first fault, in the order they were told, that concerns a request with these events."""
    for place, fault in enumerate(faults):
        if _met(fault, event_ids):
            return Drawn(fault, (*faults[:place], *_once_less(fault), *faults[place + 1 :]))
    return Drawn(None, tuple(faults))


def late(faults: Iterable[Fault]) -> Mapping[str, str]:
    """Events that are found fault with afterwards, and the reason; what was told last of one counts."""
    return {
        event_id: fault.reason for fault in faults if fault.kind == "late" for event_id in fault.event_ids
    }


def wait_s(fault: Fault) -> float:
    """How long a `hang` or a `slow` waits."""
    return min(HANG_MAX_S, HANG_MAX_S if fault.delay_s is None else fault.delay_s)


def _met(fault: Fault, event_ids: Collection[str]) -> bool:
    if fault.kind == "poison":
        return not set(fault.event_ids).isdisjoint(event_ids)
    return fault.kind != "late"


def _once_less(fault: Fault) -> tuple[Fault, ...]:
    if fault.count is None:
        return (fault,)
    return (msgspec.structs.replace(fault, count=fault.count - 1),) if fault.count > 1 else ()


def _problem(fault: Fault) -> str:
    named = fault.kind in {"poison", "late"}
    problems = {
        "status: from 200 to 599": fault.status is not None and fault.status not in STATUSES,
        "count: at least 1, or left out for until deleted": fault.count is not None and fault.count < 1,
        "retry_after_s, delay_s: not negative": min(fault.retry_after_s or 0, fault.delay_s or 0) < 0,
        "event_ids: for the kinds poison and late, and only there": named != bool(fault.event_ids),
        "reason: for kind late, and only there": (fault.kind == "late") != bool(fault.reason),
        "count: not for kind late, which lasts until deleted": fault.kind == "late"
        and fault.count is not None,
        "delay_s: demanded for kind slow": fault.kind == "slow" and fault.delay_s is None,
    }
    return next((sentence for sentence, is_so in problems.items() if is_so), "")
