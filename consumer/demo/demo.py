"""The demo: a shop's traffic through real Kafka to the platforms' emulators, and whether nothing was lost on the way.

surroundings ─► the product runs ─► the shop is open ─► all is quiet ─► topics and emulators are read ─► facts
"""

from collections import Counter
from collections.abc import Iterator, Mapping

from consumer.app import App
from consumer.clock import Clock
from consumer.codec import Decoder, load_schema
from consumer.deliver.tally import DestinationSnapshot
from consumer.demo.conservation import SIDES
from consumer.demo.facts import Destined, Enriched, Facts, Run, Stored
from consumer.demo.progress import View
from consumer.demo.publish import Publisher
from consumer.demo.readback import Deliveries, Place, ReadBack, deliveries
from consumer.demo.shop import Shop
from consumer.demo.surroundings import WAIT_S, Asked, Surroundings
from consumer.demo.watch import Watch, until_quiet
from consumer.emulators.oracle import expected
from consumer.emulators.platforms import STAND_INS
from consumer.emulators.shop import Plan
from consumer.enrich.tally import TallySnapshot
from consumer.kafka.registry import SchemaStore
from consumer.model import Conversion, OrderEnding, Receipt
from consumer.settings import Settings


def run(asked: Asked, around: Surroundings, view: View, clock: Clock) -> Facts:
    """One run. Raises what ended the product, and CapiError for what is foreseen."""
    settings, began_s = around.settings, clock.monotonic_s()
    takers = {name: STAND_INS[name].taker for name in asked.destinations}
    plan = Plan(asked.seed, asked.orders, clock.now_ms(), platforms=takers)
    publisher = Publisher(settings, around.store, asked.mapping)
    try:
        shop = Shop(plan, publisher, around.emulated)
        with App(settings, clock=clock) as app:
            with view.watching(Watch(app, shop, around.emulated, clock).look):
                shop.open(closed=lambda: app.failure is not None)
                quiet = until_quiet(app, settings, clock, sum(shop.published.values()))
            counted = Counted(app)
        if app.failure is not None:
            raise app.failure
    finally:
        publisher.close()
    took_s = clock.monotonic_s() - began_s
    view.say("Reading the topics back, and what the platforms hold …")
    return _facts(Run(asked.seed, asked.orders, around.broker, WAIT_S, took_s, quiet), around, shop, counted)


class Counted:
    """The product's own counters when all was quiet."""

    def __init__(self, app: App) -> None:
        self.enrich: TallySnapshot | None = app.enrich.tally.snapshot() if app.enrich is not None else None
        self.destinations: dict[str, DestinationSnapshot] = {
            loop.tally.destination: loop.tally.snapshot() for loop in app.destinations
        }

    def __repr__(self) -> str:
        return f"<Counted: enrich and {len(self.destinations)} destinations>"


def _facts(run_: Run, around: Surroundings, shop: Shop, counted: Counted) -> Facts:
    settings = around.settings
    with ReadBack(settings.kafka, "capi-demo-report") as back:
        held = _conversions(back, settings, around.store)
        accounts = _deliveries(back, settings, around.store, held)
        stored = Stored(
            inputs={side: sum(1 for _ in back.records(topic)) for side, topic in _inputs(settings)},
            endings=_endings(back, settings, around.store),
            conversions=Counter(conversion.event_name for conversion in held.values()),
            order_only=sum(conversion.order_only for conversion in held.values()),
            letters={of: sum(1 for _ in back.records(topic)) for of, topic in _letters(settings)},
        )
    destinations = {}
    for name, emulated in around.emulated.items():
        stats, stand_in = emulated.stats(), STAND_INS[name]
        destinations[name] = Destined(
            platform=name,
            deliveries=accounts[name],
            counted=counted.destinations[name],
            stats=stats,
            held=emulated.held(stats),
            wanted=expected(shop.truths, name, stand_in.told_id, stand_in.told_value),
        )
    return Facts(run_, shop.published, _enriched(counted.enrich, settings), stored, destinations)


def _inputs(settings: Settings) -> list[tuple[str, str]]:
    return list(zip(SIDES, (settings.topics.orders, settings.topics.checkouts), strict=True))


def _letters(settings: Settings) -> Iterator[tuple[str, str]]:
    for of in ("ingest", *(destination.platform for destination in settings.destinations)):
        yield of, f"{settings.topics.prefix}.dlq.{of}"


def _conversions(back: ReadBack, settings: Settings, store: SchemaStore) -> dict[Place, Conversion]:
    decode = Decoder(Conversion, load_schema("conversion"), store.schema)
    records = back.records(f"{settings.topics.prefix}.conversions")
    return {(record.partition, record.offset): decode(record.value or b"") for record in records}


def _endings(back: ReadBack, settings: Settings, store: SchemaStore) -> Counter[str]:
    decode = Decoder(OrderEnding, load_schema("ending"), store.schema)
    records = back.records(f"{settings.topics.prefix}.endings")
    return Counter(decode(record.value or b"").ending for record in records)


def _deliveries(
    back: ReadBack, settings: Settings, store: SchemaStore, conversions: Mapping[Place, Conversion]
) -> dict[str, Deliveries]:
    prefix = settings.topics.prefix
    decode = Decoder(Receipt, load_schema("receipt"), store.schema)
    receipts: dict[str, list[Receipt]] = {destination.name: [] for destination in settings.destinations}
    for record in back.records(f"{prefix}.receipts"):
        receipt = decode(record.value or b"")
        receipts.setdefault(receipt.destination, []).append(receipt)
    return {
        name: deliveries(conversions, of, back.committed(f"{prefix}.deliver.{name}", f"{prefix}.conversions"))
        for name, of in receipts.items()
    }


def _enriched(counted: TallySnapshot | None, settings: Settings) -> Enriched:
    """Enrich's counters, with the inputs called as the shop calls them. Without enrich nothing was counted."""
    if counted is None:
        return Enriched({}, {}, {}, {}, {}, 0)
    sides = {topic: side for side, topic in _inputs(settings)}
    return Enriched(
        read={side: counted.read.get(topic, 0) for topic, side in sides.items()},
        endings={(sides.get(topic, topic), ending): n for (topic, ending), n in counted.endings.items()},
        filtered=counted.filtered,
        letters=counted.letters,
        conversions=counted.conversions,
        order_only=counted.order_only,
        odd_ids=counted.odd_ids,
        odd_id_examples=counted.odd_id_examples,
    )
