"""The made-up shop, open: records to a real Kafka, its pixel's events to an emulator over HTTP."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consumer.clock import SystemClock
from consumer.demo.emulated import Emulated
from consumer.demo.publish import Publisher
from consumer.demo.readback import ReadBack
from consumer.demo.shop import Shop
from consumer.emulators.platforms import STAND_INS, EmulatorThread
from consumer.emulators.registry import RegistryThread
from consumer.emulators.shop import PixelFire, Plan, traffic
from consumer.errors import Unreachable
from consumer.kafka.registry import SchemaStore
from consumer.settings import Settings

PLAN = Plan(seed=4, orders=40, now_ms=SystemClock().now_ms())


@pytest.fixture
def settings(bootstrap: str, tmp_path: Path, make_topic: Callable[..., str]) -> Iterator[Settings]:
    """Topics of the shop's own, and a registry."""
    with RegistryThread() as registry:
        yield Settings.model_validate(
            {
                "kafka": {"bootstrap_servers": bootstrap},
                "registry": {"url": registry.url, "cache_dir": tmp_path},
                "topics": {
                    "orders": make_topic("orders", partitions=2),
                    "checkouts": make_topic("checkouts", partitions=2),
                },
            }
        )


@pytest.fixture
def meta() -> Iterator[Emulated]:
    """An emulator of Meta."""
    with EmulatorThread(["meta"], tokens={"meta": "t"}) as running:
        yield Emulated(STAND_INS["meta"], running.urls["meta"])


@pytest.fixture
def shop(settings: Settings, meta: Emulated) -> Iterator[Shop]:
    """A shop that is not open yet."""
    store = SchemaStore(settings.registry)
    publisher = Publisher(settings, store)
    yield Shop(PLAN, publisher, {"meta": meta})
    publisher.close()
    store.close()


def test_all_that_is_told_gets_there(shop: Shop, settings: Settings, meta: Emulated) -> None:
    """What it says to have published is in the topics, and every event of its pixel is at the platform."""
    shop.open(closed=lambda: False)
    assert shop.orders_told == PLAN.orders
    with ReadBack(settings.kafka, "test") as back:
        for side, topic in (("orders", settings.topics.orders), ("checkouts", settings.topics.checkouts)):
            assert sum(1 for _ in back.records(topic)) == shop.published[side] > 0
    fires = sum(isinstance(told, PixelFire) for told in traffic(PLAN))
    assert meta.stats().pixel == shop.fired == fires > 0


def test_it_closes_when_told_to(shop: Shop) -> None:
    """Nobody waits for a shop whose product has ended."""
    shop.open(closed=lambda: shop.orders_told == 3)
    assert shop.orders_told == 3


def test_a_platform_that_is_gone_is_told() -> None:
    """An emulator that does not answer, or refuses, ends the run with a sentence that names it."""
    with EmulatorThread(["meta"], tokens={"meta": "t"}) as running:
        url = running.urls["meta"]
        with pytest.raises(Unreachable, match="refuses /_emulator/pixel with status 400"):
            Emulated(STAND_INS["meta"], url)._ask("POST", "/_emulator/pixel", b"[{}]")
    with pytest.raises(Unreachable, match="the emulator of meta does not answer"):
        Emulated(STAND_INS["meta"], url).stats()
