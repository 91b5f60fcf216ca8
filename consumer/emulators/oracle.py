"""The second opinion: what must have arrived, by the shop's own truth, and how that compares with what did.

Reads only the truth (of `shop`, or a truth file) and what an emulator holds after dedupe.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import msgspec
from msgspec import Struct

from consumer.emulators.shop import Truth
from consumer.emulators.shop.records import own_event_id, own_value

Amounts: TypeAlias = Mapping[str, int]
"""Currency to minor units."""
NOT_PAID = "not_paid"
PURCHASE = "purchase"
NAMED_MAX = 5


class Sum(Struct, frozen=True):
    """So many events, worth so much."""

    count: int = 0
    money: Amounts = {}

    def __add__(self, other: "Sum") -> "Sum":
        return Sum(self.count + other.count, dict(Counter(self.money) + Counter(other.money)))


class Expected(Struct, frozen=True):
    """What one platform must hold: paid orders minus each cause are the eligible. `events`: name to ids."""

    paid: Sum
    excluded: Mapping[str, Sum]
    eligible: Sum
    refunds: Sum
    events: Mapping[str, frozenset[str]]


class Held(Struct, frozen=True):
    """What an emulator holds after dedupe: ids by our event names, and sums of purchases and refunds."""

    events: Mapping[str, frozenset[str]]
    purchases: Sum
    refunds: Sum


def read_truth(path: Path) -> Iterator[Truth]:
    """The lines of a truth file."""
    with path.open("rb") as lines:
        for line in lines:
            yield msgspec.json.decode(line, type=Truth)


def expected(
    truths: Iterable[Truth],
    platform: str,
    told_id: Callable[[Truth], str] = own_event_id,
    told_value: Callable[[Truth], int] = own_value,
) -> Expected:
    """What a platform must hold of these events once all is done.

    `told_id` is what it calls an event, `told_value` the minor units that it can be told of its worth.
    """
    paid, eligible, refunds = Sum(), Sum(), Sum()
    excluded: dict[str, Sum] = {}
    events: dict[str, set[str]] = {}
    for truth in truths:
        worth = Sum(1, {truth.currency: told_value(truth)})
        arrives = truth.eligible.get(platform, False)
        if arrives:
            events.setdefault(truth.event, set()).add(told_id(truth))
        if truth.event == "refund" and arrives:
            refunds += worth
        if truth.event != PURCHASE or truth.cause == NOT_PAID:
            continue
        paid += worth
        if arrives:
            eligible += worth
        else:
            cause = truth.causes.get(platform) or truth.cause or "not_taken"
            excluded[cause] = excluded.get(cause, Sum()) + worth
    return Expected(paid, excluded, eligible, refunds, {name: frozenset(ids) for name, ids in events.items()})


def adds_up(wanted: Expected) -> Iterator[str]:
    """Sentences about a truth that contradicts itself; none if paid minus the causes is what is eligible."""
    rest = wanted.eligible
    for excluded in wanted.excluded.values():
        rest += excluded
    if (rest.count, dict(rest.money)) != (wanted.paid.count, dict(wanted.paid.money)):
        yield f"the truth does not add up: {wanted.paid.count} paid orders, {rest.count} with a fate"


def disagreements(name: str, wanted: Expected, held: Held) -> Iterator[str]:
    """A sentence for each difference between what must be at destination `name` and what is."""
    yield from _sums(f"{name}: purchases", wanted.eligible, held.purchases)
    yield from _sums(f"{name}: refunds", wanted.refunds, held.refunds)
    for event in sorted(wanted.events.keys() | held.events.keys()):
        must, has = wanted.events.get(event, frozenset()), held.events.get(event, frozenset())
        if missing := must - has:
            yield f"{name}: {len(missing)} {event} events never arrived: {_named(missing)}"
        if extra := has - must:
            yield f"{name}: {len(extra)} {event} events should not be there: {_named(extra)}"


def _sums(what: str, must: Sum, has: Sum) -> Iterator[str]:
    if must.count != has.count:
        yield f"{what}: {must.count} expected, {has.count} there after dedupe"
    for currency in sorted(must.money.keys() | has.money.keys()):
        wanted, there = must.money.get(currency, 0), has.money.get(currency, 0)
        if wanted != there:
            yield f"{what} in {currency}: {wanted} minor units expected, {there} there after dedupe"


def _named(ids: Iterable[str]) -> str:
    some = sorted(ids)
    return ", ".join(some[:NAMED_MAX]) + (", …" if len(some) > NAMED_MAX else "")
