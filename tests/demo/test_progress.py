"""What one sees while the demo runs."""

import io
import threading

import pytest
from msgspec.structs import replace
from rich.console import Console

from consumer.clock import SystemClock
from consumer.deliver.tally import DestinationTally
from consumer.demo import progress
from consumer.demo.progress import Rates, Seen, View, awaited, line, stages
from consumer.emulators.kept import Count, Stats
from consumer.enrich.tally import Tally


def enrich(ended: int, waiting: int = 0) -> Tally:
    """Enrich's counters: so many endings, a quarter of them conversions."""
    tally = Tally()
    tally.endings.update({("orders", "filtered"): ended - ended // 4, ("orders", "conversion"): ended // 4})
    tally.conversions["purchase"] = ended // 4
    tally.waiting = waiting
    return tally


@pytest.fixture
def seen() -> Seen:
    """A run that is half done."""
    meta = DestinationTally("meta", "meta")
    meta.outcomes.update({("delivered", ""): 100, ("skipped", "consent"): 20})
    meta.in_flight = 30
    stats = Stats(
        server=100,
        pixel=60,
        after_dedupe=40,
        money={},
        refunds=0,
        refunds_money={},
        requests=2,
        rejected_requests=0,
        events={"Purchase": Count(100, 60, 110)},
        server_repeats=0,
    )
    return Seen(200, 100, 1000, 60, enrich(800).snapshot(), (meta.snapshot(),), {"meta": stats})


def test_the_stages_follow_the_flow(seen: Seen) -> None:
    """Shop, enrich, then each destination and what its platform holds, each with its count and total."""
    shown = [(stage.name.strip(), stage.done, stage.of) for stage in stages(seen)]
    assert shown == [("shop", 1000, 2000), ("enrich", 800, 1000), ("meta", 120, 200), ("meta holds", 110, 0)]


def test_what_the_run_waits_for_is_said(seen: Seen) -> None:
    """The shop, enrich, an unknown schema, a checkout, or the last deliveries."""
    told = replace(seen, told=200)
    assert awaited(seen, 0) == "the shop is open"
    begins = "enrich takes its partitions and begins"
    assert awaited(replace(told, enrich=enrich(0).snapshot()), 10) == begins
    assert awaited(told, 0) == "enrich reads on"
    assert awaited(told, 10).startswith("200 records stand behind one under a schema id")
    waiting = replace(told, enrich=enrich(990, waiting=10).snapshot())
    assert awaited(waiting, 10).startswith("orders wait for their checkout")
    done = replace(told, enrich=enrich(1000).snapshot())
    assert awaited(done, 10).startswith("130 conversions are still to end at meta")
    assert awaited(replace(done, destinations=()), 10).startswith("the last deliveries")


def test_rates_are_of_the_last_seconds(seen: Seen) -> None:
    """A stage that does 200 more in two seconds is at 100 a second, whatever was before."""
    rates = Rates()
    for now_s, published in ((0.0, 0), (10.0, 1000), (11.0, 1100), (12.0, 1200)):
        rates.note(replace(seen, published=published), now_s)
    assert rates.of("shop") == pytest.approx(100)
    assert rates.of("enrich") == 0
    assert rates.still_s(12.0) == 12.0


def test_without_a_terminal_there_are_plain_lines(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line now and then, the last one at the end, no control codes, and none twice in a row."""
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.01)
    console = Console(file=io.StringIO(), width=40)
    looks, enough = [0], threading.Event()

    def look() -> Seen:
        looks[0] += 1
        if looks[0] > 5:
            enough.set()
        return seen

    with View(console, SystemClock()).watching(look):
        assert enough.wait(30)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 1
    assert lines[0].endswith(line(seen, Rates(), 0.0))
    assert "\x1b" not in lines[0]
