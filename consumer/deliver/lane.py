"""A destination's lane: what is sent next, and what a verdict means. Every outcome of a delivery is on this page.

    fresh ──► batch ──► request ──► verdict
    accepted ........................ delivered
    rejected, or a batch of one ..... rejected, with a letter
    batch rejected .................. culprits and the rest apart if named, else halves
    too large ....................... halves
    throttled, transient ............ the same group again, later; split if it keeps failing while others pass
    later ........................... again, at its own time
    set-up fault .................... park: all stays, one small batch probes
    withheld before it was sent ..... again, a moment later
    unconfirmed ..................... again with the same event ids, or unknown with a letter: the setting decides
    window closed before a request .. expired, with a letter

Nothing here waits or does I/O: `next` says what to send, whoever sends it tells `done` what came of it.
"""

from collections.abc import Collection, Sequence
from typing import TypeAlias

from consumer.deliver.batch import Queue, halves, parted
from consumer.deliver.delivery import Delivery, Done, Ended, Group, LaneRules, Now, Waiting
from consumer.deliver.later import Deferred, History
from consumer.deliver.pace import Breaker, BreakerState, Bucket, Concurrency
from consumer.deliver.park import Park
from consumer.deliver.retry import ALONE_AFTER_FAILURES, TOGETHER_MAX_S, Chance, wait_s
from consumer.model import Outcome
from consumer.platforms.contract import (
    Accepted,
    AllBut,
    BatchRejected,
    EventVerdict,
    Later,
    PerEvent,
    Rejected,
    SetupFault,
    Throttled,
    TooLarge,
    Transient,
    Unconfirmed,
    Verdict,
)

PROBE_MAX_EVENTS = 5
WITHHELD_S = 1.0
HINTS_REMEMBERED = 3
DEFER_MAX_S = 30 * 86_400.0
RETRY_AFTER_MAX_S = 3_600.0
"""Longer than this nobody is taken at their word: the wait may have been a mistake, or over long since."""

Next: TypeAlias = Group | Waiting | None


class Lane:
    """The deliveries of one destination. Used by one thread; a few properties are read by others."""

    def __init__(self, name: str, rules: LaneRules, chance: Chance) -> None:
        self.name = name
        self._rules = rules
        self._chance = chance
        events_max = min(rules.batch_max_events, rules.limits.events_max)
        self._queue = Queue(events_max, rules.limits.bytes_max, rules.linger_s)
        self._concurrency = Concurrency(rules.concurrency_max_requests)
        self._breaker = Breaker(chance)
        self._bucket = Bucket(rules.limits.requests_per_s)
        self._event_bucket = Bucket(rules.limits.events_per_s)
        self._under_way: set[Group] = set()
        self._not_before_s = 0.0
        self._throttles = 0
        self._accepted = 0
        self._hints = 0
        self._done: list[Done] = []
        self._park = Park()
        self.resent = 0

    def add(self, deliveries: Sequence[tuple[Delivery, int]], now: Now) -> None:
        """Take deliveries in, each with the time (epoch ms) before which it can't be sent."""
        for delivery, not_before_ms in deliveries:
            if delivery.alone:
                self._queue.put(Group([delivery], suspect=True))
            else:
                self._queue.add(delivery, not_before_ms, now)

    def forget_lost(self) -> None:
        """Let go of what is queued for partitions that are another's now."""
        self._queue.drop_lost()

    def share(self, part: float) -> None:
        """How much (0 to 1) of the platform's rate this process may use."""
        self._bucket.share(part)
        self._event_bucket.share(part)

    def next(self, now: Now) -> Next:
        """A group to send now, else seconds until there may be one, None if only news can bring one."""
        if self._park.fault is not None:
            return self._next_probe(now)
        closed_s = self._closed_s(now)
        if closed_s is None or closed_s > 0:
            return closed_s
        while (group := self._take(now)) is not None:
            if self._alive(group, now):
                return self._begin(group, now)
        return self._queue.wait_s(now)

    def _take(self, now: Now) -> Group | None:
        if self._breaker.state == "half_open":
            return self._queue.take_probe(now, PROBE_MAX_EVENTS)
        return self._queue.take(now)

    def _next_probe(self, now: Now) -> Next:
        if self._under_way:
            return None
        if (waits_s := max(self._park.wait_s(now), self._not_before_s - now.s)) > 0:
            return waits_s
        while (group := self._queue.take_probe(now, PROBE_MAX_EVENTS)) is not None:
            if self._alive(group, now):
                group.probe = True
                return self._begin(group, now)
        return self._queue.wait_s(now)

    def _closed_s(self, now: Now) -> float | None:
        """Seconds for which nothing may be sent; None while only a reply can change that."""
        if len(self._under_way) >= self._concurrency.limit:
            return None
        if now.s < self._not_before_s:
            return self._not_before_s - now.s
        broken_s = self._breaker.wait_s(now.s, len(self._under_way))
        if broken_s is None or broken_s > 0:
            return broken_s
        return max(self._bucket.wait_s(now.s), self._event_bucket.wait_s(now.s))

    def _alive(self, group: Group, now: Now) -> bool:
        """Keep in the group what is still ours and still in time; whether anything is left."""
        kept = []
        for delivery in group.deliveries:
            if delivery.progress.lost or delivery.progress.leaving:
                continue
            if delivery.deadline_ms <= now.ms:
                self._end(delivery, Outcome.EXPIRED, letter="expired", why="the platform's window closed")
            else:
                kept.append(delivery)
        group.deliveries = kept
        return bool(kept)

    def _begin(self, group: Group, now: Now) -> Group:
        self._under_way.add(group)
        self._bucket.take()
        self._event_bucket.take(len(group.deliveries))
        group.began_s = now.s
        for delivery in group.deliveries:
            delivery.attempts += 1
            delivery.first_attempt_at_ms = delivery.first_attempt_at_ms or now.ms
        return group

    def withhold(self, group: Group, deliveries: Collection[Delivery], now: Now) -> None:
        """Some of a group that `next` gave, or all of it, is not sent now, for a reason of ours: it was not tried."""
        for delivery in deliveries:
            delivery.attempts -= 1
            if not delivery.attempts:
                delivery.first_attempt_at_ms = 0
        self._wait(parted(group, list(deliveries)), WITHHELD_S, now)
        group.deliveries = [delivery for delivery in group.deliveries if delivery not in deliveries]
        if not group.deliveries:
            self._under_way.discard(group)

    def done(  # noqa: C901 (one arm a verdict)
        self, group: Group, verdict: Verdict, http_status: int, now: Now
    ) -> None:
        """What came of a group that `next` gave. `http_status` is 0 if there was no reply."""
        self._park.heard(group, verdict, now)
        self._feel(group, verdict, now)
        self._under_way.discard(group)
        for delivery in group.deliveries:
            delivery.http_status = http_status
            delivery.code = getattr(verdict, "code", "")
        match verdict:
            case Accepted(request_id):
                self._learn(group, -1)
                self._deliver(group.deliveries, request_id)
            case PerEvent(verdicts):
                self._each(group, verdicts, now)
            case AllBut():
                self._each(group, verdict.each(len(group.deliveries)), now)
            case BatchRejected(code, why, culprits):
                self._rejected(group, Rejected(code, why), culprits)
            case TooLarge(code) if len(group.deliveries) == 1:
                self._reject(group.deliveries[0], Rejected(code, "too large, even alone"))
            case TooLarge():
                self._split(group)
            case Throttled(_, after_s):
                self._throttled(group, after_s, now)
            case Transient(_, after_s):
                self._hold_back(after_s, now)
                self._again(group, after_s, now)
            case Later(_, after_s):
                self._defer(group.deliveries, after_s, now)
            case SetupFault():
                self._queue.put(group)
            case Unconfirmed():
                self._unconfirmed(group, now)

    def _feel(self, group: Group, verdict: Verdict, now: Now) -> None:
        """What the verdict says of the platform's health; a fault of ours, or of an event's, says nothing of it."""
        match verdict:
            case Transient() | Unconfirmed() if group.suspect:
                pass
            case Transient() | Unconfirmed():
                self._breaker.failed(now.s)
                self._concurrency.failed(group.began_s, now.s)
            case Throttled():
                self._breaker.succeeded()
                self._concurrency.failed(group.began_s, now.s)
            case SetupFault():
                pass
            case _:
                self._throttles = 0
                self._breaker.succeeded()
                self._concurrency.succeeded(group.began_s, now.s, len(self._under_way))

    def _each(self, group: Group, verdicts: tuple[EventVerdict, ...], now: Now) -> None:
        if len(verdicts) != len(group.deliveries):
            self._unconfirmed(group, now)
            return
        for delivery, verdict in zip(group.deliveries, verdicts, strict=True):
            match verdict:
                case Accepted():
                    self._deliver([delivery])
                case Rejected():
                    self._reject(delivery, verdict)
                case Later(code, after_s):
                    delivery.code = code
                    self._defer([delivery], after_s, now)

    def _rejected(self, group: Group, verdict: Rejected, culprits: tuple[int, ...]) -> None:
        """Find the culprits: the indices named may be wrong, so even they are asked about once more, apart.

        Whoever is rejected again without those named is halved, unless the platform has named the right ones so far.
        """
        deliveries = group.deliveries
        named = {index for index in culprits if 0 <= index < len(deliveries)}
        self._learn(group, 1)
        if len(deliveries) == 1:
            self._reject(deliveries[0], verdict)
        elif not named or len(named) == len(deliveries) or (group.hinted and self._hints <= 0):
            self._split(group)
        else:
            apart = parted(group, [deliveries[index] for index in sorted(named)])
            rest = parted(group, [each for index, each in enumerate(deliveries) if index not in named])
            apart.named = rest.hinted = True
            self._queue.put(apart)
            self._queue.put(rest)

    def _learn(self, group: Group, named_rightly: int) -> None:
        if group.named:
            self._hints = min(HINTS_REMEMBERED, max(-HINTS_REMEMBERED, self._hints + named_rightly))

    def _split(self, group: Group) -> None:
        for half in halves(group):
            self._queue.put(half)

    def _throttled(self, group: Group, after_s: float | None, now: Now) -> None:
        self._throttles += 1
        asked_s = wait_s(self._throttles, TOGETHER_MAX_S, self._chance) if after_s is None else after_s
        self._hold_back(asked_s, now)
        self._wait(group, self._not_before_s - now.s, now)

    def _wait(self, group: Group, after_s: float, now: Now) -> None:
        """To be sent then; what has its window close before that waits for nothing but to expire."""
        until_ms = now.ms + after_s * 1000
        kept = [delivery for delivery in group.deliveries if delivery.deadline_ms > until_ms]
        late = [delivery for delivery in group.deliveries if delivery.deadline_ms <= until_ms]
        if kept:
            self._queue.wait(parted(group, kept), now.s + after_s)
        for delivery in late:
            self._queue.wait(parted(group, [delivery]), now.s + max(0, delivery.deadline_ms - now.ms) / 1000)

    def _hold_back(self, after_s: float | None, now: Now) -> None:
        """The platform asked for silence: nothing at all is sent."""
        if after_s is not None:
            self._not_before_s = max(self._not_before_s, now.s + min(after_s, RETRY_AFTER_MAX_S))

    def _again(self, group: Group, after_s: float | None, now: Now) -> None:
        """The same group, later. One that fails while others pass is at fault itself: it is taken apart."""
        group.failures += 1
        others_pass = group.failures > 1 and self._accepted > group.accepted_then
        group.accepted_then = self._accepted
        group.suspect = group.suspect or others_pass
        if group.suspect and len(group.deliveries) == 1 and group.failures >= ALONE_AFTER_FAILURES:
            self._defer(group.deliveries, 0.0, now, alone=True)
            return
        for part in halves(group) if others_pass and len(group.deliveries) > 1 else (group,):
            waits_s = wait_s(group.failures, TOGETHER_MAX_S, self._chance)
            self._wait(part, max(waits_s, min(after_s or 0.0, RETRY_AFTER_MAX_S)), now)

    def _defer(
        self, deliveries: Sequence[Delivery], after_s: float, now: Now, *, alone: bool = False
    ) -> None:
        """Put aside: their time comes then, or what is wrong with one alone may be over."""
        until_ms = now.ms + int(min(after_s, DEFER_MAX_S) * 1000)
        for delivery in deliveries:
            history = History(delivery.attempts, delivery.first_attempt_at_ms, alone, delivery.replay_id)
            self._done.append(
                Deferred(
                    *(delivery.record, delivery.conversion, delivery.progress, delivery.place),
                    *(until_ms, history),
                )
            )

    def _unconfirmed(self, group: Group, now: Now) -> None:
        again = [delivery for delivery in group.deliveries if self.resends(delivery)]
        for delivery in group.deliveries:
            if not self.resends(delivery):
                self._end(delivery, Outcome.UNKNOWN, letter="unknown", why="sent, and no reply came")
        if again:
            self.resent += len(again)
            group.deliveries = again
            self._again(group, None, now)

    def resends(self, delivery: Delivery) -> bool:
        """Whether it is sent again if nobody knows what became of it."""
        return delivery.conversion.event_name in self._rules.resends

    def credentials_changed(self, now: Now) -> None:
        """Someone did something about a set-up fault: probe at once."""
        self._park.renewed(now)

    def _deliver(self, deliveries: Sequence[Delivery], request_id: str = "") -> None:
        self._accepted += len(deliveries)
        for index, delivery in enumerate(deliveries):
            self._end(delivery, Outcome.DELIVERED, request_id=request_id, request_index=index)

    def _reject(self, delivery: Delivery, verdict: Rejected) -> None:
        delivery.code = verdict.code
        self._end(delivery, Outcome.REJECTED, letter="rejected", why=verdict.why)

    def _end(
        self,
        delivery: Delivery,
        outcome: Outcome,
        *,
        letter: str = "",
        why: str = "",
        request_id: str = "",
        request_index: int = 0,
    ) -> None:
        ended = Ended(
            record=delivery.record,
            conversion=delivery.conversion,
            progress=delivery.progress,
            place=delivery.place,
            outcome=outcome,
            reason=letter,
            code=delivery.code,
            http_status=delivery.http_status,
            attempts=delivery.attempts,
            first_attempt_at_ms=delivery.first_attempt_at_ms,
            letter=letter,
            why=why,
            request_id=request_id,
            request_index=request_index,
            replay_id=delivery.replay_id,
        )
        self._done.append(ended)

    def take_done(self) -> list[Done]:
        """The outcomes since the last call, and what is to be put aside."""
        done, self._done = self._done, []
        return done

    def under_way(self) -> list[Group]:
        """The groups whose verdict is awaited; may be called from any thread."""
        return list(self._under_way)

    @property
    def fault(self) -> SetupFault | None:
        """What parked it; None while it is not parked."""
        return self._park.fault

    @property
    def queued(self) -> int:
        """Deliveries that are not under way."""
        return len(self._queue)

    @property
    def breaker(self) -> BreakerState:
        """Whether requests go out."""
        return self._breaker.state

    @property
    def concurrency(self) -> int:
        """Requests that may be under way at once, now."""
        return self._concurrency.limit

    def __repr__(self) -> str:
        state = "parked" if self._park.fault is not None else self.breaker
        return f"<Lane {self.name}: {len(self._under_way)} sending, {len(self._queue)} queued, {state}>"
