"""One pair of sister partitions: its intakes, its state, and the work of one transaction on it."""

from collections.abc import Mapping
from typing import Protocol

from consumer.enrich.intake import Intake, next_of
from consumer.enrich.memory import WAITING, Memory
from consumer.enrich.plan import plan, plan_time
from consumer.enrich.planned import Happened
from consumer.enrich.replay import as_original
from consumer.enrich.rules import Rules
from consumer.errors import SchemaUnavailable
from consumer.ingest.mapping import DecodedHead
from consumer.model import Checkout, Order, Record, TopicPartition
from consumer.state.overlay import Overlay
from consumer.state.store import Checkpoint, Store
from consumer.state.value import expiry_of

SCHEMA_RETRY_S = 1.0


class Reads(Protocol):
    """How records become orders and checkouts. All raise RecordError; SchemaUnavailable if the pair must wait.

    None is a record that has a value, but only tells that something is gone: a tombstone.
    """

    def order_head(self, record: Record) -> DecodedHead | None:
        """What decides about an order record, read from its first fields."""
        ...

    def order(self, record: Record, decoded: DecodedHead | None = None) -> Order:
        """The whole order; `decoded` is what `order_head` gave for it."""
        ...

    def has_refunds(self, record: Record, decoded: DecodedHead) -> bool:
        """Whether the order tells of any refund, read without the rest."""
        ...

    def checkout(self, record: Record) -> Checkout | None:
        """The whole step of a checkout."""
        ...


class Pair:
    """Partition n of orders and of checkouts, with their common state. Inactive until its store is restored.

    Partition n of the replay is read before both: what comes again is late already.
    """

    def __init__(
        self,
        orders: TopicPartition,
        checkouts: TopicPartition,
        replay: TopicPartition,
        store: Store,
        reads: Reads,
        rules: Rules,
    ) -> None:
        self.number = orders.partition
        self.store = store
        self.overlay = Overlay(store)
        self.memory: Memory | None = None
        self.intakes: Mapping[TopicPartition, Intake] = {
            orders: Intake(reads.order_head),
            checkouts: Intake(reads.checkout),
            replay: Intake(
                self._read_again, lambda record: as_original(record, {orders.topic, checkouts.topic})
            ),
        }
        self._orders_topic = orders.topic
        self._orders = self.intakes[orders]
        self._checkouts = self.intakes[checkouts]
        self._replay = self.intakes[replay]
        self._sent: dict[TopicPartition, int] = {}
        self._reads = reads
        self._rules = rules
        self._room = rules.waiting_max_orders
        self._idle_since_s: float | None = None
        self._blocked_until_s = 0.0
        self._swept = b""
        self.unavailable: SchemaUnavailable | None = None

    def begin(self, positions: Mapping[TopicPartition, int]) -> None:
        """Forget all that isn't stored, and go on from these positions once the store is restored."""
        self.overlay.clear()
        self.memory = None
        self._idle_since_s = None
        self._sent = dict(positions)
        for at, intake in self.intakes.items():
            intake.begin(positions[at])

    def activate(self) -> None:
        """Its store has reached the end of the changelog."""
        self.memory = Memory(self.overlay, self.store.under(WAITING))

    def work(self, max_records: int, now_ms: int, now_s: float) -> list[Happened]:
        """Plan what is ready, up to `max_records` records, and what time alone decides."""
        memory = self.memory
        if memory is None:
            return []
        happened: list[Happened] = []
        for _ in range(max_records):
            intake = self._next(memory, now_ms, now_s)
            if intake is None:
                break
            arrival = intake.take()
            head = arrival.told.head if isinstance(arrival.told, DecodedHead) else None
            happened += [
                Happened(arrival.record, planned, head)
                for planned in plan(arrival, memory, self._reads, now_ms, self._rules)
            ]
        if self._checkouts.ended and memory.waiting:
            happened += [Happened(None, planned) for planned in plan_time(memory, now_ms, self._rules)]
        self._advance(memory, now_s)
        if happened or self.overlay.changes:
            memory.put_time()
        return happened

    def _next(self, memory: Memory, now_ms: int, now_s: float) -> Intake | None:
        if now_s < self._blocked_until_s:
            return None
        room = memory.waiting < self._room
        try:
            if room and self._replay.front_ms(now_ms) is not None:
                return self._replay
            return next_of(self._orders, self._checkouts, now_ms, room=room)
        except SchemaUnavailable as error:
            self._blocked_until_s = now_s + SCHEMA_RETRY_S
            self.unavailable = error
            return None

    def _read_again(self, record: Record) -> DecodedHead | Checkout | None:
        is_order = record.topic == self._orders_topic
        return self._reads.order_head(record) if is_order else self._reads.checkout(record)

    def _advance(self, memory: Memory, now_s: float) -> None:
        orders_ended, checkouts_ended = self._orders.ended, self._checkouts.ended
        idle = orders_ended and checkouts_ended
        if not idle:
            self._idle_since_s = None
        elif self._idle_since_s is None:
            self._idle_since_s = now_s
        idle_ms = int((now_s - self._idle_since_s) * 1000) if self._idle_since_s is not None else 0
        memory.time.advance(orders_ended=orders_ended, checkouts_ended=checkouts_ended, idle_ms=idle_ms)

    def expire(self, max_keys: int) -> int:
        """Look at the next keys, round and round, and forget what has expired; how many those were.

        To be called while the overlay holds no changes: what a plan puts afterwards stands.
        """
        if self.memory is None:
            return 0
        rows = self.store.scan(self._swept, max_keys)
        self._swept = rows[-1][0] if len(rows) == max_keys else b""
        horizon_ms = self.memory.time.horizon_ms
        expired = [key for key, value in rows if expiry_of(value) < horizon_ms]
        for key in expired:
            self.overlay.delete(key)
        return len(expired)

    @property
    def positions(self) -> dict[TopicPartition, int]:
        """The next offset to plan, of both."""
        return {at: intake.position for at, intake in self.intakes.items()}

    @property
    def touched(self) -> bool:
        """There is something to commit: changes of state, or positions that moved."""
        return self.memory is not None and (bool(self.overlay.changes) or self.positions != self._sent)

    def committed(self, checkpoint: Checkpoint | None) -> None:
        """The transaction counts: store its changes. `checkpoint` is None if there were none."""
        self._sent = self.positions
        if checkpoint is not None:
            self.store.write(self.overlay.changes, checkpoint)
            self.overlay.clear()

    def __repr__(self) -> str:
        state = "restoring" if self.memory is None else f"{self.memory.waiting} waiting"
        buffered = f"{len(self._orders)} orders and {len(self._checkouts)} checkouts buffered"
        return f"<Pair {self.number}: {state}, {buffered}>"
