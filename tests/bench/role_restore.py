"""A restore: the changelog into empty stores."""

import tempfile
import time
from pathlib import Path

from consumer.clock import SystemClock
from consumer.settings import Settings
from consumer.state.restore import Changelog, Restore
from consumer.state.store import Store
from tests.bench.ground import PARTITIONS, Report
from tests.bench.meter import Meter, rss_mb

LOOK_EVERY_S = 0.005
TOMBSTONES_MS = 86_400_000


def restore(settings: Settings, asked: Report) -> Report:
    """Read all partitions of the changelog, `most_s` seconds at most."""
    topic = f"{settings.topics.prefix}.state"
    with tempfile.TemporaryDirectory() as folder:
        stores = {number: Store(Path(folder, str(number))) for number in range(PARTITIONS)}
        changelog = Changelog(topic, TOMBSTONES_MS)
        running = Restore(settings.kafka, settings.topics.prefix, changelog, stores, SystemClock())
        restored: set[int] = set()
        meter = Meter()
        running.start()
        while len(restored) < PARTITIONS and meter.clock_s < asked["most_s"]:
            restored |= running.take_restored()
            time.sleep(LOOK_EVERY_S)
        cpu_s, clock_s, left = meter.cpu_s, meter.clock_s, running.left
        running.stop()
        for store in stores.values():
            store.close()
    return {
        "left": left,
        "cpu_s": cpu_s,
        "clock_s": clock_s,
        "rss_mb": rss_mb(),
    }
