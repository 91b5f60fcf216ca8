"""`capi offsets`: where each group stands, and what to do about records that were deleted unread."""

import difflib
from typing import TYPE_CHECKING, Annotated

import typer

from consumer.cli.options import ConfigOption, Output, OutputOption, write_json
from consumer.errors import ConfigurationError

if TYPE_CHECKING:
    from consumer.kafka.offsets import Place
    from consumer.settings import Settings

group = typer.Typer(help="Where groups stand in their topics; going on behind a gap.", no_args_is_help=True)


@group.command()
def show(config: ConfigOption = None, output: OutputOption = Output.TABLE) -> None:
    """Show the oldest, the committed and the last offset of every partition, and what is wrong."""
    from consumer.kafka.offsets import places
    from consumer.settings import load

    settings = load(config)
    found = [
        place for name, topics in _groups(settings).items() for place in places(settings.kafka, name, topics)
    ]
    _print(found, output)


@group.command("accept-gap")
def accept_gap(
    of: Annotated[str, typer.Option("--group", help="The consumer group, as `capi offsets show` names it.")],
    config: ConfigOption = None,
    execute: Annotated[
        bool, typer.Option("--execute", help="Do it; else only say what would be done.")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Go on at the oldest record where what came next is gone. What was deleted unread stays unread."""
    from consumer.kafka import offsets
    from consumer.settings import load

    settings = load(config)
    known = _groups(settings)
    if of not in known:
        near = difflib.get_close_matches(of, list(known), n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        message = f"--group: {of!r} is no group of these settings; {hint}"
        raise ConfigurationError(message)
    if execute:
        moved = offsets.accept_gap(settings.kafka, of, known[of])
    else:
        moved = [place for place in offsets.places(settings.kafka, of, known[of]) if place.problem]
    _print(moved, output)
    done = "now goes on" if execute else "would go on (nothing is changed without --execute)"
    typer.echo(f"{of} {done} at the oldest record of {len(moved)} partitions.", err=True)


def _groups(settings: "Settings") -> dict[str, list[str]]:
    """Each group's name, and the topics that it reads."""
    from consumer.enrich.checks import topics_of

    named = settings.topics
    rekey = {} if named.orders_keyed_by_checkout else {f"{named.prefix}.rekey": [named.orders]}
    enrich = {f"{named.prefix}.enrich": list(topics_of(settings).inputs)}
    return {**rekey, **enrich, **_of_destinations(settings)}


def _of_destinations(settings: "Settings") -> dict[str, list[str]]:
    from consumer.deliver.checks import topics_of
    from consumer.deliver.setup import platform_of

    found, prefix = {}, settings.topics.prefix
    for each in settings.destinations:
        topics = topics_of(prefix, each.platform)
        found[f"{prefix}.deliver.{each.name}"] = topics.read
        if platform_of(each).diagnosis is not None:
            found[f"{prefix}.diagnose.{each.name}"] = [topics.receipts]
    return found


def _print(places: "list[Place]", output: Output) -> None:
    if output is Output.JSON:
        fields = ("group", "topic", "partition", "oldest", "committed", "end", "lag", "problem")
        write_json([{name: getattr(place, name) for name in fields} for place in places])
        return
    for at in places:
        where = f"{at.group} {at.topic}[{at.partition}]"
        numbers = f"oldest {at.oldest}, committed {at.committed}, end {at.end}, lag {at.lag}"
        typer.echo(f"{where}: {numbers}{f' ({at.problem})' if at.problem else ''}")
