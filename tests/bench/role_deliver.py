"""Deliver as the product runs it, on a backlog in Kafka, to a platform in another process."""

import time

from consumer.app import App
from consumer.settings import Settings
from tests.bench.ground import Report
from tests.bench.meter import Meter, await_begun, rss_mb

LOOK_EVERY_S = 0.01


def deliver(settings: Settings, asked: Report) -> Report:
    """Deliver `events` to the one destination named, `most_s` seconds at most."""
    with App(settings, roles={"deliver"}, destinations=[asked["destination"]]) as app:
        loop = app.destinations[0]
        await_begun(app, lambda: loop.status()["assignment"])
        meter = Meter()
        while loop.tally.outcomes.total() < asked["events"] and meter.clock_s < asked["most_s"]:
            time.sleep(LOOK_EVERY_S)
        cpu_s, clock_s, tally = meter.cpu_s, meter.clock_s, loop.tally.snapshot()
    return {
        "ended": sum(tally.outcomes.values()),
        "delivered": sum(count for (outcome, _), count in tally.outcomes.items() if outcome == "delivered"),
        "requests": sum(tally.requests.values()),
        "concurrency": tally.concurrency,
        "cpu_s": cpu_s,
        "clock_s": clock_s,
        "rss_mb": rss_mb(),
    }
