"""What enrich counts, in plain integers. Only what was committed is counted."""

from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from consumer.enrich.conversion import by_rule
from consumer.enrich.dedupe import OWN_ID
from consumer.enrich.planned import Also, Converted, Filtered, Planned, Refused, Repeated, ending_of
from consumer.model import Conversion, EventName, Origin, Record


class TallySnapshot(Struct, frozen=True):
    """The counts at one moment, since the process began; the last six are of this moment."""

    read: dict[str, int]
    endings: dict[tuple[str, str], int]
    filtered: dict[str, int]
    letters: dict[str, int]
    conversions: dict[str, int]
    odd_ids: dict[str, int]
    odd_id_examples: dict[str, str]
    order_only: int
    transactions: int
    aborted: int
    fenced: int
    expired: int
    waiting: int
    restore_left: int
    active_partitions: int
    last_commit_ms: int
    lag: dict[str, int]
    restore_eta_s: float | None = 0.0


class Tally:
    """Counters of one loop: written by its thread, read by any.

    `endings` is by input topic and ending; an order that waits is read, and has no ending yet. `odd_ids` counts event
    ids by what is odd about them, with the place of the last such record.
    """

    def __init__(self) -> None:
        self.read: Counter[str] = Counter()
        self.endings: Counter[tuple[str, str]] = Counter()
        self.filtered: Counter[str] = Counter()
        self.letters: Counter[str] = Counter()
        self.conversions: Counter[str] = Counter()
        self.odd_ids: Counter[str] = Counter()
        self.odd_id_examples: dict[str, str] = {}
        self.order_only = 0
        self.transactions = 0
        self.aborted = 0
        self.fenced = 0
        self.expired = 0
        self.waiting = 0
        self.restore_left = 0
        self.restore_eta_s: float | None = 0.0
        self.active_partitions = 0
        self.last_commit_ms = 0
        self.lag: dict[str, int] = {}

    def count(self, happened: Iterable[tuple[Record | None, Planned]]) -> None:
        """Add what a committed transaction did: each record, None for time alone, and what became of it."""
        for record, planned in happened:
            topic = record.topic if record is not None else ""
            if record is not None and _own(record, planned):
                self.read[topic] += 1
            if isinstance(planned, Also):
                self._convert(planned.converted.conversion)
            found = ending_of(planned)
            if found is None:
                continue
            ending, reason = found
            if isinstance(planned, Converted):
                topic = planned.conversion.origin_topic
            self.endings[topic, ending.value] += 1
            self._count_kind(record, planned, reason)

    def _count_kind(self, record: Record | None, planned: Planned, reason: str) -> None:
        match planned:
            case Converted(conversion):
                self._convert(conversion)
            case Repeated(_, _, odd) if odd and record is not None:
                self._odd(odd, record.origin)
            case Filtered():
                self.filtered[reason] += 1
            case Refused():
                self.letters[reason] += 1
            case _:
                pass

    def _odd(self, kind: str, origin: Origin) -> None:
        self.odd_ids[kind] += 1
        self.odd_id_examples[kind] = str(origin)

    def _convert(self, conversion: Conversion) -> None:
        if conversion.event_name == EventName.PURCHASE and conversion.event_id != by_rule(
            conversion.order_id
        ):
            origin = Origin(conversion.origin_topic, conversion.origin_partition, conversion.origin_offset)
            self._odd(OWN_ID, origin)
        self.conversions[conversion.event_name] += 1
        self.order_only += conversion.order_only

    def snapshot(self) -> TallySnapshot:
        """A copy to export; may be taken from any thread."""
        return TallySnapshot(
            read=dict(self.read),
            endings=dict(self.endings),
            filtered=dict(self.filtered),
            letters=dict(self.letters),
            conversions=dict(self.conversions),
            odd_ids=dict(self.odd_ids),
            odd_id_examples=dict(self.odd_id_examples),
            order_only=self.order_only,
            transactions=self.transactions,
            aborted=self.aborted,
            fenced=self.fenced,
            expired=self.expired,
            waiting=self.waiting,
            restore_left=self.restore_left,
            active_partitions=self.active_partitions,
            last_commit_ms=self.last_commit_ms,
            lag=dict(self.lag),
            restore_eta_s=self.restore_eta_s,
        )

    def __repr__(self) -> str:
        return f"<Tally: {sum(self.read.values())} read, {sum(self.conversions.values())} conversions>"


def _own(record: Record, planned: Planned) -> bool:
    """It is the record's own fate, not that of an order whose wait it ended."""
    if isinstance(planned, Also):
        return False
    if not isinstance(planned, Converted):
        return True
    conversion = planned.conversion
    return conversion.origin_topic == record.topic and conversion.origin_offset == record.offset
