"""`capi demo`: the whole of it, on this machine, with a report at the end."""

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from consumer.cli.options import Output, OutputOption, SeedOption, write_json

if TYPE_CHECKING:
    from consumer.demo.facts import Facts
    from consumer.demo.surroundings import Asked

ALL = "all"
INTERRUPTED = 130


def demo(
    seed: SeedOption = 1,
    orders: Annotated[
        int, typer.Option(min=1, help="Orders; checkouts that came to nothing come with them.")
    ] = 2000,
    destinations: Annotated[str, typer.Option(help="Platforms, comma-separated, or all.")] = ALL,
    bootstrap: Annotated[
        str,
        typer.Option(
            help="An existing cluster, host:port; else a real Kafka is started.", show_default=False
        ),
    ] = "",
    registry: Annotated[
        str, typer.Option(help="An existing schema registry's address; else an emulator.", show_default=False)
    ] = "",
    mapping: Annotated[
        str,
        typer.Option(
            help="The platform whose records the shop writes, such as shopify.", show_default="ours"
        ),
    ] = "",
    report: Annotated[
        Path | None, typer.Option(help="Where to write the report as JSON.", show_default=False)
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Send a made-up shop's traffic through real Kafka to emulated platforms, and prove what came of it.

    Exit code 1 if anything was lost, counted twice, or is not as the shop's own truth says.
    """
    from consumer.demo.report import report as as_report
    from consumer.demo.surroundings import Asked

    _check_writable(report)
    _check_address(registry)
    _check_mapping(mapping)
    facts = _run(Asked(seed, orders, _platforms(destinations), bootstrap, registry, mapping))
    made = as_report(facts)
    if output is Output.JSON:
        write_json(made)
    else:
        _show(facts)
    if report is not None:
        _write(report, made)
    if not made.conservation.holds:
        raise typer.Exit(1)


def _platforms(text: str) -> tuple[str, ...]:
    """The platforms named, each once. Raises BadParameter for one that has no emulator."""
    from consumer.emulators.platforms import STAND_INS

    if text == ALL:
        return tuple(STAND_INS)
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in STAND_INS]
    if unknown or not names:
        message = (
            f"{', '.join(unknown) or 'nothing'} is not known here; known are {', '.join(STAND_INS)}, or {ALL}"
        )
        raise typer.BadParameter(message, param_hint="--destinations")
    return names


def _run(asked: "Asked") -> "Facts":
    import gc

    from rich.console import Console

    from consumer.cli.run import GC_THRESHOLDS
    from consumer.clock import SystemClock
    from consumer.demo.conservation import violations
    from consumer.demo.demo import run
    from consumer.demo.progress import View
    from consumer.demo.surroundings import Surroundings
    from consumer.telemetry import logs

    gc.set_threshold(*GC_THRESHOLDS)
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # a shell that starts it in the background ignores the first
        signal.signal(number, signal.default_int_handler)
    clock = SystemClock()
    view = View(Console(stderr=True), clock)
    with Surroundings(asked, view.say) as around, (around.folder / "log.ndjson").open("w") as lines:
        logs.configure("info", stream=lines, readable=False)
        try:
            facts = run(asked, around, view, clock)
            around.keep = any(violations(facts))
        except Exception:
            around.keep = True
            raise
        finally:
            logs.configure("warning")
    return facts


def _show(facts: "Facts") -> None:
    from rich.console import Console

    from consumer.demo.show import show, wide

    console = Console()
    console.width = wide(console)
    console.print(show(facts, console.width))


def _check_writable(path: Path | None) -> None:
    """Better now than in a minute. Raises BadParameter."""
    if path is not None and not path.absolute().parent.is_dir():
        message = f"{path.parent} is no folder"
        raise typer.BadParameter(message, param_hint="--report")


def _check_mapping(name: str) -> None:
    """Refuse a mapping that isn't ready. Raises BadParameter."""
    from consumer.emulators.shop.shapes import SHAPES

    if name and name not in SHAPES:
        message = f"{name} is not known here; known are {', '.join(SHAPES)}"
        raise typer.BadParameter(message, param_hint="--mapping")


def _check_address(url: str) -> None:
    """Refuse what the settings would refuse. Raises BadParameter."""
    from consumer.settings import safe_url

    try:
        safe_url(url or "https://")
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--registry") from None


def _write(path: Path, report: object) -> None:
    import msgspec

    from consumer.errors import ConfigurationError

    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    except OSError as error:
        message = f"{path}: {error.strerror}; name a file that can be written with --report"
        raise ConfigurationError(message) from None
