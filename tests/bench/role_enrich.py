"""Enrich as the product runs it, on a backlog in Kafka: from the moment that its partitions are active to its end."""

import time

from consumer.app import App
from consumer.settings import Settings
from tests.bench.ground import Report
from tests.bench.meter import Meter, await_begun, rss_mb

LOOK_EVERY_S = 0.01


def enrich(settings: Settings, asked: Report) -> Report:
    """Read `inputs` records, `most_s` seconds at most."""
    with App(settings, roles={"enrich"}) as app:
        loop = app.enrich
        assert loop is not None
        await_begun(app, lambda: loop.ready)
        meter = Meter()
        while loop.tally.read.total() < asked["inputs"] and meter.clock_s < asked["most_s"]:
            time.sleep(LOOK_EVERY_S)
        cpu_s, clock_s, tally = meter.cpu_s, meter.clock_s, loop.tally.snapshot()
    return {
        "read": sum(tally.read.values()),
        "cpu_s": cpu_s,
        "clock_s": clock_s,
        "transactions": tally.transactions,
        "duplicates": sum(count for (_, ending), count in tally.endings.items() if ending == "duplicate"),
        "conversions": sum(tally.conversions.values()),
        "rss_mb": rss_mb(),
    }
