"""What receipts say of a delivery that failed once."""

import pytest

from consumer.model import Origin, Receipt
from consumer.replay.plan import Delivery
from consumer.replay.since import judged

OF = Delivery("meta-us", Origin("capi.conversions", 1, 7))


def receipt(outcome: str, at_ms: int, offset: int = 7, *, late: bool = False) -> Receipt:
    """One of Meta's."""
    made = ("capi.conversions", 1, offset, "purchase:1", "purchase", "1", "meta-us", "meta", outcome)
    return Receipt(*made, late=late, settled_at_ms=at_ms)


@pytest.mark.parametrize(
    ("receipts", "is_delivered"),
    [
        ([], False),
        ([receipt("rejected", 1)], False),
        ([receipt("rejected", 1), receipt("delivered", 2)], True),
        ([receipt("delivered", 1), receipt("rejected", 2)], True),
        ([receipt("delivered", 1), receipt("rejected", 2, late=True)], False),
        ([receipt("delivered", 1), receipt("rejected", 2, late=True), receipt("delivered", 3)], True),
        ([receipt("delivered", 1, offset=8)], False),
    ],
)
def test_a_delivery_is_done_unless_fault_was_found_with_it_later(
    receipts: list[Receipt], *, is_delivered: bool
) -> None:
    """A crash may write both outcomes, and then it was delivered; a fault that is found later wins."""
    assert (judged(receipts, {OF}) == {OF}) is is_delivered
