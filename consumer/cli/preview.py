"""`capi preview`: what a destination would be sent, to the byte, without sending it."""

from collections import deque
from typing import TYPE_CHECKING, Annotated

import typer

from consumer.cli.options import ConfigOption, Output, OutputOption, write_json

if TYPE_CHECKING:
    from consumer.deliver.preview import Preview
    from consumer.model import Conversion
    from consumer.settings import Settings


def preview(
    destination: Annotated[str, typer.Option(help="The destination, by its name in the settings.")],
    last: Annotated[
        int, typer.Option(min=0, max=1000, help="The last conversions of the topic; 0 takes made-up ones.")
    ] = 0,
    event: Annotated[str, typer.Option(help="Only this event, such as purchase.", show_default="all")] = "",
    config: ConfigOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the exact requests, secrets, IP address and user agent masked. Nothing is sent."""
    from consumer.app import chosen
    from consumer.clock import SystemClock
    from consumer.deliver.credentials import TokenFile
    from consumer.deliver.preview import examples
    from consumer.deliver.preview import preview as previewed
    from consumer.deliver.setup import account_of, platform_of, wants_of
    from consumer.settings import load

    _check_event(event)
    settings = load(config)
    (named,) = chosen(settings, [destination])
    platform = platform_of(named)
    token = TokenFile(named.name, named.token_file).token
    wants = wants_of(named, platform, account_of(named, platform, token))
    now_ms = SystemClock().now_ms()
    told = _last(settings, last) if last else examples(now_ms)
    found = [
        previewed(each, platform, wants, now_ms) for each in told if not event or each.event_name == event
    ]
    if output is Output.JSON:
        write_json(found)
    else:
        for each in found:
            _print(each)
        if not found:
            typer.echo("There is no such conversion.", err=True)


def _check_event(event: str) -> None:
    from consumer.model import EventName

    known = [name.value for name in EventName]
    if event and event not in known:
        message = f"{event} is not known; known are {', '.join(known)}"
        raise typer.BadParameter(message, param_hint="--event")


def _last(settings: "Settings", count: int) -> "deque[Conversion]":
    """The newest conversions, over all partitions, in the order of their records' times."""
    from consumer.codec import Decoder, load_schema
    from consumer.kafka.registry import SchemaStore
    from consumer.kafka.tail import tail
    from consumer.model import Conversion

    store = SchemaStore(settings.registry)
    try:
        decode = Decoder(Conversion, load_schema("conversion"), store.schema)
        topic = f"{settings.topics.prefix}.conversions"
        return deque((decode(record.value or b"") for record in tail(settings.kafka, topic, count)), count)
    finally:
        store.close()


def _print(found: "Preview") -> None:
    import msgspec

    typer.echo(
        f"{found.event_id} ({found.event_name}): {found.outcome}{found.reason and f', {found.reason}'}"
    )
    if found.why:
        typer.echo(f"  {found.why}")
    if found.request is not None:
        typer.echo(f"{found.request.method} {found.request.url}")
        for name, value in found.request.headers.items():
            typer.echo(f"{name}: {value}")
        typer.echo()
        typer.echo(msgspec.json.format(bytes(found.request.body), indent=2).decode())
    typer.echo()
