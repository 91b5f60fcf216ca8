"""Access tokens: one is had for all requests, who waits for it holds up nobody else, and its key may change."""

from collections.abc import Callable

import pytest

from consumer.emulators.platforms import STAND_INS
from tests.broker.dispatch import Dispatch, Emulated, conversion, judge

EVENTS = 60
REFUSED = {"google": "token_invalid_grant", "amazon": "token_invalid_client"}
WITH_TOKENS = pytest.mark.parametrize("platform", sorted(REFUSED))


def test_who_waits_for_a_token_holds_up_nobody_else(open_dispatch: Callable[..., Dispatch]) -> None:
    """The token's server takes a request and doesn't answer: another destination gets all meanwhile."""
    dispatch = open_dispatch()
    with Emulated("google") as google, Emulated() as meta:
        dispatch.destination("google", google, "google", request_timeout_s=3)
        dispatch.destination("meta-us", meta)
        dispatch.make_topics()
        google.fault("slow", delay_s=60)
        dispatch.write(conversion(number) for number in range(EVENTS))
        with dispatch.start() as process:
            process.await_that("a token is asked for", lambda: int(google.stats["requests"]) > 0)
            dispatch.write(conversion(number) for number in range(EVENTS, 20 * EVENTS))
            dispatch.await_settled("meta-us", processes=[process])
            assert meta.deduped() == set(dispatch.written.values())
            assert google.stats["server"] == 0
            assert all(offset == 0 for offset, _ in dispatch.committed("google").values())
            assert process.status("deliver.google")["parked"] == ""
            google.mend()
            dispatch.await_settled("google", processes=[process])
            process.stop()
        assert google.deduped() == {str(number) for number in range(20 * EVENTS)}
        assert google.stats["server_repeats"] == meta.stats["server_repeats"] == 0
    for name in ("google", "meta-us"):
        assert judge(dispatch, name).outcomes == {"delivered": 20 * EVENTS}
        assert dispatch.letters(name.removesuffix("-us")) == []


def test_a_stop_need_not_wait_for_a_token_that_never_comes(open_dispatch: Callable[..., Dispatch]) -> None:
    """SIGTERM while a token is waited for: what waits was never sent, so the end is a good one, and soon."""
    dispatch = open_dispatch()
    with Emulated("google") as google:
        dispatch.destination("google", google, "google", request_timeout_s=3)
        dispatch.make_topics()
        google.fault("hang")
        dispatch.write(conversion(number) for number in range(EVENTS))
        with dispatch.start() as process:
            process.await_that("a token is asked for", lambda: int(google.stats["requests"]) > 0)
            process.stop()
            assert "Traceback" not in process.text
            assert "never retrieved" not in process.text
            assert "destroyed" not in process.text
        assert all(offset == 0 for offset, _ in dispatch.committed("google").values())


@WITH_TOKENS
def test_one_token_serves_all_requests(open_dispatch: Callable[..., Dispatch], platform: str) -> None:
    """However many requests go at once, from the first on: a single one asks for a token."""
    dispatch = open_dispatch()
    with Emulated(platform, latency_ms=200) as emulated:
        dispatch.destination(platform, emulated, platform, batch_max_events=1)
        dispatch.make_topics()
        dispatch.write(conversion(number) for number in range(100))
        with dispatch.start() as process:
            dispatch.await_settled(platform, processes=[process])
            process.stop()
        sizes = [request["events"] for request in emulated.requests()]
        assert (sizes.count(0), sizes.count(1)) == (1, 100)
        assert emulated.stats["server"] == 100
    assert judge(dispatch, platform).outcomes == {"delivered": 100}


@WITH_TOKENS
def test_a_revoked_key_parks_and_a_new_one_resumes(
    open_dispatch: Callable[..., Dispatch], platform: str
) -> None:
    """Neither its token nor another is taken: no letter, the backlog stays; with a new key all is delivered."""
    dispatch = open_dispatch()
    with Emulated(platform) as emulated:
        dispatch.destination(platform, emulated, platform)
        dispatch.make_topics()
        dispatch.write(conversion(number) for number in range(EVENTS))
        with dispatch.start() as process:
            dispatch.await_settled(platform, processes=[process])
            before = dispatch.committed(platform)
            emulated.set_token(STAND_INS[platform].secret())
            dispatch.write(conversion(number) for number in range(EVENTS, 3 * EVENTS))
            process.await_line("destination_parked", destination=platform)
            process.stop()
        with dispatch.start() as process:
            process.await_line("destination_parked", destination=platform, code=REFUSED[platform])
            refused = emulated.stats["rejected_requests"]
            process.await_that("a probe", lambda: int(emulated.stats["rejected_requests"]) > refused)
            assert dispatch.committed(platform) == before
            dispatch.put_token(platform, emulated.credentials())
            process.await_line("destination_resumed", destination=platform)
            dispatch.await_settled(platform, processes=[process])
            process.stop()
            assert len(process.lines("destination_parked")) == 1
        assert emulated.stats["server_repeats"] == 0
        assert emulated.stats["server"] == 3 * EVENTS
    assert judge(dispatch, platform).outcomes == {"delivered": 3 * EVENTS}
    assert dispatch.letters(platform) == []
