"""An account, settled by the file and by reading receipts one after another: both must say the same."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consumer.demo.readback import deliveries
from consumer.ledger.conservation import Bounds, account
from consumer.ledger.store import Store
from consumer.ledger.tables import ConversionRow, LaterRow, ReceiptRow, Row
from consumer.ledger.tally import Account
from consumer.model import Outcome, Receipt, Record

PLACES = [(partition, offset) for partition in (0, 1) for offset in range(4)]


def conversion_row(at: tuple[int, int], at_ms: int = 1) -> ConversionRow:
    """A conversion at this place."""
    return ConversionRow(*at, at_ms, event_id=f"purchase:{at[0]}{at[1]}", event="purchase")


def receipt_row(number: int, of: tuple[int, int], outcome: str, *, late: bool = False) -> ReceiptRow:
    """A receipt of it."""
    return ReceiptRow(0, number, 1, *of, "meta", "meta", outcome, "", "", 0, 1, "", late, 1, 1)


def take(store: Store, rows: Sequence[Row]) -> int:
    """Into the file, each as the record that it stands for."""
    topics = {ConversionRow: "capi.conversions", ReceiptRow: "capi.receipts", LaterRow: "capi.later"}
    records = [
        Record(topics[type(row)], row.at_partition, row.at_offset, row.at_ms, None, None) for row in rows
    ]
    return store.take(records, rows)


def settled(store: Store, bounds: Bounds) -> Account:
    """The account."""
    cursor = store.cursor()
    try:
        return account(cursor, bounds, "capi.conversions")
    finally:
        cursor.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty file."""
    opened = Store(tmp_path, "capi", 128)
    yield opened
    opened.close()


told = st.lists(
    st.tuples(st.sampled_from(PLACES), st.sampled_from([*Outcome, "another"]), st.booleans()), max_size=12
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=told, committed=st.tuples(st.integers(0, 4), st.integers(0, 4)))
def test_it_agrees_with_the_second_opinion(
    tmp_path_factory: pytest.TempPathFactory,
    told: list[tuple[tuple[int, int], str, bool]],
    committed: tuple[int, int],
) -> None:
    """Whatever receipts there are, in whatever order, wherever the group is."""
    store = Store(tmp_path_factory.mktemp("ledger"), "capi", 128)
    by_partition = dict(enumerate(committed))
    try:
        take(store, [conversion_row(at) for at in PLACES])
        take(store, [receipt_row(n, at, outcome, late=late) for n, (at, outcome, late) in enumerate(told)])
        found = settled(store, Bounds("meta", {0: 0, 1: 0}, by_partition, {}))
    finally:
        store.close()
    receipts = [
        Receipt("capi.conversions", *at, "", "purchase", "", "meta", "meta", outcome, late=late)
        for at, outcome, late in told
    ]
    second = deliveries(PLACES, receipts, by_partition)
    assert {word.value: getattr(found, word.value) for word in Outcome} == {
        word.value: second.outcomes.get(word.value, 0) for word in Outcome
    }
    assert (found.owed, found.in_flight, found.missing) == (second.owed, second.in_flight, second.missing)
    assert found.other == second.outcomes.get("another", 0)
    assert len(found.first_missing) == found.missing


def test_what_is_before_the_start_is_not_owed(store: Store) -> None:
    """Nor is what another destination has."""
    take(store, [conversion_row(at) for at in PLACES])
    take(store, [receipt_row(0, (0, 3), "delivered")])
    assert settled(store, Bounds("meta", {0: 3, 1: 4}, {0: 4, 1: 4}, {})) == Account(
        "meta", owed=1, delivered=1
    )
    assert settled(store, Bounds("ga4", {0: 3}, {0: 3}, {})) == Account("ga4", owed=1, in_flight=1)


def test_what_is_put_aside_is_in_flight_until_it_is_settled_there(store: Store) -> None:
    """Once the group has gone past it in `later`, it has a receipt, lies there again, or is missing."""
    take(store, [conversion_row((0, 0))])
    take(store, [LaterRow(0, 5, 1, 0, 0, "meta", 0, 1)])
    at = {"start": {0: 0}, "committed": {0: 1}}
    aside = Account("meta", owed=1, in_flight=1, put_aside=1)
    assert settled(store, Bounds("meta", **at, later={0: 5})) == aside
    lost = Account("meta", owed=1, missing=1, first_missing=("capi.conversions:0:0",))
    assert settled(store, Bounds("meta", **at, later={0: 6})) == lost
    take(store, [LaterRow(0, 9, 1, 0, 0, "meta", 0, 2)])
    assert settled(store, Bounds("meta", **at, later={0: 6})) == aside


def test_a_record_read_twice_is_one_row(store: Store) -> None:
    """Of a batch that comes again only what is new is taken."""
    assert take(store, [conversion_row((0, 0)), conversion_row((0, 1))]) == 2
    assert take(store, [conversion_row((0, 0)), conversion_row((0, 1)), conversion_row((0, 2))]) == 1
    assert settled(store, Bounds("meta", {0: 0}, {}, {})).owed == 3


def test_what_is_old_goes_with_its_receipts_once_a_day(store: Store) -> None:
    """A receipt never goes before its conversion; the same day is not swept twice."""
    day_ms = 86_400_000
    take(store, [conversion_row((0, day), day * day_ms) for day in range(1, 41)])
    take(store, [receipt_row(day, (0, day), "delivered") for day in range(1, 41)])
    assert store.sweep(100 * day_ms, 30)
    assert settled(store, Bounds("meta", {0: 0}, {0: 41}, {})) == Account("meta", owed=31, delivered=31)
    assert not store.sweep(100 * day_ms, 30)
    left = store.cursor().execute("SELECT count(*), min(of_offset) FROM receipts").fetchall()
    assert left == [(31, 10)]
