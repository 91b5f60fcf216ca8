"""Looking at everything that decides which letters go: letters, what was sent already, receipts, settings of now."""

from collections.abc import Callable, Mapping

from msgspec import Struct

from consumer.codec import Decoder, load_schema
from consumer.deadletter.filters import Filter
from consumer.deadletter.read import Read
from consumer.deadletter.scan import Letters
from consumer.deliver.setup import account_of, platform_of, wants_of
from consumer.enrich.checks import topics_of
from consumer.errors import CapiError
from consumer.ingest.decode import Ingest, mappings_of
from consumer.kafka import limits
from consumer.kafka.reader import Reader
from consumer.kafka.registry import SchemaStore
from consumer.model import Conversion, Receipt
from consumer.platforms.contract import Secret
from consumer.replay.judges import IngestJudge, Inputs, LaneJudge, Originals, Target
from consumer.replay.plan import INGEST, Judge, Newest, Plan, Since, plan
from consumer.replay.since import Ways, delivered, lying, originals
from consumer.settings import Settings

HELD_MAX_BYTES = 512 * 1024 * 1024
"""Of keys and values: they are held until they are sent."""


class TooMany(CapiError):
    """More letters are meant than can be held."""


class Targets(Struct, frozen=True):
    """The topics to which letters go."""

    lanes: Target
    enrich: Target
    rekey: Target | None = None

    @property
    def batch_max_bytes(self) -> int:
        """What all of them take."""
        return min(each.max_bytes for each in (self.lanes, self.enrich, self.rekey) if each is not None)


def targets_of(settings: Settings) -> Targets:
    """Look them up. Raises ConfigurationError for one that doesn't exist, Unreachable, Refused."""
    prefix, named = settings.topics.prefix, settings.topics
    names = [f"{prefix}.replay", f"{prefix}.ingest-replay"]
    names += [] if named.orders_keyed_by_checkout else [named.orders_by_checkout]
    found = limits.ask(settings.kafka, names).topics
    made = [Target(name, found[name].partitions, found[name].max_message_bytes) for name in names]
    return Targets(*made)


def look(
    settings: Settings,
    store: SchemaStore,
    wanted: Filter,
    is_of: Callable[[Read], bool],
    targets: Targets,
    now_ms: int,
) -> Plan:
    """The plan for the letters that are meant; `is_of` says if one is of the orders that are asked for, if any are.

    Raises ConfigurationError, Unreachable, Refused, TooMany, and SchemaUnavailable if receipts can't be read.
    """
    prefix = settings.topics.prefix
    reader = Reader(settings.kafka, f"{prefix}.dlq-replay", eof=True)
    try:
        found = lying(settings.kafka, reader, _ways(settings))
        with Letters(settings, with_discarded=True) as letters:
            newest, meant = _meant(letters, wanted, is_of)
            read_topics = {f"{prefix}.conversions", settings.topics.orders, *topics_of(settings).inputs}
            judges = _judges(settings, store, targets, originals(reader, meant, read_topics), now_ms)
            receipts = Decoder(Receipt, load_schema("receipt"), store.schema)
            since = Since(
                under_way=found.under_way,
                read_again=found.read_again,
                delivered=delivered(reader, f"{prefix}.receipts", receipts, meant),
                started=found.started,
            )
            return plan(meant, newest, letters.is_discarded, since, judges)
    finally:
        reader.close()


def _meant(letters: Letters, wanted: Filter, is_of: Callable[[Read], bool]) -> tuple[Newest, list[Read]]:
    newest, meant, held_bytes = Newest(), [], 0
    for letter in letters.scan():
        newest.add(letter)
        if wanted.holds(letter) and is_of(letter):
            meant.append(letter)
            held_bytes += len(letter.key or b"") + len(letter.value or b"")
        if held_bytes > HELD_MAX_BYTES:
            message = (
                f"{len(meant)} letters and more are meant, {HELD_MAX_BYTES >> 20} MiB of them: narrow the filter, "
                "by destination or by since and until, and send the rest after that"
            )
            raise TooMany(message)
    return newest, meant


def _ways(settings: Settings) -> Mapping[str, Ways]:
    prefix, named = settings.topics.prefix, settings.topics
    rekeyed = () if named.orders_keyed_by_checkout else (named.orders_by_checkout,)
    lanes = {
        each.name: Ways(f"{prefix}.deliver.{each.name}", (f"{prefix}.replay", f"{prefix}.later"))
        for each in settings.destinations
    }
    return {**lanes, INGEST: Ways(f"{prefix}.enrich", (f"{prefix}.ingest-replay", *rekeyed))}


def _judges(
    settings: Settings, store: SchemaStore, targets: Targets, found: Originals, now_ms: int
) -> Mapping[str, Judge]:
    prefix, named = settings.topics.prefix, settings.topics
    decode = Decoder(Conversion, load_schema("conversion"), store.schema)
    judges: dict[str, Judge] = {}
    for each in settings.destinations:
        platform = platform_of(each)
        # Nothing is sent from here: what an event is depends on no token.
        wants = wants_of(each, platform, account_of(each, platform, Secret("")))
        judges[each.name] = LaneJudge(
            platform, wants, decode, f"{prefix}.conversions", targets.lanes, found, now_ms
        )
    read = topics_of(settings)
    shop = "" if named.orders_keyed_by_checkout else named.orders
    inputs = Inputs(read.orders, read.checkouts, shop)
    ingest = Ingest(store.schema, mappings_of(settings.mapping))
    judges[INGEST] = IngestJudge(ingest, inputs, targets.enrich, targets.rekey or targets.enrich, found)
    return judges
