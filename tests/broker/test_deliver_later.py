"""What is put aside: an event that keeps failing while others pass, and what its platform can't take yet."""

import time
from collections.abc import Callable
from itertools import count

from tests.broker.dispatch import Dispatch, Emulated, Process, Stored, conversion, judge, refund

STUCK = "purchase:7"
AFTER_S = 1


def refuse(at: Emulated, *event_ids: str) -> None:
    """Fail each request that has one of these, as if the platform itself were not well."""
    at.fault("poison", event_ids=event_ids, status=500)


def put_aside(dispatch: Dispatch, *event_ids: str, of: str = "") -> list[Stored]:
    """The records of what is put aside, in order per partition: of these events, and of one destination if named."""
    places = {event_id: at for at, event_id in dispatch.written.items() if event_id in event_ids}
    origins = {f"{dispatch.prefix}.conversions:{at[0]}:{at[1]}" for at in places.values()}
    return [
        each
        for each in dispatch.records("later")
        if each.headers["capi.origin"] in origins and of in ("", each.headers["capi.destination"])
    ]


def let_pass_until(
    dispatch: Dispatch, process: Process, what: str, holds: Callable[[], bool], first: int = 10_000
) -> None:
    """Write one purchase after another: who fails while others pass is at fault himself."""
    numbers = count(first)

    def fed() -> bool:
        dispatch.write([conversion(next(numbers)) for _ in range(dispatch.partitions)])
        return holds()

    process.await_that(what, fed, every_s=0.5)


def asked(at: Emulated, event_id: str) -> int:
    """How many requests had this event."""
    return sum(event_id in request["event_ids"] for request in at.requests())


def await_asked(process: Process, at: Emulated, event_id: str) -> None:
    """Wait until it is asked about this event once more."""
    before = asked(at, event_id)
    process.await_that(f"{event_id} tried again", lambda: asked(at, event_id) > before)


def await_delivered(process: Process, at: Emulated, *event_ids: str) -> None:
    """Wait until the platform has these."""
    process.await_that(f"{event_ids} delivered", lambda: at.deduped().issuperset(event_ids))


def await_all_settled(dispatch: Dispatch, *names: str, process: Process) -> None:
    """Wait until nothing is open, of conversions or of what was put aside."""
    for topic in ("conversions", "later"):
        dispatch.await_settled(*names, processes=[process], topic=topic)


def receipts_of(
    dispatch: Dispatch, event_id: str, destination: str = "meta-us"
) -> list[tuple[int, int, str]]:
    """Where its receipts say that it stands, and with which outcome."""
    return [
        (each.conversion_partition, each.conversion_offset, each.outcome)
        for each in dispatch.receipts()
        if (each.event_id, each.destination) == (event_id, destination)
    ]


def place_of(dispatch: Dispatch, event_id: str) -> tuple[int, int]:
    """Where it was written."""
    (at,) = [at for at, written in dispatch.written.items() if written == event_id]
    return at


def test_an_event_that_keeps_failing_holds_no_watermark(open_dispatch: Callable[..., Dispatch]) -> None:
    """It is put aside, all else settles past it, and once its platform takes it, it has its one receipt."""
    dispatch = open_dispatch()
    with Emulated() as meta:
        dispatch.destination("meta-us", meta, batch_max_events=10, later_after_s=AFTER_S)
        dispatch.make_topics()
        refuse(meta, STUCK)
        dispatch.write(conversion(number) for number in range(60))
        with dispatch.start() as process:
            let_pass_until(dispatch, process, "put aside", lambda: bool(put_aside(dispatch, STUCK)))
            dispatch.await_settled("meta-us", processes=[process])
            assert meta.deduped() == set(dispatch.written.values()) - {STUCK}
            assert receipts_of(dispatch, STUCK) == []
            meta.mend()
            await_delivered(process, meta, STUCK)
            await_all_settled(dispatch, "meta-us", process=process)
            assert process.metric('capi_deferred_total{destination="meta-us"}') == len(
                put_aside(dispatch, STUCK)
            )
            process.stop()
        assert meta.stats["server_repeats"] == 0
    assert judge(dispatch).outcomes == {"delivered": len(dispatch.written)}
    assert receipts_of(dispatch, STUCK) == [(*place_of(dispatch, STUCK), "delivered")]
    (receipt,) = [each for each in dispatch.receipts() if each.event_id == STUCK]
    assert receipt.attempts > int(put_aside(dispatch, STUCK)[0].headers["capi.attempts"]) > 1
    assert dispatch.letters() == []


def test_what_is_put_aside_survives_kills(open_dispatch: Callable[..., Dispatch]) -> None:
    """Killed with -9 while it lies there, and again while it is tried from there: it is delivered, once."""
    dispatch = open_dispatch()
    with Emulated() as meta:
        dispatch.destination("meta-us", meta, batch_max_events=10, later_after_s=AFTER_S)
        dispatch.make_topics()
        refuse(meta, STUCK)
        dispatch.write(conversion(number) for number in range(60))
        with dispatch.start(destinations=dispatch.changed(later_after_s=3600)) as process:
            let_pass_until(dispatch, process, "put aside", lambda: bool(put_aside(dispatch, STUCK)))
            dispatch.await_settled("meta-us", processes=[process])
            process.kill()
        for _ in range(2):
            with dispatch.start() as process:
                await_asked(process, meta, STUCK)
                process.kill()
        meta.mend()
        with dispatch.start() as process:
            await_delivered(process, meta, STUCK)
            await_all_settled(dispatch, "meta-us", process=process)
            process.stop()
        assert meta.stats["server_repeats"] == 0
    assert judge(dispatch).outcomes == {"delivered": len(dispatch.written)}
    assert receipts_of(dispatch, STUCK) == [(*place_of(dispatch, STUCK), "delivered")]


def test_a_refund_never_goes_before_its_purchase(open_dispatch: Callable[..., Dispatch]) -> None:
    """It is put aside with its purchase, and so is one that comes after a kill; the platform hears of both after it."""
    dispatch = open_dispatch(partitions=1)
    with Emulated("ga4") as ga4:
        dispatch.destination("ga4", ga4, "ga4", later_after_s=AFTER_S, refund_after_s=0)
        dispatch.make_topics()
        refuse(ga4, STUCK)
        dispatch.write([conversion(7), refund(7), *(conversion(number) for number in range(20, 40))])
        with dispatch.start(destinations=dispatch.changed(later_after_s=3600)) as process:
            let_pass_until(dispatch, process, "put aside", lambda: bool(put_aside(dispatch, "refund:7:1")))
            dispatch.await_settled("ga4", processes=[process])
            process.kill()
        dispatch.write([refund(7, 2)])
        with dispatch.start() as process:
            process.await_that("put aside", lambda: bool(put_aside(dispatch, "refund:7:2")))
            process.kill()
        assert not any(event["means"] == "refund" for event in ga4.events())
        ga4.mend()
        with dispatch.start() as process:
            await_delivered(process, ga4, STUCK, "refund:7:1", "refund:7:2")
            await_all_settled(dispatch, "ga4", process=process)
            process.stop()
        of_it = [event["event_id"] for event in ga4.events() if event["event_id"].split(":")[1] == "7"]
        assert of_it[0] == STUCK
        assert sorted(of_it[1:]) == ["refund:7:1", "refund:7:2"]
        assert ga4.stats["server_repeats"] == 0
    assert judge(dispatch, "ga4").outcomes == {"delivered": len(dispatch.written)}
    assert dispatch.letters("ga4") == []


def test_destinations_leave_each_others_alone(open_dispatch: Callable[..., Dispatch]) -> None:
    """Two put the same event aside, in one topic: what becomes of one's says nothing of the other's."""
    dispatch = open_dispatch()
    with Emulated() as one, Emulated() as other:
        dispatch.destination("meta-us", one, batch_max_events=10, later_after_s=AFTER_S)
        dispatch.destination("meta-eu", other, batch_max_events=10, later_after_s=AFTER_S)
        dispatch.make_topics()
        for meta in (one, other):
            refuse(meta, STUCK)
        dispatch.write(conversion(number) for number in range(60))
        with dispatch.start() as process:
            let_pass_until(
                dispatch,
                process,
                "put aside by both",
                lambda: all(put_aside(dispatch, STUCK, of=name) for name in ("meta-us", "meta-eu")),
            )
            one.mend()
            await_delivered(process, one, STUCK)
            dispatch.await_settled("meta-us", "meta-eu", processes=[process])
            assert STUCK not in other.deduped()
            assert receipts_of(dispatch, STUCK, "meta-eu") == []
            process.stop()
        other.mend()
        with dispatch.start() as process:
            await_delivered(process, other, STUCK)
            await_all_settled(dispatch, "meta-us", "meta-eu", process=process)
            process.stop()
        assert one.stats["server_repeats"] == other.stats["server_repeats"] == 0
        assert one.deduped() == other.deduped() == set(dispatch.written.values())
    for name in ("meta-us", "meta-eu"):
        assert judge(dispatch, name).outcomes == {"delivered": len(dispatch.written)}
        assert receipts_of(dispatch, STUCK, name) == [(*place_of(dispatch, STUCK), "delivered")]


def test_what_is_not_due_lies_there_until_its_time(open_dispatch: Callable[..., Dispatch]) -> None:
    """A refund that must keep far behind its purchase is put aside again and again; no receipt before its time."""
    dispatch = open_dispatch()
    ahead_s, behind_s = (
        90,
        3600,
    )  # a minute before its time it is held, not put aside: starting up may take the rest
    due_ms = int(time.time() * 1000) + ahead_s * 1000
    with Emulated("ga4") as ga4:
        dispatch.destination("ga4", ga4, "ga4", later_after_s=AFTER_S, refund_after_s=behind_s)
        dispatch.make_topics()
        dispatch.write([refund(1, corrects_event_time=due_ms - behind_s * 1000)])
        with dispatch.start() as process:
            process.await_that("put aside again", lambda: len(put_aside(dispatch, "refund:1:1")) > 2)
            dispatch.await_settled("ga4", processes=[process])
            assert dispatch.receipts() == []
            await_delivered(process, ga4, "refund:1:1")
            await_all_settled(dispatch, "ga4", process=process)
            process.stop()
        assert {each.headers["capi.not_before_ms"] for each in put_aside(dispatch, "refund:1:1")} == {
            str(due_ms)
        }
    (receipt,) = dispatch.receipts()
    assert (receipt.outcome, receipt.attempts) == ("delivered", 1)
    assert receipt.first_attempt_at_ms >= due_ms
    assert judge(dispatch, "ga4").outcomes == {"delivered": 1}
