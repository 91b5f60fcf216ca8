"""A lane driven in a time of its own, against a platform that says whatever a test wants it to say."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeAlias

import pytest

from consumer.deliver.delivery import Delivery, Ended, Group, LaneRules, Now
from consumer.deliver.lane import Lane
from consumer.deliver.later import Deferred
from consumer.deliver.settle import Progress
from consumer.model import Conversion, EventName, Record
from consumer.platforms.contract import Accepted, Limits, Verdict

T0_MS = 1_790_000_000_000
T0_S = 5_000.0
DAY_MS = 86_400_000
TICK_S = 0.001
TURNS_MAX = 50_000
"""More than any of these tests needs: a lane that spins fails instead of hanging."""

Answer: TypeAlias = Callable[[list[str]], Verdict]


def lane_rules(**changes: Any) -> LaneRules:  # noqa: ANN401
    """A lane's rules, with some of them changed."""
    limits = Limits(
        events_max=1_000, bytes_max=1_000_000, age_max_ms=7 * DAY_MS, future_max_ms=0, requests_per_s=None
    )
    rules = {
        "limits": limits,
        "batch_max_events": 100,
        "linger_s": 0.2,
        "concurrency_max_requests": 16,
        "resends": frozenset(EventName),
    }
    return LaneRules(**{**rules, **changes})


@dataclass
class Road:
    """One lane and one partition. Times of requests are seconds since the start."""

    lane: Lane
    took_s: float = 0.1
    now: Now = field(default_factory=lambda: Now(T0_MS, T0_S))
    progress: Progress = field(default_factory=lambda: Progress(0))
    sent: list[tuple[float, list[str]]] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    deferred: list[Deferred] = field(default_factory=list)
    under_way: list[tuple[float, Group]] = field(default_factory=list)
    added: int = 0

    def delivery(
        self, name: str = "", *, window_s: float = 7 * 86_400, progress: Progress | None = None
    ) -> Delivery:
        """A delivery whose window closes so many seconds from now."""
        event_id = name or f"e{self.added}"
        record = Record("capi.conversions", 0, self.added, self.now.ms, b"key", b"value")
        conversion = Conversion(event_id, "purchase", self.now.ms, "EUR", 100, self.now.ms)
        deadline_ms = self.now.ms + int(window_s * 1000)
        self.added += 1
        return Delivery(
            *(record, conversion, progress or self.progress, record.offset, event_id.encode(), deadline_ms)
        )

    def add(self, *deliveries: Delivery, in_s: float = 0.0) -> None:
        """Give deliveries to the lane, to be sent so many seconds from now at the earliest."""
        self.lane.add([(each, self.now.ms + int(in_s * 1000)) for each in deliveries], self.now)

    def add_many(self, count: int) -> list[str]:
        """Give so many deliveries to the lane; their names."""
        made = [self.delivery() for _ in range(count)]
        self.add(*made)
        return [each.event.decode() for each in made]

    def pass_s(self, seconds: float) -> None:
        """Let time go by, both kinds of it."""
        self.now = Now(self.now.ms + round(seconds * 1000), self.now.s + seconds)

    def hear(self) -> None:
        """Take what the lane is done with."""
        for done in self.lane.take_done():
            if isinstance(done, Ended):
                self.ended.append(done)
            else:
                self.deferred.append(done)

    def begin(self) -> Group | None:
        """The request that goes now, if any does."""
        following = self.lane.next(self.now)
        self.hear()
        if not isinstance(following, Group):
            return None
        self.sent.append((self.now.s - T0_S, names(following)))
        return following

    def finish(self, group: Group, verdict: Verdict, status: int = 200) -> None:
        """Let the verdict on a request come in."""
        self.lane.done(group, verdict, status, self.now)
        self.hear()

    def drive(self, answer: Answer, seconds: float = 10 * 86_400) -> None:
        """Send, and answer after a while, until nothing is left to do or so much time is over."""
        end_s = self.now.s + seconds
        for _ in range(TURNS_MAX):
            following = self.lane.next(self.now)
            self.hear()
            if isinstance(following, Group):
                self.sent.append((self.now.s - T0_S, names(following)))
                self.under_way.append((self.now.s + self.took_s, following))
                continue
            moments = [due_s for due_s, _ in self.under_way[:1]]
            moments += [] if following is None else [self.now.s + following]
            if not moments or min(moments) > end_s:
                self.pass_s(0.0 if not moments else max(0.0, end_s - self.now.s))
                return
            self.pass_s(max(TICK_S, min(moments) - self.now.s))
            while self.under_way and self.under_way[0][0] <= self.now.s:
                group = self.under_way.pop(0)[1]
                self.finish(group, answer(names(group)))
        raise AssertionError(f"the lane spins: {self.lane!r} at {self.now.s - T0_S} s")

    @property
    def outcomes(self) -> dict[str, str]:
        """Outcome of each event that ended."""
        return {told(each): each.outcome.value for each in self.ended}

    @property
    def aside(self) -> dict[str, float]:
        """Seconds from the start to the time of each event that was put aside."""
        return {each.conversion.event_id: (each.not_before_ms - T0_MS) / 1000 for each in self.deferred}

    @property
    def letters(self) -> dict[str, str]:
        """Reason of each event's letter."""
        return {told(each): each.letter for each in self.ended if each.letter}

    @property
    def twice(self) -> list[str]:
        """Events that ended more than once."""
        done = [*map(told, self.ended), *self.aside]
        return [name for name, times in Counter(done).items() if times > 1]


def told(ended: Ended) -> str:
    """The event's name."""
    assert ended.conversion is not None
    return ended.conversion.event_id


def names(group: Group) -> list[str]:
    """The names of a group's events."""
    return [delivery.event.decode() for delivery in group.deliveries]


@pytest.fixture
def make_road() -> Callable[..., Road]:
    """Makes a lane and what drives it; its chance is the seed's, its rules can be changed by name."""

    def make(seed: int = 1, took_s: float = 0.1, **rules: Any) -> Road:  # noqa: ANN401
        print(f"seed {seed}")  # noqa: T201 (so that a failure can be repeated)
        return Road(Lane("meta-us", lane_rules(**rules), Random(seed)), took_s)

    return make


@pytest.fixture
def accept() -> Answer:
    """A platform that takes everything."""
    return lambda _: Accepted()
