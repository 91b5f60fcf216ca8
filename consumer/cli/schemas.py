"""`capi schemas`: whether our schemas hold what they promise, and putting them into the registry."""

from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from consumer.cli.options import ConfigOption, Output, OutputOption, write_json

if TYPE_CHECKING:
    from consumer.contracts import Finding
    from consumer.settings import Settings

group = typer.Typer(help="Our schemas: checking them, registering them.", no_args_is_help=True)
WithRegistry: TypeAlias = Annotated[
    bool, typer.Option("--registry/--no-registry", help="Compare with what the registry has, too.")
]
WithShop: TypeAlias = Annotated[
    bool, typer.Option("--shop", help="The shop's orders and checkouts too, for a try-out.")
]


@group.command()
def check(
    config: ConfigOption = None,
    registry: WithRegistry = True,
    output: OutputOption = Output.TABLE,
) -> None:
    """Check that schemas parse, take their examples and read what earlier versions wrote. Exit code 1 if not."""
    from consumer.codec import schemas_dir
    from consumer.contracts import check_released
    from consumer.settings import load

    findings = check_released(schemas_dir())
    if registry:
        findings += _check_registered(load(config))
    if output is Output.JSON:
        write_json([{"what": each.what, "problems": each.problems} for each in findings])
    else:
        typer.echo("\n".join(map(str, findings)))
    if any(finding.problems for finding in findings):
        raise typer.Exit(1)


@group.command()
def register(
    config: ConfigOption = None, shop: WithShop = False, output: OutputOption = Output.TABLE
) -> None:
    """Register our schemas under their topics' subjects. Twice does nothing."""
    from consumer.contracts import newest
    from consumer.kafka.registry import SchemaStore
    from consumer.settings import load

    settings = load(config)
    store = SchemaStore(settings.registry)
    wanted = _ours(settings) | (_of_the_shop(settings) if shop else {})
    ids = {subject: store.register(subject, newest(name)) for name, subject in wanted.items()}
    if output is Output.JSON:
        write_json(ids)
    else:
        typer.echo("\n".join(f"{subject}: schema {schema_id}" for subject, schema_id in ids.items()))


def _check_registered(settings: "Settings") -> "list[Finding]":
    from consumer.contracts import check_registered, newest
    from consumer.kafka.registry import SchemaStore

    store = SchemaStore(settings.registry)
    ours = _ours(settings)
    return [
        finding
        for name, subject in (ours | _of_the_shop(settings)).items()
        for finding in check_registered(store, subject, newest(name), ours=name in ours)
    ]


def _ours(settings: "Settings") -> dict[str, str]:
    """Subjects that we write to, by the name of their schema."""
    prefix = settings.topics.prefix
    topics = {"conversion": "conversions", "ending": "endings", "receipt": "receipts"}
    return {name: f"{prefix}.{topic}-value" for name, topic in topics.items()}


def _of_the_shop(settings: "Settings") -> dict[str, str]:
    """Subjects that the shop writes to, by the name of their schema."""
    return {"order": f"{settings.topics.orders}-value", "checkout": f"{settings.topics.checkouts}-value"}
