"""`make bench`: what a record costs, on real Kafka, in a table and in bench.json.

Each role runs in a process of its own, so that neither the broker's nor the platform's CPU time counts. Judge by CPU
time: the clock's rates are those of a machine that the broker, the platform and the role share.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from consumer.errors import CapiError
from tests.bench.bounds import bounds
from tests.bench.deliver import deliver
from tests.bench.enrich import enrich
from tests.bench.ground import Ground, RoleFailed
from tests.bench.ledger import ledger
from tests.bench.restore import restore
from tests.bench.rows import Row, show, write

MEASURED: Mapping[str, Callable[[Ground, int, int], Iterator[Row]]] = {
    "enrich": enrich,
    "deliver": deliver,
    "restore": restore,
    "ledger": ledger,
}
NAMED_ONLY: Mapping[str, Callable[[Ground, int, int], Iterator[Row]]] = {"bounds": bounds}
"""What takes too long for a run that names nothing."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; exit 0, whether aims are met or not."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", choices=(*MEASURED, *NAMED_ONLY), help="measure this alone")
    parser.add_argument("--records", type=int, default=60_000, help="inputs, and events, of one measurement")
    parser.add_argument("--seed", type=int, default=1, help="of the traffic")
    parser.add_argument("--output", type=Path, default=Path("bench.json"), help="where the numbers go")
    asked = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(f"seed {asked.seed}, {asked.records:,} records, {os.cpu_count()} cores")
    rows: list[Row] = []
    try:
        with tempfile.TemporaryDirectory(prefix="capi-bench-") as folder, Ground(Path(folder)) as ground:
            for name in [asked.only] if asked.only else MEASURED:
                console.print(f"{name} …")
                rows += {**MEASURED, **NAMED_ONLY}[name](ground, asked.records, asked.seed)
    except (CapiError, RoleFailed) as error:
        console.print(str(error), markup=False)
        return 1
    show(rows, console)
    write(rows, asked.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
