"""The nouns of a lane: its rules, a delivery on its way, the group that it is sent with, and how it ended."""

from typing import NamedTuple, TypeAlias

from msgspec import Struct

from consumer.deliver.later import Deferred
from consumer.deliver.settle import Progress
from consumer.model import Conversion, Outcome, Record
from consumer.platforms.contract import Limits


class Now(NamedTuple):
    """The time, both ways: wall time for stamps and windows, monotonic time for durations."""

    ms: int
    s: float


class LaneRules(Struct, frozen=True):
    """What the destination's settings and its platform say. `resends` are events that, unconfirmed, are sent again."""

    limits: Limits
    batch_max_events: int
    linger_s: float
    concurrency_max_requests: int
    resends: frozenset[str]


class Delivery(Struct, eq=False, gc=False):
    """One conversion for one destination. `event` is its part of a request, ready; `deadline_ms` its window's end.

    `record` is the conversion's, `place` the offset that settles with it in `progress`: another one if it was put
    aside. `alone` if it failed while others passed: it goes by itself.
    """

    record: Record
    conversion: Conversion
    progress: Progress
    place: int
    event: bytes
    deadline_ms: int
    alone: bool = False
    attempts: int = 0
    first_attempt_at_ms: int = 0
    http_status: int = 0
    code: str = ""
    replay_id: str = ""


class Group(Struct, eq=False):
    """Deliveries that go in one request, and that stay together until a verdict parts them.

    `failures` counts the transient ones in a row; `accepted_then` is how much the lane had delivered at the last one;
    `suspect` if it failed while others passed. `named` if a reply names just these as culprits, `hinted` if these are
    what is left without those.
    """

    deliveries: list[Delivery]
    failures: int = 0
    accepted_then: int = 0
    suspect: bool = False
    named: bool = False
    hinted: bool = False
    probe: bool = False
    began_s: float = 0.0

    @property
    def deadline_ms(self) -> int:
        """When the first window closes."""
        return min(delivery.deadline_ms for delivery in self.deliveries)


class Ended(Struct, frozen=True, gc=False):
    """The outcome of a delivery, to be made durable. `letter` is the letter's reason, "" if there is to be none.

    `request_id` is the platform's, if it may find fault later with the event at `request_index` of that request.
    """

    record: Record
    conversion: Conversion | None
    progress: Progress
    place: int
    outcome: Outcome
    reason: str = ""
    code: str = ""
    http_status: int = 0
    attempts: int = 0
    first_attempt_at_ms: int = 0
    letter: str = ""
    why: str = ""
    request_id: str = ""
    request_index: int = 0
    replay_id: str = ""


Done: TypeAlias = Ended | Deferred
"""A lane is done with a delivery: it has its outcome, or is put aside."""
Waiting: TypeAlias = float
"""Seconds until a lane has something to do, unless something happens before."""
