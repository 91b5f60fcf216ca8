"""A restore: records a second from the changelog into RocksDB."""

import tempfile
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

from tests.bench.ground import Ground
from tests.bench.planned import material
from tests.bench.rows import Row
from tests.bench.shop import Shop

SHAPE_RECORDS = 6_000
RECORDS_A_RECORD = 8
"""State is small and quickly read: a changelog of as many records as there are inputs is read in a blink."""
MOST_S = 60.0


def restore(ground: Ground, records: int, seed: int) -> Iterator[Row]:
    """State of a shop's shape, under ever new keys."""
    floor = ground.shop()
    shop = Shop(seed, min(records, SHAPE_RECORDS), floor.ids())
    with tempfile.TemporaryDirectory() as folder:
        made = material(floor.settings, shop.messages, Path(folder)).changes
    topic = f"{floor.settings.topics.prefix}.state"
    told = islice(enumerate(cycle(made)), RECORDS_A_RECORD * records)
    count = floor.write(
        (topic, key + b"#%d" % (number // len(made)), value, 0) for number, (key, value) in told
    )
    report = floor.run("restore", most_s=MOST_S)
    if report["left"]:
        raise RuntimeError(f"{report['left']} records were not restored in {MOST_S:.0f} s")
    size = sum(len(key) + len(value or b"") for key, value in made) / len(made)
    of = f"{count:,} records of {size:.0f} bytes"
    limit = "one thread: a Python object a record, then RocksDB's memtable"
    yield Row("restore.rate", count / report["clock_s"], "records/s", of, limit)
    yield Row(
        "restore.cpu", 1e6 * report["cpu_s"] / count, "µs/record", f"{report['rss_mb']:.0f} MB RSS", limit
    )
