"""State as an operator meets it: looked into, held against its changelog, warmed up, dropped, damaged, grown old."""

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from consumer.cli.state import group
from consumer.emulators.shop import Plan
from consumer.enrich.entries import horizon_ms
from consumer.errors import CapiError, ConfigurationError, StateUnusable
from consumer.kafka.writer import Writer
from consumer.model import Conversion
from consumer.state.store import Checkpoint, Store
from consumer.state.value import NEVER_MS, expiry_of, pack
from tests.broker.shopfloor import ShopFloor, Told, wait_for, whole, whole_of

SEED = 4
HOUR_MS = 3_600_000
BIG = 300_000


class Answer:
    """What `capi state` said: its exit code, stdout and stderr, and the error that ended it."""

    def __init__(self, floor: ShopFloor, *words: str) -> None:
        file = floor.settings_of("one")[1]
        result = CliRunner().invoke(group, [*words, "--config", str(file)])
        self.error = result.exception if isinstance(result.exception, CapiError) else None
        if result.exception is not None and not isinstance(result.exception, CapiError | SystemExit):
            raise result.exception
        self.code = self.error.exit_code if self.error is not None else result.exit_code
        self.out, self.err = result.stdout, result.stderr

    @property
    def data(self) -> Any:  # noqa: ANN401 (JSON)
        """Its JSON."""
        return json.loads(self.out)

    def __repr__(self) -> str:
        return f"<Answer {self.code}: {self.error or self.err}>"


def grown(floor: ShopFloor, *told: Iterable[Told]) -> None:
    """Let enrich plan all of this, one after the other, and end well."""
    with floor.start() as process:
        process.await_ready(floor.partitions)
        for each in told:
            floor.publish(each)
            floor.await_drained()
        process.stop()


def stores(floor: ShopFloor) -> Path:
    """The folder of the instance's stores."""
    return floor.settings_of("one")[0].state.dir


def rows(floor: ShopFloor) -> dict[tuple[int, bytes], bytes]:
    """All that the stores hold."""
    held: dict[tuple[int, bytes], bytes] = {}
    for number in range(floor.partitions):
        store = Store(stores(floor) / f"{number:04d}")
        held |= {(number, key): value for key, value in store.rows()}
        store.close()
    return held


def change(floor: ShopFloor, number: int, changes: Mapping[bytes, bytes | None]) -> None:
    """Write into a store what no changelog knows."""
    store = Store(stores(floor) / f"{number:04d}")
    assert store.checkpoint is not None
    store.write(changes, Checkpoint(store.checkpoint.offset, store.checkpoint.at_ms))
    store.close()


def secrets(conversions: Iterable[Conversion]) -> Iterator[str]:
    """What must be shown to nobody."""
    for each in conversions:
        found = [*each.identity.values(), *each.click_ids.values(), each.ip, each.user_agent]
        yield from (value for value in found if value and not value.isdigit())  # a session's number is a time


def named(answer: Answer) -> dict[str, dict[str, Any]]:
    """The entries of an answer by their names."""
    return {entry["name"]: entry for entry in answer.data}


def test_an_operator_looks_up_what_is_known(open_floor: Callable[..., ShopFloor]) -> None:
    """Each entry is found by the ids that it is about, and shows nobody's data, neither in text nor in JSON."""
    print(f"seed {SEED}")  # noqa: T201 (so that a failure can be repeated)
    floor = open_floor(join={"wait_s": 1})
    grown(floor, whole(SEED, orders=60))
    told = floor.conversions()
    by_checkout = {each.checkout_id: each for each in told if each.event_name == "purchase"}
    bought = next(each for each in by_checkout.values() if each.identity and each.ip)

    found = named(Answer(floor, "inspect", bought.checkout_id, "-o", "json"))
    context = found[f"context {bought.checkout_id}"]
    assert (context["partition"], context["expired"]) == (bought.origin_partition, False)
    assert context["told"]["browser"]["ip"] == "(hidden)"
    assert context["told"]["consent"]["ads"]["said"] == "granted"
    shown = [value.removesuffix("…") for value in context["told"]["identity"].values()]
    assert shown
    assert all(any(value.startswith(each) for value in bought.identity.values()) for each in shown)
    assert f"claim begin_checkout begin_checkout:{bought.checkout_id}" in found
    claim = named(Answer(floor, "inspect", bought.order_id, "-o", "json"))[
        f"claim purchase {bought.event_id}"
    ]
    at = f"{bought.origin_topic}:{bought.origin_partition}:{bought.origin_offset}"
    assert claim["told"]["claimed_by"] == at
    assert named(Answer(floor, "inspect", bought.event_id, "-o", "json")) == {claim["name"]: claim}

    some = [bought, *islice(by_checkout.values(), 8)]
    ids = [key for each in some for key in (each.checkout_id, each.order_id)]
    said = "".join(Answer(floor, "inspect", key, *form).out for key in ids for form in ((), ("-o", "json")))
    assert said.count("(hidden)") > len(some)
    assert [secret for secret in secrets(told) if secret in said] == []
    nothing = Answer(floor, "inspect", "nobody")
    assert (nothing.code, nothing.out) == (0, "Nothing about nobody.\n")


def test_an_order_that_waits_is_found_by_its_ids(open_floor: Callable[..., ShopFloor]) -> None:
    """It says where it was read and since when it waits; its customer is shown by the beginnings of hashes alone."""
    floor = open_floor(partitions=1, join={"wait_s": 600})
    grown(floor, [each for each in whole(SEED, orders=10) if getattr(each, "topic", None) != "checkouts"])
    keys = [key for _, key in rows(floor) if key.startswith(b"w")]
    assert keys
    for key in keys:
        order_id = key.rpartition(b":")[2].decode()
        answer = Answer(floor, "inspect", order_id, "-o", "json")
        entry = named(answer)[f"waiting {order_id}"]
        at = f"{floor.settings.topics.orders}:0:{int(key[1:21])}"
        assert (entry["expires_ms"], entry["told"]["read_from"]) == (None, at)
        again = named(Answer(floor, "inspect", entry["told"]["checkout_id"], "-o", "json"))
        assert again[f"waiting {order_id}"] == entry
        assert re.findall("[0-9a-f]{32,}", answer.out) == []


def test_an_operator_compares_drops_and_warms_up(open_floor: Callable[..., ShopFloor]) -> None:
    """A store that differs is told, with keys; what is dropped is read back as it was; a dry run touches nothing."""
    floor = open_floor(join={"wait_s": 600})
    grown(floor, whole(SEED, orders=60))
    held = rows(floor)
    same = Answer(floor, "verify", "-o", "json")
    assert (same.code, sum(one["same"] for one in same.data)) == (0, len(held)), same.data
    number = max(at[0] for at in held)
    (_, some), (_, other) = [at for at in held if at[0] == number and at[1].startswith(b"d")][:2]
    change(floor, number, {some: None, other: held[number, other] + b"x", b"czz": held[number, some]})
    differs = Answer(floor, "verify", "-o", "json")
    wrong = {one["partition"]: one for one in differs.data}[number]
    assert (differs.code, wrong["lacking"], wrong["other"], wrong["extra"]) == (1, 1, 1, 1)
    assert (len(wrong["first"]), "context zz" in wrong["first"]) == (3, True)
    assert "DIFFERS: 1 lacking, 1 too many, 1 other" in Answer(floor, "verify").out
    alone = Answer(floor, "verify", "--partition", "0")
    assert (alone.code, alone.out.count("partition ")) == (0, 1)

    planned = Answer(floor, "reset", "--partition", str(number), "-o", "json")
    assert [(one["partition"], one["folders"]) for one in planned.data["dropped"]] == [
        (number, [f"{number:04d}"])
    ]
    assert (stores(floor) / f"{number:04d}").is_dir()
    assert Answer(floor, "reset", "--partition", str(number), "--execute").code == 0
    assert not (stores(floor) / f"{number:04d}").exists()
    restored = Answer(floor, "restore", "-o", "json")
    assert sorted(restored.data["restored"]) == [str(each) for each in range(floor.partitions)]
    assert rows(floor) == held
    assert Answer(floor, "reset", "--execute").code == 0
    assert Answer(floor, "restore").out == f"{floor.partitions} partitions are restored.\n"
    assert rows(floor) == held
    assert Answer(floor, "verify").code == 0


def test_entries_of_another_build_are_told_as_such(open_floor: Callable[..., ShopFloor]) -> None:
    """What this build can't read ends neither command with a stack, and quotes nothing of it."""
    floor = open_floor(partitions=1, join={"wait_s": 1})
    grown(floor, [])
    odd = pack(NEVER_MS, b"\xa5mario")
    change(floor, 0, {b"codd": odd, b"cother": b"\x63" + odd[1:]})
    for words, why in ((["inspect", "odd"], "Expected `array`"), (["verify"], "format version 63")):
        refused = Answer(floor, *words)
        assert isinstance(refused.error, StateUnusable), (words, refused)
        assert "partition 0 can't be read by this build" in str(refused.error)
        assert why in str(refused.error)
        assert "mario" not in str(refused.error)
    assert not (stores(floor) / "scratch").exists()


def test_what_is_behind_is_not_called_different(open_floor: Callable[..., ShopFloor]) -> None:
    """A store that was closed a while ago is compared as far as it has come, and says how far that is."""
    floor, told = open_floor(partitions=1, join={"wait_s": 1}), whole(SEED, orders=20)
    grown(floor, told[: len(told) // 2])
    kept = floor.folder / "kept"
    shutil.copytree(stores(floor), kept)
    grown(floor, told[len(told) // 2 :])
    shutil.rmtree(stores(floor))
    shutil.copytree(kept, stores(floor))
    answer = Answer(floor, "verify", "-o", "json")
    (one,) = answer.data
    assert (answer.code, one["holds"]) == (0, True)
    assert one["behind"] > 0
    assert one["same"] > 0
    assert Answer(floor, "restore").code == 0
    (one,) = Answer(floor, "verify", "-o", "json").data
    assert (one["holds"], one["behind"]) == (True, 0)


def test_while_a_process_has_it_an_operator_is_told_whom_to_ask(
    open_floor: Callable[..., ShopFloor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is named, and the way to look without stopping it, which works."""
    floor = open_floor(partitions=1, join={"wait_s": 1})
    with floor.start() as process:
        process.await_ready(1)
        floor.publish(whole(SEED, orders=10))
        floor.await_drained(process)
        bought = floor.conversions()[0]
        for words in (["inspect", "x"], ["verify"], ["restore"], ["reset", "--execute"]):
            refused = Answer(floor, *words)
            assert refused.code == 78
            assert f"its process id is {process._process.pid}" in str(refused.error)
            assert "give CAPI_STATE__DIR an empty folder, run `capi state restore`" in str(refused.error)
        monkeypatch.setenv("CAPI_STATE__DIR", str(floor.folder / "copy"))
        assert Answer(floor, "restore").code == 0
        assert bought.event_id in Answer(floor, "inspect", bought.checkout_id).out
        assert process.is_alive()


def test_state_that_is_not_ours_is_refused(
    open_floor: Callable[..., ShopFloor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No state, state of another prefix or cluster, a partition that isn't there: said so, and nothing is touched."""
    floor = open_floor(partitions=1)
    nothing = Answer(floor, "inspect", "x")
    assert isinstance(nothing.error, StateUnusable)
    assert "holds no state; `capi state restore` brings it there" in str(nothing.error)
    assert Answer(floor, "restore").code == 0
    unknown = Answer(floor, "reset", "--partition", "7", "--execute")
    assert isinstance(unknown.error, ConfigurationError)
    assert "no such partition; it has 0" in str(unknown.error)
    monkeypatch.setenv("CAPI_TOPICS__PREFIX", "another")
    for words in (["inspect", "x"], ["reset", "--execute"]):
        assert "belongs to" in str(Answer(floor, *words).error)
    monkeypatch.delenv("CAPI_TOPICS__PREFIX")
    owner = stores(floor) / "owner.json"
    owner.write_text(json.dumps({**json.loads(owner.read_text()), "cluster": "another"}))
    for words in (["verify"], ["restore"]):
        assert "belongs to" in str(Answer(floor, *words).error)
    assert (stores(floor) / "0000").is_dir()


def test_a_damaged_store_is_rebuilt_at_the_next_start(open_floor: Callable[..., ShopFloor]) -> None:
    """It is moved aside and read back from the changelog: what was told before is told to nobody again."""
    floor, told = open_floor(join={"wait_s": 1}), whole(SEED, orders=40)
    grown(floor, told)
    with floor.start() as process:
        process.await_ready(floor.partitions)
        floor.await_drained(process)
        process.stop()
    held, before = rows(floor), sorted(each.event_id for each in floor.conversions())
    (stores(floor) / "0001" / "CURRENT").write_bytes(b"nonsense")
    with floor.start() as process:
        process.await_ready(floor.partitions)
        floor.publish(told)
        floor.await_drained(process)
        process.stop()
        assert "state_moved_aside" in process.log
    assert sorted(each.event_id for each in floor.conversions()) == before
    assert {key for key in held if key[1] != b"s"} <= rows(floor).keys()
    assert list(floor.state("one").violations()) == []
    (dropped,) = Answer(floor, "reset", "--partition", "1", "--execute", "-o", "json").data["dropped"]
    assert dropped["folders"] == ["0001", "0001.corrupt-1"]


def test_what_has_expired_does_not_come_back(open_floor: Callable[..., ShopFloor]) -> None:
    """Swept or not, an entry whose time is over is gone from the topic or counts as absent after a restore."""
    window_s = 600
    floor = open_floor(
        partitions=1,
        join={"wait_s": 1},
        state={"dedupe_window_s": window_s, "context_ttl_s": window_s},
    )
    now_ms = int(time.time() * 1000)
    early, late = (
        whole_of(Plan(seed=seed, orders=20, now_ms=at_ms))
        for seed, at_ms in ((SEED, now_ms - 24 * HOUR_MS), (SEED + 1, now_ms))
    )
    with floor.start() as process:
        process.await_ready(1)
        floor.publish(early)
        floor.await_drained(process)
        old = {each.event_id for each in floor.conversions()}
        floor.publish(late)
        floor.await_drained(process)
        wait_for("swept", lambda: process.is_alive() and not _claimed(floor, old), every_s=0.3)
        process.stop()
    shutil.rmtree(stores(floor))
    assert Answer(floor, "restore").code == 0
    store = Store(stores(floor) / "0000")
    horizon, expiries = horizon_ms(store), [expiry_of(value) for _, value in store.rows()]
    store.close()
    assert horizon > now_ms - 12 * HOUR_MS
    assert expiries
    assert min(expiries) >= horizon
    before = len(floor.conversions())
    grown(floor, early)
    assert len(floor.conversions()) == before
    assert Answer(floor, "verify").code == 0


def test_a_small_partition_works_while_a_big_one_is_read_back(open_floor: Callable[..., ShopFloor]) -> None:
    """What each needs decides when it is active: status and log tell of one while the other has far to go."""
    floor = open_floor(partitions=2, join={"wait_s": 1})
    writer = Writer(floor.settings.kafka, client_id="test")
    for number in range(BIG):  # of a kind that doesn't compress: a fetch is measured in bytes that travel
        value = pack(NEVER_MS, os.urandom(200))
        writer.produce(f"{floor.prefix}.state", value, key=b"dp%d" % number, partition=0)
    assert writer.flush(60) == 0
    writer.close()
    seen: list[tuple[list[int], int, float | None]] = []
    with floor.start() as process:

        def ready() -> bool:
            status = process.status
            seen.append(
                (status.get("active", []), status.get("restore_left", 0), status.get("restore_eta_s"))
            )
            return process.is_alive() and bool(status["ready"]) and len(status["assignment"]) == 2

        wait_for("ready", ready)
        wait_for(
            "all told", lambda: process.status["restore_left"] == 0 and process.status["restore_eta_s"] == 0
        )
        assert process.status["active"] == [0, 1]
        process.stop()
    alone = [(left, eta_s) for active, left, eta_s in seen if active == [1]]
    assert alone, seen
    assert max(left for left, _ in alone) > BIG // 4
    assert any(eta_s is not None and eta_s > 0 for _, eta_s in alone)


def _claimed(floor: ShopFloor, events: set[str]) -> set[str]:
    """Those of the events whose claim the changelog still has."""
    live = {key: value for key, value, _ in floor.records("state")}
    return {(key or b"")[2:].decode() for key, value in live.items() if value is not None} & events
