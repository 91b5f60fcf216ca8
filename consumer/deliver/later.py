"""Deliveries from beside conversions: those put aside until their time comes, and those that somebody sends again.

What lies in either topic is a conversion's own bytes, for one destination, with headers that say where it stands in
conversions, when its time comes and how often it was tried. What was put aside holds no watermark and survives a
restart; it is looked at a while after it was put there, and if its own time has not come then it is put there again.
What is replayed is looked at once.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count

from msgspec import Struct

from consumer.deliver.settle import Progress
from consumer.errors import RecordError
from consumer.model import Conversion, EventName, Headers, Record

DESTINATION = "capi.destination"
ORIGIN = "capi.origin"
NOT_BEFORE = "capi.not_before_ms"
ATTEMPTS = "capi.attempts"
FIRST = "capi.first_attempt_at_ms"
ALONE = "capi.alone"
REPLAY = "capi.replay_id"
_OURS = frozenset({DESTINATION, ORIGIN, NOT_BEFORE, ATTEMPTS, FIRST, ALONE, REPLAY})
HELD_MAX = 10_000
"""Deliveries that wait in memory; what lies behind them waits in the topic."""


class History(Struct, frozen=True, gc=False):
    """What was done about a delivery before. `alone`: it failed while others passed; `replay_id`: of its replay."""

    attempts: int = 0
    first_attempt_at_ms: int = 0
    alone: bool = False
    replay_id: str = ""


NO_HISTORY = History()


class Deferred(Struct, frozen=True, gc=False):
    """A delivery to be put aside. Its own time comes at `not_before_ms`; `place` is its offset where it was read."""

    record: Record
    conversion: Conversion
    progress: Progress
    place: int
    not_before_ms: int
    history: History = NO_HISTORY


class Returned(Struct, frozen=True, gc=False):
    """A record of the topic. `record` is the conversion's own, as it stands in conversions."""

    record: Record
    not_before_ms: int
    history: History


def headers_of(deferred: Deferred, destination: str) -> Headers:
    """The headers of its record: the conversion's own, and what is to be known of it."""
    history = deferred.history
    own = tuple(each for each in deferred.record.headers if each[0] not in _OURS)
    told = {
        DESTINATION: destination,
        ORIGIN: str(deferred.record.origin),
        NOT_BEFORE: str(deferred.not_before_ms),
        ATTEMPTS: str(history.attempts),
        FIRST: str(history.first_attempt_at_ms),
        ALONE: str(int(history.alone)),
        REPLAY: history.replay_id,
    }
    return (*own, *((name, text.encode()) for name, text in told.items() if text))


def returned(record: Record, destination: str) -> Returned | None:
    """What a record of the topic is; None if it is for another destination, or none of ours."""
    told = {name: value.decode("utf-8", "replace") for name, value in record.headers if name in _OURS}
    if told.get(DESTINATION) != destination:
        return None
    topic, _, place = told.get(ORIGIN, "").rpartition(":")
    topic, _, partition = topic.rpartition(":")
    try:
        origin = Record(
            topic,
            int(partition),
            int(place),
            record.timestamp_ms,
            record.key,
            record.value,
            tuple(each for each in record.headers if each[0] not in _OURS),
        )
        attempts, first_ms = int(told.get(ATTEMPTS, "0")), int(told.get(FIRST, "0"))
        history = History(attempts, first_ms, told.get(ALONE) == "1", told.get(REPLAY, ""))
        return Returned(origin, int(told.get(NOT_BEFORE, "0")), history) if topic else None
    except ValueError:
        return None


class Waits(Struct, frozen=True):
    """A record of the topic that was read, and what is known of it."""

    returned: Returned
    told: Conversion | RecordError
    progress: Progress
    place: int


class Room:
    """Those that were read from the topic and are not looked at yet, in the order of their time."""

    def __init__(self) -> None:
        self._number = count()
        self._waiting: list[tuple[int, int, Waits]] = []
        self._purchases: Counter[str] = Counter()

    def put(self, waits: Waits, after_ms: int) -> None:
        """Take one in, to be looked at so long after it was written."""
        due_ms = waits.returned.record.timestamp_ms + after_ms
        heapq.heappush(self._waiting, (due_ms, next(self._number), waits))
        self._count(waits, 1)

    def due(self, now_ms: int) -> Iterator[Waits]:
        """Those whose time has come; each is held until it is asked for. What is of a lost partition is another's."""
        while self._waiting and (self._waiting[0][0] <= now_ms or self._waiting[0][2].progress.lost):
            waits = heapq.heappop(self._waiting)[2]
            self._count(waits, -1)
            if not waits.progress.lost:
                yield waits

    def holds(self, event_id: str) -> bool:
        """Whether this purchase is put aside."""
        return self._purchases[event_id] > 0

    def _count(self, waits: Waits, by: int) -> None:
        if isinstance(waits.told, Conversion) and waits.told.event_name == EventName.PURCHASE:
            self._purchases[waits.told.event_id] += by
            if not self._purchases[waits.told.event_id]:
                del self._purchases[waits.told.event_id]

    def drop_lost(self) -> None:
        """Forget what belongs to partitions that are another's now."""
        kept = [entry for entry in self._waiting if not entry[2].progress.lost]
        for _, _, waits in self._waiting:
            if waits.progress.lost:
                self._count(waits, -1)
        self._waiting = kept
        heapq.heapify(self._waiting)

    @property
    def full(self) -> bool:
        """Read no more of the topic for now."""
        return len(self._waiting) >= HELD_MAX

    def __len__(self) -> int:
        return len(self._waiting)

    def __repr__(self) -> str:
        return f"<Room: {len(self)} wait>"


class Sequel:
    """Keeps a refund behind its purchase: while that is under way, the refund waits; if it is put aside, so is this.

    A purchase is put aside from when that is decided on: until it is read from its topic it is in no room.
    """

    def __init__(self, room: Room) -> None:
        self._room = room
        self._under_way: dict[str, list[Progress]] = {}
        self._gone: dict[str, list[Progress]] = {}
        self._held: dict[str, list[Callable[[bool], None]]] = {}

    def began(self, conversion: Conversion, progress: Progress) -> None:
        """A delivery is on its way."""
        if conversion.event_name == EventName.PURCHASE:
            self._under_way.setdefault(conversion.event_id, []).append(progress)

    def waits(self, conversion: Conversion, go_on: Callable[[bool], None]) -> bool:
        """Whether a refund must wait; `go_on` is called once it may go, with whether it must be put aside."""
        purchase = conversion.corrects_event_id
        if conversion.event_name != EventName.REFUND or purchase not in self._under_way:
            return False
        self._held.setdefault(purchase, []).append(go_on)
        return True

    def behind(self, conversion: Conversion) -> bool:
        """Whether a refund's purchase is put aside, so that the refund must be too."""
        purchase = conversion.corrects_event_id
        aside = purchase in self._gone or self._room.holds(purchase)
        return conversion.event_name == EventName.REFUND and aside

    def went(self, conversion: Conversion, progress: Progress) -> None:
        """A delivery is put aside."""
        if conversion.event_name == EventName.PURCHASE:
            self._gone.setdefault(conversion.event_id, []).append(progress)

    def came_back(self, told: Conversion | RecordError) -> None:
        """What was put aside was read from its topic."""
        if isinstance(told, Conversion) and (gone := self._gone.get(told.event_id)):
            del gone[0]
            if not gone:
                del self._gone[told.event_id]

    def ended(self, conversion: Conversion | None, progress: Progress, *, deferred: bool) -> None:
        """A delivery that began has its outcome, or is put aside."""
        if conversion is None or conversion.event_name != EventName.PURCHASE:
            return
        if deferred:
            self.went(conversion, progress)
        under_way = self._under_way.get(conversion.event_id, [])
        if progress in under_way:
            under_way.remove(progress)
        if not under_way:
            self._release(conversion.event_id, deferred=deferred)

    def drop_lost(self) -> None:
        """What is under way for partitions that are another's now holds nobody back here."""
        for event_id, under_way in list(self._under_way.items()):
            under_way[:] = [progress for progress in under_way if not progress.lost]
            if not under_way:
                self._release(event_id, deferred=False)
        for event_id, gone in list(self._gone.items()):
            gone[:] = [progress for progress in gone if not progress.lost]
            if not gone:
                del self._gone[event_id]

    def _release(self, event_id: str, *, deferred: bool) -> None:
        self._under_way.pop(event_id, None)
        for go_on in self._held.pop(event_id, ()):
            go_on(deferred)

    def __repr__(self) -> str:
        return f"<Sequel: {len(self._held)} purchases are waited for>"
