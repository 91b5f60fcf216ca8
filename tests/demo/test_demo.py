"""The command `capi demo`, as a process of its own, on a real Kafka."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

SEED, ORDERS = 7, 300
TIMEOUT_S = 240


def demo(tmp_path: Path, *words: str) -> "subprocess.Popen[str]":
    """Start it in a folder of its own, without the settings of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CAPI_")}
    return subprocess.Popen(
        [sys.executable, "-m", "consumer", "demo", *words],
        cwd=tmp_path,
        env=kept | {"COLUMNS": "300"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def demo_topics(bootstrap: str) -> set[str]:
    """The topics on the cluster that a demo made."""
    topics = AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=30).topics
    return {name for name in topics if name.startswith("capi-demo-")}


def test_all_that_the_shop_told_arrives_once(bootstrap: str, tmp_path: Path) -> None:
    """On a real Kafka nothing is lost or doubled: the oracle's purchases are the emulator's, in count and money."""
    before = demo_topics(bootstrap)
    words = ["--orders", str(ORDERS), "--seed", str(SEED), "--bootstrap", bootstrap]
    running = demo(tmp_path, *words, "-o", "json", "--report", "report.json")
    said, progress = running.communicate(timeout=TIMEOUT_S)
    assert running.returncode == 0, f"seed {SEED}\n{progress}\n{said}"
    told = json.loads(said)
    assert told == json.loads((tmp_path / "report.json").read_text())
    assert told["conservation"] == {"holds": True, "violations": []}

    oracle, meta = told["oracle"], told["destinations"]["meta"]
    excluded = oracle["excluded"]["meta"]
    assert oracle["paid_orders"] - sum(excluded.values()) == oracle["eligible"]["meta"] > 0
    assert set(excluded) == {
        *("bad_money", "bad_time", "consent_denied", "consent_missing", "no_currency", "no_identifiers"),
        *("too_old", "unreadable"),
    }
    assert oracle["eligible"]["meta"] == meta["emulator"]["after_dedupe"]
    assert oracle["money"]["meta"] == meta["emulator"]["money"]
    assert {"JPY", "KWD", "USD"} <= oracle["money"]["meta"].keys()
    assert meta["emulator"]["pixel"] > 0

    enrich = told["enrich"]
    assert sum(enrich["endings"].values()) == sum(enrich["read"].values())
    assert enrich["endings"]["conversion"] == sum(enrich["conversions"].values()) == meta["owed"]
    assert meta["owed"] == meta["delivered"] + sum(meta["skipped"].values()) + meta["rejected"]
    assert meta["skipped"].keys() == {"consent", "no_refund"}
    assert demo_topics(bootstrap) == before, "the demo's topics are removed"


def test_an_interrupted_demo_leaves_no_topics(bootstrap: str, tmp_path: Path) -> None:
    """Ctrl-C while it runs: exit code 130, and the cluster is as before."""
    before = demo_topics(bootstrap)
    running = demo(tmp_path, "--orders", "50", "--bootstrap", bootstrap)
    deadline_s = time.monotonic() + TIMEOUT_S
    assert running.stderr is not None
    while "enrich" not in running.stderr.readline():
        assert time.monotonic() < deadline_s
        assert running.poll() is None, running.communicate()
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=TIMEOUT_S)
    assert running.returncode == 130
    assert demo_topics(bootstrap) == before


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--destinations", "meta,tiktak"], 2, "known are"),
        (["--destinations", ","], 2, "known are"),
        (["--registry", "http://registry.example"], 2, "https://"),
        (["--report", "nowhere/report.json"], 2, "no folder"),
        (["--orders", "0"], 2, "--orders"),
        (["--bootstrap", "127.0.0.1:9"], 69, "check --bootstrap"),
    ],
)
def test_what_cannot_work_is_refused_with_what_to_do(
    tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    """A usage error is told before anything is started, an unreachable cluster before anything is made."""
    running = demo(tmp_path, *words)
    told, problem = running.communicate(timeout=TIMEOUT_S)
    assert running.returncode == code
    assert said in problem
    assert not told
