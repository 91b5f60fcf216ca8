"""The ledger as the product runs it, on a backlog in Kafka."""

import statistics
import time
from collections.abc import Callable

from consumer.app import App
from consumer.ledger.conservation import Bounds, account
from consumer.ledger.store import Store
from consumer.ledger.story import tell
from consumer.settings import Settings
from tests.bench.ground import PARTITIONS, Report
from tests.bench.meter import Meter, await_begun, rss_mb

LOOK_EVERY_S = 0.01
ASKED_TIMES = 9


def ledger(settings: Settings, asked: Report) -> Report:
    """Read `rows` records, `most_s` seconds at most; then ask for the order `asked`."""
    meter = Meter()
    with App(settings, roles={"ledger"}) as app:
        loop = app.ledger
        if loop is None:
            raise RuntimeError("the process has no ledger")
        await_begun(app, lambda: loop.store)
        while loop.status()["rows"] != asked["rows"] and meter.clock_s < asked["most_s"]:
            time.sleep(LOOK_EVERY_S)
        cpu_s, clock_s, rows = meter.cpu_s, meter.clock_s, loop.status()["rows"]
    prefix, store = settings.topics.prefix, _store(settings)
    whole = Bounds("meta-us", dict.fromkeys(range(PARTITIONS), 0), {}, {})
    try:
        cursor = store.cursor()
        why_ms = _median_ms(lambda: tell(cursor, prefix, "order", asked["asked"]))
        judge_ms = _median_ms(lambda: account(cursor, whole, f"{prefix}.conversions"))
        cursor.close()
    finally:
        store.close()
    return {
        "rows": rows,
        "cpu_s": cpu_s,
        "clock_s": clock_s,
        "rss_mb": rss_mb(),
        "why_ms": why_ms,
        "judge_ms": judge_ms,
        "bytes": store.file.stat().st_size,
    }


def _store(settings: Settings) -> Store:
    return Store(settings.ledger.dir, settings.topics.prefix, settings.ledger.memory_max_mb)


def _median_ms(do: Callable[[], object]) -> float:
    """Of some times in a row."""
    took = []
    for _ in range(ASKED_TIMES):
        began_s = time.perf_counter()
        do()
        took.append(1000 * (time.perf_counter() - began_s))
    return statistics.median(took)
