"""Deliver: events a second and CPU an event, by the platform's latency and the size of a request."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path

from consumer.model import ConsentState
from consumer.platforms import PLATFORMS
from consumer.platforms.contract import Account, Secret, Unfit
from tests.bench.ground import ROOT, Ground, ShopGround
from tests.bench.planned import material
from tests.bench.rows import Row
from tests.bench.shop import Shop

SHAPE_RECORDS = 6_000
MOST_S = 10.0
LATENCIES_MS = (0, 300)
SIZES = (100, 1)
CONCURRENCY_MAX_REQUESTS = 256
LIMITS = {
    (100, 0): "Python: decoding, building JSON, a receipt an event",
    (1, 0): "aiohttp, a request an event",
    (100, 300): "requests under way: one more a round trip",
    (1, 300): "requests under way: one more a round trip",
}
WAITING = "what the pump does while it waits: it polls, commits, and looks at all that is unsettled"


def deliver(ground: Ground, records: int, seed: int) -> Iterator[Row]:
    """One destination for each latency and size, all of them on the same backlog of purchases and steps."""
    with tempfile.TemporaryDirectory() as folder, _platforms() as urls:
        token = Path(folder, "token")
        token.write_text("bench", encoding="utf-8")
        destinations = [
            {
                "name": _name(size, latency_ms),
                "platform": "meta",
                "account": "1",
                "token_file": str(token),
                "base_url": url,
                "batch_max_events": size,
                "concurrency_max_requests": CONCURRENCY_MAX_REQUESTS,
            }
            for latency_ms, url in urls.items()
            for size in SIZES
        ]
        floor = ground.shop(destinations)
        events = _published(floor, records, seed, Path(folder))
        for latency_ms in LATENCIES_MS:
            for size in SIZES:
                yield from _row(floor, events, size, latency_ms)


def _name(size: int, latency_ms: int) -> str:
    return f"by-{size}-{latency_ms}"


@contextmanager
def _platforms() -> Iterator[dict[int, str]]:
    """A platform a latency, each a process of its own; their addresses."""
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.bench.platform", str(latency_ms)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for latency_ms in LATENCIES_MS
    ]
    try:
        yield {
            latency_ms: process.stdout.readline().strip()
            for latency_ms, process in zip(LATENCIES_MS, running, strict=True)
            if process.stdout is not None
        }
    finally:
        for process in running:
            process.kill()
            process.wait()


def _published(floor: ShopGround, records: int, seed: int, folder: Path) -> int:
    """Conversions that Meta takes, again and again up to `records`; how many."""
    shop = Shop(seed, min(records, SHAPE_RECORDS), floor.ids())
    made = material(floor.settings, shop.messages, folder)
    meta = PLATFORMS["meta"]
    account = Account(meta.base_url, "1", Secret("made-up"))
    wanted = [
        each
        for each in made.conversions
        if each.conversion.event_name in meta.events
        and each.conversion.consent_ads == ConsentState.GRANTED
        and not isinstance(meta.event(each.conversion, account), Unfit)
    ]
    topic = f"{floor.settings.topics.prefix}.conversions"
    told = islice(cycle(wanted), records)
    return floor.write((topic, each.key, each.payload, each.conversion.event_time) for each in told)


def _row(floor: ShopGround, events: int, size: int, latency_ms: int) -> Iterator[Row]:
    report = floor.run("deliver", destination=_name(size, latency_ms), events=events, most_s=MOST_S)
    delivered = report["delivered"]
    if not delivered:
        raise RuntimeError(f"{_name(size, latency_ms)} delivered nothing: {report}")
    name, limit = f"deliver.{size}_a_request.{latency_ms}_ms", LIMITS[size, latency_ms]
    of = f"{delivered:,} events in {report['requests']:,} requests, {report['concurrency']} at once at last"
    yield Row(f"{name}.rate", delivered / report["clock_s"], "events/s", of, limit)
    yield Row(
        f"{name}.cpu", 1e6 * report["cpu_s"] / delivered, "µs/event", f"{report['rss_mb']:.0f} MB RSS", limit
    )
