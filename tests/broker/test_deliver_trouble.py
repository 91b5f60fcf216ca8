"""A platform in trouble: throttling, errors, silence, nonsense, absence. Nothing becomes a letter, all arrives."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from consumer.local.broker import free_ports
from tests.broker.dispatch import Dispatch, Emulated, conversion, judge

EVENTS = 200
BATCH = 20
RETRY_AFTER_S = 3
TROUBLES: tuple[dict[str, Any], ...] = (
    {"kind": "status", "status": 500, "count": 8},
    {"kind": "status", "status": 503, "retry_after_s": 1, "count": 3},
    {"kind": "html", "status": 200, "count": 4},
    {"kind": "reset", "count": 4},
    {"kind": "hang", "count": 3},
)


def test_retry_after_is_obeyed(open_dispatch: Callable[..., Dispatch]) -> None:
    """After a 429 with Retry-After nothing at all is sent until then; nothing is lost or sent twice."""
    dispatch = open_dispatch()
    with Emulated() as meta:
        dispatch.destination("meta-us", meta, batch_max_events=BATCH, concurrency_max_requests=1)
        dispatch.make_topics()
        meta.fault("429", retry_after_s=RETRY_AFTER_S, count=2)
        dispatch.write(conversion(number) for number in range(EVENTS))
        with dispatch.start() as process:
            dispatch.await_settled("meta-us", processes=[process])
            process.stop()
        requests = meta.requests()
        throttled = [place for place, request in enumerate(requests) if request["status"] == 429]
        assert len(throttled) == 2
        for place in throttled:
            assert requests[place + 1]["at_ms"] - requests[place]["at_ms"] >= RETRY_AFTER_S * 1000
        assert meta.stats["server_repeats"] == 0
        assert meta.deduped() == set(dispatch.written.values())
    assert judge(dispatch).outcomes == {"delivered": EVENTS}
    assert dispatch.letters() == []


def test_trouble_costs_time_and_nothing_else(open_dispatch: Callable[..., Dispatch]) -> None:
    """Errors, a page in place of a reply, a reset, silence before anything was taken: all is delivered, no letter."""
    dispatch = open_dispatch()
    with Emulated() as meta:
        dispatch.destination("meta-us", meta, batch_max_events=BATCH, request_timeout_s=1)
        dispatch.make_topics()
        with dispatch.start() as process:
            for place, trouble in enumerate(TROUBLES):
                meta.fault(**trouble)
                dispatch.write(conversion(number) for number in range(place * EVENTS, (place + 1) * EVENTS))
                dispatch.await_settled("meta-us", processes=[process])
                assert meta.deduped() == set(dispatch.written.values()), trouble
            process.stop()
        met = Counter(request["fault"] for request in meta.requests() if request["fault"])
        assert met == {"status": 11, "html": 4, "reset": 4, "hang": 3}
        assert meta.stats["server_repeats"] == 0
    assert judge(dispatch).outcomes == {"delivered": EVENTS * len(TROUBLES)}
    assert dispatch.letters() == []


@pytest.mark.parametrize("kind", ["hang", "reset"])
def test_silence_after_the_body_is_sent_again_with_the_same_id(
    open_dispatch: Callable[..., Dispatch], kind: str
) -> None:
    """Nobody knows if it counted: it goes again under the same event ids, and counts once where ids are deduped."""
    dispatch = open_dispatch()
    with Emulated() as meta:
        dispatch.destination("meta-us", meta, batch_max_events=BATCH, request_timeout_s=1)
        dispatch.make_topics()
        meta.fault(kind, count=2, after_body=True)
        dispatch.write(conversion(number) for number in range(EVENTS))
        with dispatch.start() as process:
            dispatch.await_settled("meta-us", processes=[process])
            again = process.metric('capi_resent_total{destination="meta-us"}')
            process.stop()
        lost = sum(request["events"] for request in meta.requests() if request["fault"] == kind)
        assert meta.stats["server_repeats"] == lost == again
        assert lost > 0
        assert meta.deduped() == set(dispatch.written.values())
    assert judge(dispatch).outcomes == {"delivered": EVENTS}


def test_silence_is_a_letter_where_the_setting_says_so(open_dispatch: Callable[..., Dispatch]) -> None:
    """`unknown: letter`: what may have counted is not sent again; its outcome is unknown, its letter says so."""
    dispatch = open_dispatch()
    with Emulated() as meta:
        dispatch.destination("meta-us", meta, batch_max_events=BATCH, request_timeout_s=1, unknown="letter")
        dispatch.make_topics()
        meta.fault("hang", count=1, after_body=True)
        dispatch.write(conversion(number) for number in range(EVENTS))
        with dispatch.start() as process:
            dispatch.await_settled("meta-us", processes=[process])
            process.stop()
        (silent,) = [request for request in meta.requests() if request["fault"] == "hang"]
        assert meta.stats["server_repeats"] == 0
        assert meta.deduped() == set(dispatch.written.values())
    outcomes = judge(dispatch).outcomes
    assert outcomes == {"delivered": EVENTS - silent["events"], "unknown": silent["events"]}
    letters = dispatch.letters()
    assert {letter.headers["dlq.event.id"] for letter in letters} == set(silent["event_ids"])
    said = {(letter.headers["dlq.reason"], letter.headers["dlq.fault"]) for letter in letters}
    assert said == {("unknown", "platform")}


def test_a_platform_that_is_away_costs_no_letter(open_dispatch: Callable[..., Dispatch]) -> None:
    """Nobody listens: the breaker opens and nothing ends; when the platform is there all is delivered, each once."""
    dispatch = open_dispatch()
    meta = Emulated(port=free_ports(1)[0])
    dispatch.destination("meta-us", meta, batch_max_events=BATCH)
    dispatch.make_topics()
    dispatch.write(conversion(number) for number in range(EVENTS))
    with dispatch.start() as process:
        state = 'capi_breaker_state{destination="meta-us",state="closed"}'
        process.await_that("the breaker is open", lambda: process.metric(state) == 0)
        assert all(offset == 0 for offset, _ in dispatch.committed("meta-us").values())
        assert process.get("/health/live")[0] == process.get("/health/ready")[0] == 200
        with meta:
            dispatch.await_settled("meta-us", processes=[process])
            assert process.metric(state) == 1
            process.stop()
            assert meta.stats["server_repeats"] == 0
            assert meta.deduped() == set(dispatch.written.values())
    assert judge(dispatch).outcomes == {"delivered": EVENTS}
    assert dispatch.letters() == []


def test_a_sick_destination_holds_up_nobody_else(open_dispatch: Callable[..., Dispatch]) -> None:
    """One platform takes requests and never answers: the other gets all meanwhile, the sick one once it is well."""
    dispatch = open_dispatch()
    with Emulated() as well, Emulated() as sick:
        dispatch.destination("meta-well", well, batch_max_events=BATCH)
        dispatch.destination("meta-sick", sick, batch_max_events=BATCH, request_timeout_s=2)
        dispatch.make_topics()
        sick.fault("hang")
        dispatch.write(conversion(number) for number in range(EVENTS))
        with dispatch.start() as process:
            process.await_that("the sick one is asked", lambda: int(sick.stats["requests"]) > 0)
            dispatch.write(conversion(number) for number in range(EVENTS, 20 * EVENTS))
            dispatch.await_settled("meta-well", processes=[process])
            assert well.deduped() == set(dispatch.written.values())
            assert sick.stats["server"] == 0
            assert all(offset == 0 for offset, _ in dispatch.committed("meta-sick").values())
            sick.mend()
            dispatch.await_settled("meta-sick", processes=[process])
            process.stop()
        assert sick.deduped() == set(dispatch.written.values())
        assert sick.stats["server_repeats"] == well.stats["server_repeats"] == 0
    for name in ("meta-well", "meta-sick"):
        assert judge(dispatch, name).outcomes == {"delivered": 20 * EVENTS}
    assert dispatch.letters() == []
