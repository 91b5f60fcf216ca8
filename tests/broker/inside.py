"""Enrich in a thread of the test's process, where a test can see each ending and tell the time."""

import threading
from collections.abc import Iterable, Mapping
from typing import Self

from consumer.clock import Clock, SystemClock
from consumer.enrich.encoders import encoders
from consumer.enrich.loop import EnrichLoop
from consumer.enrich.planned import Planned, ending_of
from consumer.enrich.tally import Tally
from consumer.ingest import Ingest
from consumer.kafka.registry import SchemaStore
from consumer.model import Origin, Record
from tests.broker.shopfloor import ShopFloor, wait_for


class Witness(Tally):
    """Counts, and remembers the own ending of each record: the last thing that its plan said."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: dict[Origin, tuple[str, str]] = {}

    def count(self, happened: Iterable[tuple[Record | None, Planned]]) -> None:
        """Remember, then count."""
        told = list(happened)
        for record, planned in told:
            found = ending_of(planned)
            if record is not None and found is not None:
                self.ended[record.origin] = (found[0].value, found[1])
        super().count(told)


class LeapingClock(SystemClock):
    """The machine's clock with leaps forward."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic_s(self) -> float:
        """Seconds, leaps included."""
        return super().monotonic_s() + self.ahead_s


class Inside:
    """A running loop; a context manager that stops it and raises what ended it before."""

    def __init__(self, floor: ShopFloor, registry_clock: Clock | None = None) -> None:
        settings = floor.settings_of("inside")[0]
        store = SchemaStore(settings.registry, registry_clock)
        write = encoders(floor.prefix, store.register)
        self.witness = Witness()
        self._loop = EnrichLoop(settings, Ingest(store.schema), write, tally=self.witness)
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="enrich")

    def _run(self) -> None:
        try:
            self._loop.run(self._stop)
        except Exception as error:  # noqa: BLE001 (raised again where the test sees it)
            self._error = error

    def await_ended(self, origins: Mapping[Origin, str]) -> None:
        """Wait until all these records have ended; the names are for the complaint."""

        def all_ended() -> bool:
            if self._error is not None:
                raise self._error
            return not origins.keys() - self.witness.ended.keys()

        try:
            wait_for("all have ended", all_ended, 60)
        except TimeoutError:
            left = [origins[at] for at in origins.keys() - self.witness.ended.keys()]
            raise AssertionError(f"without an ending: {left}; {self._loop!r}") from None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), repr(self._loop)
        if self._error is not None:
            raise self._error
