"""What commands about letters share: filters, and the letters that they mean."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

if TYPE_CHECKING:
    from consumer.deadletter.contents import Contents
    from consumer.deadletter.filters import Filter
    from consumer.deadletter.scan import Letters
    from consumer.settings import Settings

FiltersArgument: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FILTER",
        help=(
            "Such as reason=rejected destination=meta-us since=24h. Names: reason, fault, stage, code, destination, "
            "platform, schema, event, order, since, until. Of one name any will do; every name must hold."
        ),
        show_default="all letters",
    ),
]
AllOption: TypeAlias = Annotated[bool, typer.Option("--all", help="Those too that were discarded.")]
TELL_EVERY_S = 2.0


def wanted(settings: "Settings", words: list[str] | None) -> "Filter":
    """The filter of a command. Raises BadParameter, and ConfigurationError for an unknown destination."""
    from consumer.clock import SystemClock
    from consumer.deadletter.filters import BadFilter, Known, parse
    from consumer.platforms import PLATFORMS

    known = Known([each.name for each in settings.destinations], list(PLATFORMS))
    try:
        return parse(words or [], known, SystemClock().now_ms())
    except BadFilter as error:
        raise typer.BadParameter(str(error), param_hint="FILTER") from None


@contextmanager
def opened(settings: "Settings") -> Iterator["Contents"]:
    """What decodes letters, with the registry and the mapping of the settings."""
    from consumer.deadletter.contents import Contents
    from consumer.ingest.decode import mappings_of
    from consumer.kafka.registry import SchemaStore

    mappings = mappings_of(settings.mapping)
    store = SchemaStore(settings.registry)
    try:
        yield Contents(settings.topics, mappings, store.schema)
    finally:
        store.close()


@contextmanager
def found(
    settings: "Settings", meant: "Filter", *, with_discarded: bool, contents: "Contents | None" = None
) -> Iterator["Letters"]:
    """The letters; decoders are only made if the filter asks for orders and none is given."""
    from consumer.deadletter.scan import Letters

    with ExitStack() as closing:
        if contents is None and meant.orders:
            contents = closing.enter_context(opened(settings))
        tells_of = None if contents is None else contents.tells_of
        yield closing.enter_context(
            Letters(settings, tells_of, with_discarded=with_discarded, on_seen=_progress())
        )


def _progress() -> Callable[["Letters"], None]:
    """Tells on stderr, if it is a terminal, how far reading is, every few seconds."""
    told_s = time.monotonic()

    def tell(letters: "Letters") -> None:
        nonlocal told_s
        now_s = time.monotonic()
        if now_s - told_s < TELL_EVERY_S or not sys.stderr.isatty():
            return
        told_s = now_s
        typer.echo(f"{letters.seen:,} of {letters.to_see:,} records are read", err=True)

    return tell


def say_what_is_left_out(letters: "Letters", *, with_discarded: bool) -> None:
    """On stderr: what was looked at and isn't shown."""
    if letters.foreign:
        typer.echo(f"{letters.foreign:,} records are no letters of ours.", err=True)
    if letters.discarded and not with_discarded:
        typer.echo(f"{letters.discarded:,} letters were discarded; --all shows them.", err=True)
