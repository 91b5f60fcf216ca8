"""What enrich refuses at start, and what it tells the operator to do."""

import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec import json

from consumer.emulators.registry import RegistryThread
from consumer.enrich.encoders import Encoders
from consumer.enrich.loop import EnrichLoop
from consumer.errors import ConfigurationError, StateUnusable, Unreachable
from consumer.ingest import Ingest
from consumer.kafka.topics import Topics, TopicSpec, specs
from consumer.local.broker import free_ports
from consumer.model import Origin
from consumer.state.store import Checkpoint, Store
from tests.broker.inside import Inside
from tests.broker.shopfloor import ShopFloor

AT_ONCE = threading.Event()
AT_ONCE.set()


def start(floor: ShopFloor, instance_id: str = "refused") -> None:
    """Start enrich with a stop already set: what can begin at all ends at once, with nothing said."""
    settings = floor.settings_of(instance_id)[0]
    EnrichLoop(settings, Ingest(floor.schemas.schema), Encoders(lambda _: b"", lambda _: b"")).run(AT_ONCE)


def with_topics(
    floor: ShopFloor, partitions: Mapping[str, int], config: Mapping[str, Mapping[str, str]]
) -> None:
    """Make all topics, but some with another number of partitions or other settings."""
    made = [
        TopicSpec(
            spec.name,
            partitions.get(spec.name.rpartition(".")[2], spec.partitions),
            {**spec.config, **config.get(spec.name.rpartition(".")[2], {})},
        )
        for spec in specs(floor.settings, floor.partitions, shop=True)
    ]
    Topics(floor.settings.kafka).apply(made, 1)


@pytest.fixture
def floor(bootstrap: str, stand_in: RegistryThread, prefix: str, tmp_path: Path) -> ShopFloor:
    """A shop without any topics."""
    return ShopFloor(bootstrap, stand_in.url, prefix, tmp_path, partitions=2)


def test_all_in_order_is_not_refused(floor: ShopFloor) -> None:
    """The control of all that follows."""
    floor.make_topics()
    start(floor)


def test_brokers_that_do_not_answer(stand_in: RegistryThread, prefix: str, tmp_path: Path) -> None:
    """The setting to check is named."""
    nobody = f"127.0.0.1:{free_ports(1)[0]}"
    with pytest.raises(Unreachable, match=r"check kafka\.bootstrap_servers"):
        start(ShopFloor(nobody, stand_in.url, prefix, tmp_path))


def test_missing_topics(floor: ShopFloor) -> None:
    """All that are missing are named, and the command that makes them."""
    with pytest.raises(ConfigurationError, match=r"does not exist; `capi topics apply` makes") as refused:
        start(floor)
    for name in ("orders", "checkouts", "state", "conversions", "endings", "dlq.ingest", "control"):
        assert f"{floor.prefix}.{name}" in str(refused.value)


@pytest.mark.parametrize("other", ["orders", "checkouts", "state"])
def test_unequal_partition_counts(floor: ShopFloor, other: str) -> None:
    """An order and its checkout would not meet: both counts are told."""
    with_topics(floor, {other: 3}, {})
    with pytest.raises(ConfigurationError, match="equally many") as refused:
        start(floor)
    assert f"{floor.prefix}.{other} has 3" in str(refused.value)
    assert "has 2" in str(refused.value)


def test_changelog_that_forgets_too_early(floor: ShopFloor) -> None:
    """The retention that is needed is told in the unit of the topic's setting."""
    with_topics(floor, {}, {"state": {"retention.ms": "86400000"}})
    needed_ms = 2 * 604_800_000
    with pytest.raises(ConfigurationError, match=rf"86400000 ms.*set its retention\.ms to {needed_ms}"):
        start(floor)


def test_state_folder_that_cannot_be_written(
    bootstrap: str, stand_in: RegistryThread, prefix: str, tmp_path: Path
) -> None:
    """The setting and the folder are named."""
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    state = {"dir": str(tmp_path / "file" / "state")}
    floor = ShopFloor(bootstrap, stand_in.url, prefix, tmp_path, state=state)
    floor.make_topics()
    with pytest.raises(StateUnusable, match=r"state\.dir .*file/state can't be written .* give a folder"):
        start(floor)


def test_second_process_on_the_same_state_folder(
    bootstrap: str, stand_in: RegistryThread, prefix: str, tmp_path: Path
) -> None:
    """It is refused before it takes anything over, and the first one goes on."""
    floor = ShopFloor(
        bootstrap, stand_in.url, prefix, tmp_path, partitions=1, state={"dir": str(tmp_path / "one-for-both")}
    )
    floor.make_topics()
    with floor.start() as first:
        first.await_ready()
        with pytest.raises(
            StateUnusable, match=r"another process uses state\.dir .*one-for-both; stop it, or"
        ):
            start(floor, "second")
        floor.write(floor.settings.topics.orders, None, b"key")
        floor.await_drained(first)
        assert first.stop()["tally"]["fenced"] == 0


@pytest.mark.parametrize("other", [{"cluster": "another"}, {"partitions": 7}, {"prefix": "another"}])
def test_state_folder_of_another(floor: ShopFloor, other: Mapping[str, object]) -> None:
    """State of another cluster, prefix or number of partitions would join and dedupe what it never saw."""
    floor.make_topics()
    start(floor)
    owner = floor.settings_of("refused")[0].state.dir / "owner.json"
    owner.write_bytes(json.encode({**json.decode(owner.read_bytes()), **other}))
    with pytest.raises(StateUnusable, match=r"state\.dir .* belongs to .*another|partitions=7"):
        start(floor)


def test_state_that_is_ahead_of_its_changelog(floor: ShopFloor) -> None:
    """A changelog that lost records is not believed silently: what to do to believe it is told."""
    floor.make_topics()
    store = Store(floor.settings_of("inside")[0].state.dir / "0001")
    store.apply([(b"dkey", b"value")], Checkpoint(10_000, int(time.time() * 1000)))
    store.close()
    with (
        pytest.raises(StateUnusable, match=r"0001.* is ahead of .*state .*remove the folder"),
        Inside(floor) as inside,
    ):
        inside.await_ended({Origin("none", 0, 0): "none"})
