"""`capi topics`: what the topics must be, and making them so."""

from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from consumer.cli.options import ConfigOption, Output, OutputOption, write_json

if TYPE_CHECKING:
    from consumer.kafka.topics import Change, TopicSpec
    from consumer.settings import Settings

group = typer.Typer(help="Our topics: what is missing or differs, and making it right.", no_args_is_help=True)
Partitions: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Partitions of keyed topics, fixed for life: as many as checkouts has, else 6; 48 for production.",
    ),
]
WithShop: TypeAlias = Annotated[
    bool, typer.Option("--shop", help="The shop's own topics too, for a try-out.")
]


@group.command()
def plan(
    config: ConfigOption = None,
    partitions: Partitions = None,
    shop: WithShop = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show what `apply` would do. Changes nothing."""
    from consumer.kafka.topics import Topics
    from consumer.settings import load

    settings = load(config)
    wanted = _wanted(settings, partitions, shop=shop)
    _print(Topics(settings.kafka).plan(wanted), output, "Nothing to do: all topics are as they should be.")


@group.command()
def apply(
    config: ConfigOption = None,
    partitions: Partitions = None,
    replication_factor: Annotated[
        int, typer.Option(help="Copies of each partition; -1 takes the cluster's own setting.")
    ] = -1,
    shop: WithShop = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Create what is missing and mend what differs. Never shrinks a topic; twice does nothing."""
    from consumer.kafka.topics import Topics
    from consumer.settings import load

    settings = load(config)
    wanted = _wanted(settings, partitions, shop=shop)
    done = Topics(settings.kafka).apply(wanted, replication_factor)
    _print(done, output, "Nothing to do: all topics are as they should be.")


def _wanted(settings: "Settings", partitions: int | None, *, shop: bool) -> "list[TopicSpec]":
    from consumer.kafka.topics import PARTITIONS, partitions_of, specs

    named = settings.topics
    keyed = named.orders if named.orders_keyed_by_checkout else named.checkouts
    count = partitions or partitions_of(settings.kafka, keyed) or PARTITIONS
    return specs(settings, count, shop=shop)


def _print(changes: "list[Change]", output: Output, nothing: str) -> None:
    if output is Output.JSON:
        write_json([str(change) for change in changes])
    else:
        typer.echo("\n".join(str(change) for change in changes) or nothing)
