"""`capi state`: what enrich remembers, held against its changelog, brought up to date, or dropped."""

import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from consumer.cli.options import ConfigOption, Output, OutputOption, write_json

if TYPE_CHECKING:
    from consumer.enrich.upkeep import Tell
    from consumer.state.restore import Restore
    from consumer.state.verify import Compared

group = typer.Typer(help="The local state of enrich, while no process uses it.", no_args_is_help=True)
Partitions: TypeAlias = Annotated[
    list[int] | None,
    typer.Option("--partition", min=0, help="Only this one; may be given again.", show_default="all"),
]
DIFFERS = 1
TELL_EVERY_S = 2.0


@group.command()
def inspect(
    key: Annotated[str, typer.Argument(help="The id of a checkout, an order or an event.")],
    config: ConfigOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show every entry about a checkout, an order or an event, decoded and masked."""
    from consumer.enrich import upkeep
    from consumer.enrich.entries import lines
    from consumer.settings import load

    found = upkeep.inspect(load(config), key)
    if output is Output.JSON:
        write_json(found.entries)
    else:
        typer.echo("\n".join(lines(found.entries)) or f"Nothing about {key}.")
    sought = (
        ", ".join(f"{number} (to offset {at or 0})" for number, at in found.checkpoints.items()) or "none"
    )
    typer.echo(f"Looked into partitions {sought} of {found.partitions}.", err=True)


@group.command()
def verify(
    partition: Partitions = None, config: ConfigOption = None, output: OutputOption = Output.TABLE
) -> None:
    """Compare the stores with the changelog, read afresh. Exit 1 if any differs."""
    from consumer.enrich import upkeep
    from consumer.settings import load

    found = []
    for one in upkeep.compare(load(config), partition or []):
        found.append(one)
        if output is Output.TABLE:
            typer.echo(_sentence(one))
    if output is Output.JSON:
        write_json([_plain(one) for one in found])
    elif not found:
        typer.echo("No store is here; `capi state restore` brings them.")
    if not all(one.holds for one in found):
        typer.echo(
            "What to do: `capi state reset --execute`, then `capi state restore` or a start.", err=True
        )
        raise typer.Exit(DIFFERS)


@group.command()
def restore(
    partition: Partitions = None, config: ConfigOption = None, output: OutputOption = Output.TABLE
) -> None:
    """Bring the local stores to the changelog's end, so that a start has little left to read."""
    from consumer.enrich import upkeep
    from consumer.settings import load

    at = upkeep.restore(load(config), partition or [], _progress())
    if output is Output.JSON:
        write_json({"restored": at})
    else:
        typer.echo(f"{len(at)} partitions are restored.")


@group.command()
def reset(
    partition: Partitions = None,
    config: ConfigOption = None,
    execute: Annotated[
        bool, typer.Option("--execute", help="Do it; else only say what would be done.")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Drop local stores, and what was moved aside of them; they are rebuilt from the topic."""
    from consumer.enrich import upkeep
    from consumer.settings import load

    dropped = upkeep.reset(load(config), partition or [], execute=execute)
    if output is Output.JSON:
        write_json({"executed": execute, "dropped": dropped})
        return
    for one in dropped:
        typer.echo(f"partition {one.partition}: {', '.join(one.folders)}, {one.bytes:,} bytes")
    done = "are dropped" if execute else "would be dropped (nothing is changed without --execute)"
    typer.echo(f"The stores of {len(dropped)} partitions {done}.", err=True)


def _progress() -> "Tell":
    """Tells on stderr how far a restore is, every few seconds."""
    told_s = time.monotonic()

    def tell(running: "Restore", done: Collection[int]) -> None:
        nonlocal told_s
        now_s = time.monotonic()
        if now_s - told_s < TELL_EVERY_S:
            return
        told_s = now_s
        eta_s = running.eta_s
        when = f", about {eta_s:.0f} s" if eta_s is not None else ""
        typer.echo(f"{len(done)} partitions are done, {running.left:,} records left{when}", err=True)

    return tell


def _plain(one: "Compared") -> dict[str, object]:
    from consumer.enrich.entries import name_of

    counts = ("partition", "same", "lacking", "extra", "other", "behind", "problem", "holds")
    return {**{name: getattr(one, name) for name in counts}, "first": [name_of(key) for key in one.first]}


def _sentence(one: "Compared") -> str:
    from consumer.enrich.entries import name_of

    counts = f"{one.same:,} as in the changelog, {one.behind:,} offsets behind"
    if one.holds:
        return f"partition {one.partition}: {counts}"
    differs = f"{one.lacking:,} lacking, {one.extra:,} too many, {one.other:,} other"
    first = "".join(f"\n  {name}" for name in map(name_of, one.first))
    return f"partition {one.partition}: DIFFERS: {one.problem or differs}; {counts}{first}"
