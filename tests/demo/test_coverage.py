"""The coverage that a run reports is that of its own conversions, from the shop's traffic to what deliver builds."""

from pathlib import Path

import pytest

from consumer.clock import SystemClock
from consumer.codec import load_schema
from consumer.deliver.intake import Intake, Place, Ready
from consumer.deliver.route import Wants
from consumer.deliver.settle import Progress
from consumer.deliver.tally import MatchTally
from consumer.demo.report import matched
from consumer.emulators.platforms import STAND_INS
from consumer.emulators.registry import RegistryThread
from consumer.kafka.registry import SchemaStore
from consumer.model import Conversion, EventName, Record
from consumer.platforms import PLATFORMS
from consumer.platforms.contract import Account, Secret
from consumer.settings import Settings
from tests.bench.planned import material
from tests.bench.shop import Ids, Shop

SEED, RECORDS = 11, 1_500
META = PLATFORMS["meta"]


@pytest.fixture(scope="module")
def conversions(tmp_path_factory: pytest.TempPathFactory) -> list[Conversion]:
    """What enrich makes of a small shop's traffic."""
    folder = tmp_path_factory.mktemp("coverage")
    with RegistryThread() as registry:
        settings = Settings.model_validate(
            {"registry": {"url": registry.url, "cache_dir": folder}, "instance_id": "test"}
        )
        store = SchemaStore(settings.registry)
        ids = Ids(
            store.register("orders-value", load_schema("order")),
            store.register("checkouts-value", load_schema("checkout")),
        )
        made = material(settings, Shop(SEED, RECORDS, ids).messages, Path(folder, "state"))
        store.close()
    return [converted.conversion for converted in made.conversions]


def told(conversion: Conversion, identifier: str) -> bool:
    """Whether Meta can be told it, by the conversion alone."""
    match identifier:
        case "click_id":
            return not conversion.click_ids.keys().isdisjoint({"fbc", "fbclid"})
        case "browser_id":
            return "fbp" in conversion.click_ids
        case "ip" | "user_agent":
            return bool(getattr(conversion, identifier))
        case _:
            return identifier in conversion.identity


def test_coverage_is_that_of_the_conversions(conversions: list[Conversion]) -> None:
    """Of each event that Meta is told, every identifier has the share that the conversions have of it."""
    account = Account(META.base_url, STAND_INS["meta"].account, Secret("t"))
    wants, tally, now_ms = Wants(frozenset(META.events), account), MatchTally(), SystemClock().now_ms()
    intake = Intake(lambda value: conversions[int(value)], META, wants, 0, tally)
    sent: dict[str, list[Conversion]] = {}
    for offset, conversion in enumerate(conversions):
        record = Record("capi.conversions", 0, offset, now_ms, None, b"%d" % offset)
        if isinstance(intake.take(record, conversion, Place(Progress(0), offset), now_ms), Ready):
            sent.setdefault(conversion.event_name, []).append(conversion)
    reported = {event: matched(counted) for event, counted in tally.snapshot().items()}
    assert reported.keys() == sent.keys() == META.events.keys()
    for event, of in sent.items():
        shares = {each: sum(told(one, each) for one in of) / len(of) for each in META.identifiers}
        assert reported[event].events == len(of)
        assert reported[event].identifiers == pytest.approx(shares, abs=1e-4)
    assert 0 < reported[EventName.PURCHASE].identifiers["click_id"] < 1
    assert 0 < reported[EventName.PURCHASE].score < 10
