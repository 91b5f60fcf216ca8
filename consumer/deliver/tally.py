"""What deliver counts, one destination at a time, in plain integers."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping

from msgspec import Struct

from consumer.deliver.match import found, tenths
from consumer.deliver.pace import BreakerState
from consumer.platforms.contract import Identifier

LATENCY_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Upper bounds, inclusive, of the buckets of a request's latency; one more bucket holds what is slower."""

LOOKED_AT_ALL = 1_000
LOOKED_AT_ONE_IN = 8
"""Of each event the first so many are looked at for identifiers, then one in so many: each costs microseconds."""


class Matched(Struct, frozen=True):
    """Of one event: how many were looked at, those of them that tell an identifier, the sum of their scores."""

    events: int
    identifiers: dict[Identifier, int]
    score: float


class _Seen(Struct):
    identifiers: dict[Identifier, int]
    built: int = 0
    events: int = 0
    tenths: int = 0


class MatchTally:
    """How well one destination's events can be matched. Whoever builds them counts; one built again counts again.

    All identifiers that the platform takes are there from the first event on, also those that no event has.
    """

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def built(self, name: str, event: bytes, identifiers: Mapping[Identifier, bytes]) -> None:
        """Count an event of this name, if it is one of those that are looked at. Without identifiers none is."""
        if not identifiers:
            return
        seen = self._seen.get(name)
        if seen is None:
            seen = self._seen[name] = _Seen(dict.fromkeys(identifiers, 0))
        number = seen.built
        seen.built = number + 1
        if number >= LOOKED_AT_ALL and number % LOOKED_AT_ONE_IN:
            return
        told = found(event, identifiers)
        seen.events += 1
        seen.tenths += tenths(told)
        for identifier in told:
            seen.identifiers[identifier] += 1

    def snapshot(self) -> dict[str, Matched]:
        """A copy, by the event's name; may be taken from any thread."""
        return {
            name: Matched(seen.events, dict(seen.identifiers), seen.tenths / 10)
            for name, seen in dict(self._seen).items()
        }

    def __repr__(self) -> str:
        seen = self._seen.values()
        return f"<MatchTally: {sum(of.events for of in seen)} of {sum(of.built for of in seen)} looked at>"


class DestinationSnapshot(Struct, frozen=True):
    """One destination at one moment: counts since the process began, and what holds right now.

    Counts: `outcomes` by (outcome, reason), in conversions; `requests` by verdict, one a reply; `unknown_codes` by a
    platform's code that its file doesn't know; `letters` by reason; `resent`, conversions sent again after a crash or
    a time-out; `deferred`, times that one was put aside; `latency_counts[i]`, requests that took up to
    `LATENCY_BOUNDS_S[i]` and longer than the bound before, so it is one longer than the bounds; `latency_sum_s`, over
    all of them; `late`, events by what their platform found wrong with them after it had accepted them.
    Of this moment: `in_flight` conversions read and not settled, `queued` those of them that no request holds, `lag`
    records unread or unsettled, `oldest_age_s` of the oldest undelivered conversion (0 if none), `concurrency`
    requests allowed at once, `partitions` assigned, `last_commit_ms` since the epoch (0 before the first),
    `token_read_ms` likewise, when the credentials in use were read, `undiagnosed` accepted events that may yet be
    found at fault. `match` is by event, of those that were built.
    """

    destination: str
    platform: str
    outcomes: dict[tuple[str, str], int]
    in_flight: int
    queued: int
    parked: bool
    park_reason: str
    breaker: BreakerState
    requests: dict[str, int]
    unknown_codes: dict[str, int]
    latency_counts: list[int]
    latency_sum_s: float
    lag: int
    oldest_age_s: float
    letters: dict[str, int]
    resent: int
    last_commit_ms: int
    concurrency: int
    partitions: int
    token_read_ms: int = 0
    late: dict[str, int] = {}
    undiagnosed: int = 0
    deferred: int = 0
    match: dict[str, Matched] = {}


class DestinationTally:
    """Counters of one destination: written by its threads, each counter by one of them, read by any."""

    def __init__(self, destination: str, platform: str) -> None:
        self.destination = destination
        self.platform = platform
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.letters: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self.unknown_codes: Counter[str] = Counter()
        self.latency_counts = [0] * (len(LATENCY_BOUNDS_S) + 1)
        self.latency_sum_s = 0.0
        self.in_flight = 0
        self.queued = 0
        self.park_reason = ""
        self.breaker: BreakerState = "closed"
        self.lag = 0
        self.oldest_age_s = 0.0
        self.resent = 0
        self.last_commit_ms = 0
        self.concurrency = 0
        self.partitions = 0
        self.token_read_ms = 0
        self.late: Counter[str] = Counter()
        self.undiagnosed = 0
        self.deferred = 0
        self.match = MatchTally()

    def ended(self, outcome: str, reason: str, letter: str) -> None:
        """Count the outcome of a delivery, and its letter if it has one."""
        self.outcomes[outcome, reason] += 1
        if letter:
            self.letters[letter] += 1

    def replied(self, verdict: str, took_s: float) -> None:
        """Count a request by what its reply meant."""
        self.requests[verdict] += 1
        self.latency_counts[bisect_left(LATENCY_BOUNDS_S, took_s)] += 1
        self.latency_sum_s += took_s

    def snapshot(self) -> DestinationSnapshot:
        """A copy to export; may be taken from any thread."""
        return DestinationSnapshot(
            destination=self.destination,
            platform=self.platform,
            outcomes=dict(self.outcomes),
            in_flight=self.in_flight,
            queued=self.queued,
            parked=bool(self.park_reason),
            park_reason=self.park_reason,
            breaker=self.breaker,
            requests=dict(self.requests),
            unknown_codes=dict(self.unknown_codes),
            latency_counts=list(self.latency_counts),
            latency_sum_s=self.latency_sum_s,
            lag=self.lag,
            oldest_age_s=self.oldest_age_s,
            letters=dict(self.letters),
            resent=self.resent,
            last_commit_ms=self.last_commit_ms,
            concurrency=self.concurrency,
            partitions=self.partitions,
            token_read_ms=self.token_read_ms,
            late=dict(self.late),
            undiagnosed=self.undiagnosed,
            deferred=self.deferred,
            match=self.match.snapshot(),
        )

    def __repr__(self) -> str:
        return f"<DestinationTally {self.destination}: {self.outcomes.total()} ended, {self.in_flight} in flight>"
