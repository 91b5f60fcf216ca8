"""`capi dlq replay`: letters whose cause is mended are delivered, once, however often and however rudely it is run."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from msgspec import json

from consumer.codec import Encoder, load_schema
from consumer.emulators.registry import RegistryThread
from consumer.kafka.writer import Writer
from tests.broker.dispatch import ROOT, Dispatch, Emulated, Stored, conversion

DAY_MS = 86_400_000
MARGIN_MS = 120_000
CAPI = (sys.executable, "-m", "consumer", "dlq", "replay")
UNKNOWN_ID = 4
"""The id that this registry gives the next schema, after those of conversions, endings and receipts."""


def replay(file: Path, *words: str) -> tuple[int, dict[str, dict[str, Any]], str]:
    """Run the command to its end; its exit code, what it says by destination, and the replay's id."""
    done = subprocess.run(
        [*CAPI, *words, "--config", str(file), "-o", "json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in {0, 3}, done.stderr
    told = json.decode(done.stdout)
    return done.returncode, {each["destination"]: each for each in told["destinations"]}, told["replay_id"]


def poison(at: Emulated, numbers: Iterable[int]) -> set[str]:
    """Have these refused; their event ids."""
    event_ids = {f"purchase:{number}" for number in numbers}
    at.fault("poison", event_ids=sorted(event_ids), named=True)
    return event_ids


def fail(dispatch: Dispatch, at: Emulated, numbers: Iterable[int], of: int) -> set[str]:
    """Write so many conversions, of which these numbers become letters; their event ids."""
    event_ids = poison(at, numbers)
    dispatch.write(conversion(number) for number in range(of))
    names = [each.name for each in dispatch.settings.destinations]
    with dispatch.start() as process:
        dispatch.await_settled(*names, processes=[process])
        process.stop()
    assert {each.headers["dlq.event.id"] for each in dispatch.letters()} == event_ids
    return event_ids


def deliver(dispatch: Dispatch) -> None:
    """Have all that lies in the replay's topic ended."""
    with dispatch.start() as process:
        names = [each.name for each in dispatch.settings.destinations]
        dispatch.await_settled(*names, processes=[process], topic="replay")
        process.stop()


def audited(dispatch: Dispatch) -> list[dict[str, Any]]:
    """What the audit topic tells."""
    return [json.decode(each.value or b"") for each in dispatch.records("audit")]


def written(dispatch: Dispatch) -> dict[str, list[Stored]]:
    """All records that a replay may write."""
    return {name: list(dispatch.records(name)) for name in ("replay", "ingest-replay", "later", "audit")}


def test_mended_letters_are_delivered_once(open_dispatch: Callable[..., Dispatch]) -> None:
    """To the destination that failed alone, with receipts that bear the replay's id; a second run does nothing."""
    dispatch = open_dispatch()
    with Emulated() as meta, Emulated() as other:
        dispatch.destination("meta-us", meta, batch_max_events=10)
        dispatch.destination("meta-eu", other, batch_max_events=10)
        dispatch.make_topics()
        failed = fail(dispatch, meta, range(0, 40, 4), of=40)
        meta.mend()
        before = written(dispatch)
        code, told, _ = replay(dispatch.file(), "reason=rejected")
        assert (code, told["meta-us"]["goes"], set(told)) == (0, len(failed), {"meta-us"})
        assert written(dispatch) == before
        code, told, replay_id = replay(dispatch.file(), "reason=rejected", "--execute")
        assert (code, told["meta-us"]["goes"], told["meta-us"]["stays"]) == (0, len(failed), {})
        code, told, _ = replay(dispatch.file(), "reason=rejected", "--execute")
        assert (code, told["meta-us"]["goes"], told["meta-us"]["stays"]) == (0, 0, {"replaying": len(failed)})
        deliver(dispatch)
        code, told, _ = replay(dispatch.file(), "--execute")
        assert (code, told["meta-us"]["goes"], told["meta-us"]["stays"]) == (0, 0, {"delivered": len(failed)})
        for at in (meta, other):
            assert at.deduped() == set(dispatch.written.values())
            assert at.stats["server_repeats"] == 0
    assert len(list(dispatch.records("replay"))) == len(failed)
    again = [each for each in dispatch.receipts() if each.replay_id]
    assert {(each.destination, each.outcome, each.replay_id) for each in again} == {
        ("meta-us", "delivered", replay_id)
    }
    places = [(each.conversion_partition, each.conversion_offset) for each in again]
    assert sorted(places) == sorted(at for at, event_id in dispatch.written.items() if event_id in failed)
    begins, ends = audited(dispatch)
    assert (begins["command"], begins["filter"], begins["counts"]) == (
        "dlq replay",
        ["reason=rejected"],
        {"rejected": len(failed)},
    )
    assert "@" in begins["by"]
    assert (begins["reason"], ends["reason"]) == (f"begins {replay_id}", f"ends {replay_id}")
    assert ends["counts"] == begins["counts"]


def test_a_replay_that_is_killed_goes_on(open_dispatch: Callable[..., Dispatch]) -> None:
    """With -9 half-way: the same command sends the rest, and each letter is delivered once."""
    dispatch = open_dispatch()
    with Emulated() as meta:
        dispatch.destination("meta-us", meta, batch_max_events=10)
        dispatch.make_topics()
        failed = fail(dispatch, meta, range(30), of=40)
        meta.mend()
        words = ("--execute", "--rate", "5", "--config", str(dispatch.file()))
        with dispatch.run("dlq", "replay", *words, log="replay") as command:
            command.await_that("half of it sent", lambda: "sent 10 of 30" in command.text)
            command.kill()
        code, told, _ = replay(dispatch.file(), "--execute")
        sent = told["meta-us"]["stays"]["replaying"]
        assert (code, told["meta-us"]["goes"]) == (0, len(failed) - sent)
        assert sent >= 10
        deliver(dispatch)
        assert meta.deduped() == set(dispatch.written.values())
        assert meta.stats["server_repeats"] == 0
    assert len(list(dispatch.records("replay"))) == len(failed)
    assert len({each.replay_id for each in dispatch.receipts()} - {""}) == 2


def test_of_two_at_once_the_later_goes_on(open_dispatch: Callable[..., Dispatch]) -> None:
    """The first is ended, says so, and no letter is sent by both."""
    dispatch = open_dispatch()
    with Emulated() as meta:
        dispatch.destination("meta-us", meta, batch_max_events=10)
        dispatch.make_topics()
        failed = fail(dispatch, meta, range(30), of=30)
        meta.mend()
        words = ("--execute", "--rate", "5", "--config", str(dispatch.file()))
        with dispatch.run("dlq", "replay", *words, log="replay") as command:
            command.await_that("some of it sent", lambda: "sent 5 of 30" in command.text)
            replay(dispatch.file(), "--execute")
            assert command.end() == 1
            assert "another `capi dlq replay` took over" in command.text
        deliver(dispatch)
        assert meta.deduped() == set(dispatch.written.values())
        assert meta.stats["server_repeats"] == 0
    assert len(list(dispatch.records("replay"))) == len(failed)


def test_what_would_fail_again_stays_and_says_why(open_dispatch: Callable[..., Dispatch]) -> None:
    """Too old by now, lacking what the platform demands, of a destination that is gone: code 3, nothing is sent."""
    dispatch = open_dispatch()
    with Emulated() as meta, Emulated() as other:
        dispatch.destination("meta-us", meta)
        dispatch.destination("meta-eu", other)
        dispatch.make_topics()
        poison(meta, [1])
        poison(other, [1, 3])
        with dispatch.start() as process:
            process.await_ready()
            now_ms = int(time.time() * 1000)
            closing_ms = now_ms - 7 * DAY_MS + MARGIN_MS + 2_000
            dispatch.write(
                [
                    conversion(1, event_time=closing_ms, enriched_at=now_ms),
                    conversion(2, identity={}, user_agent="", click_ids={}, country=""),
                    conversion(3),
                ]
            )
            dispatch.await_settled("meta-us", "meta-eu", processes=[process])
            process.stop()
        remaining_s = (closing_ms + 7 * DAY_MS - MARGIN_MS) / 1000 - time.time()
        time.sleep(max(0.0, remaining_s))
        file = dispatch.file("without", destinations=dispatch.values["destinations"][:1])
        code, told, _ = replay(file, "--execute")
    assert code == 3
    assert told["meta-us"]["stays"] == {"too_old": 1, "incomplete": 1}
    assert told["meta-eu"]["stays"] == {"no_destination": 3}
    assert (told["meta-us"]["goes"], told["meta-eu"]["goes"]) == (0, 0)
    assert (list(dispatch.records("replay")), audited(dispatch)) == ([], [])


def order(now_ms: int) -> bytes:
    """A paid order, by a schema that nobody has registered yet."""
    encode: Encoder[dict[str, object]] = Encoder(load_schema("order"), UNKNOWN_ID)
    times = {"updated_at": now_ms, "created_at": now_ms, "paid_at": now_ms}
    told = {"order_id": "77", "status": "PAID", "currency": "EUR", "grand_total_minor": 500, **times}
    consent = {"ads": "GRANTED", "analytics": "GRANTED"}
    return encode({**told, "customer": {"email": "buyer@shop.example"}, "consent": consent})


@pytest.mark.parametrize("keyed", [True, False])
def test_an_order_that_can_be_read_now_is_delivered(
    bootstrap: str, prefix: str, tmp_path: Path, *, keyed: bool
) -> None:
    """Its schema was not known. It goes through enrich, under the key that it should have had; twice is once."""
    with RegistryThread() as registry, Emulated() as meta:
        dispatch = Dispatch(bootstrap, registry.url, prefix, tmp_path, join={"wait_s": 1})
        dispatch.values["topics"]["orders_keyed_by_checkout"] = keyed
        dispatch.destination("meta-us", meta)
        dispatch.make_topics()
        file = dispatch.file()
        with dispatch.run("run", "--config", str(file), log="all") as process:
            process.await_ready()
            writer = Writer(dispatch.settings.kafka)
            writer.produce(f"{prefix}.orders", order(int(time.time() * 1000)), key=b"77", partition=0)
            assert writer.flush(30) == 0
            writer.close()
            process.await_that("a letter", lambda: bool(dispatch.letters("ingest")), every_s=0.5)
            code, told, _ = replay(file, "--execute")
            assert (code, told[""]["goes"]) == (3, 0)
            assert dispatch.schemas.register(f"{prefix}.orders-value", load_schema("order")) == UNKNOWN_ID
            code, told, _ = replay(file, "--execute")
            assert (code, told[""]["goes"], told[""]["stays"]) == (0, 1, {})
            process.await_that("delivered", lambda: meta.deduped() == {"purchase:77"}, every_s=0.2)
            process.await_that(
                "enriched", lambda: replay(file)[1][""]["stays"] == {"enriched": 1}, every_s=0.2
            )
            assert replay(file, "--execute")[:2] == (
                0,
                {"": {**told[""], "goes": 0, "stays": {"enriched": 1}}},
            )
            process.stop()
        assert meta.stats["server_repeats"] == 0
    (letter,) = dispatch.letters("ingest")
    topic = "ingest-replay" if keyed else "orders-by-checkout"
    (back,) = [each for each in dispatch.records(topic) if "capi.letter" in each.headers]
    assert back.headers["capi.letter"] == f"{prefix}.dlq.ingest:{letter.partition}:{letter.offset}"
    assert back.key == (b"77" if keyed else b"order:77")
