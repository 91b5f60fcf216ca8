"""Enrich in a process of its own: `python enrich_process.py SETTINGS FOLDER`.

It leaves files in FOLDER that survive a kill -9: `steps`, a byte for the step that the loop is in and one for the step
in which it is to stay; `status.json`; `endings`, a line (topic:partition:offset) for each ending counted, of this life
and those before. SIGTERM ends it as it ends the product; exit codes are those of `consumer/errors.py`.
"""

import mmap
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import json

from consumer.codec import Encoder, load_schema
from consumer.enrich.loop import EnrichLoop
from consumer.enrich.planned import Converted, Planned, Waits
from consumer.enrich.tally import Tally
from consumer.errors import CapiError
from consumer.ingest import Ingest
from consumer.kafka.registry import SchemaStore
from consumer.model import Conversion, Record
from consumer.settings import load
from consumer.telemetry import logs

STEPS = ("idle", "begun", "produced", "positions_sent", "committed", "stored")
LOOK_EVERY_S = 0.02
HOLD_S = 0.001


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
        elif record is not None and not isinstance(planned, Waits):
            yield f"{record.origin}\n"


def main(settings_file: str, folder: str) -> int:
    """Run until SIGTERM."""
    settings = load(Path(settings_file))
    logs.configure(settings.telemetry.log_level, instance_id=settings.instance_id)
    with (Path(folder) / "steps").open("r+b") as file:
        steps = mmap.mmap(file.fileno(), 2)
    store = SchemaStore(settings.registry)
    schema = load_schema("conversion")
    subject = f"{settings.topics.prefix}.conversions-value"

    def on_step(step: str) -> None:
        steps[0] = STEPS.index(step)
        while steps[1] == steps[0]:
            time.sleep(HOLD_S)

    encode: Encoder[Conversion] = Encoder(schema, store.register(subject, schema))
    loop = EnrichLoop(
        settings, Ingest(store.schema), encode, tally=Noting(Path(folder) / "endings"), on_step=on_step
    )
    stop, looking = threading.Event(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    looker = threading.Thread(target=_look, args=(loop, Path(folder), looking))
    looker.start()
    try:
        loop.run(stop)
    except CapiError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return error.exit_code
    finally:
        looking.set()
        looker.join()
    return 0


def _look(loop: EnrichLoop, folder: Path, end: threading.Event) -> None:
    """Write what the loop says of itself, whenever that changes and once at the end."""
    last = b""
    while True:
        ended = end.wait(LOOK_EVERY_S)
        status = loop.status() | {"tally": _tally(loop)}
        text = json.encode(status)
        if text != last:
            draft = folder / "status.new"
            draft.write_bytes(text)
            draft.replace(folder / "status.json")
            last = text
        if ended:
            return


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
