"""One measurement in a process of its own: `python -m tests.bench.role ROLE SETTINGS < asked.json > report.json`."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import json

from consumer.errors import CapiError
from consumer.settings import Settings, load
from consumer.telemetry import logs
from tests.bench.ground import Report
from tests.bench.role_bounds import bounds
from tests.bench.role_deliver import deliver
from tests.bench.role_enrich import enrich
from tests.bench.role_ledger import ledger
from tests.bench.role_restore import restore
from tests.bench.role_steps import steps

ROLES: Mapping[str, Callable[[Settings, Report], Report]] = {
    "enrich": enrich,
    "steps": steps,
    "deliver": deliver,
    "restore": restore,
    "ledger": ledger,
    "bounds": bounds,
}


def main(role: str, settings_file: str) -> int:
    """Measure what stdin asks for; the report goes to stdout."""
    settings = load(Path(settings_file))
    logs.configure("error", instance_id=settings.instance_id)
    try:
        report = ROLES[role](settings, json.decode(sys.stdin.buffer.read()))
    except CapiError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    sys.stdout.buffer.write(json.encode(report))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
