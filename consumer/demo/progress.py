"""What one sees while the demo runs: one screen on a terminal, else a line now and then. Always on stderr."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

from msgspec import Struct
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from consumer.clock import Clock
from consumer.deliver.tally import DestinationSnapshot
from consumer.emulators.kept import Stats
from consumer.enrich.tally import TallySnapshot
from consumer.model import Outcome

LINE_EVERY_S = 3.0
SAME_LINE_EVERY_S = 15.0
REFRESH_PER_S = 4
RATE_OVER_S = 2.0
STILL_AFTER_S = 3.0
_BAR_WIDTH = 12
FEW = 3
"""Of more destinations than this, what their platforms hold is told at the end."""


class Seen(Struct, frozen=True):
    """The run at one moment. `told` is how many of the orders the shop has told so far."""

    orders: int
    told: int
    published: int
    pixel: int
    enrich: TallySnapshot | None
    destinations: tuple[DestinationSnapshot, ...]
    platforms: Mapping[str, Stats]

    @property
    def ended(self) -> int:
        """Input records with an ending."""
        return sum(self.enrich.endings.values()) if self.enrich is not None else 0

    @property
    def conversions(self) -> int:
        """Conversions written."""
        return sum(self.enrich.conversions.values()) if self.enrich is not None else 0


Look: TypeAlias = Callable[[], Seen]


class Stage(Struct, frozen=True):
    """One line of the view: so many are done, of so many as far as is known, and what else is worth telling."""

    name: str
    done: int
    of: int
    unit: str
    rest: str


def stages(seen: Seen) -> Iterator[Stage]:
    """The flow, from left to right."""
    shop = f"{seen.told:,} of {seen.orders:,} orders, {seen.pixel:,} pixel events"
    share = seen.told / seen.orders
    yield Stage("shop", seen.published, round(seen.published / share) if share else 0, "records", shop)
    enrich = seen.enrich
    if enrich is not None:
        letters = sum(enrich.letters.values())
        rest = f"{seen.conversions:,} conversions, {letters:,} letters, {enrich.waiting:,} waiting"
        yield Stage("enrich", seen.ended, seen.published, "records", rest)
    for each in seen.destinations:
        yield Stage(
            each.destination, sum(each.outcomes.values()), seen.conversions, "conversions", _outcomes(each)
        )
        stats = seen.platforms.get(each.platform)
        if stats is not None and len(seen.destinations) <= FEW:
            held = sum(count.after_dedupe for count in stats.events.values())
            rest = f"{stats.server:,} from the server, {stats.pixel:,} from the pixel, deduped"
            yield Stage(f"  {each.platform} holds", held, 0, "events", rest)


def _outcomes(of: DestinationSnapshot) -> str:
    counts = {outcome.value: 0 for outcome in Outcome}
    for (outcome, _), count in of.outcomes.items():
        counts[outcome] += count
    told = [f"{count:,} {name}" for name, count in counts.items() if count]
    parked = f", parked: {of.park_reason}" if of.parked else ""
    return ", ".join([*told, f"{of.in_flight:,} in flight, {sum(of.requests.values()):,} requests"]) + parked


def awaited(seen: Seen, still_s: float) -> str:
    """What the run waits for. `still_s` is for how long no input record has found its ending."""
    if seen.told < seen.orders:
        return "the shop is open"
    if seen.ended == 0:
        return "enrich takes its partitions and begins"
    waiting = seen.enrich.waiting if seen.enrich is not None else 0
    unread = seen.published - seen.ended - waiting
    if unread > 0 and still_s >= STILL_AFTER_S:
        return (
            f"{unread:,} records stand behind one under a schema id that the registry does not know; "
            "it is asked for 30 s before the record becomes a letter"
        )
    if unread > 0:
        return "enrich reads on"
    if waiting:
        return "orders wait for their checkout, as long as join.wait_s says"
    return _last(seen)


def _last(seen: Seen) -> str:
    """Who is behind, once enrich is done."""
    left = {each.destination: seen.conversions - sum(each.outcomes.values()) for each in seen.destinations}
    last = max(left, key=left.__getitem__, default="")
    if last and left[last] > 0:
        return f"{left[last]:,} conversions are still to end at {last}, at the rate that its platform takes"
    return "the last deliveries settle, and their offsets are committed"


class Rates:
    """How fast each stage is, over the last seconds."""

    def __init__(self) -> None:
        self._points: dict[str, deque[tuple[float, int]]] = {}
        self._moved: tuple[int, float] = (-1, 0.0)

    def note(self, seen: Seen, now_s: float) -> None:
        """Look once more."""
        for stage in stages(seen):
            points = self._points.setdefault(stage.name, deque())
            points.append((now_s, stage.done))
            while len(points) > 1 and points[0][0] < now_s - RATE_OVER_S:
                points.popleft()
        if seen.ended != self._moved[0]:
            self._moved = seen.ended, now_s

    def of(self, name: str) -> float:
        """So many a second."""
        points = self._points.get(name, deque())
        if len(points) < 2:  # noqa: PLR2004 (a rate is between two points)
            return 0.0
        (first_s, first), (last_s, last) = points[0], points[-1]
        return (last - first) / (last_s - first_s) if last_s > first_s else 0.0

    def still_s(self, now_s: float) -> float:
        """For how long no input record has found its ending."""
        return now_s - self._moved[1]


def screen(seen: Seen, rates: Rates, now_s: float, began_s: float) -> RenderableType:
    """One screen."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    for stage in stages(seen):
        total = max(stage.of, stage.done, 1)
        bar = ProgressBar(total, stage.done, width=_BAR_WIDTH) if stage.of else ""
        done, rate = f"{stage.done:,} {stage.unit}", f"{rates.of(stage.name):,.0f}/s"
        table.add_row(Text(stage.name, "bold"), bar, done, rate, Text(stage.rest, "dim"))
    return Group(table, Text(f"{now_s - began_s:.0f} s: {awaited(seen, rates.still_s(now_s))}", "italic"))


def line(seen: Seen, rates: Rates, now_s: float) -> str:
    """The same in one line; many destinations are told together."""
    many = {each.destination for each in seen.destinations} if len(seen.destinations) > FEW else set[str]()
    found = [stage for stage in stages(seen) if stage.name not in many]
    if many:
        done = sum(sum(each.outcomes.values()) for each in seen.destinations)
        of = len(many) * seen.conversions
        found.append(Stage(f"{len(many)} destinations", done, of, f"of {of:,} outcomes", ""))
    told = ", ".join(f"{stage.name.strip()} {stage.done:,} {stage.unit}" for stage in found)
    return f"{told}; {awaited(seen, rates.still_s(now_s))}"


class View:
    """Tells what goes on."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self._console = console
        self._clock = clock

    def say(self, text: str) -> None:
        """One line that stays."""
        self._console.print(Text(text), soft_wrap=True)

    @contextmanager
    def watching(self, look: Look) -> Iterator[None]:
        """Show how far it is until the end of the block; `look` is called from another thread and must not raise."""
        rates, began_s = Rates(), self._clock.monotonic_s()

        def seen() -> tuple[Seen, float]:
            found, now_s = look(), self._clock.monotonic_s()
            rates.note(found, now_s)
            return found, now_s

        def on_screen() -> RenderableType:
            found, now_s = seen()
            return screen(found, rates, now_s, began_s)

        said, said_s = "", began_s

        def in_line() -> None:
            nonlocal said, said_s
            found, now_s = seen()
            told = line(found, rates, now_s)
            if told != said or now_s >= said_s + SAME_LINE_EVERY_S:
                said, said_s = told, now_s
                self.say(f"{now_s - began_s:4.0f} s  {told}")

        if self._console.is_terminal:
            with Live(get_renderable=on_screen, console=self._console, refresh_per_second=REFRESH_PER_S):
                yield
            return
        with _repeating(in_line):
            yield


@contextmanager
def _repeating(step: Callable[[], None]) -> Iterator[None]:
    """Call it every few seconds, from a thread of its own, and once at the end."""
    done = threading.Event()

    def run() -> None:
        while not done.wait(LINE_EVERY_S):
            step()

    thread = threading.Thread(target=run, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    step()
