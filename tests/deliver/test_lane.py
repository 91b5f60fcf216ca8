"""Every verdict and every outcome of a lane, in virtual time."""

from collections.abc import Callable
from itertools import pairwise
from math import ceil, log2
from random import Random
from typing import Any, TypeAlias

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consumer.deliver.delivery import Group
from consumer.deliver.lane import PROBE_MAX_EVENTS
from consumer.deliver.pace import OPEN_MAX_S
from consumer.deliver.settle import Progress
from consumer.platforms.contract import (
    Accepted,
    AllBut,
    BatchRejected,
    EventVerdict,
    Later,
    Limits,
    PerEvent,
    Rejected,
    SetupFault,
    Throttled,
    TooLarge,
    Transient,
    Unconfirmed,
    Verdict,
)

Road: TypeAlias = Any
MakeRoad: TypeAlias = Callable[..., Road]
Answer: TypeAlias = Callable[[list[str]], Verdict]
DAY_S = 86_400
FAULT = SetupFault("190", "the token expired")


def in_turn(*verdicts: Verdict) -> Answer:
    """A platform that says these, one a request, and accepts from then on."""
    left = list(verdicts)
    return lambda _: left.pop(0) if left else Accepted()


@pytest.mark.parametrize(
    ("verdicts", "outcome", "letter", "requests"),
    [
        ([Accepted()], "delivered", "", 1),
        ([PerEvent((Accepted(),))], "delivered", "", 1),
        ([PerEvent((Rejected("100", "no"),))], "rejected", "rejected", 1),
        ([PerEvent(())], "delivered", "", 2),
        ([AllBut({})], "delivered", "", 1),
        ([AllBut({0: Rejected("100", "no")})], "rejected", "rejected", 1),
        ([AllBut({1: Rejected("100", "no")})], "delivered", "", 2),
        ([BatchRejected("100", "no")], "rejected", "rejected", 1),
        ([BatchRejected("100", "no", (0,))], "rejected", "rejected", 1),
        ([TooLarge("413")], "rejected", "rejected", 1),
        ([Throttled("4", 7.0), Throttled("4")], "delivered", "", 3),
        ([Transient("2"), Transient("2", 3.0)], "delivered", "", 3),
        ([FAULT], "delivered", "", 2),
        ([Unconfirmed("timeout")], "delivered", "", 2),
    ],
)
def test_each_verdict_has_its_outcome(
    make_road: MakeRoad, verdicts: list[Verdict], outcome: str, letter: str, requests: int
) -> None:
    """A lone event ends as the last verdict on it says, after as many requests as that takes."""
    road = make_road()
    (name,) = road.add_many(1)
    road.drive(in_turn(*verdicts))
    assert (road.outcomes, len(road.sent)) == ({name: outcome}, requests)
    assert road.letters == ({name: letter} if letter else {})
    assert [ended.attempts for ended in road.ended] == [requests]


def test_receipt_tells_first_attempt_status_and_code(make_road: MakeRoad) -> None:
    """What is told of an outcome is the last reply's status and code, and the first attempt's time."""
    road = make_road()
    road.add_many(1)
    began_ms = road.now.ms
    group = road.lane.next(road.now) if road.pass_s(1) else road.begin()
    road.finish(group, Transient("2"), 503)
    road.pass_s(10)
    road.finish(road.begin(), BatchRejected("100", "bad value"), 400)
    (ended,) = road.ended
    assert (ended.http_status, ended.code, ended.why, ended.attempts) == (400, "100", "bad value", 2)
    assert ended.first_attempt_at_ms == began_ms + 1_000


def test_delivered_keeps_no_code_of_an_earlier_failure(make_road: MakeRoad) -> None:
    """An event that is delivered in the end has no error code."""
    road = make_road()
    road.add_many(1)
    road.drive(in_turn(Transient("2"), Transient("2")))
    assert [ended.code for ended in road.ended] == [""]


def test_events_of_one_reply_each_have_their_own_verdict(make_road: MakeRoad) -> None:
    """Accepted, rejected and later may come in one reply; what comes later is put aside, with its time."""
    road = make_road()
    a, b, *later = road.add_many(5)
    road.drive(in_turn(PerEvent((Accepted(), Rejected("1", "no"), *(Later("2", 30.0),) * 3))))
    assert road.outcomes == {a: "delivered", b: "rejected"}
    assert road.aside.keys() == set(later)
    assert all(30 <= at_s - road.sent[0][0] < 31 for at_s in road.aside.values())
    assert {(each.history.attempts, each.history.alone) for each in road.deferred} == {(1, False)}
    assert len(road.sent) == 1


def test_events_that_a_reply_does_not_name_were_taken(make_road: MakeRoad) -> None:
    """Where a platform tells of those alone that it did not take."""
    road = make_road()
    a, b, c = road.add_many(3)
    road.drive(in_turn(AllBut({1: Rejected("1", "no"), 2: Later("2", 30.0)})))
    assert road.outcomes == {a: "delivered", b: "rejected"}
    assert road.aside.keys() == {c}


def test_batch_that_comes_later_is_put_aside(make_road: MakeRoad) -> None:
    """So is a whole request, however long the platform asks for."""
    road = make_road()
    names = road.add_many(3)
    road.drive(in_turn(Later("2", float("inf"))))
    assert road.outcomes == {}
    assert road.aside.keys() == set(names)
    assert max(road.aside.values()) <= 31 * DAY_S


def test_event_that_failed_while_others_passed_goes_alone(make_road: MakeRoad, accept: Answer) -> None:
    """One that comes back is sent by itself: if it fails again, no other event's request fails with it."""
    road = make_road()
    back = road.delivery("back")
    back.alone = True
    road.add(back)
    road.add_many(3)
    road.drive(accept)
    assert sorted(map(len, (names for _, names in road.sent))) == [1, 3]
    assert set(road.outcomes.values()) == {"delivered"}


def poisoned(poison: set[str], hint: Callable[[list[str]], tuple[int, ...]] = lambda _: ()) -> Answer:
    """A platform that refuses every batch with a poison event, and hints at culprits."""
    return lambda names: BatchRejected("100", "no", hint(names)) if poison & set(names) else Accepted()


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100, 499, 500])
@pytest.mark.parametrize("seed", range(5))
def test_one_poison_event_costs_one_letter(make_road: MakeRoad, count: int, seed: int) -> None:
    """With no culprit named, n-1 are delivered and one is a letter, in at most 1 + 2*ceil(log2 n) requests."""
    road = make_road(seed, batch_max_events=500)
    names = road.add_many(count)
    poison = Random(seed).choice(names)
    road.drive(poisoned({poison}))
    assert road.letters == {poison: "rejected"}
    assert list(road.outcomes.values()).count("delivered") == count - 1
    assert len(road.sent) <= 1 + 2 * ceil(log2(count))


@pytest.mark.parametrize("seed", range(5))
def test_named_culprits_cost_three_requests(make_road: MakeRoad, seed: int) -> None:
    """Where the platform names the culprit, the rest pass at once, and the culprit is asked about once more."""
    road = make_road(seed, batch_max_events=500)
    names = road.add_many(500)
    poison = Random(seed).choice(names)
    road.drive(poisoned({poison}, lambda names: (names.index(poison),)))
    assert road.letters == {poison: "rejected"}
    assert (len(road.ended), len(road.sent)) == (500, 3)


@pytest.mark.parametrize("seed", range(5))
def test_culprits_named_one_a_reply_cost_two_requests_each(make_road: MakeRoad, seed: int) -> None:
    """A platform that names only the first of several culprits, rightly, is believed again and again."""
    road = make_road(seed, batch_max_events=500)
    poison = set(Random(seed).sample(road.add_many(500), 20))

    def first(names: list[str]) -> tuple[int, ...]:
        return tuple(index for index, name in enumerate(names) if name in poison)[:1]

    road.drive(poisoned(poison, first))
    assert set(road.letters) == poison
    assert len(road.ended) == 500
    assert len(road.sent) <= 1 + 2 * 20


@pytest.mark.parametrize("hint", [(0,), (-1,), (99_999,), (0, 0, 1), (-500,)])
@pytest.mark.parametrize("seed", range(5))
def test_wrongly_named_culprits_cost_little(make_road: MakeRoad, hint: tuple[int, ...], seed: int) -> None:
    """Indices that are wrong, negative or beyond the batch harm nobody; one try later the batch is halved."""
    road = make_road(seed, batch_max_events=500)
    names = road.add_many(500)
    poison = Random(seed).choice(names[2:])
    road.drive(poisoned({poison}, lambda _: hint))
    assert road.letters == {poison: "rejected"}
    assert (len(road.ended), road.twice) == (500, [])
    assert len(road.sent) <= 1 + 2 * ceil(log2(500)) + 2


def test_too_large_requests_are_halved_until_they_fit(make_road: MakeRoad) -> None:
    """A request that is too large is sent in parts; nothing is rejected that fits alone."""
    road = make_road()
    road.add_many(100)
    road.drive(lambda names: TooLarge("413") if len(names) > 30 else Accepted())
    assert list(road.outcomes.values()) == ["delivered"] * 100
    assert len(road.sent) == 1 + 2 + 4


def test_batches_go_by_number_bytes_and_linger(make_road: MakeRoad) -> None:
    """A full batch goes at once, one that isn't waits for its linger, and none is larger than the bytes allowed."""
    road = make_road(batch_max_events=10)
    road.add_many(25)
    road.drive(in_turn())
    assert [(at_s, len(names)) for at_s, names in road.sent] == [(0, 10), (0, 10), (pytest.approx(0.2), 5)]


def test_nearest_deadline_goes_first(make_road: MakeRoad) -> None:
    """Of fresh events and of those that failed, those whose window closes first are sent first."""
    road = make_road(batch_max_events=2, concurrency_max_requests=1)
    windows_s = [500, 100, 400, 200, 300, 50]
    made = [road.delivery(f"w{window_s}", window_s=window_s) for window_s in windows_s]
    road.add(*made)
    road.drive(in_turn(TooLarge("413")))
    assert [names for _, names in road.sent] == [
        ["w50", "w100"],
        ["w50"],
        ["w100"],
        ["w200", "w300"],
        ["w400", "w500"],
    ]


def test_closed_window_expires_before_any_request(make_road: MakeRoad, accept: Answer) -> None:
    """An event whose window closed in the queue is a letter, and no request is made for it."""
    road = make_road(batch_max_events=10)
    late, well = road.delivery("late", window_s=5), road.delivery("well")
    road.add(late, well)
    road.pass_s(5)
    road.drive(accept)
    assert road.outcomes == {"late": "expired", "well": "delivered"}
    assert road.letters == {"late": "expired"}
    assert [names for _, names in road.sent] == [["well"]]


def test_failing_event_ends_expired_at_its_windows_end(make_road: MakeRoad) -> None:
    """The retry budget is the platform's window: tried to its end, then one letter."""
    road = make_road()
    road.add(road.delivery("bad", window_s=2 * DAY_S))
    road.drive(lambda _: Transient("2"))
    assert road.outcomes == {"bad": "expired"}
    assert road.ended[0].attempts == len(road.sent) > 100
    assert 2 * DAY_S <= road.now.s - 5_000 <= 2 * DAY_S + OPEN_MAX_S


def test_event_is_held_until_its_time(make_road: MakeRoad, accept: Answer) -> None:
    """An event that the platform would call one of the future waits for its time, and holds up nobody."""
    road = make_road()
    road.add(road.delivery("future"), in_s=3_600)
    road.add(road.delivery("now"))
    road.drive(accept)
    assert [names for _, names in road.sent] == [["now"], ["future"]]
    assert road.sent[1][0] >= 3_600


@pytest.mark.parametrize("verdict", [Throttled("4", 120.0), Transient("2", 120.0)])
def test_retry_after_comes_first(make_road: MakeRoad, verdict: Verdict) -> None:
    """While the platform asks for silence nothing at all is sent; then everything is."""
    road = make_road(batch_max_events=1, concurrency_max_requests=1)
    road.add_many(20)
    road.drive(in_turn(verdict))
    assert len(road.outcomes) == 20
    assert all(at_s >= 120 + road.took_s for at_s, _ in road.sent[1:])


def test_retry_after_holds_for_a_parked_lane_too(make_road: MakeRoad) -> None:
    """A probe that is told to wait is not followed by another before that time, new credentials or not."""
    road = make_road()
    road.add_many(20)
    road.drive(in_turn(FAULT, Throttled("4", 1_000.0)), 10)
    road.lane.credentials_changed(road.now)
    road.drive(in_turn())
    assert road.sent[2][0] >= road.sent[1][0] + 1_000


def test_absurd_retry_after_is_bounded(make_road: MakeRoad) -> None:
    """Nobody is silent for more than an hour at a platform's word."""
    road = make_road()
    road.add_many(1)
    road.drive(in_turn(Throttled("4", 1e9)))
    assert 3_600 <= road.sent[1][0] <= 3_601


def test_waits_have_full_jitter(make_road: MakeRoad) -> None:
    """Waits after the same failure spread over all of the time there is, which doubles with each failure."""
    for failures, most_s in ((1, 1.0), (4, 8.0)):
        waits = []
        for seed in range(200):
            road = make_road(seed)
            road.add_many(1)
            road.drive(in_turn(*[Transient("2")] * failures))
            waits.append(road.sent[failures][0] - road.sent[failures - 1][0] - road.took_s)
        assert max(waits) <= most_s + 0.01
        quarters = [sum(part <= 4 * wait / most_s < part + 1 for wait in waits) for part in range(4)]
        assert min(quarters) > 20
        assert min(waits) < most_s / 10 < most_s * 0.9 < max(waits)


def test_throttling_counts_against_no_event(make_road: MakeRoad) -> None:
    """However often the platform is busy, events aren't taken apart, no breaker opens, and all are delivered."""
    road = make_road()
    road.add_many(100)
    road.drive(in_turn(*[Throttled("4")] * 30))
    assert {len(names) for _, names in road.sent} == {100}
    assert set(road.outcomes.values()) == {"delivered"}
    assert road.lane.breaker == "closed"


def test_set_up_fault_parks_without_letters(make_road: MakeRoad) -> None:
    """A fault of the set-up costs no event anything: a few probe now and then, until one passes; then all go."""
    road = make_road(batch_max_events=100)
    road.add_many(1_000)
    road.drive(lambda _: FAULT, DAY_S)
    assert road.ended == []
    assert road.lane.queued == 1_000
    assert repr(road.lane) == "<Lane meta-us: 0 sending, 1000 queued, parked>"
    first = [at_s for at_s, names in road.sent if len(names) == 100]
    probes = [(at_s, len(names)) for at_s, names in road.sent if len(names) != 100]
    assert set(first) == {0}
    assert {count for _, count in probes} == {PROBE_MAX_EVENTS}
    assert [round(at_s - before_s) for (before_s, _), (at_s, _) in pairwise(probes)][:8] == [
        *(10, 20, 40, 80, 160, 300, 300, 300)
    ]
    road.drive(in_turn())
    assert (len(road.ended), road.letters) == (1_000, {})
    assert road.lane.fault is None


def test_new_credentials_probe_at_once(make_road: MakeRoad) -> None:
    """A lane that was parked for long doesn't wait for its next probe once the credentials change."""
    road = make_road()
    road.add_many(200)
    road.drive(lambda _: FAULT, 3_600)
    road.lane.credentials_changed(road.now)
    at_s = road.now.s - 5_000
    before = len(road.sent)
    road.drive(in_turn())
    assert road.sent[before][0] == pytest.approx(at_s)
    assert len(road.ended) == 200


def test_probe_with_old_credentials_delays_nothing(make_road: MakeRoad) -> None:
    """A probe that was under way while the credentials changed says nothing of the new ones."""
    road = make_road()
    road.add_many(1)
    road.drive(lambda _: FAULT, 3_600)
    road.drive(lambda _: FAULT, 0)
    while (probe := road.begin()) is None:
        road.pass_s(1)
    road.pass_s(0.1)
    road.lane.credentials_changed(road.now)
    road.pass_s(0.1)
    road.finish(probe, FAULT)
    assert road.begin() is not None


def test_only_a_probe_ends_a_park(make_road: MakeRoad) -> None:
    """What was under way when the fault showed, and passes, says nothing of what is sent after."""
    road = make_road(batch_max_events=1)
    road.add_many(2)
    first, second = road.begin(), road.begin()
    road.finish(first, FAULT)
    road.finish(second, Accepted())
    assert road.lane.fault is FAULT


def test_empty_parked_lane_resumes_with_the_next_event(make_road: MakeRoad, accept: Answer) -> None:
    """Where nothing is left to probe with, the next event does it."""
    road = make_road()
    road.add(road.delivery("a", window_s=3))
    road.drive(lambda _: FAULT)
    assert road.outcomes == {"a": "expired"}
    assert road.lane.fault is not None
    road.add(road.delivery("b"))
    road.drive(accept)
    assert road.outcomes["b"] == "delivered"
    assert road.lane.fault is None


def test_parked_lane_probes_with_events_that_waited(make_road: MakeRoad, accept: Answer) -> None:
    """A lane all of whose events wait for their time, or after a failure, resumes by itself."""
    road = make_road()
    road.add(road.delivery("held"), in_s=600)
    road.add(road.delivery("now"))
    road.drive(in_turn(FAULT, Transient("2"), FAULT, Later("2", 300.0), FAULT))
    assert road.outcomes == {"held": "delivered"}
    assert road.aside.keys() == {"now"}
    assert road.lane.fault is None
    del accept


@pytest.mark.parametrize("poisons", [1, 5, 40])
def test_event_that_always_fails_blocks_nobody(make_road: MakeRoad, poisons: int) -> None:
    """Events that break the platform each time are taken apart and put aside; all others are delivered soon."""
    road = make_road(batch_max_events=20)
    made = [road.delivery(window_s=DAY_S) for _ in range(400)]
    road.add(*made)
    names = [each.event.decode() for each in made]
    bad = set(Random(7).sample(names, poisons))

    def answer(sent: list[str]) -> Verdict:
        return Transient("1") if bad & set(sent) else Accepted()

    road.drive(answer, 3_600)
    assert set(road.outcomes) == set(names) - bad
    for _ in range(20):
        (fresh,) = road.add_many(1)
        road.drive(answer, 300)
        assert road.outcomes.get(fresh) == "delivered"
        assert road.lane.breaker == "closed"
    assert set(road.aside) == bad
    assert all(each.history.alone for each in road.deferred)
    assert road.letters == {}
    assert len(road.sent) < 60 + 30 * poisons


def test_bad_events_that_came_first_block_nobody(make_road: MakeRoad) -> None:
    """Even if only bad events were ever sent, and the breaker is open for them, a good one gets through."""
    road = make_road(batch_max_events=1)
    bad = set(road.add_many(12))

    def answer(sent: list[str]) -> Verdict:
        return Transient("1") if bad & set(sent) else Accepted()

    road.drive(answer, 3_600)
    assert road.lane.breaker != "closed"
    (good,) = road.add_many(1)
    road.drive(answer, 120)
    assert road.outcomes == {good: "delivered"}


def test_outage_counts_against_no_event(make_road: MakeRoad) -> None:
    """When the platform is down for a day, few requests are made, no event ends, and all pass afterwards."""
    road = make_road(batch_max_events=100)
    road.add_many(5_000)
    road.drive(lambda _: Transient("connection"), DAY_S)
    assert road.ended == []
    assert len(road.sent) < 10 + DAY_S / 25
    road.drive(in_turn(), 300)
    assert set(road.outcomes.values()) == {"delivered"}
    assert len(road.ended) == 5_000
    assert road.lane.breaker == "closed"


def test_half_open_breaker_sends_one_small_request(make_road: MakeRoad) -> None:
    """After the breaker opened, a single request of a few events is under way until it has its reply."""
    road = make_road(batch_max_events=100)
    road.add_many(1_000)
    road.drive(lambda _: Transient("2"), 60)
    assert road.lane.breaker == "open"
    for _ in range(600):
        road.pass_s(0.1)
        if (probe := road.begin()) is not None:
            break
    assert probe is not None
    assert len(probe.deliveries) <= PROBE_MAX_EVENTS
    assert road.lane.breaker == "half_open"
    road.pass_s(1_000)
    assert road.begin() is None
    road.finish(probe, Accepted())
    assert road.begin() is not None


def test_unconfirmed_is_sent_again_or_is_a_letter(make_road: MakeRoad) -> None:
    """The destination's setting decides what becomes of events that nobody knows about."""
    again = make_road()
    names = again.add_many(3)
    again.drive(in_turn(Unconfirmed("timeout")))
    assert again.outcomes == dict.fromkeys(names, "delivered")
    assert again.lane.resent == 3
    once = make_road(resends=frozenset())
    once.add_many(3)
    once.drive(in_turn(Unconfirmed("timeout")))
    assert once.outcomes == dict.fromkeys(names, "unknown")
    assert once.letters == dict.fromkeys(names, "unknown")
    assert len(once.sent) == 1


def test_unconfirmed_goes_by_the_event(make_road: MakeRoad) -> None:
    """What the platform dedupes is sent again; of the same request, what it doesn't is a letter."""
    road = make_road(resends=frozenset({"purchase"}))
    purchases = [road.delivery() for _ in range(2)]
    step = road.delivery("step")
    step.conversion = msgspec.structs.replace(step.conversion, event_name="begin_checkout")
    road.add(*purchases, step)
    road.drive(in_turn(Unconfirmed("timeout")))
    assert road.outcomes == {**dict.fromkeys(("e0", "e1"), "delivered"), "step": "unknown"}
    assert [names for _, names in road.sent] == [["e0", "e1", "step"], ["e0", "e1"]]


def test_request_id_and_place_are_kept(make_road: MakeRoad) -> None:
    """Where the platform may find fault later, each outcome says where it stood in which request."""
    road = make_road(batch_max_events=3)
    road.add_many(3)
    road.drive(lambda _: Accepted("req-1"))
    assert [(each.conversion.event_id, each.request_id, each.request_index) for each in road.ended] == [
        ("e0", "req-1", 0),
        ("e1", "req-1", 1),
        ("e2", "req-1", 2),
    ]


def test_rate_of_events_is_kept(make_road: MakeRoad, accept: Answer) -> None:
    """A limit on events holds however they are batched: a full batch waits for as long as it is worth."""
    limits = Limits(1_000, 1_000_000, 7 * 86_400_000, 0, events_per_s=10)
    road = make_road(limits=limits, batch_max_events=50, linger_s=0.0)
    road.add_many(200)
    road.drive(accept)
    times = [at_s for at_s, _ in road.sent]
    assert len(times) == 4
    assert times[-1] - times[0] >= (150 - 10) / 10  # a second's worth may go ahead
    assert set(road.outcomes.values()) == {"delivered"}


@pytest.mark.parametrize("breaks", [0, 30])
def test_what_is_withheld_was_not_tried(make_road: MakeRoad, accept: Answer, breaks: int) -> None:
    """Events that were not sent go a moment later; no attempt counts, and nothing is learned of the platform."""
    road = make_road(batch_max_events=10)
    names = road.add_many(10)
    for _ in range(breaks):
        group = road.begin()
        road.lane.withhold(group, group.deliveries, road.now)
        assert road.begin() is None
        road.pass_s(1)
    late, first = names.pop(3), road.begin()
    road.lane.withhold(first, [first.deliveries[3]], road.now)
    assert [each.event.decode() for each in first.deliveries] == names
    road.finish(first, Accepted())
    assert road.outcomes == dict.fromkeys(names, "delivered")
    began_ms = road.now.ms
    road.drive(accept)
    assert road.outcomes[late] == "delivered"
    assert [each.attempts for each in road.ended] == [1] * 10
    assert [each.first_attempt_at_ms > began_ms for each in road.ended] == [False] * 9 + [True]
    assert (road.lane.breaker, road.lane.concurrency, road.lane.resent) == ("closed", 4, 0)


def test_withheld_probe_is_tried_again(make_road: MakeRoad, accept: Answer) -> None:
    """A parked lane whose probe was not sent neither resumes for that, nor stays parked for good."""
    road = make_road()
    road.add_many(20)
    road.drive(lambda _: FAULT, 0.3)
    road.lane.credentials_changed(road.now)
    probe = road.begin()
    road.lane.withhold(probe, list(probe.deliveries), road.now)
    assert road.lane.fault is FAULT
    road.drive(accept)
    assert len(road.outcomes) == 20
    assert road.lane.fault is None


@pytest.mark.parametrize("going", ["lost", "leaving"])
def test_what_goes_elsewhere_is_not_sent(make_road: MakeRoad, accept: Answer, going: str) -> None:
    """Events of partitions that leave, or are lost, are neither sent nor ended, fresh or tried before."""
    road = make_road(batch_max_events=10)
    theirs = Progress(0)
    road.add(*(road.delivery(f"tried{index}", progress=theirs) for index in range(10)))
    road.finish(road.begin(), Transient("2"))
    road.add(*(road.delivery(f"theirs{index}", progress=theirs) for index in range(4)))
    road.add(*(road.delivery(f"held{index}", progress=theirs) for index in range(4)), in_s=60)
    ours = road.add_many(3)
    setattr(theirs, going, True)
    road.drive(accept)
    assert road.outcomes == dict.fromkeys(ours, "delivered")
    assert [names for _, names in road.sent[1:]] == [ours]
    assert road.lane.queued == 0


def test_parked_lane_forgets_what_is_lost(make_road: MakeRoad, accept: Answer) -> None:
    """Rebalances while a destination is parked leave nothing behind, wherever in the queue it was."""
    road = make_road(batch_max_events=10)
    ours = road.add_many(3)
    for _ in range(50):
        theirs = Progress(0)
        road.add(*(road.delivery(progress=theirs) for _ in range(20)))
        road.add(*(road.delivery(progress=theirs) for _ in range(20)), in_s=60)
        road.drive(in_turn(Transient("2"), Later("2", 50.0), FAULT, FAULT), 0.3)
        theirs.lost = True
        road.lane.forget_lost()
        assert road.lane.queued + sum(len(group.deliveries) for _, group in road.under_way) <= 3 + 40
    road.drive(lambda _: FAULT, 1)
    road.lane.forget_lost()
    assert road.lane.queued == 3
    road.drive(accept)
    assert road.outcomes == dict.fromkeys(ours, "delivered")


class Chaos:
    """A lane among random verdicts, answered in any order, with partitions that come and go."""

    def __init__(self, road: Road, random: Random) -> None:
        self.road = road
        self.random = random
        self.partitions = [Progress(0) for _ in range(3)]
        self.under_way: list[Group] = []
        self.given: dict[str, Progress] = {}

    def step(self) -> None:
        """Something happens."""
        kind = self.random.choice(
            ["add", "pass", "begin", "begin", "finish", "finish", "leave", "renew", "withhold"]
        )
        getattr(self, f"_{kind}")()
        self.check()

    def _add(self) -> None:
        for _ in range(self.random.randint(1, 30)):
            progress = self.random.choice(self.partitions)
            if progress.leaving:
                continue
            delivery = self.road.delivery(window_s=self.random.choice([1, 60, DAY_S]), progress=progress)
            self.given[delivery.event.decode()] = progress
            self.road.add(delivery, in_s=self.random.choice([0, 0, 30]))

    def _pass(self) -> None:
        self.road.pass_s(self.random.choice([0.01, 1, 20]))

    def _begin(self) -> None:
        if (group := self.road.begin()) is not None:
            assert not any(
                delivery.progress.leaving or delivery.progress.lost for delivery in group.deliveries
            )
            assert all(delivery.deadline_ms > self.road.now.ms for delivery in group.deliveries)
            self.under_way.append(group)

    def _finish(self) -> None:
        if self.under_way:
            group = self.under_way.pop(self.random.randrange(len(self.under_way)))
            self.road.finish(group, self.verdict(len(group.deliveries)))

    def _withhold(self) -> None:
        if self.under_way:
            group = self.random.choice(self.under_way)
            some = self.random.sample(group.deliveries, self.random.randint(1, len(group.deliveries)))
            self.road.lane.withhold(group, some, self.road.now)
            if not group.deliveries:
                self.under_way.remove(group)

    def _leave(self) -> None:
        if self.random.random() < 0.2:
            number = self.random.randrange(3)
            self.partitions[number].leaving = True
            if self.random.random() < 0.5:
                self.partitions[number].lost = True
                self.road.lane.forget_lost()
                self.partitions[number] = Progress(0)

    def _renew(self) -> None:
        self.road.lane.credentials_changed(self.road.now)

    def verdict(self, count: int) -> Verdict:
        """Any verdict, lies and nonsense included."""
        after_s = self.random.choice([None, 0.0, 5.0])
        each: list[EventVerdict] = [Accepted(), Rejected("1", "no"), Later("2", 3.0), Later("2", 9.0)]
        culprits = tuple(self.random.randint(-2, count + 1) for _ in range(self.random.randint(0, 3)))
        verdicts: list[Verdict] = [
            *(
                Accepted(),
                BatchRejected("1", "no", culprits),
                Throttled("4", after_s),
                Transient("2", after_s),
            ),
            *(Later("2", 3.0), TooLarge("413"), FAULT, Unconfirmed("timeout")),
            PerEvent(
                tuple(self.random.choice(each) for _ in range(self.random.choice([count, count, count - 1])))
            ),
        ]
        return self.random.choice(verdicts)

    def check(self) -> None:
        """Each delivery ended once, or is queued or under way once, unless its partition is another's."""
        ended = {**self.road.outcomes, **self.road.aside}
        assert self.road.twice == []
        ours = {name for name, progress in self.given.items() if not progress.lost and not progress.leaving}
        flying = [delivery for group in self.under_way for delivery in group.deliveries]
        held = self.road.lane.queued + len(flying)
        assert held >= len(ours - ended.keys())
        assert held <= len(self.given) - len(ended)
        assert self.road.lane.concurrency >= len(self.under_way) or self.road.lane.concurrency >= 1


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32), rules=st.sampled_from([{}, {"resends": frozenset()}]))
def test_every_delivery_ends_exactly_once(
    make_road: MakeRoad, accept: Answer, seed: int, rules: dict[str, bool]
) -> None:
    """Whatever the platform says, in whatever order, nothing is lost and nothing ends twice; then all ends."""
    road = make_road(seed, batch_max_events=8, **rules)
    chaos = Chaos(road, Random(seed))
    for _ in range(120):
        chaos.step()
    for group in chaos.under_way:
        road.finish(group, Accepted())
    chaos.under_way.clear()
    road.drive(accept)
    chaos.check()
    ours = {name for name, progress in chaos.given.items() if not progress.lost and not progress.leaving}
    assert ours <= road.outcomes.keys() | road.aside.keys()
    assert road.lane.queued == 0
    assert road.lane.under_way() == []
    assert all((each.letter == "") == (each.outcome.value == "delivered") for each in road.ended)
