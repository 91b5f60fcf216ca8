"""Orders that don't fit their checkouts: each has its rule."""

from collections.abc import Callable

from consumer.enrich.planned import Planned, Repeated
from consumer.model import Conversion, Ending
from tests.enrich.conftest import Shop

Told = Callable[[list[Planned]], list[Conversion]]
KNOWN = Repeated(Ending.DUPLICATE, ("purchase:o1",))


def test_checkout_that_two_orders_name_serves_both(shop: Shop, told: Told) -> None:
    """A cart split into two parcels: two purchases, each with all that is known of the visitor."""
    shop.plan(shop.step("COMPLETED", browser={"fbp": "fb.1.1.1"}))
    events = told(shop.plan(shop.order(), shop.order("o2", total=500)))
    assert [event.event_id for event in events] == ["purchase:o1", "purchase:o2"]
    assert all(event.click_ids == {"fbp": "fb.1.1.1"} and not event.order_only for event in events)


def test_order_that_moved_to_another_checkout_counts_once(shop: Shop, told: Told) -> None:
    """The first one told counts, with the checkout that it named; the move is no other purchase."""
    shop.plan(shop.step("COMPLETED"), shop.step("COMPLETED", "c2", browser={"fbp": "fb.1.2.2"}))
    (event,) = told(shop.plan(shop.order()))
    assert event.checkout_id == "c1"
    assert shop.plan(shop.order(checkout_id="c2", at_s=200)) == [KNOWN]


def test_order_that_moved_while_it_waited_counts_once(shop: Shop, told: Told) -> None:
    """It goes on waiting for the checkout that it named first."""
    shop.plan(shop.order())
    assert shop.plan(shop.order(checkout_id="c2", at_s=101)) == [KNOWN]
    assert [event.checkout_id for event in told(shop.wait(61))] == ["c1"]
