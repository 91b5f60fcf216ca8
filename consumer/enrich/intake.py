"""Records of a pair of sister partitions, given in the order of their time.

Kafka hands out one topic faster than another. Here each partition has a buffer, and the pair gives whichever front is
earlier, so that a backlog of days is joined as it would have been live. While one side has nothing buffered and isn't
at its end, the other one waits.
"""

from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from consumer.enrich.plan import Arrival, Told
from consumer.errors import RecordError
from consumer.ingest.mapping import DecodedHead
from consumer.model import Checkout, Record

Read: TypeAlias = Callable[[Record], DecodedHead | Checkout | None]
"""Decodes what a plan must know of a record; None if that is only that something is gone. Raises RecordError, or
SchemaUnavailable if it can't be asked now."""

Original: TypeAlias = Callable[[Record], Record | RecordError]
"""The record that a record of a replay stands for, or why that can't be told."""


class Intake:
    """One input partition: what was read and not yet planned, and how far the group's position may go."""

    def __init__(self, read: Read, original: Original | None = None) -> None:
        """`original` tells what a record of a replay stood for; without it a record stands for itself."""
        self._read = read
        self._original = original
        self._records: deque[Record] = deque()
        self._front: Arrival | None = None
        self._front_ms = 0
        self._end = -1
        self.bytes = 0
        self.position = 0

    def begin(self, position: int) -> None:
        """Forget all; the next record is at `position` or later."""
        self._records.clear()
        self._front = None
        self._end = -1
        self.bytes = 0
        self.position = position

    def add(self, record: Record) -> None:
        """Take a record that was read."""
        self._records.append(record)
        self.bytes += _size(record)

    def end(self, offset: int) -> None:
        """Note that there was nothing behind `offset` when it was reached."""
        self._end = offset
        if not self._records:
            self.position = max(self.position, offset)

    @property
    def ended(self) -> bool:
        """Nothing is here, and nothing was behind the last record when it was read."""
        return not self._records and self._end >= self.position

    def front_ms(self, now_ms: int) -> int | None:
        """The time of the next record, None if there is none here. May raise SchemaUnavailable.

        It is the event's own, or Kafka's where the record tells none that is possible.
        """
        if not self._records:
            return None
        if self._front is None:
            front = self._front = self._arrival(self._records[0])
            known_ms = _event_ms(front.told)
            self._front_ms = known_ms if 0 < known_ms <= now_ms else front.record.timestamp_ms
        return self._front_ms

    def _arrival(self, record: Record) -> Arrival:
        told = record if self._original is None else self._original(record)
        return Arrival(record, told) if isinstance(told, RecordError) else Arrival(told, self._tell(told))

    def _tell(self, record: Record) -> Told:
        if record.value is None:
            return None
        try:
            return self._read(record)
        except RecordError as error:
            return error

    def take(self) -> Arrival:
        """Give the front, whose time was asked for."""
        arrival = self._front
        if arrival is None:
            message = "the front's time was not asked for"
            raise LookupError(message)
        record = self._records.popleft()
        self.bytes -= _size(record)
        self._front = None
        self.position = record.offset + 1
        if not self._records:
            self.position = max(self.position, self._end)
        return arrival

    def __len__(self) -> int:
        return len(self._records)

    def __repr__(self) -> str:
        return (
            f"<Intake: {len(self._records)} buffered, next {self.position}{', ended' if self.ended else ''}>"
        )


def next_of(orders: Intake, checkouts: Intake, now_ms: int, *, room: bool) -> Intake | None:
    """Whose front comes next; None while that can't be said. `room` is False if no more orders may wait.

    Of equal times the checkout comes first: it is what the order waits for. May raise SchemaUnavailable.
    """
    order_ms, checkout_ms = orders.front_ms(now_ms), checkouts.front_ms(now_ms)
    if checkout_ms is None:
        return orders if order_ms is not None and checkouts.ended and room else None
    if order_ms is None:
        return checkouts if orders.ended else None
    if order_ms < checkout_ms and room:
        return orders
    return checkouts


def _event_ms(told: Told) -> int:
    """The event's own time, 0 if the record tells none."""
    if isinstance(told, DecodedHead):
        return told.head.updated_at_ms
    return told.updated_at_ms if isinstance(told, Checkout) else 0


def _size(record: Record) -> int:
    return len(record.value or b"") + len(record.key or b"")
