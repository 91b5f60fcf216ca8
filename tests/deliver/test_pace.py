"""How fast a lane goes: concurrency, tokens and the breaker, each in a time of its own."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.deliver.pace import BREAK_AFTER_FAILURES, OPEN_MAX_S, OPEN_MIN_S, Breaker, Bucket, Concurrency


def rounds(concurrency: Concurrency, count: int, took_s: float = 0.1, begin_s: float = 0.0) -> float:
    """So many rounds of requests that all pass; the time after."""
    now_s = begin_s
    for _ in range(count):
        began_s, now_s = now_s, now_s + took_s
        for _ in range(concurrency.limit):
            concurrency.succeeded(began_s, now_s, concurrency.limit)
    return now_s


def test_concurrency_grows_by_one_a_round_to_its_most() -> None:
    """Requests that pass raise the limit by about one a round, up to what the settings allow."""
    concurrency = Concurrency(16)
    assert concurrency.limit == 4
    rounds(concurrency, 1)
    assert concurrency.limit in {4, 5}
    rounds(concurrency, 40)
    assert repr(concurrency) == "<Concurrency 16 of 16>"


def test_concurrency_does_not_grow_unused() -> None:
    """A limit that nobody reaches says nothing about what the platform can take."""
    concurrency = Concurrency(16)
    for index in range(100):
        concurrency.succeeded(index, index + 0.1, 1)
    assert concurrency.limit == 4


def test_failures_halve_concurrency_once_a_round() -> None:
    """Ten requests that fail together are one piece of news; the limit never falls below one."""
    concurrency = Concurrency(16)
    now_s = rounds(concurrency, 60)
    for _ in range(10):
        concurrency.failed(now_s, now_s + 1)
    assert concurrency.limit == 8
    for step in range(1, 20):
        concurrency.failed(now_s + step, now_s + step + 1)
    assert concurrency.limit == 1


def test_concurrency_falls_when_latency_rises_and_comes_back() -> None:
    """Requests that take much longer than usual lower the limit to where it began; later they are the usual."""
    concurrency = Concurrency(32)
    now_s = rounds(concurrency, 80)
    assert concurrency.limit == 32
    now_s = rounds(concurrency, 5, took_s=2.0, begin_s=now_s)
    assert 4 <= concurrency.limit < 16
    rounds(concurrency, 100, took_s=2.0, begin_s=now_s)
    assert concurrency.limit == 32


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 3), st.integers(0, 2**32))
def test_concurrency_stays_within_its_bounds(most: int, seed: int) -> None:
    """Whatever happens, at least one request may go and no more than allowed."""
    concurrency, random = Concurrency(most), Random(seed)
    for step in range(200):
        if random.random() < 0.5:
            concurrency.succeeded(step, step + random.random() * 10, random.randint(1, most))
        else:
            concurrency.failed(step, step + 1)
        assert 1 <= concurrency.limit <= most


@pytest.mark.parametrize(("rate_per_s", "part"), [(10.0, 1.0), (10.0, 0.25), (0.5, 1.0), (200.0, 0.01)])
@pytest.mark.parametrize("begin_s", [0.0, 1e6])
def test_bucket_keeps_the_rate(rate_per_s: float, part: float, begin_s: float) -> None:
    """Over any stretch no more requests go than the share of the rate and one burst, and not many fewer."""
    bucket = Bucket(rate_per_s)
    bucket.share(part)
    rate = rate_per_s * part
    now_s, sent = begin_s, 0
    while now_s < begin_s + 100:
        if (wait_s := bucket.wait_s(now_s)) > 0:
            now_s += max(wait_s, 1e-6)
        else:
            bucket.take()
            sent += 1
    assert 0.95 * rate * 100 - 1 <= sent <= rate * 100 + max(1.0, rate) + 1


def test_bucket_without_rate_limits_nothing() -> None:
    """A platform without a limit is never waited for."""
    bucket = Bucket(None)
    for _ in range(1_000):
        assert bucket.wait_s(0.0) == 0.0
        bucket.take()


def test_process_without_partitions_waits_but_not_for_ever() -> None:
    """A share of nothing divides by nothing: what is left over still goes, slowly."""
    bucket = Bucket(10.0)
    bucket.share(0.0)
    bucket.wait_s(1.0)
    bucket.take()
    assert bucket.wait_s(1.0) == pytest.approx(100.0)


def test_breaker_opens_after_failures_in_a_row_only() -> None:
    """Failures with successes between them are the events' own."""
    breaker = Breaker(Random(1))
    for _ in range(10):
        for _ in range(BREAK_AFTER_FAILURES - 1):
            breaker.failed(1.0)
        breaker.succeeded()
    assert breaker.wait_s(1.0, 3) == 0.0
    for _ in range(BREAK_AFTER_FAILURES):
        breaker.failed(1.0)
    assert breaker.state == "open"
    wait_s = breaker.wait_s(1.0, 0)
    assert wait_s is not None
    assert OPEN_MIN_S / 2 <= wait_s <= OPEN_MIN_S


def test_half_open_breaker_always_gets_its_request() -> None:
    """It waits for those still under way, then lets one go; its failure opens it for longer, up to a bound."""
    breaker = Breaker(Random(1))
    now_s = 0.0
    for _ in range(BREAK_AFTER_FAILURES):
        breaker.failed(now_s)
    opened = []
    for _ in range(12):
        wait_s = breaker.wait_s(now_s, 0)
        assert wait_s is not None
        opened.append(wait_s)
        now_s += wait_s
        assert breaker.wait_s(now_s, 1) is None
        assert breaker.wait_s(now_s, 0) == 0.0
        breaker.failed(now_s)
    assert OPEN_MAX_S / 2 <= opened[-1] <= OPEN_MAX_S
    assert opened[-1] > 10 * opened[0]
    breaker.succeeded()
    assert (breaker.state, breaker.wait_s(now_s, 5)) == ("closed", 0.0)


def test_late_failures_do_not_keep_an_open_breaker_open() -> None:
    """Replies to what was sent before it opened say nothing new."""
    breaker = Breaker(Random(1))
    for _ in range(BREAK_AFTER_FAILURES):
        breaker.failed(0.0)
    wait_s = breaker.wait_s(0.0, 9)
    for _ in range(9):
        breaker.failed(0.1)
    assert breaker.wait_s(0.0, 0) == wait_s
