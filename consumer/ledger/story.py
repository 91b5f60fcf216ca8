"""One order's story: its conversions, and what became of each at each destination."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import duckdb
from msgspec import Struct

from consumer.ledger.conservation import RANK, Bounds
from consumer.ledger.tables import ConversionRow, EndingRow, LaterRow, LetterRow, ReceiptRow, columns
from consumer.ledger.telling import Fate, advice, ending_advice

By: TypeAlias = Literal["order", "checkout", "event", "email"]
CONVERSIONS_MAX = 100
_At: TypeAlias = tuple[int, int]


class DeliveryStory(Struct, frozen=True):
    """What became of a conversion at one destination: an outcome, or where it stands without one.

    The first of `receipts` is the one that counts. `put_aside` is the last record of it in `later`.
    """

    destination: str
    fate: str
    reason: str
    code: str
    late: bool
    next: str
    receipts: tuple[ReceiptRow, ...]
    put_aside: LaterRow | None
    letters: tuple[LetterRow, ...]


class ConversionStory(Struct, frozen=True):
    """A conversion, where it stands, and its deliveries."""

    place: str
    event_id: str
    event: str
    event_time_ms: int
    order_id: str
    checkout_id: str
    value_minor: int
    currency: str
    order_only: bool
    origin: str
    deliveries: tuple[DeliveryStory, ...]


class EndingStory(Struct, frozen=True):
    """What became of one of the order's records in enrich."""

    record: str
    ending: str
    reason: str
    order_id: str
    event_ids: tuple[str, ...]
    value_minor: int
    currency: str
    paid: bool
    at_ms: int
    next: str


class Story(Struct, frozen=True):
    """All that the ledger knows of what was asked for. `more` if there are more conversions than it tells."""

    conversions: tuple[ConversionStory, ...]
    endings: tuple[EndingStory, ...]
    more: bool = False

    def __bool__(self) -> bool:
        return bool(self.conversions or self.endings)


_WHERE: Mapping[By, str] = {
    "order": "order_id = ? OR checkout_id IN "
    "(SELECT checkout_id FROM conversions WHERE order_id = ? AND checkout_id <> '')",
    "checkout": "checkout_id = ?",
    "event": "event_id = ?",
    "email": "email = ?",
}
_ENDINGS_WHERE: Mapping[By, str] = {
    "order": "order_id = ?",
    "checkout": "checkout_id = ?",
    "event": "list_contains(event_ids, ?)",
}
_ASKED = "(SELECT unnest(?::BIGINT[]) AS p, unnest(?::BIGINT[]) AS o)"


def tell(
    cursor: duckdb.DuckDBPyConnection,
    prefix: str,
    by: By,
    value: str,
    bounds: Mapping[str, Bounds] | None = None,
) -> Story:
    """The story. `bounds` say how far each destination is; without them, what has no receipt is not settled yet.

    Raises duckdb.Error.
    """
    where = _WHERE[by]
    found = cursor.execute(
        f"SELECT {_names(ConversionRow)} FROM conversions WHERE {where} "  # noqa: S608 (made of constants)
        f"ORDER BY event_time_ms, at_partition, at_offset LIMIT {CONVERSIONS_MAX + 1}",
        [value] * where.count("?"),
    ).fetchall()
    rows = [ConversionRow(*each) for each in found[:CONVERSIONS_MAX]]
    places = [row.at_partition for row in rows], [row.at_offset for row in rows]
    of = _Of(cursor, f"{prefix}.conversions", *places)
    told = tuple(_conversion(row, of, f"{prefix}.conversions", bounds or {}) for row in rows)
    return Story(told, _endings(cursor, by, value), more=len(found) > CONVERSIONS_MAX)


class _Of:
    """What there is of some conversions, by place."""

    def __init__(
        self,
        cursor: duckdb.DuckDBPyConnection,
        conversions: str,
        partitions: Sequence[int],
        offsets: Sequence[int],
    ) -> None:
        places = [list(partitions), list(offsets)]
        on = f"JOIN {_ASKED} ON of_partition = p AND of_offset = o"
        self.receipts: defaultdict[_At, list[ReceiptRow]] = defaultdict(list)
        self.later: defaultdict[_At, list[LaterRow]] = defaultdict(list)
        self.letters: defaultdict[_At, list[LetterRow]] = defaultdict(list)
        for each in cursor.execute(
            f"SELECT {_names(ReceiptRow)} FROM receipts {on} ORDER BY {RANK}, settled_at_ms, at_offset",  # noqa: S608 (made of constants)
            places,
        ).fetchall():
            receipt = ReceiptRow(*each)
            self.receipts[receipt.of_partition, receipt.of_offset].append(receipt)
        for each in cursor.execute(
            f"SELECT {_names(LaterRow)} FROM later {on} ORDER BY at_ms, at_offset",  # noqa: S608 (the same)
            places,
        ).fetchall():
            later = LaterRow(*each)
            self.later[later.of_partition, later.of_offset].append(later)
        for each in cursor.execute(
            f"SELECT {_names(LetterRow)} FROM letters {on} WHERE of_topic = ? ORDER BY at_ms, at_offset",  # noqa: S608 (the same)
            [*places, conversions],
        ).fetchall():
            letter = LetterRow(*each)
            self.letters[letter.of_partition, letter.of_offset].append(letter)


def _conversion(row: ConversionRow, of: _Of, topic: str, bounds: Mapping[str, Bounds]) -> ConversionStory:
    at = row.at_partition, row.at_offset
    receipts, aside = of.receipts[at], of.later[at]
    told = {each.destination for each in receipts} | {each.destination for each in aside}
    names = sorted(told | bounds.keys())
    return ConversionStory(
        place=f"{topic}:{row.at_partition}:{row.at_offset}",
        event_id=row.event_id,
        event=row.event,
        event_time_ms=row.event_time_ms,
        order_id=row.order_id,
        checkout_id=row.checkout_id,
        value_minor=row.value_minor,
        currency=row.currency,
        order_only=row.order_only,
        origin=f"{row.origin_topic}:{row.origin_partition}:{row.origin_offset}" if row.origin_topic else "",
        deliveries=tuple(_delivery(name, at, of, bounds.get(name)) for name in names),
    )


def _delivery(name: str, at: _At, of: _Of, bounds: Bounds | None) -> DeliveryStory:
    receipts = tuple(each for each in of.receipts[at] if each.destination == name)
    aside = [each for each in of.later[at] if each.destination == name]
    first = receipts[0] if receipts else None
    fate = first.outcome if first is not None else _silent(at, aside, bounds)
    reason, code, late = (first.reason, first.code, first.late) if first is not None else ("", "", False)
    return DeliveryStory(
        destination=name,
        fate=fate,
        reason=reason,
        code=code,
        late=late,
        next=advice(fate, reason, late=late),
        receipts=receipts,
        put_aside=aside[-1] if aside and first is None else None,
        letters=tuple(each for each in of.letters[at] if each.destination == name),
    )


def _silent(at: _At, aside: Sequence[LaterRow], bounds: Bounds | None) -> Fate:
    """Where a delivery stands that has no receipt."""
    partition, offset = at
    if bounds is None:
        return Fate.PUT_ASIDE if aside else Fate.NOT_SETTLED
    if any(each.at_offset >= bounds.later.get(each.at_partition, 0) for each in aside):
        return Fate.PUT_ASIDE
    if partition not in bounds.start or offset < bounds.start[partition]:
        return Fate.NOT_OWED
    return Fate.IN_FLIGHT if offset >= bounds.committed.get(partition, 0) else Fate.MISSING


def _endings(cursor: duckdb.DuckDBPyConnection, by: By, value: str) -> tuple[EndingStory, ...]:
    where = _ENDINGS_WHERE.get(by)
    if where is None:
        return ()
    found = cursor.execute(
        f"SELECT {_names(EndingRow)} FROM endings WHERE {where} "  # noqa: S608 (made of constants)
        f"ORDER BY at_ms, at_partition, at_offset LIMIT {CONVERSIONS_MAX}",
        [value],
    ).fetchall()
    return tuple(_ending(EndingRow(*each)) for each in found)


def _ending(row: EndingRow) -> EndingStory:
    return EndingStory(
        record=f"{row.of_topic}:{row.of_partition}:{row.of_offset}",
        ending=row.ending,
        reason=row.reason,
        order_id=row.order_id,
        event_ids=tuple(row.event_ids),
        value_minor=row.value_minor,
        currency=row.currency,
        paid=row.paid,
        at_ms=row.at_ms,
        next=ending_advice(row.ending, row.reason),
    )


def _names(kind: type[ConversionRow | ReceiptRow | EndingRow | LaterRow | LetterRow]) -> str:
    return ", ".join(columns(kind))
