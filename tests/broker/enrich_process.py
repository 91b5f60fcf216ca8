"""Enrich in a process of its own: `python -m tests.broker.enrich_process SETTINGS FOLDER`.

It leaves files in FOLDER that survive a kill -9: `steps`, a byte for the step that the loop is in and one for the step
in which it is to stay; `status.json`; `endings`, a line (topic:partition:offset) for each ending counted, of this life
and those before. SIGTERM ends it as it ends the product; exit codes are those of `consumer/errors.py`.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from consumer.enrich.encoders import encoders
from consumer.enrich.loop import EnrichLoop
from consumer.enrich.planned import Also, Converted, Planned, Waits
from consumer.enrich.tally import Tally
from consumer.ingest import Ingest
from consumer.ingest.decode import mappings_of
from consumer.kafka.registry import SchemaStore
from consumer.model import Record
from consumer.settings import load
from consumer.telemetry import logs
from tests.broker.role_process import run, stepping


class Noting(Tally):
    """Counts, and notes whose endings it counted."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file.open("ab", buffering=0)

    def count(self, happened: Iterable[tuple[Record | None, Planned]]) -> None:
        """Note, in one write, and count."""
        told = list(happened)
        self._file.write("".join(_ended(told)).encode())
        super().count(told)


def _ended(happened: Iterable[tuple[Record | None, Planned]]) -> Iterator[str]:
    for record, planned in happened:
        if isinstance(planned, Converted):
            of = planned.conversion
            yield f"{of.origin_topic}:{of.origin_partition}:{of.origin_offset}\n"
        elif record is not None and not isinstance(planned, Waits | Also):
            yield f"{record.origin}\n"


def main(settings_file: str, folder: str) -> int:
    """Run until SIGTERM."""
    settings = load(Path(settings_file))
    logs.configure(settings.telemetry.log_level, instance_id=settings.instance_id)
    store = SchemaStore(settings.registry)
    loop = EnrichLoop(
        settings,
        Ingest(store.schema, mappings_of(settings.mapping)),
        encoders(settings.topics.prefix, store.register),
        tally=Noting(Path(folder) / "endings"),
        on_step=stepping(Path(folder)),
    )
    return run(loop.run, lambda: loop.status() | {"tally": _tally(loop)}, Path(folder))


def _tally(loop: EnrichLoop) -> dict[str, object]:
    tally = loop.tally.snapshot()
    endings = {f"{topic} {ending}": count for (topic, ending), count in tally.endings.items()}
    return {
        "read": tally.read,
        "endings": endings,
        "filtered": tally.filtered,
        "letters": tally.letters,
        "conversions": tally.conversions,
        "order_only": tally.order_only,
        "transactions": tally.transactions,
        "aborted": tally.aborted,
        "fenced": tally.fenced,
    }


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
