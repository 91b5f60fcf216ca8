"""A backlog of three hours, read at full speed: it joins as it would have live, however the topics are drained."""

import time
from collections.abc import Callable

import pytest

from consumer.emulators.shop import Plan, Published, Topic, Truth
from consumer.emulators.shop.traffic import kinds
from tests.broker.shopfloor import ShopFloor, Told, whole_of
from tests.guarantees import EachOnce

SEED = 61
ORDERS = 1_200
HOUR_MS = 3_600_000
NEVER_MET = frozenset({"no_checkout", "lost_checkout", "anonymous"})
TOO_LATE = "late_checkout"


class Joins:
    """What the shop's truth says of who meets whom."""

    def __init__(self, plan: Plan) -> None:
        named = {f"{plan.seed}-{number:06}": kind for number, kind in enumerate(kinds(plan))}
        self.alone = {order for order, kind in named.items() if kind in NEVER_MET}
        self.late = {order for order, kind in named.items() if kind == TOO_LATE}

    def __repr__(self) -> str:
        return f"<Joins: {len(self.alone)} orders without a checkout, {len(self.late)} with a late one>"


def only(told: list[Told], topic: Topic) -> list[Told]:
    """The records of one topic."""
    return [each for each in told if isinstance(each, Published) and each.topic is topic]


@pytest.mark.parametrize("ahead", ["neither", "orders", "checkouts"])
def test_backlog_joins_as_it_would_have_live(open_floor: Callable[..., ShopFloor], ahead: str) -> None:
    """No order whose checkout was there in time goes out without it; of those that have none, all do.

    Neither: both topics lie there, and Kafka hands them out in pieces of a few records. Else one topic was
    read to its end before a record of the other was there.
    """
    print(f"seed {SEED}")  # noqa: T201 (so that a failure can be repeated)
    plan = Plan(seed=SEED, orders=ORDERS, now_ms=int(time.time() * 1000), span_ms=3 * HOUR_MS)
    told, joins, once = whole_of(plan), Joins(plan), EachOnce()
    once.truth(each for each in told if isinstance(each, Truth))
    pieces = {"fetch.message.max.bytes": 20_000} if ahead == "neither" else {}
    floor = open_floor(partitions=2, join={"wait_s": 60}, kafka={"extra": pieces})
    floor.publish(told if ahead == "neither" else only(told, Topic(ahead)))
    with floor.start() as process:
        if ahead != "neither":
            floor.await_drained()
            floor.publish(only(told, Topic.CHECKOUTS if ahead == "orders" else Topic.ORDERS))
        floor.await_drained(process)
        process.stop()
    conversions = floor.conversions()
    once.out(conversion.event_id for conversion in conversions)
    assert list(once.violations()) == []
    purchases = [conversion for conversion in conversions if conversion.event_name == "purchase"]
    alone = {conversion.order_id for conversion in purchases if conversion.order_only}
    print(joins, len(purchases), len(alone), len(alone & joins.late))  # noqa: T201 (the shares)
    assert alone - joins.late == joins.alone & {conversion.order_id for conversion in purchases}
    if ahead == "neither":
        assert alone >= joins.late
