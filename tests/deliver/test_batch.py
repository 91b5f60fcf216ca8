"""What waits to be sent: how batches are put together, and what is forgotten."""

from collections.abc import Callable
from random import Random
from typing import Any, TypeAlias

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consumer.deliver.batch import FRAME_BYTES, Queue, halves
from consumer.deliver.delivery import Group, Now
from consumer.deliver.settle import Progress

MakeRoad: TypeAlias = Callable[..., Any]
FOR_EVER = Now(10**15, 1e9)


def test_batch_fits_the_bytes_allowed(make_road: MakeRoad) -> None:
    """Events and what separates them fit; one that is too large by itself goes alone."""
    road = make_road()
    queue = Queue(100, FRAME_BYTES + 100, 0.0)
    for size in (60, 39, 1, 500, 50, 49):
        queue.add(road.delivery("x" * size), 0, road.now)
    sizes = []
    while (group := queue.take(road.now)) is not None:
        sizes.append([len(each.event) for each in group.deliveries])
    assert sizes == [[60], [39, 1], [500], [50], [49]]
    assert len(queue) == 0


def test_equal_deadlines_go_in_the_order_they_came(make_road: MakeRoad) -> None:
    """Deliveries, groups and those held with the same time have an order of their own."""
    road = make_road()
    queue = Queue(1, 100_000, 0.0)
    fresh, held = ([road.delivery() for _ in range(20)] for _ in range(2))
    for one, other in zip(fresh, held, strict=True):
        queue.add(one, 0, road.now)
        queue.add(other, road.now.ms + 1, road.now)
    for delivery in [road.delivery() for _ in range(20)]:
        queue.put(Group([delivery]))
        queue.wait(Group([delivery]), road.now.s)
    road.pass_s(1)
    taken = []
    while (group := queue.take(road.now)) is not None:
        taken += [each for each in group.deliveries if each in fresh or each in held]
    assert taken == [*fresh, *held]


def test_fresh_batch_goes_before_a_group_that_has_more_time(make_road: MakeRoad) -> None:
    """Whose window closes first goes first, tried before or not."""
    road = make_road()
    queue = Queue(2, 100_000, 60.0)
    queue.put(Group([road.delivery("tried", window_s=200)]))
    queue.add(road.delivery("urgent", window_s=100), 0, road.now)
    queue.add(road.delivery("patient", window_s=300), 0, road.now)
    queue.add(road.delivery("lingers", window_s=250), 0, road.now)
    taken = []
    while (group := queue.take(road.now)) is not None:
        taken.append([each.event for each in group.deliveries])
    assert taken == [[b"urgent", b"lingers"], [b"tried"]]


def test_halves_keep_history_and_order(make_road: MakeRoad) -> None:
    """Two halves hold all of the group once, in order, and know of its failures."""
    road = make_road()
    for count in range(2, 20):
        group = Group([road.delivery() for _ in range(count)], failures=3, accepted_then=7, suspect=True)
        one, other = halves(group)
        assert one.deliveries + other.deliveries == group.deliveries
        assert 0 <= len(one.deliveries) - len(other.deliveries) <= 1
        assert (one.failures, other.accepted_then, other.suspect) == (3, 7, True)


def test_probe_takes_a_few_that_failed_least(make_road: MakeRoad) -> None:
    """Fresh ones first, without their linger, then groups by their failures; the rest of a group stays."""
    road = make_road()
    queue = Queue(100, 100_000, 60.0)
    failed = [Group([road.delivery() for _ in range(8)], failures=failures) for failures in (4, 2)]
    for group in failed:
        queue.put(group)
    queue.add(road.delivery("fresh"), 0, road.now)
    taken = []
    while (probe := queue.take_probe(road.now, 5)) is not None:
        taken.append((probe.failures, len(probe.deliveries)))
    assert taken == [(0, 1), (2, 5), (2, 3), (4, 5), (4, 3)]
    assert len(queue) == 0


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(st.integers(0, 2**32))
def test_what_is_lost_is_forgotten_wherever_it_was(make_road: MakeRoad, seed: int) -> None:
    """Of everything queued in whatever way, exactly what isn't lost is there, counted and taken later."""
    road, random = make_road(seed), Random(seed)
    progresses = [Progress(0) for _ in range(3)]
    queue = Queue(7, 100_000, 0.0)
    given_in = []
    for _ in range(random.randint(0, 40)):
        made = [road.delivery(progress=random.choice(progresses)) for _ in range(random.randint(1, 6))]
        given_in += made
        kind = random.choice(["fresh", "held", "ready", "waiting"])
        if kind in {"fresh", "held"}:
            for delivery in made:
                queue.add(delivery, road.now.ms + 50 if kind == "held" else 0, road.now)
        elif kind == "ready":
            queue.put(Group(made))
        else:
            queue.wait(Group(made), road.now.s + random.random())
    for progress in progresses[: random.randint(0, 3)]:
        progress.lost = True
    queue.drop_lost()
    kept = {id(each) for each in given_in if not each.progress.lost}
    assert len(queue) == len(kept)
    assert (queue.wait_s(road.now) is None) == (not kept)
    taken = []
    while (group := queue.take(FOR_EVER)) is not None:
        taken += group.deliveries
    assert {id(each) for each in taken} == kept
    assert len(taken) == len(kept)
    assert len(queue) == 0
