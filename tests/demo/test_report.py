"""The report: its JSON has the fixed names and nothing else, and adds up."""

import msgspec
import pytest
from msgspec.structs import replace

from consumer.demo.facts import Facts
from consumer.demo.report import latency, report
from consumer.model import Ending


def test_the_json_has_the_fixed_names(facts: Facts) -> None:
    """What scripts rely on is there, on every level, and nothing more."""
    told = msgspec.to_builtins(report(facts))
    assert list(told) == ["seed", "broker", "enrich", "destinations", "oracle", "conservation"]
    assert list(told["enrich"]) == [
        "read",
        "endings",
        "conversions",
        "order_only",
        "filtered",
        "odd_event_ids",
    ]
    assert list(told["destinations"]["meta"]) == [
        *(
            "owed",
            "delivered",
            "skipped",
            "rejected",
            "expired",
            "unknown",
            "in_flight",
            "missing",
            "requests",
        ),
        *("latency_ms", "match", "emulator"),
    ]
    assert list(told["destinations"]["meta"]["latency_ms"]) == ["p50", "p99"]
    assert told["destinations"]["meta"]["match"] == {
        "purchase": {"events": 3, "score": 4.0, "identifiers": {"email": 0.6667, "phone": 1.0}}
    }
    assert list(told["destinations"]["meta"]["emulator"]) == [
        *("server", "pixel", "after_dedupe", "money", "refunds", "refunds_money"),
    ]
    assert list(told["oracle"]) == [
        *("paid_orders", "eligible", "excluded", "money", "refunds", "refunds_money"),
    ]
    assert told["conservation"] == {"holds": True, "violations": []}


def test_endings_add_up_to_the_records_read(facts: Facts) -> None:
    """Each ending has its number, zero too, and their sum is what was read."""
    enrich = report(facts).enrich
    assert set(enrich.endings) == {ending.value for ending in Ending}
    assert sum(enrich.endings.values()) == sum(enrich.read.values())


def test_what_is_owed_is_the_sum_of_its_fates(facts: Facts) -> None:
    """Owed = delivered + skipped + rejected + expired + unknown + in flight + missing."""
    of = report(facts).destinations["meta"]
    fates = of.delivered + of.rejected + of.expired + of.unknown + of.in_flight + of.missing
    assert of.owed == fates + sum(of.skipped.values())
    assert of.requests == 11


def test_paid_orders_minus_the_causes_are_the_eligible(facts: Facts) -> None:
    """In the report's own numbers, and they are what the emulator holds, in count and in money."""
    made = report(facts)
    oracle, emulator = made.oracle, made.destinations["meta"].emulator
    assert oracle.paid_orders - sum(oracle.excluded["meta"].values()) == oracle.eligible["meta"]
    assert oracle.eligible["meta"] == emulator.after_dedupe
    assert oracle.money["meta"] == emulator.money


def test_a_violation_is_told(facts: Facts) -> None:
    """What doesn't balance makes `holds` false, with its sentence."""
    lost = replace(facts, stored=replace(facts.stored, order_only=0))
    conservation = report(lost).conservation
    assert not conservation.holds
    assert conservation.violations == ["order_only: enrich counted 4, the topic holds 0"]


@pytest.mark.parametrize(
    ("counts", "p50", "p99"),
    [
        ([0] * 15, 0.0, 0.0),
        ([100] + [0] * 14, 2.5, 4.9),
        ([0, 50, 0, 50] + [0] * 11, 10.0, 49.5),
        ([0] * 14 + [3], 10_000.0, 10_000.0),
    ],
)
def test_percentiles_are_read_from_the_buckets(counts: list[int], p50: float, p99: float) -> None:
    """Within a bucket requests lie evenly; of those beyond the last bound only the bound is known."""
    took = latency(counts)
    assert took.p50 == pytest.approx(p50, abs=0.1)
    assert took.p99 == pytest.approx(p99, abs=0.1)
