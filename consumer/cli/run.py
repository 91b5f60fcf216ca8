"""`capi run`: the roles of the product, until a signal."""

import os
import signal
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from consumer.cli.options import ConfigOption

if TYPE_CHECKING:
    from consumer.app import App

INTERRUPTED = 130
GC_THRESHOLDS = (100_000, 50, 100)
"""Few of the many short-lived objects are in cycles: looking for them less often gave senders 8 to 38 % more."""


class RoleName(StrEnum):
    """What a process does."""

    ALL = "all"
    REKEY = "rekey"
    ENRICH = "enrich"
    DELIVER = "deliver"
    LEDGER = "ledger"


def run(
    config: ConfigOption = None,
    role: Annotated[RoleName, typer.Option(help="What this process does.")] = RoleName.ALL,
    destination: Annotated[
        list[str] | None,
        typer.Option(help="Serve only this destination; may be given again.", show_default="all"),
    ] = None,
) -> None:
    """Run until SIGTERM or Ctrl-C, then drain; a second signal stops at once."""
    import gc

    from consumer.app import App
    from consumer.settings import load
    from consumer.telemetry import logs

    settings = load(config)
    logs.configure(settings.telemetry.log_level, instance_id=settings.instance_id)
    gc.set_threshold(*GC_THRESHOLDS)
    roles = None if role is RoleName.ALL else frozenset({role.value})
    app = App(settings, roles=roles, destinations=destination or ())
    _obey_signals(app)
    with app:
        app.wait()
    if app.failure is not None:
        raise app.failure
    raise typer.Exit(app.exit_code)


def _obey_signals(app: "App") -> None:
    asked = False

    def handle(_number: int, _frame: object) -> None:
        nonlocal asked
        if asked:
            os._exit(INTERRUPTED)
        asked = True
        app.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
