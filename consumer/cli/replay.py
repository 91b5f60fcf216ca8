"""`capi dlq replay`: which letters would be sent again and which not, and sending them."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from consumer.cli.letters import FiltersArgument, opened, wanted
from consumer.cli.options import ConfigOption, Output, OutputOption, write_json

if TYPE_CHECKING:
    from consumer.deadletter.audit import Deed
    from consumer.deadletter.filters import Filter
    from consumer.deadletter.read import Read
    from consumer.kafka.registry import SchemaStore
    from consumer.kafka.writer import TransactionalWriter
    from consumer.replay.look import Targets
    from consumer.replay.plan import Plan
    from consumer.settings import Settings

PARTIAL = 3
RATE_MAX = 10_000


def replay(
    filters: FiltersArgument = None,
    execute: Annotated[
        bool, typer.Option("--execute", help="Send them; else only say what would be sent.")
    ] = False,
    rate: Annotated[int, typer.Option(min=1, max=RATE_MAX, help="Letters a second, at most.")] = 100,
    by: Annotated[str, typer.Option(help="Who does it.", show_default="the login name and the host")] = "",
    config: ConfigOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Send letters again: each to the destination that failed, or to enrich. What was sent or delivered stays.

    Exit code 3 if some can't be sent; the reasons are told.
    """
    import uuid

    from consumer.clock import SystemClock
    from consumer.kafka.registry import SchemaStore
    from consumer.replay.look import targets_of
    from consumer.replay.send import taken_over
    from consumer.settings import load

    settings, clock = load(config), SystemClock()
    meant = wanted(settings, filters)
    replay_id = uuid.uuid4().hex if execute else ""
    with ExitStack() as closing:
        store = SchemaStore(settings.registry)
        closing.callback(store.close)
        targets = targets_of(settings)
        writer = None
        if execute:  # before anything is looked at: from here on nobody else sends
            writer = closing.enter_context(
                taken_over(settings.kafka, settings.topics.prefix, targets.batch_max_bytes)
            )
        plan = _plan(settings, store, meant, targets, clock.now_ms())
        if output is Output.TABLE:
            typer.echo(
                "\n".join(_lines(plan, "goes" if execute else "would go")) or "There is no such letter."
            )
        if writer is not None:
            deed = _deed(meant, by, clock.now_ms())
            _carry_out(settings, writer, plan, deed, replay_id, rate)
    if output is Output.JSON:
        write_json(_told(plan, replay_id))
    _say_more(plan, replay_id, settings.topics.prefix)
    if not plan.is_whole:
        raise typer.Exit(PARTIAL)


def _plan(
    settings: "Settings", store: "SchemaStore", meant: "Filter", targets: "Targets", now_ms: int
) -> "Plan":
    from consumer.replay.look import look

    with opened(settings) as contents:

        def is_of(letter: "Read") -> bool:
            return not meant.orders or contents.tells_of(letter, meant.orders)

        return look(settings, store, meant, is_of, targets, now_ms)


def _deed(meant: "Filter", by: str, now_ms: int) -> "Deed":
    from consumer.deadletter.audit import Deed
    from consumer.replay.run import REPLAY

    return Deed(REPLAY, by or _who(), now_ms, meant.words, "")


def _who() -> str:
    import getpass
    import socket

    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        name = "unknown"
    return f"{name}@{socket.gethostname()}"


def _carry_out(
    settings: "Settings",
    writer: "TransactionalWriter",
    plan: "Plan",
    deed: "Deed",
    replay_id: str,
    rate: int,
) -> None:
    from consumer.clock import SystemClock
    from consumer.replay.run import carry_out

    def told(sent: int) -> None:
        typer.echo(f"sent {sent} of {len(plan.going)}", err=True)

    carry_out(settings, writer, plan.going, deed, replay_id, rate, told, SystemClock())


def _names(plan: "Plan") -> list[str]:
    return sorted({*plan.counts, *plan.staying})


def _lines(plan: "Plan", goes: str) -> Iterator[str]:
    from consumer.replay.plan import STAYS

    for name in _names(plan):
        yield f"{name or 'ingest'}: {plan.counts.get(name, 0)} {goes}"
        for reason, count in sorted(plan.staying.get(name, {}).items()):
            why = STAYS.get(reason, "its destination skips such")
            yield f"  {count} not, {reason}: {why}"


def _told(plan: "Plan", replay_id: str) -> dict[str, object]:
    """As JSON; the destination of what goes to enrich is empty."""
    return {
        "executed": bool(replay_id),
        "replay_id": replay_id,
        "destinations": [
            {
                "destination": name,
                "stage": "deliver" if name else "ingest",
                "goes": plan.counts.get(name, 0),
                "stays": dict(sorted(plan.staying.get(name, {}).items())),
            }
            for name in _names(plan)
        ],
    }


def _say_more(plan: "Plan", replay_id: str, prefix: str) -> None:
    """On stderr: what isn't known here, what was done, and how to watch it."""
    if any(plan.counts):
        typer.echo(
            "Consent is that of the conversion itself: what a customer has denied since isn't known here.",
            err=True,
        )
    if unknown := sum(each.letter.reason == "unknown" for each in plan.going):
        typer.echo(
            f"Of {unknown} nobody knows if the platform counted them: it may count them again.", err=True
        )
    if plan.going and not replay_id:
        typer.echo("Nothing was sent; --execute sends them.", err=True)
    if plan.going and replay_id:
        typer.echo(
            f"Sent {len(plan.going)} as replay {replay_id}: their receipts in {prefix}.receipts bear it. What fails "
            "again is a new letter (`capi dlq list since=5m`); capi_deliveries_total tells of the rest. A destination "
            "that is parked sends them once it is mended.",
            err=True,
        )
