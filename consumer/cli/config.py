"""`capi config`: the settings, checked, shown and described."""

from typing import Annotated

import typer

from consumer.cli.options import ConfigOption, Output, write_json

group = typer.Typer(help="The settings: check them, show them, describe them.", no_args_is_help=True)
SECRET = ("password", "secret", "token", "sasl.jaas", "key.pem")
HIDDEN = "****"


@group.command()
def check(config: ConfigOption = None) -> None:
    """Say if the settings are right, without connecting to anything."""
    from consumer.deliver.checks import check_files
    from consumer.ingest.decode import mappings_of
    from consumer.kafka.clients import check_config
    from consumer.settings import load

    settings = load(config)
    check_config(settings.kafka)
    check_files(settings)
    mappings_of(settings.mapping)
    typer.echo("The settings are right.")


@group.command()
def show(
    config: ConfigOption = None,
    output: Annotated[Output, typer.Option("--output", "-o", help="YAML, or JSON.")] = Output.TABLE,
) -> None:
    """Print every setting as it holds, secrets hidden."""
    import yaml

    from consumer.settings import load

    values = load(config).model_dump(mode="json")
    extra = values["kafka"]["extra"]
    values["kafka"]["extra"] = {key: HIDDEN if _secret(key) else value for key, value in extra.items()}
    if output is Output.JSON:
        write_json(values)
    else:
        typer.echo(yaml.safe_dump(values, sort_keys=False, allow_unicode=True).rstrip())


def _secret(key: str) -> bool:
    return any(word in key for word in SECRET)


@group.command()
def schema() -> None:
    """Print the settings' JSON schema."""
    from consumer.settings import Settings

    write_json(Settings.model_json_schema())
