"""Deliver as a role of the process, for one destination: connect, check, turn until told to stop, drain.

Whatever goes wrong here stops this destination alone. It says so, waits, and begins again where it was committed.
"""

import threading
from random import Random

import structlog

from consumer.clock import Clock, SystemClock
from consumer.codec import Decoder
from consumer.deliver.aside import Aside
from consumer.deliver.checks import Ground, account_now, check
from consumer.deliver.delivery import LaneRules
from consumer.deliver.http import Http
from consumer.deliver.intake import Intake
from consumer.deliver.intent import Intents
from consumer.deliver.lane import Lane
from consumer.deliver.outcomes import Addressee, EncodeReceipt, Outcomes
from consumer.deliver.pump import LEAVE_WAIT_S, Pump
from consumer.deliver.sender import Sender
from consumer.deliver.senders import Senders
from consumer.deliver.setup import resends
from consumer.deliver.tally import DestinationTally
from consumer.deliver.tools import Tools
from consumer.errors import CapiError
from consumer.kafka.reader import Reader
from consumer.kafka.start import settle_start
from consumer.kafka.writer import Writer
from consumer.model import Conversion
from consumer.platforms.contract import Platform
from consumer.settings import Destination, Settings

UNSETTLED_MIN_EVENTS = 2_000
UNSETTLED_MAX_EVENTS = 20_000
TOKEN_EVERY_S = 1.0
AGAIN_MIN_S = 5.0
AGAIN_MAX_S = 60.0


class DestinationLoop:
    """One destination in one process. `run` does everything; the rest looks on, from any thread."""

    def __init__(
        self,
        settings: Settings,
        destination: Destination,
        senders: Senders,
        decode: Decoder[Conversion],
        encode: EncodeReceipt,
        clock: Clock | None = None,
        *,
        chance: Random | None = None,
    ) -> None:
        """`senders` must be running while `run` is; `decode` is this loop's alone. Connects nothing before `check`."""
        self.tally = DestinationTally(destination.name, destination.platform)
        self.drained = True
        self._settings = settings
        self._destination = destination
        self._senders = senders
        self._decode = decode
        self._encode = encode
        self._clock = clock or SystemClock()
        self._chance = chance or Random()  # noqa: S311 (jitter)
        self._group = f"{settings.topics.prefix}.deliver.{destination.name}"
        self._log = structlog.get_logger("deliver").bind(
            destination=destination.name, platform=destination.platform
        )
        self._beat_s = self._clock.monotonic_s()
        self._pump: Pump | None = None
        self._halted = ""

    def check(self) -> Ground:
        """Refuse what can't work. Raises ConfigurationError, Unreachable, Refused."""
        return check(self._settings, self._destination)

    def run(self, stop: threading.Event) -> None:
        """Serve the destination until `stop` is set; then what is under way is settled. Raises nothing."""
        failures = 0
        while not stop.is_set():
            self._beat()
            began_s = self._clock.monotonic_s()
            try:
                self._serve(stop)
            except Exception as error:  # noqa: BLE001 (a bug in one destination must not stop the others)
                self.drained = not stop.is_set()
                failures = failures + 1 if self._clock.monotonic_s() - began_s < AGAIN_MAX_S else 1
                self._halt(error)
                self._wait(stop, min(AGAIN_MAX_S, AGAIN_MIN_S * 2.0 ** (failures - 1)))

    def _halt(self, error: Exception) -> None:
        self._halted = str(error) if isinstance(error, CapiError) else type(error).__name__
        self._log.error("destination_halted", exc_info=error)

    def _wait(self, stop: threading.Event, seconds: float) -> None:
        until_s = self._clock.monotonic_s() + seconds
        while not stop.wait(0.2) and self._clock.monotonic_s() < until_s:
            self._beat()

    def _beat(self) -> None:
        self._beat_s = self._clock.monotonic_s()

    def _serve(self, stop: threading.Event) -> None:
        ground = self.check()
        self._beat()
        topics, now_ms = ground.topics, self._clock.now_ms()
        start = self._destination.start or self._settings.start
        decided = settle_start(
            self._settings.kafka,
            topics.control,
            self._group,
            topics.read,
            start,
            now_ms,
        )
        if stop.is_set():
            return
        self._beat()
        intake = Intake(
            self._decode,
            ground.platform,
            ground.wants,
            decided.decided_at_ms if decided is not None else 0,
            self.tally.match,
        )
        after_ms = self._destination.later_after_s * 1000
        aside = Aside(intake, self._destination.name, topics.later, after_ms, topics.replay)
        reader = Reader(self._settings.kafka, self._group, eof=True)
        writer = Writer(self._settings.kafka, client_id=self._group)
        try:
            self._pumped(stop, ground, reader, writer, aside)
        finally:
            self._pump = None
            reader.close()
            writer.close()

    def _pumped(
        self, stop: threading.Event, ground: Ground, reader: Reader, writer: Writer, aside: Aside
    ) -> None:
        sure = resends(self._destination, ground.platform)
        intents = None if sure.issuperset(ground.wants.events) else Intents()
        sender, sending = self._senders.begin(lambda http: self._sender(http, ground, intents))
        outcomes = Outcomes(writer, self._encode, self._addressee(ground), self._clock, self.tally)
        self.tally.token_read_ms = self._clock.now_ms()
        pump = Pump(
            Tools(reader, writer, outcomes, sender, sending, aside, intents),
            self.tally,
            self._clock,
            group=self._group,
            topic=ground.topics.conversions,
            partitions=ground.partitions,
            unsettled_max=_unsettled_max(self._destination, ground.platform),
        )
        try:
            self.drained = False
            pump.join()
            self._pump = pump
            self._halted = ""
            self._turn(stop, ground, pump, sender)
            deadline_s = self._clock.monotonic_s() + self._settings.drain_timeout_s
            self.drained = pump.drain(deadline_s, self._beat)
        finally:
            pump.abandon(0.0 if stop.is_set() else LEAVE_WAIT_S)
        self._log.info("drained", in_flight=self.tally.in_flight)

    def _turn(self, stop: threading.Event, ground: Ground, pump: Pump, sender: Sender) -> None:
        token_at_s = self._clock.monotonic_s() + TOKEN_EVERY_S
        while not stop.is_set():
            self._beat()
            pump.turn()
            if self._clock.monotonic_s() >= token_at_s:
                token_at_s = self._clock.monotonic_s() + TOKEN_EVERY_S
                if ground.token_file.changed():
                    self.tally.token_read_ms = self._clock.now_ms()
                    self._log.info("token_changed")
                    sender.renew(account_now(self._destination, ground))

    def _sender(self, http: Http, ground: Ground, intents: Intents | None) -> Sender:
        destination, platform = self._destination, ground.platform
        rules = LaneRules(
            limits=platform.limits,
            batch_max_events=destination.batch_max_events or platform.batch_events,
            linger_s=(platform.linger_ms if destination.linger_ms is None else destination.linger_ms) / 1000,
            concurrency_max_requests=destination.concurrency_max_requests,
            resends=resends(destination, platform),
        )
        return Sender(
            Lane(destination.name, rules, self._chance),
            platform,
            account_now(destination, ground),
            http,
            self._clock,
            self.tally,
            request_timeout_s=destination.request_timeout_s,
            intents=intents,
        )

    def _addressee(self, ground: Ground) -> Addressee:
        return Addressee(
            destination=self._destination.name,
            platform=self._destination.platform,
            receipts=ground.topics.receipts,
            letters=ground.topics.letters,
            later=ground.topics.later,
            letter_max_bytes=ground.letter_max_bytes,
        )

    @property
    def name(self) -> str:
        """As the health page and the group call it."""
        return f"deliver.{self._destination.name}"

    @property
    def heartbeat_s(self) -> float:
        """Monotonic time of the last sign of life."""
        return self._beat_s

    @property
    def ready(self) -> bool:
        """It has joined its group, with or without partitions, and is not halted. Parked is ready: it waits well."""
        return self._pump is not None

    def status(self) -> dict[str, object]:
        """Assignment, lane, lag, last commit: for people and probes."""
        pump, tally = self._pump, self.tally
        return {
            "assignment": pump.assignment if pump is not None else [],
            "halted": self._halted,
            "parked": tally.park_reason,
            "breaker": tally.breaker,
            "in_flight": tally.in_flight,
            "queued": tally.queued,
            "lag": tally.lag,
            "concurrency": tally.concurrency,
            "last_commit_ms": tally.last_commit_ms,
        }

    def __repr__(self) -> str:
        return f"<DestinationLoop {self._destination.name}: {self._pump or self._halted or 'stopped'}>"


def _unsettled_max(destination: Destination, platform: Platform) -> int:
    """Enough that no request waits for the next poll, and little enough for memory."""
    batch = destination.batch_max_events or platform.batch_events
    under_way = destination.concurrency_max_requests * batch
    return max(UNSETTLED_MIN_EVENTS, min(UNSETTLED_MAX_EVENTS, 4 * under_way))
