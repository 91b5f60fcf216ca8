"""Order among deliveries that wait: those put aside come back in their time, and no refund goes before its purchase."""

from collections.abc import Callable, Collection
from functools import partial
from typing import TypeAlias

from consumer.deliver.delivery import Done
from consumer.deliver.intake import Intake, Place, Ready, put_aside
from consumer.deliver.later import Deferred, Returned, Room, Sequel, Waits, returned
from consumer.deliver.settle import Progress
from consumer.errors import RecordError
from consumer.model import Conversion, EventName, Record, TopicPartition

Found: TypeAlias = tuple[Returned, Conversion | RecordError]


class Aside:
    """What one destination has put aside, and what waits for something of that. Used by the pump's thread."""

    def __init__(self, intake: Intake, destination: str, later: str, after_ms: int, replay: str) -> None:
        """`later` is the topic where it is put; `after_ms` is how long it lies there before it is looked at.

        `replay` is the topic of what somebody sends again.
        """
        self.topics = {later: after_ms, replay: 0}
        self._later = later
        self._intake = intake
        self._destination = destination
        self._room = Room()
        self._sequel = Sequel(self._room)
        self._orders = intake.takes_refunds
        self._unread: set[TopicPartition] = set()
        self._early: list[tuple[TopicPartition, Callable[[bool], None]]] = []
        self._free: list[Ready | Done] = []

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """What lies in these is not known yet: until it is, refunds wait."""
        self._unread.update(at for at in partitions if at.topic == self._later)

    def lost(self) -> None:
        """Forget what belongs to partitions that are another's now."""
        self._room.drop_lost()
        self._sequel.drop_lost()

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """These are another's now: nobody waits for what lies in them."""
        for at in partitions:
            self.end(at)

    def found(self, record: Record) -> Found | None:
        """What a record of the topics tells; None if it is another destination's. Raises SchemaUnavailable."""
        back = returned(record, self._destination)
        return None if back is None else (back, self._intake.decode(back.record))

    def wait(self, found: Found | None, progress: Progress, at: Record) -> None:
        """Keep what was found at a record of the topics until its time; what is another's is settled."""
        if found is None:
            progress.settle(at.offset)
        else:
            self._room.put(Waits(*found, progress, at.offset), self.topics[at.topic])
            self._sequel.came_back(found[1])

    def decode(self, record: Record) -> Conversion | RecordError:
        """What a record of conversions tells, or why it can't be read. Raises SchemaUnavailable."""
        return self._intake.decode(record)

    def left_in_flight(self, record: Record, told: Conversion | RecordError, place: Place) -> Done:
        """How one ends that was in flight when a process ended."""
        return self._intake.left_in_flight(record, told, place)

    def end(self, at: TopicPartition) -> None:
        """All that lay in this partition is known: the refunds beside it may go on."""
        if at in self._unread:
            self._unread.discard(at)
            going = [go_on for of, go_on in self._early if of == at]
            self._early = [each for each in self._early if each[0] != at]
            for go_on in going:
                go_on(False)

    def take(
        self, record: Record, told: Conversion | RecordError, place: Place, now_ms: int
    ) -> Ready | Done | None:
        """What is to be done about a conversion; None if it waits for another one, and comes out of `free` then."""
        if not self._orders or isinstance(told, RecordError):
            return self._intake.take(record, told, place, now_ms)
        if told.event_name == EventName.REFUND:
            return self._refund(record, told, place, now_ms)
        taken = self._intake.take(record, told, place, now_ms)
        if isinstance(taken, Ready):
            self._sequel.began(told, place.progress)
        elif isinstance(taken, Deferred):
            self._sequel.went(told, place.progress)
        return taken

    def _refund(self, record: Record, told: Conversion, place: Place, now_ms: int) -> Ready | Done | None:
        """A refund waits for what may be put aside and isn't known yet, and for its purchase."""
        go_on = partial(self._go_on, record, told, place, now_ms)
        at = TopicPartition(self._later, record.partition)
        if at in self._unread:
            self._early.append((at, go_on))
            return None
        if self._sequel.behind(told):
            return self._behind(record, told, place, now_ms)
        return None if self._sequel.waits(told, go_on) else self._intake.take(record, told, place, now_ms)

    def _go_on(
        self,
        record: Record,
        told: Conversion,
        place: Place,
        now_ms: int,
        deferred: bool,  # noqa: FBT001 (the last argument of a callback)
    ) -> None:
        if place.progress.lost:
            return
        taken = (self._behind if deferred else self.take)(record, told, place, now_ms)
        if taken is not None:
            self._free.append(taken)

    def _behind(self, record: Record, told: Conversion, place: Place, now_ms: int) -> Ready | Done:
        """A refund whose purchase is put aside goes the same way, unless it ends before that."""
        taken = self._intake.take(record, told, place, now_ms)
        return put_aside(record, told, place, now_ms) if isinstance(taken, Ready) else taken

    def free(self, now_ms: int) -> list[Ready | Done]:
        """What need not wait any longer."""
        found, self._free = self._free, []
        for waits in self._room.due(now_ms):
            back: Returned = waits.returned
            place = Place(waits.progress, waits.place, back.history, back.not_before_ms)
            taken = self.take(back.record, waits.told, place, now_ms)
            if taken is not None:
                found.append(taken)
        return found

    def done(self, of: Done) -> None:
        """A lane is done with a delivery that it was given: whoever waited for it may go on."""
        if self._orders:
            self._sequel.ended(of.conversion, of.progress, deferred=isinstance(of, Deferred))

    @property
    def full(self) -> bool:
        """Read no more of the topics for now."""
        return self._room.full

    def __len__(self) -> int:
        return len(self._room)

    def __repr__(self) -> str:
        return f"<Aside {self._destination}: {self._room!r}>"
