"""Requests that a platform accepted and may find fault with later: what was told of them, and when to ask.

Receipts come in as they are read; those of one request belong together. A request is asked about until it is
diagnosed, or for as long as its platform knows of it.
"""

from collections.abc import Iterator
from typing import NamedTuple

from msgspec.structs import replace

from consumer.deliver.settle import Progress
from consumer.model import Outcome, Receipt
from consumer.platforms.contract import Diagnosed, Diagnosis, LateFault

LATE = "late"


class Noted(NamedTuple):
    """A receipt of a request, and the place of its record, which settles with the diagnosis."""

    receipt: Receipt
    progress: Progress
    offset: int


class _Case:
    def __init__(self, accepted_ms: int, due_ms: float) -> None:
        self.accepted_ms = accepted_ms
        self.due_ms = due_ms
        self.noted: list[Noted] = []


class Docket:
    """The requests of one destination that await their diagnosis, in the order of their acceptance."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        self._diagnosis = diagnosis
        self._cases: dict[str, _Case] = {}
        self.held = 0

    def note(self, noted: Noted) -> None:
        """A receipt that says that its request was accepted."""
        receipt = noted.receipt
        case = self._cases.get(receipt.request_id)
        if case is None:
            due_ms = receipt.settled_at_ms + self._diagnosis.first_after_s * 1000
            case = self._cases[receipt.request_id] = _Case(receipt.settled_at_ms, due_ms)
        case.noted.append(noted)
        self.held += 1

    def due(self, now_ms: int) -> str:
        """A request to ask about now; "" if there is none."""
        ready = (
            (case.due_ms, request_id) for request_id, case in self._cases.items() if case.due_ms <= now_ms
        )
        return min(ready, default=(0.0, ""))[1]

    def again(self, request_id: str, now_ms: int) -> bool:
        """It isn't diagnosed yet; False if it never will be, and `close` is to be called."""
        case = self._cases.get(request_id)
        if case is None:
            return True
        case.due_ms = now_ms + self._diagnosis.again_after_s * 1000
        return case.due_ms <= case.accepted_ms + self._diagnosis.give_up_after_s * 1000

    def close(self, request_id: str) -> list[Noted]:
        """It is over with: what was noted of it."""
        case = self._cases.pop(request_id, None)
        noted = [] if case is None else case.noted
        self.held -= len(noted)
        return noted

    def drop_lost(self) -> None:
        """Forget what belongs to partitions that are another's now."""
        for request_id, case in list(self._cases.items()):
            kept = [noted for noted in case.noted if not noted.progress.lost]
            self.held -= len(case.noted) - len(kept)
            case.noted = kept
            if not kept:
                del self._cases[request_id]

    def __len__(self) -> int:
        return len(self._cases)

    def __repr__(self) -> str:
        return f"<Docket: {len(self)} requests, {self.held} events>"


def late_receipts(noted: list[Noted], found: Diagnosed, now_ms: int) -> Iterator[Receipt]:
    """A receipt for each event that does not count after all.

    A fault without indices is every event's if it is told of as many as the request has, else of nobody in particular.
    """
    size = max((each.receipt.request_index for each in noted), default=-1) + 1
    told: set[int] = set()
    for fault in found.faults:
        if fault.counts:
            continue
        at = set(fault.indices) or (set(range(size)) if fault.count >= size else set())
        for each in noted:
            index = each.receipt.request_index
            if index in at and index not in told:
                told.add(index)
                yield _late(each.receipt, fault, now_ms)


def _late(receipt: Receipt, fault: LateFault, now_ms: int) -> Receipt:
    return replace(
        receipt,
        outcome=Outcome.REJECTED.value,
        reason=LATE,
        code=fault.reason,
        http_status=0,
        late=True,
        settled_at_ms=now_ms,
    )
