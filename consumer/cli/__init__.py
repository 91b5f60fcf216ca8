"""The command `capi`: one file a group of commands. What is heavy is imported by the command that needs it.

Exit codes: 0 ok, 1 error, 2 usage, 3 partial, 69 something unreachable, 77 refused credentials, 78 configuration,
130 interrupted. What ends a command is one clear text on stderr; data goes to stdout.
"""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from consumer.cli import (
    config,
    demo,
    dlq,
    doctor,
    emulate,
    mapping,
    offsets,
    preview,
    run,
    schemas,
    state,
    topics,
    traffic,
    why,
)
from consumer.errors import CapiError

app = typer.Typer(
    name="capi",
    help="Delivers a shop's conversions from Kafka to the advertising platforms' Conversion APIs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.command("demo")(demo.demo)
app.command("traffic")(traffic.traffic)
app.command("emulate")(emulate.emulate)
app.command("preview")(preview.preview)
app.command("doctor")(doctor.doctor)
app.command("why")(why.why)
app.add_typer(topics.group, name="topics")
app.add_typer(offsets.group, name="offsets")
app.add_typer(state.group, name="state")
app.add_typer(dlq.group, name="dlq")
app.add_typer(schemas.group, name="schemas")
app.add_typer(mapping.group, name="mapping")
app.add_typer(config.group, name="config")


def _version(asked: bool) -> None:  # noqa: FBT001 (Typer calls it so)
    if asked:
        typer.echo(version("capi-consumer"))
        raise typer.Exit


@app.callback()
def capi(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Delivers a shop's conversions from Kafka to the advertising platforms' Conversion APIs."""


def main() -> None:
    """Run the command line; errors of ours become one text and their exit code."""
    try:
        app()
    except CapiError as error:
        typer.echo(f"capi: {error}", err=True)
        sys.exit(error.exit_code)
