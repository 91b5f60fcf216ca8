"""`capi traffic`: believable orders and checkouts, and the truth of them."""

from pathlib import Path
from typing import Annotated

import typer

from consumer.cli.options import ConfigOption, Output, OutputOption, SeedOption, write_json


def traffic(
    truth: Annotated[Path, typer.Option(help="Where to write what must come of each event: NDJSON.")],
    config: ConfigOption = None,
    seed: SeedOption = 1,
    orders: Annotated[
        int, typer.Option(min=1, help="Orders; checkouts that came to nothing come with them.")
    ] = 1000,
    output: OutputOption = Output.TABLE,
) -> None:
    """Write a made-up shop's orders and checkouts to the configured topics, and what must come of them to a file."""
    from consumer.clock import SystemClock
    from consumer.demo.publish import Publisher, write_truth
    from consumer.emulators.platforms import STAND_INS
    from consumer.emulators.shop import Plan
    from consumer.emulators.shop import traffic as told
    from consumer.kafka.registry import SchemaStore
    from consumer.settings import load

    settings = load(config)
    takers = {name: stand_in.taker for name, stand_in in STAND_INS.items()}
    plan = Plan(seed=seed, orders=orders, now_ms=SystemClock().now_ms(), platforms=takers)
    publisher = Publisher(settings, SchemaStore(settings.registry))
    try:
        lines = write_truth(truth, publisher.publish(told(plan)))
    finally:
        publisher.close()
    if output is Output.JSON:
        write_json({"seed": seed, **publisher.written, "truth": lines})
    else:
        typer.echo(
            f"Seed {seed}: {publisher.written['orders']} records to {settings.topics.orders}, "
            f"{publisher.written['checkouts']} to {settings.topics.checkouts}, {lines} lines of truth to {truth}."
        )
