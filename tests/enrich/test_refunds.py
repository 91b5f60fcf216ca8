"""Refunds and cancellations: each given-back amount once, in its own event, never before its purchase."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.enrich.planned import Also, Converted, Filtered, Planned, Refused, Repeated, Waits
from consumer.model import Conversion, Ending, Item, Refund
from tests.enrich.conftest import DAY_MS, T0_MS, Shop

Told = Callable[[list[Planned]], list[Conversion]]
DAY_S = 86_400
FIRST = Refund("r1", T0_MS + 200_000, 500, (Item("sku-1", 1, 500),))
SECOND = Refund("r2", T0_MS + 300_000, 700)
PURCHASE = ("purchase:o1",)


@pytest.fixture
def paid(shop: Shop) -> Shop:
    """A shop that sold one order, at the counter."""
    shop.plan(shop.order(checkout_id=""))
    return shop


def test_each_refund_is_an_event_that_names_what_it_corrects(paid: Shop, told: Told) -> None:
    """Own id, amount, items and time; of the purchase its event id, time and value."""
    (event,) = told(
        paid.plan(
            paid.order(checkout_id="", at_s=200, paid_at_ms=T0_MS + 100_000, refunds=(FIRST,), rest=b"1")
        )
    )
    assert (event.event_id, event.event_name, event.refund_id) == ("refund:o1:r1", "refund", "r1")
    assert (event.event_time, event.value_minor, event.items) == (FIRST.at_ms, 500, FIRST.items)
    assert (event.corrects_event_id, event.corrects_value_minor) == ("purchase:o1", 1999)
    assert event.corrects_event_time == T0_MS + 100_000
    assert (event.order_id, event.currency, event.tax_minor, event.order_only) == ("o1", "EUR", 0, False)


def test_partial_refunds_add_up_and_count_once(paid: Shop, told: Told) -> None:
    """A record with two refunds, of which one is known, tells the other; then nothing more."""
    paid.plan(paid.order(checkout_id="", at_s=200, refunds=(FIRST,), rest=b"1"))
    second = paid.plan(paid.order(checkout_id="", at_s=300, refunds=(FIRST, SECOND), rest=b"2"))
    assert [event.event_id for event in told(second)] == ["refund:o1:r2"]
    again = paid.plan(paid.order(checkout_id="", at_s=400, refunds=(FIRST, SECOND), rest=b"3"))
    assert again == [Repeated(Ending.DUPLICATE, (*PURCHASE, "refund:o1:r1", "refund:o1:r2"))]


def test_purchase_and_refunds_of_one_record_have_one_ending(shop: Shop) -> None:
    """First seen when part of it was given back already: the purchase ends the record, refunds are more of it."""
    planned = shop.plan(shop.order(checkout_id="", at_s=300, refunds=(FIRST, SECOND)))
    assert [type(each) for each in planned] == [Converted, Also, Also]
    assert [each.converted.conversion.refund_id for each in planned if isinstance(each, Also)] == ["r1", "r2"]


def test_refund_waits_for_its_purchase(shop: Shop, told: Told) -> None:
    """While the order waits for its checkout, its refund waits behind it."""
    assert shop.plan(shop.order(at_s=100)) == [Waits()]
    assert shop.plan(shop.order(at_s=110, refunds=(FIRST,), rest=b"2")) == [Waits()]
    events = told(shop.plan(shop.step("COMPLETED", at_s=99)))
    assert [event.event_name for event in events] == ["purchase", "refund"]
    assert all(not event.order_only for event in events)


def test_a_refund_tells_all_that_was_given_back(shop: Shop, told: Told) -> None:
    """As far as its order tells: two at once tell the same, a later one tells more, and a cancellation all."""
    both = told(shop.plan(shop.order(checkout_id="", at_s=300, refunds=(FIRST, SECOND))))
    assert [event.corrects_refunded_minor for event in both] == [0, 1200, 1200]
    third = Refund("r3", T0_MS + 350_000, 99)
    (later,) = told(
        shop.plan(shop.order(checkout_id="", at_s=350, refunds=(FIRST, SECOND, third), rest=b"2"))
    )
    assert (later.value_minor, later.corrects_refunded_minor) == (99, 1299)
    cancelled = shop.order(checkout_id="", status="CANCELLED", at_s=400, refunds=(FIRST, SECOND, third))
    (rest,) = told(shop.plan(cancelled))
    assert (rest.value_minor, rest.corrects_refunded_minor) == (700, 1999)


def test_a_refund_that_is_too_large_adds_nothing(paid: Shop, told: Told) -> None:
    """It is told to nobody, so the others don't count it either."""
    listed = (FIRST, Refund("r9", T0_MS + 250_000, 2000))
    (event,) = told(paid.plan(paid.order(checkout_id="", at_s=300, refunds=listed, rest=b"1")))
    assert (event.refund_id, event.corrects_refunded_minor) == ("r1", 500)


def test_a_refund_that_waits_still_tells_it(shop: Shop, told: Told) -> None:
    """What was added up when the order came is kept with it."""
    shop.plan(shop.order(at_s=100, refunds=(FIRST,)))
    _, event = told(shop.plan(shop.step("COMPLETED", at_s=99)))
    assert event.corrects_refunded_minor == 500


def test_without_refund_ids_the_sum_names_them(paid: Shop, told: Told) -> None:
    """Cumulative refunded minor units: the same sum is the same refund."""
    nameless = (Refund("", T0_MS + 200_000, 500), Refund("", T0_MS + 300_000, 700))
    paid.plan(paid.order(checkout_id="", at_s=200, refunds=nameless[:1], rest=b"1"))
    events = told(paid.plan(paid.order(checkout_id="", at_s=300, refunds=nameless, rest=b"2")))
    assert [event.event_id for event in events] == ["refund:o1:1200"]


def test_cancellation_gives_back_the_rest_once(paid: Shop, told: Told) -> None:
    """What isn't refunded yet, at the time of the cancellation; later refunds were in it."""
    paid.plan(paid.order(checkout_id="", at_s=200, refunds=(FIRST,), rest=b"1"))
    (event,) = told(paid.plan(paid.order(checkout_id="", status="CANCELLED", at_s=400, refunds=(FIRST,))))
    assert (event.event_id, event.value_minor) == ("refund:o1:cancel", 1499)
    assert event.event_time == T0_MS + 400_000
    later = paid.order(checkout_id="", status="CANCELLED", at_s=500, refunds=(FIRST, SECOND), rest=b"9")
    assert paid.plan(later) == [Repeated(Ending.DUPLICATE, ("refund:o1:r1", "refund:o1:cancel"))]
    assert told(paid.plan(paid.order(checkout_id="", at_s=600, refunds=(SECOND,), rest=b"10"))) == []


def test_cancelled_whole_gives_back_all_items(paid: Shop, told: Told) -> None:
    """Nothing was refunded before: the amount and the items of the order."""
    (event,) = told(paid.plan(paid.order(checkout_id="", status="CANCELLED", at_s=400)))
    assert (event.value_minor, event.items) == (1999, (Item("sku-1", 1, 1999),))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status": "CANCELLED", "paid_at_ms": 0}, Filtered("state_cancelled")),
        ({"status": "PENDING", "paid_at_ms": 0, "refunds": (FIRST,)}, Filtered("state_pending")),
        ({"status": "FULFILLED"}, Filtered("state_fulfilled")),
        ({"refunds": (Refund("r9", T0_MS + 200_000, 2000),)}, Repeated(Ending.DUPLICATE, PURCHASE)),
        ({"status": "REFUNDED", "refunds": (Refund("r9", T0_MS, 2000),)}, Filtered("state_refunded")),
        ({"refunds": (Refund("r9", T0_MS + 10_000_000, 1),)}, Repeated(Ending.DUPLICATE, PURCHASE)),
        ({"refunds": (Refund("r9", T0_MS - 8 * DAY_MS, 1),)}, Repeated(Ending.DUPLICATE, PURCHASE)),
        ({"refunds": (Refund("r9", T0_MS, 0),)}, Repeated(Ending.DUPLICATE, PURCHASE)),
    ],
)
def test_what_gives_nothing_back(paid: Shop, changes: dict[str, object], expected: Planned) -> None:
    """Unpaid, larger than the order, in the future, too old, or nothing: no event, and the record has its ending."""
    assert paid.plan(paid.order(checkout_id="", at_s=500, rest=b"5", **changes)) == [expected]  # type: ignore[arg-type]


def test_refund_of_an_order_long_past_counts(shop: Shop, told: Told) -> None:
    """Weeks after the purchase, whose own id is forgotten: the purchase is too old, the refund is not."""
    shop.now_ms = T0_MS + 21 * DAY_MS
    refund = Refund("r1", T0_MS + 20 * DAY_MS, 500)
    planned = shop.plan(
        shop.order("other", "", at_s=20 * DAY_S),
        shop.order(checkout_id="", at_s=20 * DAY_S, paid_at_ms=T0_MS, refunds=(refund,)),
    )
    assert [event.event_id for event in told(planned)] == ["purchase:other", "refund:o1:r1"]


@pytest.mark.parametrize("status", ["CANCELLED", "REFUNDED"])
def test_no_currency_gives_nothing_back(shop: Shop, status: str) -> None:
    """Money without a currency is never told: the record is a letter, as a purchase would be."""
    (planned,) = shop.plan(shop.order(checkout_id="", status=status, currency="", refunds=(FIRST,)))
    assert isinstance(planned, Refused)
    assert planned.reason == "no_currency"


def test_refund_listed_twice_counts_once(paid: Shop, told: Told) -> None:
    """One id is one refund, in its event and in what a cancellation leaves to give back."""
    twice = paid.order(checkout_id="", at_s=300, status="CANCELLED", refunds=(FIRST, FIRST))
    assert [(event.refund_id, event.value_minor) for event in told(paid.plan(twice))] == [
        ("r1", 500),
        ("cancel", 1499),
    ]


def test_reread_gives_nothing_back_again(paid: Shop) -> None:
    """An operator rewinds: the same record makes no second refund."""
    record = paid.order(checkout_id="", at_s=200, status="FULFILLED", paid_at_ms=T0_MS, refunds=(FIRST,))
    paid.plan(record)
    assert paid.plan(record) == [Repeated(Ending.REREAD, ("refund:o1:r1",))]


@given(st.lists(st.integers(1, 6), max_size=8), st.booleans())
def test_whatever_updates_come_no_more_is_given_back_than_was_paid(seen: list[int], cancelled: bool) -> None:  # noqa: FBT001
    """Updates with any number of the order's refunds, in any order: each event once, in sum at most the order."""
    shop = Shop()
    all_of_them = tuple(Refund(f"r{n}", T0_MS + n * 1000, 300) for n in range(1, 7))
    planned = shop.plan(shop.order(checkout_id=""))
    for place, upto in enumerate(seen):
        update = shop.order(
            checkout_id="", at_s=200 + place, refunds=all_of_them[:upto], rest=b"%d" % place, paid_at_ms=T0_MS
        )
        planned += shop.plan(update)
    if cancelled:
        planned += shop.plan(shop.order(checkout_id="", status="CANCELLED", at_s=900, refunds=all_of_them))
    events = [
        (each.converted if isinstance(each, Also) else each)
        for each in planned
        if isinstance(each, Converted | Also)
    ]
    refunded = [each.conversion for each in events if each.conversion.event_name == "refund"]
    assert len({event.event_id for event in refunded}) == len(refunded)
    assert sum(event.value_minor for event in refunded) == (1999 if cancelled else 300 * max(seen, default=0))
