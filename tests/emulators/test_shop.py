"""The made-up shop: repeatable, complete in its mess, and true to its schemas."""

import json
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import fastavro
import msgspec
import pytest

from consumer.emulators.shop import KINDS, Damage, PixelFire, Plan, Published, Topic, Truth, traffic
from consumer.emulators.shop.traffic import kinds

NOW_MS = 1_795_000_000_000
SCHEMAS = Path(__file__).parents[2] / "schemas"
SMALL = Plan(seed=5, orders=200, now_ms=NOW_MS)


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
    assert causes == {kind.cause for kind in KINDS.values()}
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
