"""What Google finds wrong after it accepted: asked for, and told in receipts that are marked late."""

import time
from collections.abc import Callable

from consumer.codec import Encoder, load_schema
from consumer.kafka.writer import Writer
from consumer.model import Receipt
from tests.broker.dispatch import Dispatch, Emulated, Process, conversion, judge

EVENTS = 40
WRONG = frozenset({"3", "4", "17", "38"})
REASON = "INVALID_GCLID"
HELD = 'capi_undiagnosed{destination="google"}'


def prepared(open_dispatch: Callable[..., Dispatch], google: Emulated) -> Dispatch:
    """Purchases for Google, which will find some of them wrong."""
    dispatch = open_dispatch()
    dispatch.destination("google", google, "google", batch_max_events=7)
    dispatch.make_topics()
    google.fault("late", event_ids=sorted(WRONG), reason=f"PROCESSING_ERROR_REASON_{REASON}")
    dispatch.write(conversion(number) for number in range(EVENTS))
    return dispatch


def start(dispatch: Dispatch, after_s: int) -> Process:
    """Start deliver; a request is asked about so many seconds after its acceptance."""
    return dispatch.start(destinations=dispatch.changed(diagnose_after_s=after_s))


def await_held(process: Process, events: int) -> None:
    """Wait until so many await their diagnosis."""
    process.await_that(
        f"{events} await their diagnosis", lambda: process.status("diagnose.google")["events"] == events
    )


def late_orders(dispatch: Dispatch) -> list[str]:
    """Orders that a late receipt tells of, and no more than is to be told."""
    late = [receipt for receipt in dispatch.receipts() if receipt.late]
    told = {(receipt.outcome, receipt.reason, receipt.code, receipt.destination) for receipt in late}
    assert told <= {("rejected", "late", REASON, "google")}
    return sorted(receipt.order_id for receipt in late)


def test_what_google_finds_later_is_told_in_late_receipts(open_dispatch: Callable[..., Dispatch]) -> None:
    """All are delivered, and of those it finds wrong a receipt says so: these, each once, and no other."""
    with Emulated("google") as google:
        dispatch = prepared(open_dispatch, google)
        with start(dispatch, 1) as process:
            dispatch.await_settled("google", processes=[process])
            process.await_that("late receipts", lambda: len(late_orders(dispatch)) >= len(WRONG))
            await_held(process, 0)
            process.await_that("undiagnosed none", lambda: process.metric(HELD) == 0)
            faults = f'capi_late_faults_total{{destination="google",reason="{REASON}"}}'
            assert process.metric(faults) == len(WRONG)
            process.stop()
        assert google.deduped() == {str(number) for number in range(EVENTS)} - WRONG
    assert late_orders(dispatch) == sorted(WRONG)
    assert judge(dispatch, "google").outcomes == {"delivered": EVENTS - len(WRONG), "rejected": len(WRONG)}
    assert dispatch.letters("google") == []


def test_a_kill_before_the_diagnosis_forgets_nothing(open_dispatch: Callable[..., Dispatch]) -> None:
    """What a killed process had not asked about the next one asks about."""
    with Emulated("google") as google:
        dispatch = prepared(open_dispatch, google)
        with start(dispatch, 3600) as process:
            dispatch.await_settled("google", processes=[process])
            await_held(process, EVENTS)
            process.await_that("undiagnosed", lambda: process.metric(HELD) == EVENTS)
            process.kill()
        assert late_orders(dispatch) == []
        with start(dispatch, 1) as process:
            process.await_that("late receipts", lambda: len(late_orders(dispatch)) >= len(WRONG))
            await_held(process, 0)
            process.stop()
        assert google.stats["server_repeats"] == 0
    assert late_orders(dispatch) == sorted(WRONG)
    assert judge(dispatch, "google").outcomes == {"delivered": EVENTS - len(WRONG), "rejected": len(WRONG)}


def test_what_was_accepted_before_it_began_is_asked_about(open_dispatch: Callable[..., Dispatch]) -> None:
    """A destination delivers while its diagnosis can't begin yet: of that, too, it asks, once it can."""
    with Emulated("google") as google:
        dispatch = prepared(open_dispatch, google)
        write_receipt(dispatch, request_id="none-of-googles")
        with start(dispatch, 1) as process:
            process.await_line("not_diagnosed", code="INVALID_REQUEST_ID")
            process.stop()


def write_receipt(dispatch: Dispatch, request_id: str) -> None:
    """Write the receipt of something that was delivered a moment ago."""
    schema = load_schema("receipt")
    schema_id = dispatch.schemas.register(f"{dispatch.prefix}.receipts-value", schema)
    encode: Encoder[Receipt] = Encoder(schema, schema_id)
    at = (f"{dispatch.prefix}.conversions", 0, 0)
    names = ("purchase:x", "purchase", "x", "google", "google", "delivered")
    receipt = Receipt(*at, *names, request_id=request_id, settled_at_ms=int(time.time() * 1000))
    writer = Writer(dispatch.settings.kafka)
    writer.produce(f"{dispatch.prefix}.receipts", encode(receipt))
    assert writer.flush(30) == 0
    writer.close()
