"""`capi why`: one order's story, from the ledger."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from consumer.cli.options import ConfigOption, Output, OutputOption, write_json

if TYPE_CHECKING:
    from consumer.ledger.ask import Asked
    from consumer.ledger.story import ConversionStory, DeliveryStory, EndingStory, Story
    from consumer.settings import Settings

NOTHING = 1


def why(
    sought: Annotated[
        str,
        typer.Argument(metavar="ORDER_ID", help="An order's id, or a checkout's, an event's, or an e-mail."),
    ],
    ledger: Annotated[
        str, typer.Option(help="Address of the ledger; else this machine's, else its file.", show_default="")
    ] = "",
    config: ConfigOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Tell what became of an order at every destination, and what to do next. An e-mail is hashed here, and only that.

    Exit code 1 if the ledger knows nothing of it.
    """
    from consumer.settings import load

    story = _story(load(config), sought, ledger)
    if output is Output.JSON:
        write_json(story)
    elif story:
        typer.echo("\n".join(map(_shown, lines(story))))
    if not story:
        typer.echo("The ledger knows nothing of it; it may not have come yet, or be too old.", err=True)
        raise typer.Exit(NOTHING)


def _story(settings: "Settings", sought: str, address: str) -> "Story":
    """The first that knows it: an e-mail by its hash, else an order, a checkout, an event."""
    from consumer.ledger.ask import ask
    from consumer.ledger.story import Story

    for question in _questions(sought):
        if story := ask(settings, question, address):
            return story
    return Story((), ())


def _questions(sought: str) -> "Iterator[Asked]":
    from consumer.ingest.identity import Address, Customer, hashed
    from consumer.ledger.ask import Asked

    if "@" in sought:
        customer = Customer("", sought, "", "", "", "", "")
        digest = hashed(customer, Address("", "", "", "", "")).get("email", "")
        if digest:
            yield Asked("email", digest)
            return
    yield Asked("order", sought)
    yield Asked("checkout", sought)
    yield Asked("event", sought)


def lines(story: "Story") -> Iterator[str]:
    """The story in plain words."""
    for ending in story.endings:
        yield from _ending(ending)
    for conversion in story.conversions:
        yield from _conversion(conversion)
    if story.more:
        yield "There is more than this; ask for one order or event."


def _ending(ending: "EndingStory") -> Iterator[str]:
    what = f"{ending.ending}{ending.reason and f', {ending.reason}'}"
    ids = f" ({', '.join(ending.event_ids)})" if ending.event_ids else ""
    yield f"{_at(ending.at_ms)}  record {ending.record}: {what}{ids}"
    if ending.next:
        yield f"    next: {ending.next}"


def _conversion(conversion: "ConversionStory") -> Iterator[str]:
    only = ", without its checkout" if conversion.order_only else ""
    worth = _money(conversion.value_minor, conversion.currency)
    yield f"{_at(conversion.event_time_ms)}  {conversion.event_id or 'a conversion that cannot be read'}{worth}{only}"
    yield f"    in {conversion.place}{conversion.origin and f', of {conversion.origin}'}"
    for delivery in conversion.deliveries:
        yield from _delivery(delivery)


def _delivery(delivery: "DeliveryStory") -> Iterator[str]:
    told = ", ".join(each for each in (delivery.reason, delivery.code) if each)
    late = ", found by the platform afterwards" if delivery.late else ""
    yield f"  {delivery.destination}: {delivery.fate}{told and f' ({told})'}{late}"
    for receipt in delivery.receipts:
        tries = f" after {_attempts(receipt.attempts)}" if receipt.attempts else ", never sent"
        status = f", HTTP {receipt.http_status}" if receipt.http_status else ""
        replay = f", in replay {receipt.replay_id}" if receipt.replay_id else ""
        late = ", told late" if receipt.late else ""
        yield f"    {_at(receipt.settled_at_ms)}  {receipt.outcome}{tries}{status}{replay}{late}"
    if delivery.put_aside is not None:
        due_ms = delivery.put_aside.not_before_ms
        due = f"due {_at(due_ms)}" if due_ms else "due when it has lain there for a while"
        yield f"    put aside after {_attempts(delivery.put_aside.attempts)}, {due}"
    for letter in delivery.letters:
        at = f"{letter.at_topic}:{letter.at_partition}:{letter.at_offset}"
        yield f"    letter {at}: {letter.reason}{letter.message and f', {letter.message}'}"
    yield f"    next: {delivery.next}"


def _attempts(count: int) -> str:
    return "1 attempt" if count == 1 else f"{count} attempts"


def _money(minor: int, currency: str) -> str:
    from consumer.money import exponent

    digits = exponent(currency)
    return f", {minor / 10**digits:,.{digits}f} {currency}" if digits is not None else ""


def _shown(line: str) -> str:
    """As a terminal may have it: ids are the shop's, and may hold anything."""
    return line if line.isprintable() else "".join(each if each.isprintable() else "?" for each in line)


def _at(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at_ms else "-"
