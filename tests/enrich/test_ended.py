"""What is told of each order's record: its ending, why, and what it was about."""

import pytest

from consumer.codec import Encoder, load_schema
from consumer.enrich.ended import endings, fitted
from consumer.enrich.plan import Arrival
from consumer.enrich.planned import Happened
from consumer.errors import Undecodable
from consumer.ingest.mapping import DecodedHead
from consumer.model import OrderEnding, OrderHead, Refund
from tests.enrich.conftest import T0_MS, Shop

AT_MS = T0_MS + 7_200_000
FIRST = Refund("r1", T0_MS + 200_000, 500)
SECOND = Refund("r2", T0_MS + 300_000, 700)
ENCODE: Encoder[OrderEnding] = Encoder(load_schema("ending"), 7)


def happened(shop: Shop, *arrivals: Arrival) -> list[Happened]:
    """What becomes of these, as a pair has it."""
    return [
        Happened(
            arrival.record, planned, arrival.told.head if isinstance(arrival.told, DecodedHead) else None
        )
        for arrival in arrivals
        for planned in shop.plan(arrival)
    ]


def ended(shop: Shop, *arrivals: Arrival) -> list[OrderEnding]:
    """The endings of these records."""
    return [ending for _, ending in endings(happened(shop, *arrivals), "orders", AT_MS)]


def test_conversion_tells_its_order_and_its_events(shop: Shop) -> None:
    """The purchase and the refunds of one record are one ending, worth what the order is."""
    order = shop.order(checkout_id="", refunds=(FIRST, SECOND), at_s=300)
    ids = ("purchase:o1", "refund:o1:r1", "refund:o1:r2")
    assert ended(shop, order) == [
        OrderEnding("orders", 0, 0, "o1", "", "conversion", "", ids, 1999, "EUR", True, AT_MS)
    ]


def test_refund_alone_is_worth_its_order(shop: Shop) -> None:
    """Whoever asks for the order finds its total, not what was given back."""
    shop.plan(shop.order(checkout_id=""))
    (ending,) = ended(shop, shop.order(checkout_id="", at_s=200, refunds=(FIRST,), rest=b"1"))
    assert (ending.ending, ending.event_ids, ending.value_minor) == ("conversion", ("refund:o1:r1",), 1999)


def test_order_that_waits_is_told_when_its_wait_ends(shop: Shop) -> None:
    """Nothing while it waits; then its own place, whether a step or time ended it, and nothing of the step."""
    assert ended(shop, shop.order(at_s=100), shop.order("o2", "c2", at_s=100)) == []
    (first,) = ended(shop, shop.step("COMPLETED", at_s=99))
    assert (first.order_id, first.topic, first.offset, first.checkout_id) == ("o1", "orders", 0, "c1")
    by_time = [Happened(None, planned) for planned in shop.wait(61)]
    ((key, second),) = endings(by_time, "orders", AT_MS)
    assert (key, second.offset, second.event_ids, second.paid) == (b"o2", 1, ("purchase:o2",), True)


def test_several_orders_released_at_once_keep_their_events_apart(shop: Shop) -> None:
    """Each has the ids of its own conversions."""
    shop.plan(shop.order(refunds=(FIRST,)), shop.order("o2"), shop.order("o3", refunds=(SECOND,)))
    told = ended(shop, shop.step("COMPLETED", at_s=99))
    assert [ending.event_ids for ending in told] == [
        ("purchase:o1", "refund:o1:r1"),
        ("purchase:o2",),
        ("purchase:o3", "refund:o3:r2"),
    ]


def test_repeats_tell_what_they_repeat(shop: Shop) -> None:
    """The ids of the events that are known, and how it repeats them."""
    order = shop.order(checkout_id="", at_s=300, refunds=(FIRST,))
    shop.plan(order)
    told = ended(
        shop,
        order,
        shop.order(checkout_id="", at_s=300, refunds=(FIRST,), rest=b"address"),
        shop.order(checkout_id="", at_s=300, total=1),
    )
    assert [(ending.ending, ending.event_ids) for ending in told] == [
        ("reread", ("purchase:o1",)),
        ("duplicate", ("purchase:o1", "refund:o1:r1")),
        ("conflict", ("purchase:o1",)),
    ]


def test_filtered_order_tells_why(shop: Shop) -> None:
    """With its worth, and that nobody has paid it."""
    (ending,) = ended(shop, shop.order(status="PENDING", paid_at_ms=0))
    assert (ending.ending, ending.reason, ending.event_ids) == ("filtered", "state_pending", ())
    assert (ending.checkout_id, ending.value_minor, ending.currency, ending.paid) == (
        "c1",
        1999,
        "EUR",
        False,
    )


@pytest.mark.parametrize("status", ["PENDING", "PAID"])
def test_what_is_no_currency_is_not_told(shop: Shop, status: str) -> None:
    """Whatever a shop has written there; and an amount of nothing is no amount."""
    (ending,) = ended(shop, shop.order(status=status, currency="zoe@mail.example"))
    assert (ending.value_minor, ending.currency) == (0, "")


def test_record_without_an_order_keeps_its_own_key(shop: Shop) -> None:
    """What can't be read, and what only says that something is gone."""
    records = [shop.order().record for _ in range(2)]
    unread = [Arrival(records[0], Undecodable("cut")), Arrival(records[1], None)]
    told = list(endings(happened(shop, *unread), "orders", AT_MS))
    assert [key for key, _ in told] == [b"key", b"key"]
    assert [(each.order_id, each.ending, each.reason) for _, each in told] == [
        ("", "letter", "undecodable"),
        ("", "tombstone", ""),
    ]


def test_checkouts_have_none(shop: Shop) -> None:
    """Whatever becomes of a step."""
    step = shop.step()
    assert ended(shop, step, step, shop.step("CONTACT"), Arrival(step.record, Undecodable("cut"))) == []


@pytest.mark.parametrize("letter", ["x", "€", "𝄞"])
def test_an_ending_always_fits(shop: Shop, letter: str) -> None:
    """Of ids that no topic takes, the beginning is told; what happened is always told."""
    head = OrderHead(letter * 9_000, letter * 9_000, "PAID", 1, 1, 1, "EUR", 5, letter * 9_000, b"")
    (planned,) = shop.plan(shop.order(status="PENDING"))
    ((key, ending),) = endings([Happened(shop.order().record, planned, head)], "orders", AT_MS)
    cut, value = fitted((key, ending), ENCODE, 4_000)
    assert key is not None
    assert cut is not None
    assert key.startswith(cut)
    assert 0 < len(cut) + len(value) <= 4_000
    assert value == ENCODE(
        OrderEnding(
            "orders", 0, 1, letter * 250, letter * 250, "filtered", "state_pending", (), 5, "EUR", True, AT_MS
        )
    )


def test_what_fits_is_told_whole(shop: Shop) -> None:
    """To the last byte."""
    ((key, ending),) = endings(happened(shop, shop.order(checkout_id="")), "orders", AT_MS)
    value = ENCODE(ending)
    assert fitted((key, ending), ENCODE, len(value) + 2) == (b"o1", value)
    assert fitted((key, ending), ENCODE, len(value) + 1)[1] != value
