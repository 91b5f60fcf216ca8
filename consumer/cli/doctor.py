"""`capi doctor`: whether all is there that deliveries need, and what to do about what isn't."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from consumer.cli.options import ConfigOption, Output, OutputOption, write_json

if TYPE_CHECKING:
    from consumer.deliver.doctor import Finding


def doctor(
    destination: Annotated[
        list[str] | None,
        typer.Option(help="Look only at this destination; may be given again.", show_default="all"),
    ] = None,
    send_test: Annotated[
        bool,
        typer.Option(
            "--send-test",
            help="Send a test event where only such proves the credentials: it may count. Needs test_event_code.",
        ),
    ] = False,
    config: ConfigOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Look at settings, token files, hosts, access and credentials, Kafka's topics and the registry.

    Exit code 78 if settings or topics are wrong, else 77 if credentials are refused, else 69 if something can't be
    reached, else 1 if an event is refused; 0 if all that could be looked at is right.
    """
    from consumer.app import chosen
    from consumer.deliver.doctor import examine, exit_code
    from consumer.settings import load

    settings = load(config)
    named = chosen(settings, tuple(dict.fromkeys(destination or ())))
    found = examine(settings, named, send_test=send_test)
    if output is Output.JSON:
        write_json(found)
    else:
        typer.echo("\n".join(_lines(found)))
    if code := exit_code(found):
        raise typer.Exit(code)


def _lines(found: "Iterable[Finding]") -> list[str]:
    """A line each, in columns, but for the last, which is as long as it must be."""
    rows = [(each.subject, each.check, each.state, each.says) for each in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:3]
    return [
        "  ".join([*(text.ljust(width) for text, width in zip(row[:3], widths, strict=True)), row[3]])
        for row in rows
    ]
