"""One broker of three is lost while enrich works."""

from itertools import islice
from pathlib import Path

from confluent_kafka.admin import AdminClient

from consumer.emulators.registry import RegistryThread
from consumer.emulators.shop import Truth
from consumer.local.broker import Kafka
from tests.broker.shopfloor import ShopFloor, whole
from tests.guarantees import EachOnce

SEED = 71


def coordinator(cluster: Kafka, group: str) -> int:
    """The node, counted from 0, that the group hangs on."""
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    (asked,) = admin.describe_consumer_groups([group]).values()
    return int(asked.result(30).coordinator.id) - 1


def test_loss_of_the_groups_coordinator_loses_nothing(
    cluster: Kafka, stand_in: RegistryThread, prefix: str, tmp_path: Path
) -> None:
    """Killed under load, and back later: all conversions, each once, by one and the same process."""
    print(f"seed {SEED}")  # noqa: T201 (so that a failure can be repeated)
    floor, once = ShopFloor(cluster.bootstrap, stand_in.url, prefix, tmp_path), EachOnce()
    floor.make_topics(replication_factor=3)
    told = whole(SEED, orders=300)
    once.truth(each for each in told if isinstance(each, Truth))
    left = iter(told)
    with floor.start() as process:
        process.await_ready()
        lost = coordinator(cluster, f"{prefix}.enrich")
        process.catch("produced", lambda: floor.publish(islice(left, len(told) // 3)))
        cluster.kill(lost)
        process.let_go()
        try:
            floor.publish(islice(left, len(told) // 3))
            floor.await_drained(process)
        finally:
            cluster.restart(lost)
        floor.publish(left)
        floor.await_drained(process)
        print(process.stop()["tally"])  # noqa: T201 (what it cost)
    once.out(conversion.event_id for conversion in floor.conversions())
    assert list(once.violations()) == []
    same = floor.state("one")
    assert len(same) > 0
    assert list(same.violations()) == []
