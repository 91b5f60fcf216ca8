"""Rekey in a process of its own: `python -m tests.broker.rekey_process SETTINGS FOLDER`.

It leaves `steps` and `status.json` in FOLDER, and ends as `enrich_process.py` does.
"""

import sys
from pathlib import Path

from consumer.ingest import Ingest
from consumer.kafka.registry import SchemaStore
from consumer.rekey.loop import RekeyLoop
from consumer.settings import load
from consumer.telemetry import logs
from tests.broker.role_process import run, stepping


def main(settings_file: str, folder: str) -> int:
    """Run until SIGTERM."""
    settings = load(Path(settings_file))
    logs.configure(settings.telemetry.log_level, instance_id=settings.instance_id)
    store = SchemaStore(settings.registry)
    loop = RekeyLoop(settings, Ingest(store.schema).order_head, on_step=stepping(Path(folder)))
    return run(loop.run, lambda: loop.status() | {"tally": loop.tally.snapshot()}, Path(folder))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
