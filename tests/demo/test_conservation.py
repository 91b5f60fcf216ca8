"""The books: silent when they balance, and each way to lose or double something has its sentence."""

from collections.abc import Callable
from typing import TypeAlias

import pytest
from msgspec.structs import replace

from consumer.demo.conservation import violations
from consumer.demo.facts import Destined, Enriched, Facts, Stored
from consumer.demo.readback import Deliveries
from consumer.emulators.kept import Stats
from consumer.emulators.oracle import Held, Sum

Change: TypeAlias = Callable[[Facts], Facts]


def enriched(change: Callable[[Enriched], Enriched]) -> Change:
    """Enrich's counters say something else."""
    return lambda facts: replace(facts, enriched=change(facts.enriched))


def stored(change: Callable[[Stored], Stored]) -> Change:
    """The topics hold something else."""
    return lambda facts: replace(facts, stored=change(facts.stored))


def meta(change: Callable[[Destined], Destined]) -> Change:
    """Something else is true of the destination."""
    return lambda facts: replace(facts, destinations={"meta": change(facts.destinations["meta"])})


def account(change: Callable[[Deliveries], Deliveries]) -> Change:
    """The receipts say something else."""
    return meta(lambda of: replace(of, deliveries=change(of.deliveries)))


def stats(change: Callable[[Stats], Stats]) -> Change:
    """The platform got something else."""
    return meta(lambda of: replace(of, stats=change(of.stats)))


def held(change: Callable[[Held], Held]) -> Change:
    """The platform holds something else."""
    return meta(lambda of: replace(of, held=change(of.held)))


def without_one_ending(of: Enriched) -> Enriched:
    """One step of a checkout is read, and nothing is said of it."""
    return replace(of, endings={**of.endings, ("checkouts", "context"): 299})


def lost_receipt(of: Deliveries) -> Deliveries:
    """One delivery has no receipt, and its offset is committed."""
    delivered = of.outcomes["delivered"] - 1
    by_event = {**of.delivered, "purchase": of.delivered["purchase"] - 1}
    return replace(of, outcomes={**of.outcomes, "delivered": delivered}, delivered=by_event, missing=1)


CASES: dict[str, tuple[Change, str]] = {
    "given up": (
        lambda facts: replace(facts, run=replace(facts.run, quiet="3 records of orders have no ending")),
        "given up before all was done: 3 records of orders have no ending",
    ),
    "published and gone": (
        lambda facts: replace(facts, published={**facts.published, "orders": 1 + facts.published["orders"]}),
        "orders: the shop published",
    ),
    "in the topic and unread": (
        stored(lambda of: replace(of, inputs={**of.inputs, "checkouts": of.inputs["checkouts"] + 1})),
        "checkouts: the topic holds",
    ),
    "read and without an ending": (enriched(without_one_ending), "have an ending"),
    "two endings": (
        enriched(lambda of: replace(of, endings={**of.endings, ("orders", "duplicate"): 1})),
        "have an ending",
    ),
    "ended and not told": (
        stored(lambda of: replace(of, endings={**of.endings, "filtered": 39})),
        "filtered: enrich counted 40 orders, the topic of endings tells of 39",
    ),
    "told and not ended": (
        stored(lambda of: replace(of, endings={**of.endings, "reread": 1})),
        "reread: enrich counted 0 orders, the topic of endings tells of 1",
    ),
    "counted and not in the topic": (
        enriched(lambda of: replace(of, conversions={**of.conversions, "refund": 1})),
        "refund: enrich counted 1 conversions, their topic holds 0",
    ),
    "in the topic twice": (
        stored(
            lambda of: replace(of, conversions={**of.conversions, "purchase": of.conversions["purchase"] + 1})
        ),
        "records ended as a conversion, the topic holds",
    ),
    "joined otherwise": (
        stored(lambda of: replace(of, order_only=5)),
        "order_only: enrich counted 4, the topic holds 5",
    ),
    "an ingest letter lost": (
        stored(lambda of: replace(of, letters={**of.letters, "ingest": 2})),
        "letters: 3 are due in dlq.ingest, 2 are there",
    ),
    "a rejection without a letter": (
        stored(lambda of: replace(of, letters={**of.letters, "meta": 2})),
        "letters: 3 are due in dlq.meta, 2 are there",
    ),
    "a receipt lost": (account(lost_receipt), "1 conversions below the committed offset have no receipt"),
    "not settled": (account(lambda of: replace(of, in_flight=1)), "1 conversions are still in flight"),
    "owed more than there are": (account(lambda of: replace(of, owed=of.owed + 1)), "are owed, the topic"),
    "owed and nothing known": (account(lambda of: replace(of, owed=of.owed + 1)), "are owed, but"),
    "a receipt of nothing": (
        account(lambda of: replace(of, strays=1)),
        "1 receipts are of conversions that are not in the topic",
    ),
    "a receipt twice": (account(lambda of: replace(of, repeated=1)), "1 receipts repeat another"),
    "a lane that counts otherwise": (
        meta(lambda of: replace(of, counted=replace(of.counted, outcomes={("delivered", ""): 1}))),
        "meta: the lane counted 1 delivered, the receipts say",
    ),
    "said to be delivered, and not there": (
        stats(lambda of: replace(of, server=of.server - 1)),
        "were delivered, the platform got",
    ),
    "sent twice, folded by the platform": (
        stats(lambda of: replace(of, server_repeats=1)),
        "were delivered, the platform got",
    ),
    "a purchase too few": (
        held(lambda of: replace(of, purchases=Sum(of.purchases.count - 1, of.purchases.money))),
        "meta: purchases:",
    ),
    "another amount": (
        held(
            lambda of: replace(of, purchases=Sum(of.purchases.count, {**of.purchases.money, "JPY": 1})),
        ),
        "meta: purchases in JPY:",
    ),
    "another event": (
        held(lambda of: replace(of, events={**of.events, "other": frozenset({"x"})})),
        "meta: 1 other events should not be there: x",
    ),
    "a truth that contradicts itself": (
        meta(lambda of: replace(of, wanted=replace(of.wanted, paid=Sum(1, {})))),
        "the truth does not add up",
    ),
}


def test_balanced_books_are_silent(facts: Facts) -> None:
    """A run in which all agrees has no violation."""
    assert list(violations(facts)) == []


@pytest.mark.parametrize("name", CASES)
def test_each_imbalance_has_its_sentence(facts: Facts, name: str) -> None:
    """Whatever is lost, doubled or told differently is named."""
    change, sentence = CASES[name]
    assert any(sentence in told for told in violations(change(facts)))
