"""Deliver as a process: what it answers while it runs, and how it ends."""

import signal
from collections.abc import Callable

from msgspec import json

from tests.broker.dispatch import Dispatch, Emulated, conversion

HELD = 100


def test_a_running_process_answers_about_itself(open_dispatch: Callable[..., Dispatch]) -> None:
    """Health, status and metrics answer under the names that people and dashboards rely on."""
    dispatch = open_dispatch()
    with Emulated() as meta:
        dispatch.destination("meta-us", meta)
        dispatch.destination("meta-eu", meta, events=["refund"])
        dispatch.make_topics()
        dispatch.write(conversion(number) for number in range(50))
        with dispatch.start() as process:
            process.await_ready()
            dispatch.await_settled("meta-us", "meta-eu", processes=[process])
            process.await_that("lag is looked at", lambda: process.status("deliver.meta-us")["lag"] == 0)
            assert json.decode(process.get("/health/live")[1]) == {"live": True, "stuck": []}
            status = process.status("deliver.meta-us")
            assert status["assignment"] == [0, 1, 2]
            assert (status["parked"], status["breaker"], status["in_flight"]) == ("", "closed", 0)
            assert status["last_commit_ms"] > 0
            delivered = 'capi_deliveries_total{destination="meta-us",outcome="delivered",reason=""}'
            skipped = 'capi_deliveries_total{destination="meta-eu",outcome="skipped",reason="not_wanted"}'
            assert (process.metric(delivered), process.metric(skipped)) == (50, 50)
            for name in ("capi_in_flight", "capi_parked", "capi_queued"):
                assert process.metric(f'{name}{{destination="meta-us"}}') == 0
            process.stop()
            assert [line["in_flight"] for line in process.lines("drained")] == [0, 0]
            assert {line["destination"] for line in process.lines("drained")} == {"meta-us", "meta-eu"}


def held(dispatch: Dispatch, meta: Emulated, **more: object) -> None:
    """One destination, all of whose conversions fit into the requests that it may have under way."""
    dispatch.destination("meta-us", meta, batch_max_events=25, **more)
    dispatch.make_topics()
    dispatch.write(conversion(number) for number in range(HELD))


def test_a_stop_waits_for_what_is_under_way(open_dispatch: Callable[..., Dispatch]) -> None:
    """SIGTERM in the middle of requests: their replies are awaited, settled and committed; exit 0, none goes twice."""
    dispatch = open_dispatch()
    with Emulated(latency_ms=2000) as meta:
        held(dispatch, meta)
        with dispatch.start() as process:
            process.await_accepted(meta, HELD)
            process.signal()
            process.await_that("draining", lambda: process.get("/health/ready")[0] == 503)
            assert process.get("/health/live")[0] == 200
            assert process.end() == 0, process.tail
            assert [line["in_flight"] for line in process.lines("drained")] == [0]
        dispatch.await_settled("meta-us")
        with dispatch.start() as process:
            process.await_ready()
            process.stop()
        assert meta.stats["server_repeats"] == 0
        assert meta.stats["server"] == HELD


def test_a_stop_of_a_process_that_never_began_is_a_good_end(open_dispatch: Callable[..., Dispatch]) -> None:
    """SIGTERM right after the start: exit 0, whatever the destination was about to do."""
    dispatch = open_dispatch()
    with Emulated() as meta:
        dispatch.destination("meta-us", meta)
        dispatch.make_topics()
        with dispatch.start() as process:
            process.await_line("started")
            process.stop()


def test_a_second_signal_stops_at_once(open_dispatch: Callable[..., Dispatch]) -> None:
    """Whoever can't wait for the drain signals again: exit 130, and the next process sends again what was open."""
    dispatch = open_dispatch()
    with Emulated(latency_ms=20_000) as meta:
        held(dispatch, meta, request_timeout_s=60)
        with dispatch.start() as process:
            process.await_accepted(meta, HELD)
            process.signal()
            process.await_that("draining", lambda: process.get("/health/ready")[0] == 503)
            process.signal(signal.SIGINT)
            assert process.end() == 130
        assert all(offset == 0 for offset, _ in dispatch.committed("meta-us").values())


def test_a_drain_that_takes_too_long_is_told(open_dispatch: Callable[..., Dispatch]) -> None:
    """The deadline passes with a request under way: exit 1, its offsets not committed."""
    dispatch = open_dispatch()
    with Emulated() as meta:
        meta.fault("hang", delay_s=60)
        dispatch.destination("meta-us", meta, batch_max_events=HELD, request_timeout_s=30)
        dispatch.make_topics()
        dispatch.write(conversion(number) for number in range(HELD))
        with dispatch.start(drain_timeout_s=1) as process:
            process.await_that("a request", lambda: int(meta.stats["requests"]) > 0)
            process.signal()
            assert process.end() == 1, process.tail
        assert all(offset == 0 for offset, _ in dispatch.committed("meta-us").values())
