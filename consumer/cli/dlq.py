"""`capi dlq`: dead letters, listed, counted, opened, taken out as a file, sent again, and discarded."""

import sys
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from consumer.cli.letters import AllOption, FiltersArgument, found, opened, say_what_is_left_out, wanted
from consumer.cli.options import ConfigOption, Output, OutputOption, write_json
from consumer.cli.replay import replay

if TYPE_CHECKING:
    from consumer.deadletter.audit import Deed, Named
    from consumer.deadletter.filters import Filter
    from consumer.deadletter.groups import Group
    from consumer.deadletter.read import Read
    from consumer.deadletter.scan import Letters
    from consumer.model import Origin, Record

group = typer.Typer(help="Dead letters: what could not be used or delivered, and why.", no_args_is_help=True)


class By(StrEnum):
    """What parts groups besides their cause."""

    CAUSE = "cause"
    HOUR = "hour"


class Format(StrEnum):
    """What a file of letters is."""

    NDJSON = "ndjson"
    PARQUET = "parquet"


@group.command("list")
def list_(
    filters: FiltersArgument = None,
    last: Annotated[int, typer.Option(min=1, max=100_000, help="So many of them, the newest.")] = 20,
    all_: AllOption = False,
    config: ConfigOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List letters, the newest first. `capi dlq show` opens one."""
    from consumer.deadletter.rows import row
    from consumer.settings import load

    settings = load(config)
    meant = wanted(settings, filters)
    with found(settings, meant, with_discarded=all_) as letters:
        listed = letters.newest(last, meant)
        if output is Output.JSON:
            rows = [row(each, discarded=letters.is_discarded(each)) for each in listed]
            write_json({"letters": rows, "foreign": letters.foreign, "discarded": letters.discarded})
            return
        _print_list(listed, letters)
        _say_if_none(len(listed))
        say_what_is_left_out(letters, with_discarded=all_)


def _print_list(listed: "Sequence[Read]", letters: "Letters") -> None:
    from consumer.cli.columns import columns
    from consumer.deadletter.filters import rfc3339

    head = ("written", "letter", "reason", "fault", "destination", "code", "event id")
    rows = [
        (
            rfc3339(each.timestamp_ms),
            each.at,
            f"{each.reason}{' (discarded)' if letters.is_discarded(each) else ''}",
            *(each.fault, each.destination, each.code, each.event_id),
        )
        for each in listed
    ]
    if rows:
        typer.echo(columns(head, rows))


@group.command()
def groups(
    filters: FiltersArgument = None,
    by: Annotated[By, typer.Option(help="What parts them.")] = By.CAUSE,
    all_: AllOption = False,
    config: ConfigOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Count letters by cause: reason, fault, destination, code and schema; with `--by hour` by hour as well."""
    from consumer.deadletter.groups import Groups
    from consumer.settings import load

    settings = load(config)
    meant, counted = wanted(settings, filters), Groups(by_hour=by is By.HOUR)
    with found(settings, meant, with_discarded=all_) as letters:
        for letter in letters.scan(meant):
            counted.add(letter)
        rows = [_group_row(each) for each in counted]
        if output is Output.JSON:
            write_json({"groups": rows, "foreign": letters.foreign, "discarded": letters.discarded})
            return
        _print_groups(rows)
        _say_if_none(len(rows))
        say_what_is_left_out(letters, with_discarded=all_)


def _group_row(one: "Group") -> "dict[str, str | int]":
    from msgspec.structs import asdict

    from consumer.deadletter.filters import rfc3339

    cause = asdict(one.cause)
    hour_ms = cause.pop("hour_ms")
    return {
        **({"hour": rfc3339(hour_ms)} if hour_ms else {}),
        "letters": one.letters,
        **cause,
        "first_at": rfc3339(one.first_ms),
        "last_at": rfc3339(one.last_ms),
        "example": str(one.example),
    }


def _print_groups(rows: "Sequence[dict[str, str | int]]") -> None:
    from consumer.cli.columns import columns

    if rows:
        head = [name.replace("_id", "").replace("_at", "") for name in rows[0]]
        typer.echo(columns(head, [[value or "" for value in row.values()] for row in rows]))


@group.command()
def show(
    place: Annotated[
        str, typer.Argument(metavar="TOPIC:PARTITION:OFFSET", help="As `capi dlq list` names it.")
    ],
    config: ConfigOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Open a letter: what happened, whose fault it is, what to do, and its value without the people in it."""
    from consumer.deadletter import words
    from consumer.deadletter.read import Read
    from consumer.deadletter.rows import row
    from consumer.errors import CapiError
    from consumer.settings import load

    settings, at = load(config), _place(place)
    with found(settings, wanted(settings, []), with_discarded=True) as letters:
        letter = letters.at(at)
        if letter is None:
            raise CapiError(f"there is no letter at {place}; retention may have taken it")
        if not isinstance(letter, Read):
            _print_foreign(letter, output)
            return
        discarded = letters.is_discarded(letter)
    with opened(settings) as contents:
        told = contents.told(letter)
    if output is Output.JSON:
        said = {"means": words.means(letter), "advice": words.advice(letter)}
        write_json({"letter": row(letter, discarded=discarded), **said, "value": told})
    else:
        typer.echo("\n".join(words.in_words(letter, told, discarded=discarded)))


def _place(text: str) -> "Origin":
    from consumer.model import Origin

    topic, _, offset = text.rpartition(":")
    topic, _, partition = topic.rpartition(":")
    if not (topic and partition.isdecimal() and offset.isdecimal()):
        message = f"{text!r} is no place; write it as capi.dlq.meta:0:12"
        raise typer.BadParameter(message, param_hint="TOPIC:PARTITION:OFFSET")
    return Origin(topic, int(partition), int(offset))


def _print_foreign(record: "Record", output: Output) -> None:
    from consumer.deadletter import words

    if output is Output.JSON:
        write_json({"foreign": words.foreign(record)})
    else:
        typer.echo(words.foreign(record))


@group.command()
def export(
    filters: FiltersArgument = None,
    file: Annotated[
        Path | None, typer.Option(help="Where to; lines go to stdout without it.", show_default=False)
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="Lines of JSON, or a table.")] = Format.NDJSON,
    all_: AllOption = False,
    config: ConfigOption = None,
) -> None:
    """Write letters to a file, masked as everywhere, in the order of their places."""
    from consumer.deadletter import export as files
    from consumer.settings import load

    if file is None and format_ is Format.PARQUET:
        message = "a table needs a file; name one with --file"
        raise typer.BadParameter(message, param_hint="--format")
    settings = load(config)
    meant = wanted(settings, filters)
    with (
        opened(settings) as contents,
        found(settings, meant, with_discarded=all_, contents=contents) as letters,
    ):
        lines = (
            files.line(each, contents.told(each), discarded=letters.is_discarded(each))
            for each in letters.scan(meant)
        )
        if file is None:
            count = files.write_lines(lines, sys.stdout.buffer)
        else:
            count = (files.parquet if format_ is Format.PARQUET else files.ndjson)(lines, file)
        typer.echo(f"{count:,} letters are written{f' to {file}' if file else ''}.", err=True)
        say_what_is_left_out(letters, with_discarded=all_)


group.command()(replay)


@group.command()
def discard(
    filters: FiltersArgument = None,
    execute: Annotated[
        bool, typer.Option("--execute", help="Do it; else only say what would be done.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why, for those who ask later.", show_default=False)] = "",
    by: Annotated[str, typer.Option(help="Who does it.", show_default="the login name")] = "",
    config: ConfigOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Leave letters out of lists and groups from now on, and note it in the audit topic. They stay in Kafka."""
    from consumer.deadletter import audit
    from consumer.settings import load

    settings = load(config)
    meant = wanted(settings, filters)
    _check_discard(filters, reason, execute=execute)
    deed = _deed(meant, by, reason) if execute else None
    with found(settings, meant, with_discarded=False) as letters:
        named = [audit.named(letter) for letter in letters.scan(meant)]
        if deed is not None and named:
            audit.write(settings.kafka, letters.audit, audit.entries(deed, named))
    _print_discard(named, output, execute=execute)


def _check_discard(filters: list[str] | None, reason: str, *, execute: bool) -> None:
    if execute and not reason.strip():
        message = "it must be said why letters are discarded; add --reason TEXT"
        raise typer.BadParameter(message, param_hint="--reason")
    if execute and not filters:
        message = "without a filter every letter would be discarded; name at least one"
        raise typer.BadParameter(message, param_hint="FILTER")


def _deed(meant: "Filter", by: str, reason: str) -> "Deed":
    from consumer.clock import SystemClock
    from consumer.deadletter.audit import DISCARD, Deed

    return Deed(DISCARD, by or _login(), SystemClock().now_ms(), meant.words, reason.strip())


def _login() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        message = "this machine's user has no name; say who does it with --by NAME"
        raise typer.BadParameter(message, param_hint="--by") from None


def _print_discard(named: "Sequence[Named]", output: Output, *, execute: bool) -> None:
    counts = dict(sorted(Counter(each.reason for each in named).items()))
    if output is Output.JSON:
        write_json({"executed": execute, "letters": len(named), "counts": counts})
        return
    for reason, count in counts.items():
        typer.echo(f"{reason}: {count:,}")
    _say_if_none(len(named))
    if named:
        done = "are discarded" if execute else "would be discarded (nothing is changed without --execute)"
        typer.echo(f"{len(named):,} letters {done}.", err=True)


def _say_if_none(count: int) -> None:
    if not count:
        typer.echo("No letter matches.", err=True)
