"""Deliver killed with -9 while requests are under way."""

import time
from collections.abc import Callable
from random import Random

from tests.broker.dispatch import Dispatch, Emulated, conversion, judge
from tests.guarantees import Resent

SEED = 31_337
KILLS = 5
EVENTS = 2_000
BATCH = 50
CONCURRENCY = 4
LATENCY_MS = 500
ROUND = BATCH * CONCURRENCY
"""Events that requests hold, at most, at one moment."""


def test_killed_again_and_again_only_what_was_in_flight_goes_twice(
    open_dispatch: Callable[..., Dispatch],
) -> None:
    """After kill -9 nothing is lost, and what is sent again is what was accepted and not committed at the kill."""
    print(f"seed {SEED}")  # noqa: T201 (so that a failure can be repeated)
    chance, resent = Random(SEED), Resent()
    dispatch = open_dispatch()
    with Emulated(latency_ms=LATENCY_MS) as meta:
        dispatch.destination("meta-us", meta, batch_max_events=BATCH, concurrency_max_requests=CONCURRENCY)
        dispatch.make_topics()
        dispatch.write((conversion(number) for number in range(EVENTS)), transaction=True)
        for _ in range(KILLS):
            with dispatch.start() as process:
                process.await_accepted(
                    meta, len(meta.accepted()) + BATCH * chance.randrange(1, 2 * CONCURRENCY)
                )
                time.sleep(chance.uniform(0, LATENCY_MS / 1000))
                process.kill()
            meta.await_quiet()
            resent.killed(dispatch.written, dispatch.committed("meta-us"), meta.accepted())
        with dispatch.start() as process:
            dispatch.await_settled("meta-us", processes=[process])
            process.stop()
        resent.ended(meta.accepted())

        print(resent.repeats)  # noqa: T201 (how many went again after each kill)
        assert list(resent.violations()) == []
        assert sum(again for again, _ in resent.repeats) == meta.stats["server_repeats"]
        # What requests held at the kill, and the rounds just before, answered and about to be committed.
        assert all(of <= 3 * ROUND for _, of in resent.repeats), resent.repeats
        assert meta.deduped() == set(dispatch.written.values())
    assert judge(dispatch).outcomes == {"delivered": EVENTS}
    assert dispatch.letters() == []
