"""Rekey as a role of the process: connect, check, turn until told to stop, close.

Each order record is written once more, its value and headers untouched, under the id of the checkout that it came
from: only so it lands beside that checkout. Records and positions move in one transaction, so each comes once.
"""

import threading
from contextlib import ExitStack

import structlog

from consumer.clock import Clock, SystemClock
from consumer.ingest.rekey import ReadHead
from consumer.kafka.lasting import LastingWriter
from consumer.kafka.reader import Reader
from consumer.kafka.start import settle_start
from consumer.rekey.checks import Ground, check
from consumer.rekey.cycle import Cycle, OnStep
from consumer.rekey.tally import RekeyTally
from consumer.settings import Settings


class RekeyLoop:
    """Rekey in one process. `run` does everything; the rest looks on, from any thread."""

    def __init__(
        self,
        settings: Settings,
        read_head: ReadHead,
        clock: Clock | None = None,
        *,
        on_step: OnStep | None = None,
    ) -> None:
        """`read_head` decodes what decides about an order. Nothing is connected before `run`."""
        self.tally = RekeyTally(settings.topics.orders)
        self._settings = settings
        self._read_head = read_head
        self._clock = clock or SystemClock()
        self._told_of_step = on_step or _no_step
        self._log = structlog.get_logger("rekey")
        self._beat_s = self._clock.monotonic_s()
        self._cycle: Cycle | None = None
        self._group = f"{settings.topics.prefix}.rekey"

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; then the batch under way is committed and everything is closed.

        Raises ConfigurationError, Unreachable and Refused if it can't begin or go on; OffsetsVanished and
        OffsetOutOfRange where an operator must decide; Fenced if another process has our id.
        """
        ground = check(self._settings)
        try:
            self._run(stop, ground)
        finally:
            self._cycle = None
        self._log.info("drained", instance_id=self._settings.instance_id)

    def _on_step(self, step: str) -> None:
        """Each step of a transaction may take as long as a whole one while the cluster is away."""
        self._beat()
        self._told_of_step(step)

    def _beat(self) -> None:
        self._beat_s = self._clock.monotonic_s()

    def _run(self, stop: threading.Event, ground: Ground) -> None:
        kafka, transactional_id = self._settings.kafka, f"{self._group}.{self._settings.instance_id}"
        writer = LastingWriter(
            kafka, transactional_id, ground.batch_max_bytes, self._clock, self.tally, "rekey"
        )
        with ExitStack() as closing:
            closing.callback(writer.close)
            # First of all: this ends what a killed predecessor left open, and no offset is told before that.
            writer.open()
            self._beat()
            start, now_ms = self._settings.start, self._clock.now_ms()
            settle_start(kafka, ground.topics.control, self._group, [ground.topics.orders], start, now_ms)
            self._beat()
            reader = Reader(
                kafka,
                self._group,
                instance_id=self._settings.instance_id,
                assignor="range",
                eof=True,
                client_id=transactional_id,
            )
            closing.callback(reader.close)
            cycle = Cycle(
                ground,
                self._group,
                reader,
                writer,
                self._read_head,
                self._clock,
                self.tally,
                self._on_step,
            )
            cycle.join()
            self._cycle = cycle
            while not stop.is_set():
                self._beat()
                cycle.turn()

    @property
    def name(self) -> str:
        """As the health page calls it."""
        return "rekey"

    @property
    def heartbeat_s(self) -> float:
        """Monotonic time of the last sign of life."""
        return self._beat_s

    @property
    def ready(self) -> bool:
        """The group gave it its partitions, perhaps none."""
        cycle = self._cycle
        return cycle is not None and cycle.was_assigned

    def status(self) -> dict[str, object]:
        """Assignment, lag, last commit: for people and probes."""
        cycle = self._cycle
        return {
            "assignment": cycle.held if cycle is not None else [],
            "ready": self.ready,
            "lag": self.tally.lag,
            "last_commit_ms": self.tally.last_commit_ms,
        }

    def __repr__(self) -> str:
        return f"<RekeyLoop {self._settings.instance_id}: {self._cycle or 'stopped'}>"


def _no_step(_: str) -> None:
    return
