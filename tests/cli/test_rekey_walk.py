"""A shop whose orders are keyed otherwise: one setting, and `capi run` does the rest."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import yaml

DEADLINE_S = 90.0
CAPI = (sys.executable, "-m", "consumer")


class Walk:
    """A folder with settings, and commands run in it."""

    def __init__(self, folder: Path, bootstrap: str, registry_url: str, prefix: str) -> None:
        self.folder = folder
        named = {"prefix": prefix, "orders": f"{prefix}.orders", "checkouts": f"{prefix}.checkouts"}
        settings = {
            "instance_id": "walker",
            "kafka": {"bootstrap_servers": bootstrap},
            "registry": {"url": registry_url, "cache_dir": str(folder / "schemas")},
            "topics": {**named, "orders_keyed_by_checkout": False},
            "state": {"dir": str(folder / "state")},
            "http": {"port": 0},
        }
        (folder / "capi.yaml").write_text(yaml.safe_dump(settings))
        ours = {name: value for name, value in os.environ.items() if not name.startswith("CAPI_")}
        self.environment = {**ours, "CAPI_CONFIG": str(folder / "capi.yaml")}

    def capi(self, *words: str) -> str:
        """Run a command to its good end; what it printed."""
        done = subprocess.run(
            [*CAPI, *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    def serve(self) -> "subprocess.Popen[bytes]":
        """`capi run`, its log in a file."""
        with (self.folder / "run.log").open("w") as log:
            return subprocess.Popen([*CAPI, "run"], cwd=self.folder, env=self.environment, stderr=log)

    def lag(self, role: str) -> int:
        """What the role's group has still to do, with partitions that it never saw counted as one."""
        stood = json.loads(self.capi("offsets", "show", "-o", "json"))
        (group,) = {at["group"] for at in stood if at["group"].endswith(f".{role}")}
        return sum(at["lag"] + bool(at["problem"]) for at in stood if at["group"] == group)


def wait_for(walk: Walk, process: "subprocess.Popen[bytes]", found: str) -> str:
    """Wait until this is in its log, as a pattern; its first group."""
    until_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < until_s:
        log = (walk.folder / "run.log").read_text()
        if match := re.search(found, log):
            return match[1]
        assert process.poll() is None, log[-2000:]
        time.sleep(0.1)
    raise TimeoutError(found)


def get(port: str, path: str) -> str:
    """A page of the running process."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as reply:
        text: str = reply.read().decode()
    return text


def test_run_rekeys_and_enriches(tmp_path: Path, bootstrap: str, registry_url: str, prefix: str) -> None:
    """Topics are made, both roles run and say so, all that was published is read, and SIGTERM ends with 0."""
    walk = Walk(tmp_path, bootstrap, registry_url, prefix)
    assert f"{prefix}.orders-by-checkout" in walk.capi("topics", "apply", "--shop")
    walk.capi("schemas", "register", "--shop")
    walk.capi("traffic", "--seed", "5", "--orders", "40", "--truth", "truth.ndjson")
    process = walk.serve()
    try:
        port = wait_for(walk, process, r'"event":"started".*"port":(\d+)')
        until_s = time.monotonic() + DEADLINE_S
        while walk.lag("rekey") + walk.lag("enrich"):
            assert time.monotonic() < until_s, walk.capi("offsets", "show")
            assert process.poll() is None, (tmp_path / "run.log").read_text()[-2000:]
        assert json.loads(get(port, "/health/ready"))["ready"] is True
        assert set(json.loads(get(port, "/health/status"))["roles"]) == {"rekey", "enrich"}
        rekeyed = re.findall(r'^capi_rekeyed_total{key="(\w+)"} (\S+)$', get(port, "/metrics"), re.MULTILINE)
        assert {key for key, _ in rekeyed} == {"checkout", "order", "own"}
        assert all(float(count) > 0 for _, count in rekeyed)
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0, (tmp_path / "run.log").read_text()[-2000:]
    finally:
        process.kill()
        process.wait()
