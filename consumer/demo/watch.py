"""Looking at a run from outside: how far it is, and when all is quiet."""

from collections.abc import Iterator, Mapping

from consumer.app import App
from consumer.clock import Clock
from consumer.demo.emulated import Emulated
from consumer.demo.progress import Seen
from consumer.demo.readback import ReadBack
from consumer.demo.shop import Shop
from consumer.emulators.kept import Stats
from consumer.errors import Unreachable
from consumer.settings import Settings

LOOK_EVERY_S = 0.5
STATS_EVERY_S = 1.0
STILL_MAX_S = 90.0
"""Longer than anything that the traffic holds: half a minute until an unknown schema id is believed."""
RUN_MAX_S = 300.0
RECORDS_MIN_PER_S = 200
"""A run that is slower than this is given up, even if something moves."""
QUIET_LOOKS = 2
"""What waits in state is counted a moment after it was committed, so one look may come between."""


class Watch:
    """Looks at a run for the view; never raises."""

    def __init__(self, app: App, shop: Shop, emulated: Mapping[str, Emulated], clock: Clock) -> None:
        self._app = app
        self._shop = shop
        self._emulated = emulated
        self._clock = clock
        self._stats: dict[str, Stats] = {}
        self._stats_at_s = float("-inf")

    def look(self) -> Seen:
        """The run right now; the emulators are asked now and then."""
        now_s = self._clock.monotonic_s()
        if now_s >= self._stats_at_s + STATS_EVERY_S:
            self._stats_at_s = now_s
            self._stats.update(self._asked())
        enrich, shop = self._app.enrich, self._shop
        return Seen(
            orders=shop.orders,
            told=shop.orders_told,
            published=sum(shop.published.values()),
            pixel=shop.fired,
            enrich=enrich.tally.snapshot() if enrich is not None else None,
            destinations=tuple(loop.tally.snapshot() for loop in self._app.destinations),
            platforms=dict(self._stats),
        )

    def _asked(self) -> Iterator[tuple[str, Stats]]:
        for name, emulated in self._emulated.items():
            try:
                yield name, emulated.stats()
            except Unreachable:
                continue  # the report will say so

    def __repr__(self) -> str:
        return f"<Watch of {self._app!r}>"


def until_quiet(app: App, settings: Settings, clock: Clock, published: int) -> str:
    """Wait until all that was published has its ending, and every conversion its outcome, and both are committed.

    "" then; else what was still unsettled when a role ended, when nothing had moved for `STILL_MAX_S`, or when it
    took far too long.
    """
    calm, moved, moved_s = 0, -1, clock.monotonic_s()
    end_s = moved_s + RUN_MAX_S + published / RECORDS_MIN_PER_S
    with ReadBack(settings.kafka, "capi-demo-watch") as back:
        while True:
            unsettled = _looked(app, settings, back)
            calm = 0 if unsettled else calm + 1
            if calm == QUIET_LOOKS:
                return ""
            now_s = clock.monotonic_s()
            if (counted := _counted(app)) != moved:
                moved, moved_s = counted, now_s
            if app.wait(LOOK_EVERY_S):
                return unsettled or "a role ended"
            if now_s - moved_s > STILL_MAX_S:
                return f"{unsettled}, and nothing has moved for {STILL_MAX_S:.0f} s"
            if now_s > end_s:
                return f"{unsettled}, though there was time enough"


def _looked(app: App, settings: Settings, back: ReadBack) -> str:
    """What is not done yet; a cluster that can't be asked, as a new one whose coordinator still loads, is not done."""
    try:
        return _unsettled(app, settings, back)
    except Unreachable as error:
        return str(error)


def _counted(app: App) -> int:
    """Grows as long as something moves."""
    ended = app.enrich.tally.snapshot().endings.values() if app.enrich is not None else ()
    outcomes = (loop.tally.snapshot().outcomes.values() for loop in app.destinations)
    return sum(ended) + sum(map(sum, outcomes))


def _unsettled(app: App, settings: Settings, back: ReadBack) -> str:
    """The first of what is not done yet, in the order of the flow."""
    prefix, named = settings.topics.prefix, settings.topics
    for topic in (named.orders, named.checkouts):
        if unread := back.unread(f"{prefix}.enrich", topic):
            return f"{unread} records of {topic} have no ending"
    if app.enrich is not None and (waiting := app.enrich.tally.snapshot().waiting):
        return f"{waiting} orders wait for their checkout"
    for destination in settings.destinations:
        for topic in (f"{prefix}.conversions", f"{prefix}.later"):
            if unread := back.unread(f"{prefix}.deliver.{destination.name}", topic):
                return f"{unread} offsets of {topic} are not settled for {destination.name}"
    return ""
