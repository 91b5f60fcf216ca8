"""Enrich that is no longer alone: thawed after another process took its partitions over, or fenced by its own id."""

from collections.abc import Callable
from itertools import chain, islice

import pytest

from consumer.emulators.shop import Truth
from consumer.kafka.writer import TransactionalWriter
from tests.broker.shopfloor import Process, ShopFloor, Told, wait_for, whole
from tests.guarantees import EachEndingTold, EachOnce

SEED = 47
LOST_ORDERS = 40


def order_waits(told: list[Told]) -> list[Told]:
    """The same without any checkout: every order that names one waits."""
    return [each for each in told if getattr(each, "topic", None) != "checkouts"]


def share(floor: ShopFloor, *processes: Process) -> None:
    """Wait until each has partitions of its own, and all of them are restored."""

    def shared() -> bool:
        held = [process.status["assignment"] for process in processes if process.is_alive()]
        return all(held) and sorted(chain.from_iterable(held)) == list(range(floor.partitions))

    wait_for("the partitions are shared", shared)
    for process in processes:
        process.await_ready()


@pytest.mark.parametrize("step", ["idle", "produced", "positions_sent"])
def test_thawed_process_emits_nothing_a_second_time(open_floor: Callable[..., ShopFloor], step: str) -> None:
    """Its orders that waited were released by the new owner; what it had begun or begins now doesn't count."""
    print(f"seed {SEED}")  # noqa: T201 (so that a failure can be repeated)
    brief = {"session_timeout_s": 2, "transaction_timeout_s": 5}
    floor, once = open_floor(kafka=brief, join={"wait_s": 8 if step == "idle" else 3}), EachOnce()
    told = whole(SEED, orders=200)
    once.truth(each for each in told if isinstance(each, Truth))
    early, late = order_waits(told), [each for each in told if getattr(each, "topic", None) == "checkouts"]
    with floor.start("frozen") as frozen:
        frozen.await_ready(floor.partitions)
        cut = len(early) // 2
        if step == "idle":
            floor.publish(early[:cut])
            floor.await_drained()
            assert frozen.status["waiting"] > LOST_ORDERS
        else:
            frozen.catch(step, lambda: floor.publish(early[:cut]))
        frozen.freeze()
        frozen.let_go()
        with floor.start("heir") as heir:
            heir.await_ready(floor.partitions)
            floor.await_drained(heir)
            # The frozen one's open transaction hides the heir's conversions until the broker gives it up.
            wait_for("released by the heir", lambda: len(floor.conversions()) > LOST_ORDERS, every_s=0.5)
            frozen.thaw()
            floor.publish(early[cut:])
            floor.publish(late)
            share(floor, frozen, heir)
            floor.await_drained(heir, frozen)
            told_at_last = frozen.stop()
            print({name: told_at_last["tally"][name] for name in ("aborted", "fenced")})  # noqa: T201 (how it noticed)
            heir.stop()
    once.out(conversion.event_id for conversion in floor.conversions())
    ended = EachEndingTold()
    ended.read(floor.places("orders"))
    ended.out(floor.endings())
    assert [*once.violations(), *ended.violations()] == []


def take_over(floor: ShopFloor, instance_id: str) -> None:
    """Be another process with this instance's id, for a moment."""
    TransactionalWriter(floor.settings.kafka, f"{floor.prefix}.enrich.{instance_id}").close()


def test_fenced_process_goes_on_twice_and_ends_the_third_time(open_floor: Callable[..., ShopFloor]) -> None:
    """Fenced once it takes its id back and loses nothing; three times in five minutes it says that two share the id."""
    floor, once = open_floor(), EachOnce()
    told = whole(SEED, orders=60)
    once.truth(each for each in told if isinstance(each, Truth))
    left = iter(told)
    with floor.start() as process:
        process.await_ready()
        for fencings in (1, 2):
            take_over(floor, "one")
            floor.publish(islice(left, len(told) // 2 + 1))
            floor.await_drained(process)
            assert process.status["tally"]["fenced"] == fencings
        take_over(floor, "one")
        floor.write(floor.settings.topics.orders, None, b"key")
        assert process.end() == 1
        assert "Fenced: " in process.log
        assert "another process has the same instance_id; give each its own" in process.log
    once.out(conversion.event_id for conversion in floor.conversions())
    assert list(once.violations()) == []
