"""The made-up shop: repeatable, complete in its mess, and true to its schemas."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from random import Random

import fastavro
import msgspec
import pytest

from consumer.emulators.shop import (
    KINDS,
    Damage,
    Known,
    PixelFire,
    Plan,
    Published,
    Taker,
    Topic,
    Truth,
    traffic,
)
from consumer.emulators.shop.fate import CONSENT_CAUSES
from consumer.emulators.shop.funnel import visit
from consumer.emulators.shop.records import SALES
from consumer.emulators.shop.traffic import kinds

NOW_MS = 1_795_000_000_000
SCHEMAS = Path(__file__).parents[2] / "schemas"
SMALL = Plan(seed=5, orders=200, now_ms=NOW_MS)
FACTS = ("ga_client_id", "ga_session_id")


def no_client_id(known: Known) -> str:
    """As GA4 demands it."""
    return "" if known.browser.get("ga_client_id") else "no_client_id"


ALL = frozenset({"purchase", "refund", "begin_checkout", "add_payment_info"})
MANY = msgspec.structs.replace(
    SMALL,
    platforms={"meta": SALES, "ads": Taker(ALL), "measuring": Taker(ALL, "analytics", no_client_id)},
)
"""Who takes no refunds, who takes all, and who goes by analytics' consent and demands a client's id."""


def told(plan: Plan) -> list[bytes]:
    """Everything that a plan makes, as bytes."""
    return [msgspec.json.encode(one) for one in traffic(plan)]


def published(plan: Plan) -> Iterator[Published]:
    """A plan's records."""
    return (one for one in traffic(plan) if isinstance(one, Published))


def truths(plan: Plan) -> Iterator[Truth]:
    """A plan's truth."""
    return (one for one in traffic(plan) if isinstance(one, Truth))


def test_the_same_seed_tells_the_same_story() -> None:
    """Same seed and now: same bytes. Another seed: another story."""
    assert told(SMALL) == told(SMALL)
    assert told(SMALL) != told(msgspec.structs.replace(SMALL, seed=6))


def test_another_now_moves_only_times() -> None:
    """The truth holds no times, so it is the same whenever the traffic is made."""
    assert list(truths(SMALL)) == list(truths(msgspec.structs.replace(SMALL, now_ms=NOW_MS + 86_400_000)))


@pytest.mark.parametrize("orders", [150, 3000])
def test_every_kind_of_mess_is_in_default_traffic(orders: int) -> None:
    """Each kind comes at least once, in a small run and in the demo's."""
    assert set(kinds(msgspec.structs.replace(SMALL, orders=orders))) == set(KINDS)


def test_every_cause_and_every_damage_is_in_default_traffic() -> None:
    """Whatever may keep a paid order from a platform happens to some order."""
    causes = {truth.cause for truth in truths(SMALL) if truth.event == "purchase"}
    assert causes == {kind.cause for kind in KINDS.values()} | set(CONSENT_CAUSES.values())
    assert {record.damage for record in published(SMALL)} == set(Damage)
    assert {(record.topic, record.value is None) for record in published(SMALL)} == {
        (topic, gone) for topic in Topic for gone in (True, False)
    }
    assert {record.key is None for record in published(SMALL)} == {True, False}


def test_the_world_is_in_default_traffic() -> None:
    """Currencies without and with three decimals, browsers of every channel, and customers of many countries."""
    plan = msgspec.structs.replace(SMALL, orders=600)
    values = [one.value for one in published(plan) if one.value]
    assert {"JPY", "KWD", "EUR", "USD"} <= {str(value["currency"]) for value in values}
    seen: set[str] = set()
    for value in values:
        facts = value.get("browser", {})
        assert isinstance(facts, dict)
        seen |= facts.keys()
    assert seen == {
        *("fbp", "fbc", "fbclid", "gclid", "gbraid", "wbraid", "ttclid", "ttp", "sc_click_id", "sc_cookie1"),
        *("epik", "rdt_cid", "rdt_uuid", "li_fat_id", "twclid", "msclkid", "ga_client_id", "ga_session_id"),
        *("ip", "user_agent", "page_url", "referrer_url"),
    }


def test_every_record_is_what_its_schema_says() -> None:
    """Records are written as Avro by the reference schemas, with no field that these don't know."""
    schemas = {
        topic: json.loads((SCHEMAS / name / "v1.avsc").read_text(encoding="utf-8"))
        for topic, name in ((Topic.ORDERS, "order"), (Topic.CHECKOUTS, "checkout"))
    }
    for record in published(SMALL):
        if record.value is not None:
            schema = schemas[record.topic]
            assert record.value.keys() <= {field["name"] for field in schema["fields"]}
            fastavro.schemaless_writer(BytesIO(), schema, dict(record.value))


def test_records_come_in_the_order_of_publishing_and_none_from_the_future() -> None:
    """What is published later comes later, and all of it before now, Kafka's timestamps too."""
    times = [record.published_ms for record in published(SMALL)]
    assert times == sorted(times)
    assert times[-1] < NOW_MS
    assert all(0 < record.at_ms < NOW_MS for record in published(SMALL))


def test_the_truth_adds_up() -> None:
    """Each order has one purchase, each event one line, and what has no cause is eligible."""
    lines = list(truths(SMALL))
    assert len([truth for truth in lines if truth.event == "purchase"]) == SMALL.orders
    assert max(Counter(truth.event_id for truth in lines).values()) == 1
    assert all(truth.eligible == {"meta": not truth.cause and truth.event != "refund"} for truth in lines)


def test_the_pixel_speaks_only_of_what_counts() -> None:
    """A pixel event shares its id and money with an eligible event of the same name."""
    eligible = {(truth.event, truth.event_id): truth for truth in truths(SMALL) if truth.eligible["meta"]}
    fires = [one for one in traffic(SMALL) if isinstance(one, PixelFire)]
    assert fires
    for fire in fires:
        truth = eligible[fire.event, fire.event_id]
        assert (fire.value_minor, fire.currency) == (truth.value_minor, truth.currency)


def test_orders_share_their_checkouts_key() -> None:
    """An order is keyed by its checkout, or by itself if it has none."""
    for record in published(SMALL):
        if record.value is not None and record.key is not None:
            order_key = f"order:{record.value.get('order_id')}"
            assert record.key == (record.value["checkout_id"] or order_key)


def test_other_platforms_change_neither_records_nor_a_platforms_truth() -> None:
    """Chance does not hang on who listens."""
    assert list(published(MANY)) == list(published(SMALL))
    for one, of_many in zip(truths(SMALL), truths(MANY), strict=True):
        assert of_many.eligible["meta"] == one.eligible["meta"]
        assert msgspec.structs.replace(of_many, eligible={}, causes={}) == (
            msgspec.structs.replace(one, eligible={})
        )
        assert "meta" not in of_many.causes


def test_a_seed_has_so_many_of_each() -> None:
    """What a platform that takes all but refunds is owed, by event: the same as ever for this seed."""
    told = Counter(truth.event for truth in truths(SMALL) if truth.eligible["meta"])
    assert told == {"begin_checkout": 311, "add_payment_info": 198, "purchase": 147}
    assert b"causes" not in b"".join(map(msgspec.json.encode, truths(SMALL)))


def test_refunds_reach_only_those_that_take_them() -> None:
    """Of an order that counts, they count too."""
    refunds = [truth for truth in truths(MANY) if truth.event == "refund"]
    assert refunds
    assert {(truth.eligible["meta"], truth.eligible["ads"]) for truth in refunds} == {(False, True)}


def test_consent_counts_for_each_platform_by_its_purpose() -> None:
    """Who allowed analytics alone is told to the one that measures, unless it lacks something else."""
    measured = [truth for truth in truths(MANY) if truth.causes.get("measuring") == ""]
    assert measured
    assert {truth.cause for truth in measured} == {"consent_denied"}
    assert all(truth.eligible == {"meta": False, "ads": False, "measuring": True} for truth in measured)


def test_what_a_platform_demands_is_a_cause_of_its_own() -> None:
    """Without a browser there is no client's id; nobody else minds."""
    lacking = [truth for truth in truths(MANY) if truth.causes.get("measuring") == "no_client_id"]
    assert {"purchase", "begin_checkout"} <= {truth.event for truth in lacking}
    assert all(not truth.eligible["measuring"] for truth in lacking)
    assert any(truth.cause == "" and truth.eligible["meta"] for truth in lacking)


def test_a_conversion_carries_what_the_visitor_allowed() -> None:
    """Analytics' ids go with analytics, all else with ads; a platform's demand is judged by what is left."""
    had: dict[tuple[str, str, str], Known] = {}

    def look(known: Known) -> str:
        had.setdefault((known.consent["ads"], known.consent["analytics"], known.event), known)
        return ""

    list(traffic(msgspec.structs.replace(SMALL, platforms={"a": Taker(ALL, "analytics", look)}, orders=600)))
    only = had["DENIED", "GRANTED", "purchase"]
    assert set(only.browser) <= set(FACTS)
    assert not only.customer
    assert not had["GRANTED", "GRANTED", "begin_checkout"].customer
    assert had["GRANTED", "GRANTED", "add_payment_info"].customer
    assert had["GRANTED", "GRANTED", "add_payment_info"].browser


def test_an_order_without_its_checkout_knows_no_browser() -> None:
    """Whatever the browser told the shop: it is not at hand when the purchase is made."""
    seen: list[Known] = []

    def look(known: Known) -> str:
        seen.append(known)
        return ""

    list(
        traffic(msgspec.structs.replace(SMALL, platforms={"a": Taker(frozenset({"purchase"}), "ads", look)}))
    )
    alone = sum(KINDS[name].alone and not KINDS[name].cause for name in kinds(SMALL))
    assert sum(not known.browser for known in seen) == alone > 3


def test_the_pixel_speaks_to_whom_the_event_counts_for() -> None:
    """And with those facts that the visitor allowed."""
    fires = [one for one in traffic(MANY) if isinstance(one, PixelFire)]
    eligible = {(truth.event, truth.event_id): truth.eligible for truth in truths(MANY)}
    for fire in fires:
        right = {name for name, arrives in eligible[fire.event, fire.event_id].items() if arrives}
        assert fire.platforms == right != set()
    measured = [fire for fire in fires if fire.platforms == {"measuring"}]
    assert measured
    assert all(set(fire.browser) <= set(FACTS) for fire in measured)


def test_click_ids_look_like_their_platforms_own() -> None:
    """In the forms that the platforms give them."""
    forms = {
        "ttclid": r"E\.C\.P\.[\w-]{40}",
        "ttp": r"[0-9a-f]{27}",
        "sc_cookie1": r"[0-9a-f-]{36}",
        "rdt_uuid": r"\d{13}\.[0-9a-f-]{36}",
        "li_fat_id": r"[0-9a-f-]{36}",
        "msclkid": r"[0-9a-f]{32}",
    }
    seen = set()
    for number in range(300):
        for name, fact in visit(Random(number), str(number), NOW_MS).browser.items():
            if name in forms:
                seen.add(name)
                assert re.fullmatch(forms[name], str(fact)), name
    assert seen == set(forms)
