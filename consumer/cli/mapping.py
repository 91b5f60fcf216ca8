"""`capi mapping`: what a shop's record becomes by a mapping, or which path is wrong."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from consumer.cli.options import ConfigOption, Output, OutputOption, write_json

if TYPE_CHECKING:
    from consumer.ingest.rules import Mappings
    from consumer.model import Checkout, Order

group = typer.Typer(help="Mappings of a shop's own schemas.", no_args_is_help=True)
HIDDEN = "****"
MASKED = ("ip", "user_agent")
ID = 1


class Of(StrEnum):
    """What a record is."""

    ORDER = "order"
    CHECKOUT = "checkout"


@group.command("try")
def try_(
    file: Annotated[Path, typer.Argument(help="The mapping.", show_default=False)],
    record: Annotated[Path, typer.Option(help="A record as JSON.", show_default=False)],
    kind: Annotated[Of, typer.Option(help="What the record is.")] = Of.ORDER,
    schema: Annotated[
        Path | None,
        typer.Option(
            help="Its Avro schema.", show_default="order.avsc beside the mapping, else the registry's latest"
        ),
    ] = None,
    config: ConfigOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show what a record becomes: hashes for people, IP address and user agent masked. Exit code 1 if it can't be."""
    from consumer.avrojson import Unfit
    from consumer.errors import RecordError
    from consumer.ingest.decode import check_mapping, mappings_of

    mappings = mappings_of(file)
    text, where = _schema(file, kind, schema, config)
    check_mapping(mappings, kind.value, text, where)
    try:
        thing = _mapped(mappings, kind, text, record)
    except (RecordError, Unfit) as error:
        reason = error.reason if isinstance(error, RecordError) else "unfit"
        if output is Output.JSON:
            write_json({"reason": reason, "problem": str(error)})
        else:
            typer.echo(f"{reason}: {error}", err=True)
        raise typer.Exit(1) from None
    _show(kind, thing, output)


def _schema(mapping: Path, kind: Of, schema: Path | None, config: Path | None) -> tuple[str, str]:
    """The schema's text, and where it is from. Raises ConfigurationError, Unreachable, Refused."""
    from consumer.errors import ConfigurationError
    from consumer.kafka.registry import SchemaStore
    from consumer.settings import load

    beside = mapping.with_name(f"{kind.value}.avsc")
    if schema is not None or beside.is_file():
        found = schema or beside
        return _read(found, "--schema"), str(found)
    settings = load(config)
    subject = f"{settings.topics.orders if kind is Of.ORDER else settings.topics.checkouts}-value"
    latest = SchemaStore(settings.registry).latest(subject)
    if latest is None:
        raise ConfigurationError(f"the registry has no {subject}; name the record's schema with --schema")
    return latest.schema_json, f"{subject} version {latest.version}"


def _mapped(mappings: "Mappings", kind: Of, schema: str, record: Path) -> "Order | Checkout | None":
    import msgspec

    from consumer.avrojson import Unfit, as_avro
    from consumer.codec import Encoder, parse_schema
    from consumer.ingest.decode import Ingest
    from consumer.model import Record

    try:
        told = msgspec.json.decode(_read(record, "--record"))
    except msgspec.DecodeError as error:
        raise Unfit(f"{record} is not JSON: {error}") from None
    encode: Encoder[dict[str, object]] = Encoder(schema, ID)
    given = Record(kind.value, 0, 0, 0, None, encode(as_avro(parse_schema(schema), told)))
    ingest = Ingest(lambda _: schema, mappings)
    if kind is Of.CHECKOUT:
        return ingest.checkout(given)
    head = ingest.order_head(given)
    return None if head is None else ingest.order(given, head)


def _read(path: Path, option: str) -> str:
    from consumer.errors import ConfigurationError

    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}; name a readable file with {option}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not text in UTF-8; name another file with {option}") from None


def _show(kind: Of, thing: "Order | Checkout | None", output: Output) -> None:
    shown = {"tombstone": True} if thing is None else masked(thing)
    if output is Output.JSON:
        write_json({kind.value: shown})
        return
    for path, value in _lines(shown, ""):
        typer.echo(f"{path}: {value}")


def masked(thing: "Order | Checkout") -> dict[str, object]:
    """The fields of an order or a checkout, without what tells a machine from another."""
    import msgspec

    fields: dict[str, object] = msgspec.to_builtins(thing)
    browser, head = fields.get("browser"), fields.get("head")
    if isinstance(browser, dict):
        fields["browser"] = {name: HIDDEN if name in MASKED else value for name, value in browser.items()}
    if isinstance(head, dict):
        head.pop("rest")
    return fields


def _lines(value: object, path: str) -> list[tuple[str, object]]:
    """Each value with its path; what is empty is left out."""
    if isinstance(value, dict):
        return [line for name, each in value.items() for line in _lines(each, f"{path}.{name}".lstrip("."))]
    if isinstance(value, list | tuple):
        return [line for place, each in enumerate(value) for line in _lines(each, f"{path}[{place}]")]
    return [(path, value)] if value not in ("", 0, None) or value is True else []
