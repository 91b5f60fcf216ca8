"""The pairs that this process holds: from assignment through restore to activity, and back."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from consumer.clock import Clock
from consumer.enrich.checks import Ground
from consumer.enrich.pair import Pair, Reads
from consumer.enrich.rules import Rules
from consumer.kafka.reader import Committed
from consumer.kafka.start import OffsetsVanished
from consumer.model import TopicPartition
from consumer.settings import Settings
from consumer.state.folder import StateFolder
from consumer.state.restore import Changelog, Restore
from consumer.state.store import Checkpoint, Store

AskCommitted: TypeAlias = Callable[[Iterable[TopicPartition]], Mapping[TopicPartition, Committed]]


class Pairs:
    """Pairs by number. Every way in leads through a restore: start, rebalance and error are one path.

    Committed offsets are asked for before a restore begins, since that answer waits for older transactions.
    """

    def __init__(
        self,
        settings: Settings,
        ground: Ground,
        folder: StateFolder,
        reads: Reads,
        rules: Rules,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._ground = ground
        self._folder = folder
        self._reads = reads
        self._rules = rules
        self._clock = clock
        self._group = f"{settings.topics.prefix}.enrich"
        self._owned: dict[TopicPartition, int] = {}
        self._idle_stores: dict[int, Store] = {}
        self._restore: Restore | None = None
        self.held: dict[int, Pair] = {}
        self.moved_aside: list[int] = []
        self.was_assigned = False

    @property
    def active(self) -> list[Pair]:
        """Those whose store is restored."""
        return [pair for pair in self.held.values() if pair.memory is not None]

    @property
    def owned(self) -> list[TopicPartition]:
        """The input partitions that the group gave us."""
        return list(self._owned)

    @property
    def restore_left(self) -> int:
        """Changelog offsets still to read."""
        return self._restore.left if self._restore is not None else 0

    @property
    def restore_eta_s(self) -> float | None:
        """Seconds until all are restored; None as long as nobody can tell."""
        return self._restore.eta_s if self._restore is not None else 0.0

    def assigned(self, partitions: list[TopicPartition], ask: AskCommitted) -> dict[TopicPartition, int]:
        """Take partitions over; where each begins. Raises OffsetsVanished, StateUnusable, Unreachable."""
        self._stop_restore()
        positions = self._positions(partitions, ask)
        self._owned.update(positions)
        for number in sorted({at.partition for at in partitions}):
            sisters = self._sisters(number)
            if all(at in self._owned for at in sisters) and number not in self.held:
                pair = Pair(*sisters, self._open(number), self._reads, self._rules)
                pair.begin({at: self._owned[at] for at in sisters})
                self.held[number] = pair
        self._close_idle()
        self._start_restore()
        self.was_assigned = True
        return positions

    def _positions(
        self, partitions: Iterable[TopicPartition], ask: AskCommitted
    ) -> dict[TopicPartition, int]:
        wanted = list(partitions)
        committed = ask(wanted)
        if missing := [at for at in wanted if at not in committed]:
            raise OffsetsVanished(self._group, missing)
        return {at: committed[at].offset for at in wanted}

    def _sisters(self, number: int) -> tuple[TopicPartition, TopicPartition, TopicPartition]:
        topics = self._ground.topics
        return (
            TopicPartition(topics.orders, number),
            TopicPartition(topics.checkouts, number),
            TopicPartition(topics.replay, number),
        )

    def _open(self, number: int) -> Store:
        store = self._idle_stores.pop(number, None) or self._folder.store(number)
        if store.moved_aside:
            self.moved_aside.append(number)
            store.moved_aside = False
        return store

    def revoked(self, partitions: list[TopicPartition]) -> None:
        """Give partitions up. Their stores stay open: most come straight back."""
        self._stop_restore()
        for at in partitions:
            self._owned.pop(at, None)
            pair = self.held.pop(at.partition, None)
            if pair is not None:
                self._idle_stores[at.partition] = pair.store
        self._start_restore()

    def suspend(self) -> None:
        """Plan nothing more until all pairs were rewound."""
        for pair in self.held.values():
            pair.memory = None

    def rewind(self, ask: AskCommitted) -> dict[TopicPartition, int]:
        """Forget all that isn't committed, in all pairs; where each partition must be read from."""
        self._stop_restore()
        self._owned.update(self._positions(self._owned, ask))
        for number, pair in self.held.items():
            pair.begin({at: self._owned[at] for at in self._sisters(number)})
        self._start_restore()
        return dict(self._owned)

    def _start_restore(self) -> None:
        stores = {number: pair.store for number, pair in self.held.items() if pair.memory is None}
        if stores:
            changelog = Changelog(self._ground.topics.state, self._ground.tombstones_ms)
            self._restore = Restore(self._settings.kafka, self._group, changelog, stores, self._clock)
            self._restore.start()

    def _stop_restore(self) -> None:
        """A pair that was restored and not yet active is restored again, which is quick."""
        if self._restore is not None:
            self._restore.stop()
            self._restore = None

    def activate(self) -> list[Pair]:
        """Make those active that are restored; which they are. Raises what ended the restore."""
        if self._restore is None:
            return []
        ready = [self.held[number] for number in sorted(self._restore.take_restored())]
        for pair in ready:
            pair.activate()
        if len(self.active) == len(self.held):
            self._stop_restore()
        return ready

    def _close_idle(self) -> None:
        for store in self._idle_stores.values():
            store.close()
        self._idle_stores.clear()

    def close(self) -> None:
        """Close all stores, on disk and up to date."""
        self._stop_restore()
        now_ms = self._clock.now_ms()
        for pair in self.active:
            checkpoint = pair.store.checkpoint
            if checkpoint is not None:
                pair.store.write({}, Checkpoint(checkpoint.offset, now_ms))
        for pair in self.held.values():
            pair.store.close()
        self.held.clear()
        self._close_idle()

    def __repr__(self) -> str:
        return f"<Pairs: {len(self.active)} of {len(self.held)} active, {self.restore_left} left to restore>"
