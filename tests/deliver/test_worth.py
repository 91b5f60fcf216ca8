"""What destinations count: with a rule, an order's value and that of its refunds fit each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from consumer.deliver.worth import Rule, valued
from consumer.enrich.conversion import refund
from consumer.model import Conversion, Refund

NET: Rule = "without_tax_and_shipping"
AMOUNT = st.integers(0, 10**9)


def purchase(value_minor: int, tax_minor: int = 0, shipping_minor: int = 0) -> Conversion:
    """A purchase with so much of tax and shipping in its value."""
    return Conversion(
        "p", "purchase", 1, "EUR", value_minor, 2, tax_minor=tax_minor, shipping_minor=shipping_minor
    )


def given_back(paid: Conversion, amount_minor: int, so_far_minor: int = 0) -> Conversion:
    """A refund of it, as enrich makes it, with what was given back before."""
    return refund(paid, Refund("r", 3, amount_minor, (), so_far_minor + amount_minor), "refund:1:r")


def test_grand_total_is_what_enrich_told() -> None:
    """Nothing is made anew."""
    for each in (purchase(1999, 319, 400), given_back(purchase(1999, 319, 400), 500)):
        assert valued(each, "grand_total") is each


@pytest.mark.parametrize(
    ("paid", "net_minor"),
    [
        (purchase(1999, 319, 400), 1280),
        (purchase(1999), 1999),
        (purchase(500, 319, 400), 0),
        (purchase(0), 0),
    ],
)
def test_tax_and_shipping_are_taken_off(paid: Conversion, net_minor: int) -> None:
    """Down to nothing, and no further; all else stays. A refund of everything takes back the same."""
    assert valued(paid, NET) == replace(paid, value_minor=net_minor)
    assert valued(given_back(paid, paid.value_minor), NET).value_minor == net_minor


@pytest.mark.parametrize(
    ("amount_minor", "share_minor"), [(0, 0), (1, 1), (2, 1), (3, 2), (4, 2), (5, 2), (-1, 0)]
)
def test_a_share_is_rounded_half_up(amount_minor: int, share_minor: int) -> None:
    """Of an order of 4 that is worth 2; what exceeds the order takes back no more than it was told as."""
    assert valued(given_back(purchase(4, 1, 1), amount_minor), NET).value_minor == share_minor


def test_a_free_order_gives_nothing_back() -> None:
    """Nothing is divided by what it cost."""
    assert valued(given_back(purchase(0), 100), NET).value_minor == 0


def test_a_step_is_counted_like_its_purchase() -> None:
    """A cart's value has the same parts."""
    step = replace(purchase(1999, 319, 400), event_name="begin_checkout")
    assert valued(step, NET).value_minor == 1280


@given(st.lists(AMOUNT, min_size=1, max_size=8), AMOUNT, AMOUNT)
def test_refunds_of_everything_take_back_the_purchase(
    amounts: list[int], tax_minor: int, shipping_minor: int
) -> None:
    """To one minor unit a refund at most; none is negative or above what the purchase was told as."""
    paid = purchase(sum(amounts), tax_minor, shipping_minor)
    net_minor = valued(paid, NET).value_minor
    shares = [valued(given_back(paid, amount), NET).value_minor for amount in amounts]
    assert all(0 <= share <= net_minor for share in shares)
    assert abs(sum(shares) - net_minor) <= len(shares)


@given(st.lists(AMOUNT, min_size=1, max_size=8), AMOUNT, AMOUNT)
def test_what_is_left_is_what_the_purchase_was_told_as_less_all_refunds(
    amounts: list[int], tax_minor: int, shipping_minor: int
) -> None:
    """It only ever falls, from no more than that down to nothing at the last refund."""
    paid = purchase(sum(amounts), tax_minor, shipping_minor)
    left_minor = valued(paid, NET).value_minor
    for place, amount in enumerate(amounts):
        told = valued(given_back(paid, amount, sum(amounts[:place])), NET)
        assert told.corrects_value_minor == valued(paid, NET).value_minor
        assert 0 <= told.corrects_value_minor - told.corrects_refunded_minor <= left_minor
        left_minor = told.corrects_value_minor - told.corrects_refunded_minor
    assert left_minor == 0
