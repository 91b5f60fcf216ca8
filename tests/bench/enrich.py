"""Enrich: inputs a second, and what an input costs in all and by step."""

from collections.abc import Iterator

from tests.bench.ground import Ground, Report, ShopGround
from tests.bench.rows import Row
from tests.bench.shop import Shop

MOST_S = 60.0
LIMITS = {
    "consume": "librdkafka's fetch, a Python object for each record",
    "decode head": "Python: an order's first nine fields, and a digest of the rest",
    "decode and hash order": "Python: a compiled reader; most persons are known from their checkout",
    "decode and hash checkout": "Python: a compiled reader at each step; normalising and SHA-256 of whoever is new",
    "plan": "Python: merging context, msgpack of state, digests, RocksDB reads",
    "encode": "Python: a compiled writer",
    "tell endings": "Python: a compiled writer, for each record of orders",
    "produce": "a call of librdkafka a record, LZ4, sending",
    "commit": "four round trips a transaction",
    "store": "RocksDB's memtable and flushes",
}


def enrich(ground: Ground, records: int, seed: int) -> Iterator[Row]:
    """All of it, on one shop's backlog."""
    floor = ground.shop()
    shop = Shop(seed, records, floor.ids())
    inputs = floor.publish(shop.messages)
    of = f"{inputs:,} inputs, orders of {shop.order_bytes:.0f} bytes, 1 process"
    whole = floor.run("enrich", inputs=inputs, most_s=MOST_S)
    _complete(whole, inputs)
    steps = floor.run("steps", inputs=inputs)
    total = 1e6 * whole["cpu_s"] / whole["read"]
    yield Row(
        "enrich.rate", whole["read"] / whole["clock_s"], "inputs/s", of, "one core, and what the broker takes"
    )
    yield Row("enrich.cpu", total, "µs/input", of, "Python: see the steps")
    yield from _by_step(steps, total)
    yield Row("enrich.rss", whole["rss_mb"], "MB", of, "prefetch, and RocksDB's memtables and cache")
    yield from _updates(floor, shop, records)


def _complete(report: Report, inputs: int) -> None:
    if report["read"] < inputs:
        raise RuntimeError(f"enrich read {report['read']} of {inputs} records in {MOST_S:.0f} s")


def _by_step(report: Report, total: float) -> Iterator[Row]:
    inputs, known = report["inputs"], 0.0
    for step, (cpu_s, count) in report["steps"].items():
        value = 1e6 * cpu_s / inputs
        known += value
        each = f"{1e6 * cpu_s / max(1, count):.1f} µs each of {count:,}"
        yield Row(f"enrich.step.{step.replace(' ', '_')}", value, "µs/input", each, LIMITS[step])
    rest = "what the whole costs beyond its steps"
    yield Row(
        "enrich.step.rest",
        total - known,
        "µs/input",
        rest,
        "what a tight loop has in the CPU's caches and a backlog has not; the loop, its counters",
    )


def _updates(floor: ShopGround, shop: Shop, records: int) -> Iterator[Row]:
    """A second run on the same state, with nothing but updates that change nothing."""
    inputs = floor.publish(shop.updates(records))
    report = floor.run("enrich", inputs=inputs, most_s=MOST_S)
    _complete(report, inputs)
    of = f"{inputs:,} updates, {report['duplicates'] / inputs:.0%} of them duplicates"
    value = 1e6 * report["cpu_s"] / inputs
    limit = "consuming, then Python: decoding the head, a digest, one read of RocksDB"
    yield Row("enrich.unchanged_update.cpu", value, "µs/input", of, limit)
