"""Enrich killed with -9 again and again, by chance and in the middle of its transactions."""

import shutil
from collections import Counter
from collections.abc import Callable
from itertools import islice
from random import Random

import pytest

from consumer.demo.publish import Publisher
from consumer.emulators.shop import Published, Truth
from tests.broker.role_process import STEPS
from tests.broker.shopfloor import OPEN, Process, ShopFloor, Told, whole
from tests.guarantees import EachEndingTold, EachOnce, OneEndingEach, OneLetterEach

SEED = 20_261
KILLS = 50
OPEN_MIN = 15
STOP_EVERY = 10
RECORDS_A_LIFE = 100
CHUNK_RECORDS = 10
CHANCE = 0.3


def life(process: Process, publisher: Publisher, told: list[Told], rng: Random) -> str:
    """Give it work, kill it by chance or in a step that was chosen; the step in which it died."""
    list(publisher.publish(told[: len(told) // 2]))
    process.await_ready()
    rest = told[len(told) // 2 :]
    if rng.random() < CHANCE:
        while rest and rng.random() > CHANCE:
            list(publisher.publish(rest[:CHUNK_RECORDS]))
            del rest[:CHUNK_RECORDS]
        step = process.kill()
        list(publisher.publish(rest))
        return step
    process.catch(rng.choice(STEPS[1:]), lambda: list(publisher.publish(rest)))
    return process.kill()


def restart(floor: ShopFloor) -> None:
    """A good end puts the store on disk: the next lives begin from there and not from nothing."""
    with floor.start() as process:
        process.await_ready()
        process.stop()


@pytest.mark.timeout(600)
def test_killed_fifty_times_each_conversion_comes_once(open_floor: Callable[..., ShopFloor]) -> None:
    """Fifty kill -9, many inside an open transaction: all conversions and endings, each once, and state as told."""
    print(f"seed {SEED}")  # noqa: T201 (so that a failure can be repeated)
    rng, told = Random(SEED), whole(SEED, orders=500)
    # So long that a killed process's transaction must be ended by its successor, not by the cluster.
    floor = open_floor(kafka={"transaction_timeout_s": 600})
    once, letters, ended = EachOnce(), OneLetterEach(), OneEndingEach()
    once.truth(each for each in told if isinstance(each, Truth))
    letters.published(each for each in told if isinstance(each, Published))
    left, died = iter(told), Counter[str]()
    publisher = floor.publisher()
    for number in range(KILLS):
        with floor.start() as process:
            died[life(process, publisher, list(islice(left, RECORDS_A_LIFE)), rng)] += 1
        if number % STOP_EVERY == 0:
            restart(floor)
    list(publisher.publish(left))
    publisher.close()
    print(dict(died))  # noqa: T201 (how many kills hit which step)
    with floor.start() as process:
        floor.await_drained(process)
        process.stop()
        ended.out(process.endings)

    assert died.total() == KILLS
    assert sum(died[step] for step in OPEN) >= OPEN_MIN, died
    once.out(conversion.event_id for conversion in floor.conversions())
    assert list(once.violations()) == []
    letters.out(headers for _, _, headers in floor.letters())
    assert list(letters.violations()) == []
    assert len(ended) > len(once) // 2  # what was killed between its commit and the note is missing
    assert list(ended.violations()) == []
    told_once = EachEndingTold()
    told_once.read(floor.places("orders"))
    told_once.out(floor.endings())
    assert list(told_once.violations()) == []
    kept = floor.state("one")
    assert len(kept) > len(once)
    assert list(kept.violations()) == []

    shutil.rmtree(floor.folder / "one" / "state")
    restart(floor)
    assert list(floor.state("one").violations()) == []
