"""Kafka's new group protocol, `kafka.group_protocol: consumer`: kill -9, members that come and go, on both stages."""

from collections.abc import Callable
from functools import partial
from itertools import chain

from consumer.emulators.shop import Truth
from tests.broker.dispatch import Dispatch, Emulated, conversion, judge
from tests.broker.dispatch import Process as Sender
from tests.broker.shopfloor import Process, ShopFloor, wait_for, whole
from tests.guarantees import EachOnce

SEED = 848
NEW = {"group_protocol": "consumer"}
EVENTS = 900
BATCH = 20


def shared(floor: ShopFloor, *processes: Process) -> None:
    """Wait until each holds partitions, all of them together and none twice, and all are restored."""

    def are_shared() -> bool:
        held = [process.status["assignment"] for process in processes if process.is_alive()]
        return all(held) and sorted(chain.from_iterable(held)) == list(range(floor.partitions))

    wait_for("the partitions are shared", are_shared)
    for process in processes:
        process.await_ready()


def test_enrich_killed_takes_its_place_again_when_its_session_is_over(
    open_floor: Callable[..., ShopFloor],
) -> None:
    """Its id is taken until then, which kills client after client; it says so once, and each conversion comes once."""
    print(f"seed {SEED}")  # noqa: T201 (so that a failure can be repeated)
    # So long that a killed process's transaction must be ended by its successor, not by the cluster.
    floor, once, told = (
        open_floor(kafka={**NEW, "transaction_timeout_s": 600}),
        EachOnce(),
        whole(SEED, orders=120),
    )
    once.truth(each for each in told if isinstance(each, Truth))
    third = len(told) // 3
    with floor.start() as process:
        process.await_ready(floor.partitions)
        floor.publish(told[:third])
        floor.await_drained(process)
        process.catch("produced", lambda: floor.publish(told[third : 2 * third]))
        process.kill()
    with floor.start() as successor:
        successor.await_ready(floor.partitions)
        floor.publish(told[2 * third :])
        floor.await_drained(successor)
        successor.stop()
        assert successor.log.count("waits until its predecessor's session is over") == 1
    once.out(each.event_id for each in floor.conversions())
    assert list(once.violations()) == []
    assert list(floor.state("one").violations()) == []


def test_enrich_stopped_well_has_its_place_at_once(open_floor: Callable[..., ShopFloor]) -> None:
    """A static member that left well keeps its partitions: its successor waits for nobody."""
    floor, told = open_floor(kafka=NEW), whole(SEED, orders=20)
    for part in (told[: len(told) // 2], told[len(told) // 2 :]):
        with floor.start() as process:
            process.await_ready(floor.partitions)
            floor.publish(part)
            floor.await_drained(process)
            process.stop()
            assert "predecessor" not in process.log
    once = EachOnce()
    once.truth(each for each in told if isinstance(each, Truth))
    once.out(each.event_id for each in floor.conversions())
    assert list(once.violations()) == []


def test_enrich_shares_and_takes_back(open_floor: Callable[..., ShopFloor]) -> None:
    """One process, then two, one of which is killed in a transaction, then one again: sisters together, each once."""
    floor, once, told = (
        open_floor(kafka={**NEW, "transaction_timeout_s": 5}),
        EachOnce(),
        whole(SEED + 1, orders=120),
    )
    once.truth(each for each in told if isinstance(each, Truth))
    third = len(told) // 3
    with floor.start("one") as one:
        one.await_ready(floor.partitions)
        floor.publish(told[:third])
        with floor.start("two") as two:
            shared(floor, one, two)
            two.catch("positions_sent", lambda: floor.publish(told[third : 2 * third]))
            two.kill()
        one.await_ready(floor.partitions)
        floor.publish(told[2 * third :])
        floor.await_drained(one)
        one.stop()
    once.out(each.event_id for each in floor.conversions())
    assert list(once.violations()) == []
    assert list(floor.state("one").violations()) == []


def both_hold(*processes: Sender) -> bool:
    """Whether each has partitions, and all of them together."""
    held = [process.status("deliver.meta-us")["assignment"] for process in processes]
    return all(held) and sorted(chain(*held)) == [0, 1, 2]


def test_deliver_goes_on_where_a_killed_process_stood(open_dispatch: Callable[..., Dispatch]) -> None:
    """A second process joins and is killed: all is delivered, and again only what it had not told of."""
    dispatch = open_dispatch(kafka=NEW)
    with Emulated(latency_ms=100) as meta:
        dispatch.destination("meta-us", meta, batch_max_events=BATCH, concurrency_max_requests=2)
        dispatch.make_topics()
        with dispatch.start("one") as one:
            one.await_ready()
            with dispatch.start("two") as two:
                two.await_ready()
                two.await_that("both hold some", partial(both_hold, one, two))
                dispatch.write(conversion(number) for number in range(EVENTS))
                two.await_accepted(meta, EVENTS // 3)
                two.kill()
            dispatch.await_settled("meta-us", processes=[one])
            one.stop()
        assert meta.deduped() == set(dispatch.written.values())
        assert meta.stats["server_repeats"] <= 4 * BATCH * 2
    assert judge(dispatch).outcomes == {"delivered": EVENTS}
