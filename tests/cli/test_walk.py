"""A newcomer's walk through the README, each command in a process of its own, on a real cluster and a real registry."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

DEADLINE_S = 90.0
CAPI = (sys.executable, "-m", "consumer")
ORDERS = 60


@pytest.fixture
def place(tmp_path: Path, bootstrap: str, registry_url: str, prefix: str) -> Path:
    """A folder with settings for this cluster and registry, and no destination yet."""
    shop = {"orders": f"{prefix}.orders", "checkouts": f"{prefix}.checkouts"}
    settings = {
        "instance_id": "walker",
        "kafka": {"bootstrap_servers": bootstrap},
        "registry": {"url": registry_url, "cache_dir": str(tmp_path / "schemas")},
        "topics": {"prefix": prefix, **shop},
        "state": {"dir": str(tmp_path / "state")},
        "join": {"wait_s": 2},
        "http": {"port": 0},
    }
    (tmp_path / "capi.yaml").write_text(yaml.safe_dump(settings))
    return tmp_path


def _environment(place: Path) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("CAPI_")}
    return {**ours, "CAPI_CONFIG": str(place / "capi.yaml")}


def capi(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*CAPI, *words],
        cwd=place,
        env=_environment(place),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


@contextmanager
def serving(place: Path, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """A command that runs until it is told to stop; it ends with the block, whatever happens."""
    with (place / f"{words[0]}.log").open("w") as log:
        process = subprocess.Popen(
            [*CAPI, *words],
            cwd=place,
            env=_environment(place),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def _emulated(process: "subprocess.Popen[str]") -> str:
    """The settings that `capi emulate` prints."""
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or not lines[-1].startswith("# what"):
        lines.append(process.stdout.readline())
        assert lines[-1], "the emulator ended"
    return "".join(lines)


def _held(url: str) -> dict[str, int]:
    with urllib.request.urlopen(f"{url}/_emulator/stats", timeout=10) as reply:
        held: dict[str, int] = json.load(reply)
    return held


def test_from_nothing_to_delivered(place: Path) -> None:
    """Topics, schemas, traffic, an emulator and a run: every event of the truth arrives, and SIGTERM ends with 0."""
    planned = capi(place, "topics", "plan", "--shop")
    assert planned.returncode == 0, planned.stderr
    assert "create" in planned.stdout
    for words in (("topics", "apply", "--shop"), ("schemas", "register", "--shop"), ("schemas", "check")):
        done = capi(place, *words)
        assert done.returncode == 0, (words, done.stderr)
    again = capi(place, "topics", "apply", "--shop")
    assert "Nothing to do" in again.stdout
    traffic = ("traffic", "--seed", "5", "--orders", str(ORDERS), "--truth", "truth.ndjson", "-o", "json")
    written = capi(place, *traffic)
    assert written.returncode == 0, written.stderr
    truth = [json.loads(line) for line in (place / "truth.ndjson").read_text().splitlines()]
    must = {line["event_id"] for line in truth if line["eligible"]["meta"]}
    assert json.loads(written.stdout)["truth"] == len(truth)
    with serving(place, "emulate", "--platform", "meta") as emulator:
        printed = _emulated(emulator)
        with (place / "capi.yaml").open("a") as settings:
            settings.write(printed)
        (emulated,) = yaml.safe_load(printed)["destinations"]
        url = emulated["base_url"]
        checked = capi(place, "config", "check")
        assert (checked.returncode, checked.stdout) == (0, "The settings are right.\n"), checked.stderr
        refused = capi(place, "run")
        assert (refused.returncode, "`capi topics apply`" in refused.stderr) == (78, True), refused.stderr
        assert capi(place, "topics", "apply", "--shop").returncode == 0
        with serving(place, "run") as running:
            until_s = time.monotonic() + DEADLINE_S
            while _held(url)["server"] < len(must) and time.monotonic() < until_s:
                assert running.poll() is None, (place / "run.log").read_text()[-2000:]
                time.sleep(0.2)
            running.send_signal(signal.SIGTERM)
            assert running.wait(DEADLINE_S) == 0, (place / "run.log").read_text()[-2000:]
        with urllib.request.urlopen(f"{url}/_emulator/deduped", timeout=10) as reply:
            arrived = {json.loads(line)["event_id"] for line in reply}
        assert arrived == must
        emulator.send_signal(signal.SIGINT)
        assert emulator.wait(DEADLINE_S) == 0
    stood = json.loads(capi(place, "offsets", "show", "-o", "json").stdout)
    behind = [at for at in stood if at["problem"] or (at["lag"] > 1 and ".deliver." in at["group"])]
    assert not behind, behind
