"""A large state: read back, opened again, and looked into."""

import time
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from random import Random

from consumer.clock import SystemClock
from consumer.enrich.memory import WAITING
from consumer.settings import Settings
from consumer.state.restore import Changelog, Restore
from consumer.state.store import Store
from tests.bench.ground import PARTITIONS, Report
from tests.bench.meter import Meter, rss_mb
from tests.bench.role_restore import LOOK_EVERY_S, TOMBSTONES_MS

READS = 20_000


def bounds(settings: Settings, asked: Report) -> Report:
    """Restore all partitions, `most_s` seconds at most; then open them as a start does, and read."""
    places = [settings.state.dir / str(number) for number in range(PARTITIONS)]
    meter = Meter()
    left = _restore(settings, places, asked["most_s"])
    clock_s, cpu_s, rss = meter.clock_s, meter.cpu_s, rss_mb()
    disk_mb = sum(file.stat().st_size for file in settings.state.dir.rglob("*") if file.is_file()) / 1e6
    meter = Meter()
    stores = [Store(place) for place in places]
    for store in stores:
        list(store.under(WAITING))
    open_s = meter.clock_s
    read_us = _read(stores, Random(asked["seed"]))
    for store in stores:
        store.close()
    return {
        "left": left,
        "clock_s": clock_s,
        "cpu_s": cpu_s,
        "rss_mb": rss,
        "disk_mb": disk_mb,
        "open_s": open_s,
        "read_us": read_us,
    }


def _restore(settings: Settings, places: Iterable[Path], most_s: float) -> int:
    """What is left once it took so long; the stores are closed, and so on disk."""
    stores = dict(enumerate(map(Store, places)))
    changelog = Changelog(f"{settings.topics.prefix}.state", TOMBSTONES_MS)
    running = Restore(settings.kafka, settings.topics.prefix, changelog, stores, SystemClock())
    restored: set[int] = set()
    meter = Meter()
    running.start()
    while len(restored) < len(stores) and meter.clock_s < most_s:
        restored |= running.take_restored()
        time.sleep(LOOK_EVERY_S)
    left = running.left
    running.stop()
    for store in stores.values():
        store.close()
    return left


def _read(stores: list[Store], chance: Random) -> float:
    """Microseconds a key: one that is there, then one that isn't, over all of the keys' range."""
    keys: list[tuple[Store, bytes]] = []
    while len(keys) < READS:
        store, absent = (
            chance.choice(stores),
            chance.choice([b"c", b"dp"]) + chance.randbytes(16).hex().encode(),
        )
        near = list(islice(store.scan(absent, 1), 1))
        keys += [(store, key) for key, _ in near] + [(store, absent)]
    chance.shuffle(keys)
    meter = Meter()
    for store, key in keys:
        store.get(key)
    return 1e6 * meter.clock_s / len(keys)
