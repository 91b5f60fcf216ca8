"""The process: builds the roles and runs them until it is told to stop.

orders, checkouts ─► enrich ─► capi.conversions ─► deliver.<destination> (one each) ─► the platforms
  └► rekey, if orders are keyed otherwise           health and metrics look on
                  what became of it all ─► ledger
"""

import difflib
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

import structlog

from consumer.clock import Clock, SystemClock
from consumer.codec import Decoder, Encoder, load_schema
from consumer.deliver.diagnose import DiagnosisLoop
from consumer.deliver.loop import DestinationLoop
from consumer.deliver.senders import Senders
from consumer.deliver.setup import diagnosis_of, platform_of
from consumer.enrich.encoders import encoders
from consumer.enrich.loop import EnrichLoop
from consumer.errors import CapiError, ConfigurationError
from consumer.ingest.checked import checked_ingest
from consumer.kafka.clients import check_config
from consumer.kafka.registry import SchemaStore
from consumer.model import Conversion, Receipt
from consumer.rekey.loop import RekeyLoop
from consumer.settings import Destination, Settings
from consumer.telemetry import traces
from consumer.telemetry.health import Answer, HealthServer, Role
from consumer.telemetry.metrics import Metrics
from consumer.telemetry.otlp import VERSION

if TYPE_CHECKING:
    from consumer.ledger.loop import LedgerLoop

REKEY, ENRICH, DELIVER, LEDGER = "rekey", "enrich", "deliver", "ledger"
CLOSE_TIMEOUT_S = 30.0
"""What closing the clients may take after the drain's own deadline."""


class App:
    """The roles of one process. A context manager: inside, they run; at its end, they drain and close."""

    def __init__(
        self,
        settings: Settings,
        *,
        roles: Collection[str] | None = None,
        destinations: Collection[str] = (),
        clock: Clock | None = None,
    ) -> None:
        """`roles` None means all that the settings call for, no `destinations` (names) likewise.

        Raises ConfigurationError.
        """
        self.rekey: RekeyLoop | None = None
        self.enrich: EnrichLoop | None = None
        self.ledger: LedgerLoop | None = None
        self.destinations: Sequence[DestinationLoop] = ()
        self.failure: BaseException | None = None
        self._diagnoses: list[DiagnosisLoop] = []
        self._answers: dict[str, Answer] = {}
        self._settings = settings
        self._roles = frozenset(roles) if roles is not None else _needed(settings)
        self._served = chosen(settings, destinations) if DELIVER in self._roles else ()
        self._clock = clock or SystemClock()
        self._log = structlog.get_logger("process")
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._health: HealthServer | None = None
        self._open = ExitStack()
        if self._roles == {DELIVER} and not self._served:
            message = "no destination is named: add one under destinations in the settings"
            raise ConfigurationError(message)

    def __enter__(self) -> Self:
        """Check and start. Raises ConfigurationError, Unreachable, Refused."""
        try:
            self._build()
        except BaseException:
            self._close()
            raise
        self._log.info("started", version=VERSION, role=",".join(sorted(self._roles)), port=self.http_port)
        return self

    def _build(self) -> None:
        settings = self._settings
        check_config(settings.kafka)
        traces.configure(settings)
        self._open.callback(traces.close)
        store = SchemaStore(settings.registry)
        self._open.callback(store.close)
        if self._served:
            self._build_deliver(store)
        if ENRICH in self._roles:
            self._build_enrich(store)
        if REKEY in self._roles:
            self._build_rekey(store)
        if LEDGER in self._roles:
            self._build_ledger(store)
        metrics = Metrics(
            settings,
            rekey=self.rekey.tally.snapshot if self.rekey is not None else None,
            enrich=self.enrich.tally.snapshot if self.enrich is not None else None,
            ledger=self.ledger.snapshot if self.ledger is not None else None,
            destinations=lambda: [loop.tally.snapshot() for loop in self.destinations],
            clock=self._clock,
        )
        self._open.callback(metrics.close)
        roles: list[Role] = [
            loop
            for loop in (self.rekey, self.enrich, *self.destinations, *self._diagnoses, self.ledger)
            if loop is not None
        ]
        health = HealthServer(settings.http, roles, metrics.page, self._clock, self._answers)
        health.start()
        self._open.callback(health.stop)
        self._health = health
        for thread in self._threads:
            thread.start()

    def _build_enrich(self, store: SchemaStore) -> None:
        loop = self.enrich = EnrichLoop(
            self._settings,
            checked_ingest(self._settings, store),
            encoders(self._settings.topics.prefix, store.register),
            self._clock,
        )
        self._threads.append(self._thread("enrich", loop.run))

    def _build_rekey(self, store: SchemaStore) -> None:
        loop = self.rekey = RekeyLoop(
            self._settings, checked_ingest(self._settings, store).order_head, self._clock
        )
        self._threads.append(self._thread("rekey", loop.run))

    def _build_ledger(self, store: SchemaStore) -> None:
        from consumer.ledger.answers import Answers  # noqa: PLC0415 (a database that other roles don't need)
        from consumer.ledger.loop import LedgerLoop  # noqa: PLC0415 (the same)

        loop = self.ledger = LedgerLoop(self._settings, store.schema, self._clock)
        answers = Answers(loop, self._settings.topics.prefix)
        self._answers.update({"/v1/why": answers.why, "/v1/conservation": answers.conservation})
        self._threads.append(self._thread(loop.name, loop.run))

    def _build_deliver(self, store: SchemaStore) -> None:
        schema = load_schema("receipt")
        schema_id = store.register(f"{self._settings.topics.prefix}.receipts-value", schema)
        encode: Encoder[Receipt] = Encoder(schema, schema_id)
        senders = self._open.enter_context(Senders(self._clock))
        conversion = load_schema("conversion")
        self.destinations = [
            DestinationLoop(
                self._settings,
                destination,
                senders,
                Decoder(Conversion, conversion, store.schema),
                encode,
                self._clock,
            )
            for destination in self._served
        ]
        for loop in self.destinations:
            loop.check()
            self._threads.append(self._thread(loop.name, loop.run))
        self._build_diagnoses(store, senders, encode)

    def _build_diagnoses(self, store: SchemaStore, senders: Senders, encode: Encoder[Receipt]) -> None:
        receipt = load_schema("receipt")
        for destination, of in zip(self._served, self.destinations, strict=True):
            diagnosis = diagnosis_of(destination, platform_of(destination))
            if diagnosis is not None:
                decode = Decoder(Receipt, receipt, store.schema)
                loop = DiagnosisLoop(
                    *(self._settings, destination, diagnosis, senders, decode, encode, of.tally, self._clock)
                )
                self._diagnoses.append(loop)
                self._threads.append(self._thread(loop.name, loop.run))

    def _thread(self, name: str, run: Callable[[threading.Event], None]) -> threading.Thread:
        def role() -> None:
            try:
                run(self._stop)
            except BaseException as error:  # noqa: BLE001 (whatever ends a role ends the process, which tells of it)
                self.failure = self.failure or error
                self.stop()

        return threading.Thread(target=role, name=name, daemon=True)

    def stop(self) -> None:
        """Begin to drain; may be called from anywhere, a signal's handler included."""
        if self._health is not None:
            self._health.drain()
        self._stop.set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Until someone said stop, or a role ended by itself; whether that is so."""
        return self._stop.wait(timeout_s)

    @property
    def drained(self) -> bool:
        """All that was under way was settled, and every thread has ended."""
        ended = not any(thread.is_alive() for thread in self._threads)
        return ended and all(loop.drained for loop in self.destinations)

    @property
    def exit_code(self) -> int:
        """By what happened: 0, a failure's own, or 1 where the drain's deadline passed."""
        if self.failure is not None:
            return self.failure.exit_code if isinstance(self.failure, CapiError) else 1
        return 0 if self.drained else 1

    @property
    def http_port(self) -> int:
        """Where health and metrics are served; 0 before and after."""
        return self._health.port if self._health is not None else 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drain, for `drain_timeout_s` at most, and close."""
        self._close()

    def _close(self) -> None:
        self.stop()
        deadline_s = self._clock.monotonic_s() + self._settings.drain_timeout_s + CLOSE_TIMEOUT_S
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline_s - self._clock.monotonic_s()))
        if not any(thread.is_alive() for thread in self._threads):
            self._open.close()

    def __repr__(self) -> str:
        return f"<App {self._settings.instance_id}: {', '.join(thread.name for thread in self._threads)}>"


def _needed(settings: Settings) -> frozenset[str]:
    """All roles but rekey, where there is nothing to rekey, and the ledger, unless it is asked for."""
    rekey = set() if settings.topics.orders_keyed_by_checkout else {REKEY}
    ledger = {LEDGER} if settings.ledger.enabled else set()
    return frozenset({ENRICH, DELIVER} | rekey | ledger)


def chosen(settings: Settings, names: Collection[str]) -> tuple[Destination, ...]:
    """The destinations of these names, all if there are none. Raises ConfigurationError, with the nearest name."""
    known = {destination.name: destination for destination in settings.destinations}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, list(known), n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known)) or 'none'}"
            message = f"destination {name!r} is not in the settings; {hint}"
            raise ConfigurationError(message)
    return tuple(known[name] for name in names) if names else settings.destinations
