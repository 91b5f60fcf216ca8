"""Deliver where not knowing is better than sending twice: what is sent is told to Kafka first."""

import time
from collections import Counter
from collections.abc import Callable
from itertools import chain
from random import Random

from tests.broker.dispatch import Dispatch, Emulated, conversion
from tests.guarantees import OneOutcomeEach

SEED = 4_711
KILLS = 4
EVENTS = 2_000
BATCH = 50
CONCURRENCY = 4
LATENCY_MS = 300


def judge(dispatch: Dispatch) -> Counter[str]:
    """The outcomes of all that was written, complete."""
    outcomes = OneOutcomeEach("meta-us")
    outcomes.owed(dispatch.written)
    outcomes.receipts(dispatch.receipts())
    assert list(outcomes.violations()) == []
    return outcomes.outcomes


def hanging(meta: Emulated) -> set[str]:
    """Ids of the events whose requests hang."""
    requests = [request for request in meta.requests() if request["fault"] == "hang"]
    return set(chain.from_iterable(request["event_ids"] for request in requests))


def test_what_a_kill_leaves_in_flight_is_unknown_and_never_sent_again(
    open_dispatch: Callable[..., Dispatch],
) -> None:
    """Killed while requests hang: just their events are unknown, with a letter; all others are delivered, each once."""
    dispatch = open_dispatch()
    with Emulated() as meta:
        dispatch.destination(
            "meta-us",
            meta,
            unknown="letter",
            batch_max_events=20,
            concurrency_max_requests=CONCURRENCY,
            request_timeout_s=60,
        )
        dispatch.make_topics()
        dispatch.write((conversion(number) for number in range(100)), transaction=True)
        with dispatch.start() as process:
            dispatch.await_settled("meta-us", processes=[process])
            meta.fault("hang", after_body=True, count=CONCURRENCY // 2)
            meta.fault("hang", count=CONCURRENCY // 2)
            dispatch.write((conversion(number) for number in range(100, 500)), transaction=True)
            process.await_that(
                "requests hang", lambda: meta.stats["requests"] >= 5 and len(hanging(meta)) == 80
            )
            process.kill()
        meta.await_quiet()
        left = hanging(meta)
        taken = left & set(meta.accepted())
        with dispatch.start() as process:
            dispatch.await_settled("meta-us", processes=[process])
            process.stop()
            assert {line["reason"] for line in process.lines("letter_written")} == {"unknown"}
        assert 0 < len(taken) < len(left)
        assert meta.stats["server_repeats"] == 0
        assert meta.deduped() == set(dispatch.written.values()) - left | taken
    assert judge(dispatch) == {"delivered": 420, "unknown": 80}
    receipts = [receipt for receipt in dispatch.receipts() if receipt.outcome == "unknown"]
    assert sorted(receipt.event_id for receipt in receipts) == sorted(left)
    assert {receipt.reason for receipt in receipts} == {"unknown"}
    letters = dispatch.letters()
    assert sorted(letter.headers["dlq.event.id"] for letter in letters) == sorted(left)
    assert {letter.headers["dlq.reason"] for letter in letters} == {"unknown"}
    assert {letter.headers["__connect.errors.exception.message"] for letter in letters} == {
        "a crash left it in flight"
    }
    assert all(metadata == "" for _, metadata in dispatch.committed("meta-us").values())


def test_killed_again_and_again_nothing_is_sent_twice(open_dispatch: Callable[..., Dispatch]) -> None:
    """Whenever kill -9 comes, no event is sent by two processes, and each has its outcome; few are unknown."""
    print(f"seed {SEED}")  # noqa: T201 (so that a failure can be repeated)
    chance = Random(SEED)
    dispatch = open_dispatch(kafka={"session_timeout_s": 3})
    with Emulated(latency_ms=LATENCY_MS) as meta:
        dispatch.destination(
            "meta-us", meta, unknown="letter", batch_max_events=BATCH, concurrency_max_requests=CONCURRENCY
        )
        dispatch.make_topics()
        dispatch.write((conversion(number) for number in range(EVENTS)), transaction=True)
        for _ in range(KILLS):
            with dispatch.start() as process:
                more = BATCH * chance.randrange(1, 2 * CONCURRENCY)
                process.await_accepted(meta, len(meta.accepted()) + more)
                time.sleep(chance.uniform(0, LATENCY_MS / 1000))
                process.kill()
            meta.await_quiet()
        with dispatch.start() as process:
            dispatch.await_settled("meta-us", processes=[process])
            process.stop()
        assert meta.stats["server_repeats"] == 0
        accepted = set(meta.accepted())
    outcomes = judge(dispatch)
    print(outcomes)  # noqa: T201 (how many the kills left unknown)
    delivered, unknown = outcomes["delivered"], outcomes["unknown"]
    assert delivered + unknown == EVENTS
    assert delivered <= len(accepted)
    # What requests held at a kill, and what was answered just before and not yet committed.
    assert 0 < unknown <= KILLS * 2 * BATCH * CONCURRENCY
    assert {letter.headers["dlq.reason"] for letter in dispatch.letters()} == {"unknown"}


def test_a_stop_in_an_outage_leaves_nothing_unknown(open_dispatch: Callable[..., Dispatch]) -> None:
    """What the platform answered with a failure is known not to count: the next process sends it, and it arrives."""
    dispatch = open_dispatch()
    with Emulated() as meta:
        dispatch.destination("meta-us", meta, unknown="letter", batch_max_events=BATCH)
        dispatch.make_topics()
        meta.fault("status", status=503)
        dispatch.write((conversion(number) for number in range(300)), transaction=True)
        with dispatch.start() as process:
            process.await_that("refusals", lambda: int(meta.stats["rejected_requests"]) >= 3)
            process.stop()
        meta.mend()
        with dispatch.start() as process:
            dispatch.await_settled("meta-us", processes=[process])
            process.stop()
        assert meta.stats["server_repeats"] == 0
    assert judge(dispatch) == {"delivered": 300}
    assert dispatch.letters() == []


def test_a_rebalance_leaves_nothing_unknown(open_dispatch: Callable[..., Dispatch]) -> None:
    """A process that joins, and one that stops, while requests are under way: all are delivered, each once."""
    dispatch = open_dispatch()
    with Emulated(latency_ms=LATENCY_MS) as meta:
        dispatch.destination(
            "meta-us", meta, unknown="letter", batch_max_events=10, concurrency_max_requests=CONCURRENCY
        )
        dispatch.make_topics()
        dispatch.write((conversion(number) for number in range(1_000)), transaction=True)
        with dispatch.start("one") as one:
            one.await_accepted(meta, 50)
            with dispatch.start("two") as two:
                two.await_line("partitions_assigned")
                two.await_accepted(meta, len(meta.accepted()) + 50)
                one.stop()
                dispatch.await_settled("meta-us", processes=[two])
                two.stop()
        assert meta.stats["server_repeats"] == 0
    assert judge(dispatch) == {"delivered": 1_000}
    assert dispatch.letters() == []
