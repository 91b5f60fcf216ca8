"""What state costs when it is large: a million open checkouts and ten million events that count once.

Not part of a run that names nothing: it writes gigabytes and takes minutes.
"""

import tempfile
from collections.abc import Iterable, Iterator
from itertools import cycle, islice
from pathlib import Path
from random import Random

from tests.bench.ground import Ground
from tests.bench.planned import material
from tests.bench.rows import Row
from tests.bench.shop import Shop

CHECKOUTS, CLAIMS = 1_000_000, 10_000_000
AT_RECORDS = 60_000
"""These are the numbers at this many records, the default; others scale them."""
SHAPE_RECORDS = 6_000
MOST_S = 400.0
ROLE_TIMEOUT_S = 500.0
Change = tuple[bytes, bytes]


def bounds(ground: Ground, records: int, seed: int) -> Iterator[Row]:
    """One process that holds all partitions."""
    floor = ground.shop()
    shop = Shop(seed, min(records, SHAPE_RECORDS), floor.ids())
    with tempfile.TemporaryDirectory() as folder:
        made = material(floor.settings, shop.messages, Path(folder)).changes
    topic = f"{floor.settings.topics.prefix}.state"
    numbers = {b"c": CHECKOUTS * records // AT_RECORDS, b"d": CLAIMS * records // AT_RECORDS}
    chance = Random(seed)
    count = 0
    for kind, number in numbers.items():
        shapes = [(key, value) for key, value in made if key.startswith(kind) and value]
        count += floor.write((topic, key, value, 0) for key, value in _renamed(shapes, number, chance))
    report = floor.run("bounds", timeout_s=ROLE_TIMEOUT_S, most_s=MOST_S, seed=seed)
    if report["left"]:
        raise RuntimeError(f"{report['left']} records were not restored in {MOST_S:.0f} s")
    of = f"{numbers[b'c']:,} open checkouts, {numbers[b'd']:,} dedupe entries, 1 process"
    limit = "one thread: a Python object a record, then RocksDB's memtable and compaction"
    yield Row("bounds.restore", report["clock_s"], "s", of, limit)
    yield Row("bounds.restore.rate", count / report["clock_s"], "records/s", of, limit)
    yield Row("bounds.restore.cpu", 1e6 * report["cpu_s"] / count, "µs/record", "all threads", limit)
    yield Row(
        "bounds.rss", report["rss_mb"], "MB", of, "RocksDB's memtables (128 MB) and cache (128 MB), prefetch"
    )
    yield Row(
        "bounds.disk", report["disk_mb"], "MB", of, "32 hex digits an id, hashes: what does not compress"
    )
    yield Row("bounds.entry", 1e6 * report["disk_mb"] / count, "bytes on disk", of)
    yield Row("bounds.open", report["open_s"], "s", of, "manifests, and a look at the waiting orders")
    yield Row(
        "bounds.read",
        report["read_us"],
        "µs",
        "a key at random, every other one absent",
        "indexes and filters of all levels, then a block",
    )


def _renamed(shapes: list[Change], number: int, chance: Random) -> Iterable[Change]:
    """So many entries of these shapes, each about an id of its own."""
    for key, value in islice(cycle(shapes), number):
        head, colon, _ = key.partition(b":")
        yield (head + colon if colon else key[:1]) + chance.randbytes(16).hex().encode(), value
