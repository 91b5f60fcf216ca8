"""The law on real Kafka: while deliver runs, after it, and once it is broken."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import json

from consumer.demo.readback import ReadBack, deliveries
from consumer.model import Conversion
from tests.broker.dispatch import Dispatch, Emulated, conversion, refund, wait_for
from tests.ledger.beside import (
    await_settled,
    conservation,
    receipt,
    settle_all,
    start_ledger,
    write_receipts,
)

POISON = "purchase:7"
DAY_MS = 86_400_000
MARGIN_MS = 120_000


def expired() -> Conversion:
    """A purchase whose window at Meta closes in a moment; given back once that has passed."""
    deadline_ms = int(time.time() * 1000) + 500
    wait_for("the window is closed", lambda: time.time() * 1000 > deadline_ms)
    return conversion(900, event_time=deadline_ms - 7 * DAY_MS + MARGIN_MS, enriched_at=deadline_ms - 5_000)


def why(dispatch: Dispatch, *arguments: str) -> tuple[int, str]:
    """What `capi why` prints, and its exit code."""
    process = dispatch.run("why", "--config", str(dispatch.folder / "ledger.yaml"), *arguments, log="why")
    code = process.end()
    return code, process.text


def test_the_law_holds_all_along_and_every_story_can_be_told(open_dispatch: Callable[..., Dispatch]) -> None:
    """Delivered, rejected, skipped, expired, put aside: nothing is missing at any poll, and `capi why` tells each."""
    dispatch = open_dispatch()
    polled: list[dict[str, Any]] = []
    with Emulated() as meta, Emulated("ga4") as ga4:
        dispatch.destination("meta-us", meta, batch_max_events=20)
        dispatch.destination("ga4", ga4, "ga4", refund_after_s=3600)
        dispatch.make_topics()
        meta.fault("poison", event_ids=[POISON])
        with start_ledger(dispatch) as ledger, dispatch.start() as process:
            dispatch.write(conversion(number) for number in range(300))
            dispatch.write([conversion(800, consent_ads="DENIED"), refund(5)])
            process.await_ready()
            dispatch.write([expired()])
            for part in range(5):
                dispatch.write(conversion(number) for number in range(1000 + 100 * part, 1100 + 100 * part))
                polled += conservation(ledger).values()
            dispatch.await_settled("meta-us", "ga4", processes=[process, ledger])
            await_settled(ledger, dispatch, "meta-us")
            ledger.await_that("put aside", lambda: conservation(ledger)["ga4"]["in_flight"] == 1)
            found = conservation(ledger)
            polled += found.values()
            assert ledger.metric('capi_missing{destination="meta-us"}') == 0
            assert ledger.metric('capi_owed{destination="meta-us"}') == len(dispatch.written)
            assert ledger.get("/health/ready")[0] == 200
            address = f"http://127.0.0.1:{ledger.port}"
            told = {
                order: why(dispatch, order, "--ledger", address)
                for order in ("1", "7", "800", "900", "5", "1@example.com")
            }
            process.stop()
            ledger.stop()
    assert all(each["missing"] == 0 and each["holds"] for each in polled)
    assert found["ga4"]["put_aside"] == 1
    with ReadBack(dispatch.settings.kafka, "second-opinion") as topics:
        receipts = [each for each in dispatch.receipts() if each.destination == "meta-us"]
        committed = topics.committed(f"{dispatch.prefix}.deliver.meta-us", f"{dispatch.prefix}.conversions")
    second = deliveries(dispatch.written.keys(), receipts, committed)
    assert {
        word: count for word, count in found["meta-us"].items() if word in second.outcomes
    } == second.outcomes
    assert (second.outcomes["rejected"], second.outcomes["expired"]) == (1, 1)
    assert all(code == 0 for code, _ in told.values())
    assert "meta-us: delivered" in told["1"][1]
    assert "meta-us: rejected (rejected, 100/2804019)" in told["7"][1]
    assert "Look the code up at the platform" in told["7"][1]
    assert "meta-us: skipped (consent)" in told["800"][1]
    assert "the customer did not allow it" in told["800"][1]
    assert "meta-us: expired" in told["900"][1]
    assert "ga4: put_aside" in told["5"][1]
    assert "refund:5:1, 1.05 EUR" in told["5"][1]
    assert told["1@example.com"] == told["1"]
    assert why(dispatch, "1")[1].splitlines()[-3:] == told["1"][1].splitlines()[-3:]
    assert why(dispatch, "no-such-order")[0] == 1
    assert "1@example.com" not in ledger.text


def test_a_lost_receipt_is_found_and_named(open_dispatch: Callable[..., Dispatch]) -> None:
    """Receipts of a run without one of them: its place is named wherever one looks, and nothing else is."""
    dispatch = open_dispatch()
    with Emulated() as meta:
        dispatch.destination("meta-us", meta)
        dispatch.make_topics()
    written = dispatch.write(conversion(number) for number in range(50))
    lost = (1, 7)
    write_receipts(dispatch, (receipt(dispatch, at, each) for at, each in written.items() if at != lost))
    settle_all(dispatch)
    place = f"{dispatch.prefix}.conversions:1:7"
    with start_ledger(dispatch) as ledger:
        ledger.await_line("not_conserved", destination="meta-us", count=1)
        ledger.await_that("judged", lambda: bool(conservation(ledger)))
        account = conservation(ledger)["meta-us"]
        assert (account["owed"], account["delivered"], account["missing"]) == (50, 49, 1)
        assert account["first_missing"] == [place]
        assert not account["holds"]
        assert ledger.status("ledger")["broken"]["meta-us"]["first_missing"] == [place]
        assert ledger.metric('capi_missing{destination="meta-us"}') == 1
        status, body = ledger.get(f"/v1/why?event={written[lost]}")
        assert status == 200
        assert json.decode(body)["conversions"][0]["deliveries"][0]["fate"] == "missing"
        write_receipts(dispatch, [receipt(dispatch, lost, written[lost])])
        await_settled(ledger, dispatch, "meta-us")
        assert conservation(ledger)["meta-us"]["holds"]
        ledger.stop()


@pytest.mark.parametrize("query", ["", "?order=1&event=2", "?who=1"])
def test_a_question_that_is_none_is_refused(open_dispatch: Callable[..., Dispatch], query: str) -> None:
    """400, and what can be asked."""
    dispatch = open_dispatch(partitions=1)
    dispatch.make_topics()
    with start_ledger(dispatch) as ledger:
        ledger.await_ready()
        status, body = ledger.get(f"/v1/why{query}")
        assert (status, json.decode(body)["error"][:7]) == (400, "ask for")
        ledger.stop()
