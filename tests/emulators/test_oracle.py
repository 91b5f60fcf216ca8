"""The oracle: agrees with what is right, and names every difference."""

from pathlib import Path

import msgspec

from consumer.emulators.oracle import Held, Sum, adds_up, disagreements, expected, read_truth
from consumer.emulators.shop import Plan, Taker, Truth, traffic

PLAN = Plan(seed=11, orders=200, now_ms=1_795_000_000_000)
TRUTHS = [one for one in traffic(PLAN) if isinstance(one, Truth)]


def right() -> Held:
    """What an emulator holds that got everything."""
    wanted = expected(TRUTHS, "meta")
    return Held(wanted.events, wanted.eligible, wanted.refunds)


def test_paid_orders_minus_each_cause_are_the_eligible() -> None:
    """In counts and in money, with every cause of the shop's mess but the one that is no paid order."""
    wanted = expected(TRUTHS, "meta")
    assert list(adds_up(wanted)) == []
    assert set(wanted.excluded) == {truth.cause for truth in TRUTHS} - {"", "not_paid"}
    assert wanted.paid.count == sum(t.event == "purchase" and t.cause != "not_paid" for t in TRUTHS)
    assert {"JPY", "KWD"} <= wanted.eligible.money.keys()


def test_agreement_is_silent() -> None:
    """What is right raises no word."""
    assert list(disagreements("meta", expected(TRUTHS, "meta"), right())) == []


def test_one_purchase_missing_is_told_in_count_money_and_id() -> None:
    """A purchase that never arrived is named three ways."""
    wanted, held = expected(TRUTHS, "meta"), right()
    lost = next(truth for truth in TRUTHS if truth.event == "purchase" and not truth.cause)
    held = Held(
        {**held.events, "purchase": held.events["purchase"] - {lost.event_id}},
        Sum(
            held.purchases.count - 1,
            {**held.purchases.money, lost.currency: held.purchases.money[lost.currency] - lost.value_minor},
        ),
        held.refunds,
    )
    told = list(disagreements("meta", wanted, held))
    assert len(told) == 3
    assert f"1 purchase events never arrived: {lost.event_id}" in told[2]


def test_an_event_that_should_not_be_there_is_told() -> None:
    """An event without consent that arrived all the same is named."""
    held = right()
    held = msgspec.structs.replace(
        held, events={**held.events, "begin_checkout": held.events["begin_checkout"] | {"x"}}
    )
    assert list(disagreements("meta", expected(TRUTHS, "meta"), held)) == [
        "meta: 1 begin_checkout events should not be there: x"
    ]


def test_another_amount_is_told() -> None:
    """The same events with other money are a difference."""
    held = right()
    other = {**held.purchases.money, "JPY": held.purchases.money["JPY"] + 1}
    held = msgspec.structs.replace(held, purchases=Sum(held.purchases.count, other))
    (told,) = disagreements("meta", expected(TRUTHS, "meta"), held)
    assert "in JPY" in told


def test_a_platform_that_takes_nothing_is_owed_nothing() -> None:
    """Orders that no rule excludes but the platform does not take have a name too, so the sums still hold."""
    wanted = expected(TRUTHS, "other")
    assert wanted.eligible == Sum()
    assert list(adds_up(wanted)) == []


def test_ids_are_compared_as_the_platform_knows_them() -> None:
    """A platform that calls a purchase by its bare order id is expected to hold that."""
    wanted = expected(TRUTHS, "meta", lambda truth: truth.order_id or truth.checkout_id)
    bare = {truth.order_id for truth in TRUTHS if truth.event == "purchase" and truth.eligible["meta"]}
    assert wanted.events["purchase"] == bare
    assert wanted.eligible == expected(TRUTHS, "meta").eligible


def test_money_is_compared_as_the_platform_can_be_told() -> None:
    """Where it takes fewer decimals than a dinar has, the sums are of what it was told, and still add up."""
    wanted = expected(TRUTHS, "meta", told_value=lambda truth: truth.value_minor // 10 * 10)
    assert list(adds_up(wanted)) == []
    assert wanted.eligible.money["KWD"] % 10 == 0
    assert wanted.eligible.money["KWD"] < expected(TRUTHS, "meta").eligible.money["KWD"]


def test_a_platforms_own_cause_is_the_one_that_is_told() -> None:
    """What it lacks is said of it, though the event arrives elsewhere; and the sums still hold."""
    plan = msgspec.structs.replace(
        PLAN,
        platforms={"picky": Taker(frozenset({"purchase"}), "analytics", lambda _: "no_client_id")},
    )
    wanted = expected((one for one in traffic(plan) if isinstance(one, Truth)), "picky")
    assert list(adds_up(wanted)) == []
    assert wanted.eligible == Sum()
    assert wanted.excluded["no_client_id"].count > wanted.excluded["consent_denied"].count > 0


def test_truth_survives_its_file(tmp_path: Path) -> None:
    """What is written as lines is read back the same."""
    path = tmp_path / "truth.ndjson"
    path.write_bytes(b"".join(msgspec.json.encode(truth) + b"\n" for truth in TRUTHS))
    assert list(read_truth(path)) == TRUTHS
