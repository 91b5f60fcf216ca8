"""Options that many commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeAlias

import typer


class Output(StrEnum):
    """How data is written to stdout."""

    TABLE = "table"
    JSON = "json"


ConfigOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--config", help="The settings file; else CAPI_CONFIG.", show_default=False),
]
OutputOption: TypeAlias = Annotated[Output, typer.Option("--output", "-o", help="How to print it.")]
SeedOption: TypeAlias = Annotated[int, typer.Option(help="The same seed makes the same traffic.")]


def write_json(data: object) -> None:
    """One JSON document on stdout."""
    import msgspec

    typer.echo(msgspec.json.format(msgspec.json.encode(data), indent=2).decode())
