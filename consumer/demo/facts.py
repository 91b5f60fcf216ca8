"""What was seen of a run: the pipeline's own counters, and beside them what the topics and the emulators hold."""

from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Struct

from consumer.deliver.tally import DestinationSnapshot
from consumer.demo.readback import Deliveries
from consumer.emulators.kept import Stats
from consumer.emulators.oracle import Expected, Held

Counts: TypeAlias = Mapping[str, int]


class Run(Struct, frozen=True):
    """What was asked for, and how long it took."""

    seed: int
    orders: int
    broker: str
    wait_s: int
    took_s: float
    quiet: str = ""
    """What was still moving when the wait was given up; empty if all was done."""


class Enriched(Struct, frozen=True):
    """What enrich counted. `read` is by `orders` and `checkouts`, `endings` by one of these and the ending.

    `odd_ids` is by what is odd about an event id (`enrich.dedupe`), with the place of a record that has such a one.
    """

    read: Counts
    endings: Mapping[tuple[str, str], int]
    filtered: Counts
    letters: Counts
    conversions: Counts
    order_only: int
    odd_ids: Counts = {}
    odd_id_examples: Mapping[str, str] = {}


class Stored(Struct, frozen=True):
    """What the topics hold, by reading them: records of the inputs, conversions by event, letters by topic's last word.

    `letters` has `ingest` and a key for each platform; `endings` is of orders, by ending.
    """

    inputs: Counts
    endings: Counts
    conversions: Counts
    order_only: int
    letters: Counts


class Destined(Struct, frozen=True):
    """One destination: what its topics say, what its lane counted, what its platform holds and what it must hold."""

    platform: str
    deliveries: Deliveries
    counted: DestinationSnapshot
    stats: Stats
    held: Held
    wanted: Expected


class Facts(Struct, frozen=True):
    """All of it. `published` is what the shop wrote, by `orders` and `checkouts`."""

    run: Run
    published: Counts
    enriched: Enriched
    stored: Stored
    destinations: Mapping[str, Destined]
