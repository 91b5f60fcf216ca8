"""What platforms answer, and what deliver makes of it: on real Kafka, over real sockets."""

from collections.abc import Callable
from math import ceil, log2

import pytest

from tests.broker.dispatch import TOKEN, Dispatch, Emulated, conversion, judge

POISONED = "purchase:137"


@pytest.mark.parametrize("named", [True, False])
def test_one_poison_among_five_hundred_costs_one_letter(
    open_dispatch: Callable[..., Dispatch], *, named: bool
) -> None:
    """499 are delivered, and the one has a letter with its own bytes, in few requests, whether it is named or not."""
    dispatch = open_dispatch()
    with Emulated() as meta:
        dispatch.destination("meta-us", meta, batch_max_events=500, linger_ms=2000)
        dispatch.make_topics()
        meta.fault("poison", event_ids=[POISONED], named=named)
        written = dispatch.write(conversion(number) for number in range(500))
        with dispatch.start() as process:
            dispatch.await_settled("meta-us", processes=[process])
            process.await_line("letter_written", reason="rejected", count=1)
            delivered = process.metric(
                'capi_deliveries_total{destination="meta-us",outcome="delivered",reason=""}'
            )
            process.stop()
        assert delivered == 499
        assert meta.deduped() == set(written.values()) - {POISONED}
        assert meta.stats["server_repeats"] == 0
        first, *_ = (request for request in meta.requests() if POISONED in request["event_ids"])
        batch = set(first["event_ids"])
        asked = [request for request in meta.requests() if batch.issuperset(request["event_ids"])]
        assert len(batch) > 1
        assert len(asked) <= 1 + 2 * ceil(log2(len(batch)))
    assert judge(dispatch).outcomes == {"delivered": 499, "rejected": 1}
    (letter,) = dispatch.letters()
    (at,) = [at for at, event_id in written.items() if event_id == POISONED]
    source = dispatch.record("conversions", at)
    assert (letter.key, letter.value) == (source.key, source.value)
    assert letter.headers.pop("dlq.first.at") <= letter.headers.pop("dlq.last.at")
    assert int(letter.headers.pop("dlq.attempts")) > 1
    assert int(letter.headers.pop("dlq.payload.schema.id")) > 0
    assert letter.headers == {
        "__connect.errors.topic": f"{dispatch.prefix}.conversions",
        "__connect.errors.partition": str(at[0]),
        "__connect.errors.offset": str(at[1]),
        "__connect.errors.stage": "deliver",
        "__connect.errors.exception.message": "refused by Meta",
        "dlq.schema": "1",
        "dlq.destination": "meta-us",
        "dlq.platform": "meta",
        "dlq.reason": "rejected",
        "dlq.fault": "platform",
        "dlq.error.code": "100/2804019",
        "dlq.http.status": "400",
        "dlq.event.id": POISONED,
    }


def test_an_expired_token_parks_and_a_new_one_resumes(open_dispatch: Callable[..., Dispatch]) -> None:
    """No letter, one line, the backlog stays in Kafka; once the token's file is replaced all is delivered."""
    dispatch = open_dispatch()
    with Emulated() as meta:
        dispatch.destination("meta-us", meta, batch_max_events=20)
        dispatch.make_topics()
        dispatch.write(conversion(number) for number in range(60))
        with dispatch.start() as process:
            dispatch.await_settled("meta-us", processes=[process])
            before = dispatch.committed("meta-us")
            meta.set_token("another-token")
            dispatch.write(conversion(number) for number in range(60, 460))
            process.await_line("destination_parked", destination="meta-us", code="190")
            refused = meta.stats["rejected_requests"]
            process.await_that("a probe", lambda: int(meta.stats["rejected_requests"]) > refused)
            assert process.metric('capi_parked{destination="meta-us"}') == 1
            assert process.status("deliver.meta-us")["parked"].startswith("190")
            assert process.get("/health/ready")[0] == 200
            assert dispatch.committed("meta-us") == before
            dispatch.put_token("meta-us", "another-token")
            process.await_line("destination_resumed", destination="meta-us")
            dispatch.await_settled("meta-us", processes=[process])
            assert process.metric('capi_parked{destination="meta-us"}') == 0
            process.stop()
            assert len(process.lines("destination_parked")) == 1
            assert len(process.lines("destination_resumed")) == 1
            assert TOKEN not in process.text
        assert meta.stats["server_repeats"] == 0
        assert meta.deduped() == set(dispatch.written.values())
    assert judge(dispatch).outcomes == {"delivered": 460}
    assert dispatch.letters() == []
