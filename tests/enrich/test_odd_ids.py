"""Event ids that would make a platform miscount are found, and an order under two ids still counts once."""

from collections.abc import Callable

import pytest

from consumer.enrich.dedupe import OWN_ID, SECOND_ID, SHARED_ID
from consumer.enrich.plan import Arrival
from consumer.enrich.planned import Planned, Repeated
from consumer.enrich.tally import Tally
from consumer.model import Conversion, Ending
from tests.enrich.conftest import Shop

Told = Callable[[list[Planned]], list[Conversion]]


@pytest.mark.parametrize(("first", "second"), [("", "px-1"), ("px-1", "px-2"), ("px-1", "")])
def test_order_under_two_ids_counts_once(shop: Shop, told: Told, first: str, second: str) -> None:
    """Whatever the shop calls it later, it is the purchase that was told."""
    (event,) = told(shop.plan(shop.order(checkout_id="", event_id=first)))
    assert event.event_id == (first or "purchase:o1")
    (planned,) = shop.plan(shop.order(checkout_id="", at_s=200, event_id=second))
    assert planned == Repeated(Ending.DUPLICATE, ("purchase:o1",), SECOND_ID if second else "")


def test_one_id_on_two_orders_is_found(shop: Shop) -> None:
    """A platform keeps the first of them, and so do we; whoever looks is told."""
    shop.plan(shop.order(checkout_id="", event_id="px-1"))
    (other,) = shop.plan(shop.order("o2", "", event_id="px-1", total=5))
    (same,) = shop.plan(shop.order("o3", "", event_id="px-1"))
    shared = ("px-1",), SHARED_ID
    assert (other, same) == (Repeated(Ending.CONFLICT, *shared), Repeated(Ending.DUPLICATE, *shared))


def test_one_id_on_two_checkouts_is_found(shop: Shop) -> None:
    """The same for the steps of checkouts."""
    shop.plan(shop.step(event_id="px-1"))
    (other,) = shop.plan(shop.step(checkout_id="c2", event_id="px-1"))
    assert other == Repeated(Ending.DUPLICATE, ("px-1",), SHARED_ID)


def test_each_kind_is_counted_with_an_example(shop: Shop) -> None:
    """A place in the topic, and no customer's data, leads to the record."""
    tally = Tally()

    def see(arrival: Arrival) -> None:
        tally.count((arrival.record, planned) for planned in shop.plan(arrival))

    see(shop.order(checkout_id="", event_id="px-1"))
    see(shop.order("o2", "", event_id="px-1", total=5))
    see(shop.order(checkout_id="", event_id="px-2", at_s=300))
    see(shop.order("o3", ""))
    seen = tally.snapshot()
    assert seen.odd_ids == {OWN_ID: 1, SHARED_ID: 1, SECOND_ID: 1}
    assert seen.odd_id_examples == {OWN_ID: "orders:0:0", SHARED_ID: "orders:0:1", SECOND_ID: "orders:0:2"}
