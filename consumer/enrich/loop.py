"""Enrich as a role of the process: connect, check, turn until told to stop, close."""

import threading
from contextlib import ExitStack

import structlog

from consumer.clock import Clock, SystemClock
from consumer.enrich.checks import Ground, check
from consumer.enrich.cycle import Cycle
from consumer.enrich.encoders import Encoders
from consumer.enrich.pair import Reads
from consumer.enrich.pairs import Pairs
from consumer.enrich.rules import rules_of
from consumer.enrich.tally import Tally
from consumer.enrich.transactions import OnStep, Transactions
from consumer.kafka.lasting import LastingWriter
from consumer.kafka.reader import Reader
from consumer.kafka.start import settle_start
from consumer.settings import Settings
from consumer.state.folder import Owner, StateFolder


class EnrichLoop:
    """Enrich in one process. `run` does everything; the rest looks on, from any thread."""

    def __init__(
        self,
        settings: Settings,
        reads: Reads,
        encoders: Encoders,
        clock: Clock | None = None,
        *,
        tally: Tally | None = None,
        on_step: OnStep | None = None,
    ) -> None:
        """`reads` decodes the inputs, `encoders` write what is made of them. Nothing is connected before `run`."""
        self.tally = tally or Tally()
        self._settings = settings
        self._reads = reads
        self._encoders = encoders
        self._clock = clock or SystemClock()
        self._told_of_step = on_step or _no_step
        self._log = structlog.get_logger("enrich")
        self._beat_s = self._clock.monotonic_s()
        self._pairs: Pairs | None = None
        self._group = f"{settings.topics.prefix}.enrich"

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; then the batch under way is committed and everything is closed.

        Raises ConfigurationError, StateUnusable, Unreachable and Refused if it can't begin or go on; OffsetsVanished
        and OffsetOutOfRange where an operator must decide; Fenced if another process has our id.
        """
        ground = check(self._settings)
        owner = Owner(ground.cluster_id, self._settings.topics.prefix, ground.partitions)
        folder = StateFolder(self._settings.state.dir, owner)
        try:
            self._run(stop, ground, folder)
        finally:
            self._pairs = None
            folder.close()
        self._log.info("drained", instance_id=self._settings.instance_id)

    def _on_step(self, step: str) -> None:
        """Each step of a transaction may take as long as a whole one while the cluster is away."""
        self._beat()
        self._told_of_step(step)

    def _beat(self) -> None:
        self._beat_s = self._clock.monotonic_s()

    def _settle(self, ground: Ground) -> None:
        """What we write ourselves is read from the first record on: orders begin where rekey began."""
        topics = ground.topics
        ours = (
            {topics.replay}
            if self._settings.topics.orders_keyed_by_checkout
            else {topics.orders, topics.replay}
        )
        settle_start(
            self._settings.kafka,
            topics.control,
            self._group,
            topics.inputs,
            self._settings.start,
            self._clock.now_ms(),
            whole=ours,
        )

    def _run(self, stop: threading.Event, ground: Ground, folder: StateFolder) -> None:
        rules = rules_of(
            self._settings,
            self._encoders.conversion,
            conversion_max_bytes=ground.conversion_max_bytes,
            state_max_bytes=ground.state_max_bytes,
        )
        transactional_id = f"{self._group}.{self._settings.instance_id}"
        pairs = self._pairs = Pairs(self._settings, ground, folder, self._reads, rules, self._clock)
        writer = LastingWriter(
            self._settings.kafka, transactional_id, ground.batch_max_bytes, self._clock, self.tally, "enrich"
        )
        with ExitStack() as closing:
            closing.callback(writer.close)
            # First of all: this ends what a killed predecessor left open, and no offset is told before that.
            writer.open()
            self._beat()
            self._settle(ground)
            self._beat()
            reader = Reader(
                self._settings.kafka,
                self._group,
                instance_id=self._settings.instance_id,
                assignor="range",
                eof=True,
                client_id=transactional_id,
            )
            closing.callback(reader.close)
            closing.callback(pairs.close)
            transactions = Transactions(
                writer, ground, self._encoders.ending, self._clock, self.tally, self._on_step
            )
            cycle = Cycle(ground, reader, pairs, transactions, self._clock, self.tally)
            cycle.join()
            while not stop.is_set():
                self._beat()
                cycle.turn()

    @property
    def name(self) -> str:
        """As the health page calls it."""
        return "enrich"

    @property
    def heartbeat_s(self) -> float:
        """Monotonic time of the last sign of life; the loop turns during a restore, too."""
        return self._beat_s

    @property
    def ready(self) -> bool:
        """The group gave it its partitions, perhaps none, and all of them are restored."""
        pairs = self._pairs
        return pairs is not None and pairs.was_assigned and len(pairs.held) == len(pairs.active)

    def status(self) -> dict[str, object]:
        """Assignment, restore left, lag, last commit: for people and probes."""
        pairs, eta_s = self._pairs, self.tally.restore_eta_s
        return {
            "assignment": sorted(pairs.held) if pairs is not None else [],
            "active": sorted(pair.number for pair in pairs.active) if pairs is not None else [],
            "ready": self.ready,
            "restore_left": self.tally.restore_left,
            "restore_eta_s": None if eta_s is None else round(eta_s, 1),
            "waiting": self.tally.waiting,
            "odd_event_ids": dict(self.tally.odd_id_examples),
            "lag": dict(self.tally.lag),
            "last_commit_ms": self.tally.last_commit_ms,
        }

    def __repr__(self) -> str:
        return f"<EnrichLoop {self._settings.instance_id}: {self._pairs or 'stopped'}>"


def _no_step(_: str) -> None:
    return
