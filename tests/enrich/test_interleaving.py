"""The same records, each partition in its own order, make the same conversions however the two are interleaved."""

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consumer.enrich.plan import Arrival
from consumer.enrich.planned import Converted
from consumer.model import Consent, ConsentState

Shop: TypeAlias = Any
STATES = st.sampled_from(list(ConsentState))
TIMES_S = st.integers(0, 59)
CHECKOUTS = st.sampled_from(["c1", "c2", "c3"])


@st.composite
def steps(draw: st.DrawFn) -> dict[str, Any]:
    """A step of some checkout, with facts that others contradict."""
    return {
        "step": draw(st.sampled_from(["STARTED", "CONTACT", "PAYMENT", "COMPLETED"])),
        "checkout_id": draw(CHECKOUTS),
        "at_s": draw(TIMES_S),
        "browser": draw(
            st.dictionaries(st.sampled_from(["fbp", "fbclid", "ip"]), st.sampled_from(["x", "y"]))
        ),
        "identity": draw(st.dictionaries(st.sampled_from(["em", "ph"]), st.sampled_from(["h1", "h2"]))),
        "consent": Consent(ads=draw(STATES), at_ms=0),
    }


@st.composite
def orders(draw: st.DrawFn) -> dict[str, Any]:
    """An order of some checkout or none, or a version of one."""
    return {
        "order_id": draw(st.sampled_from(["o1", "o2", "o3"])),
        "checkout_id": draw(st.one_of(CHECKOUTS, st.just(""))),
        "at_s": draw(TIMES_S),
        "total": draw(st.sampled_from([1, 2])),
        "identity": draw(st.dictionaries(st.just("em"), st.just("h3"))),
        "consent": Consent(ads=draw(STATES)),
        "status": draw(st.sampled_from(["PAID", "PAID", "PENDING"])),
    }


def run(shop: Shop, arrivals: list[Arrival]) -> list[bytes]:
    """The conversions of one interleaving, after all waits have ended; when they were made doesn't count."""
    happened = shop.plan(*arrivals) + shop.wait(61)
    made = [each.conversion for each in happened if isinstance(each, Converted)]
    return sorted(msgspec.msgpack.encode(msgspec.structs.replace(each, enriched_at=0)) for each in made)


def withdrawals_last(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out denials after completion: withdrawn consent counts from when it is known, which is timing."""
    completed: set[str] = set()
    kept = []
    for record in records:
        if record["checkout_id"] in completed and record["consent"].ads == ConsentState.DENIED:
            continue
        kept.append(record)
        if record["step"] == "COMPLETED":
            completed.add(record["checkout_id"])
    return kept


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(checkouts=st.lists(steps(), max_size=8), placed=st.lists(orders(), max_size=6), data=st.data())
def test_any_interleaving_within_the_wait_makes_the_same_conversions(
    checkouts: list[dict[str, Any]],
    placed: list[dict[str, Any]],
    data: st.DataObject,
    open_shop: Callable[..., Shop],
) -> None:
    """Orders first, checkouts first, or any mixture: joins, duplicates and consent come out equal."""
    one, other = open_shop(), open_shop()
    told = [[s.step(**each) for each in withdrawals_last(checkouts)] for s in (one, other)]
    bought = [[s.order(**each) for each in placed] for s in (one, other)]
    mixture = data.draw(st.permutations([True] * len(told[1]) + [False] * len(bought[1])))
    steps_left, orders_left = iter(told[1]), iter(bought[1])
    mixed = [next(steps_left) if is_step else next(orders_left) for is_step in mixture]
    assert run(one, told[0] + bought[0]) == run(other, mixed)
