"""The command `capi emulate`, as a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from consumer.emulators.platforms import STAND_INS
from consumer.settings import Settings

TIMEOUT_S = 60


@contextmanager
def emulating(folder: Path, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """The command, ended at the end whatever happened."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CAPI_")}
    running = subprocess.Popen(
        [sys.executable, "-m", "consumer", "emulate", *words],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=kept | {"COLUMNS": "300"},
    )
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


def settings_of(running: "subprocess.Popen[str]", lines: int) -> Settings:
    """What it prints, as the settings file that it is."""
    assert running.stdout is not None
    return Settings.model_validate(yaml.safe_load("".join(running.stdout.readline() for _ in range(lines))))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("platform", ["meta", "all"])
def test_a_platform_is_served_until_a_signal(tmp_path: Path, platform: str, number: signal.Signals) -> None:
    """What it prints are settings that lead to it, with the token in a file of its own; exit code 0."""
    with emulating(tmp_path, "--platform", platform) as running:
        served = STAND_INS if platform == "all" else {"meta"}
        destinations = {each.platform: each for each in settings_of(running, 2 + len(served)).destinations}
        assert destinations.keys() == set(served)
        destination = destinations["meta"]
        assert destination.account == STAND_INS["meta"].account
        token = tmp_path / destination.token_file
        assert token.stat().st_mode & 0o077 == 0
        body = b'{"data":[]}'
        request = urllib.request.Request(
            f"{destination.base_url}/v25.0/{destination.account}/events",
            body,
            {"Authorization": f"Bearer {token.read_text()}", "Content-Type": "application/json"},
        )
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=TIMEOUT_S)
        assert refused.value.code == 400, "the token is right, the empty batch is not"
        running.send_signal(number)
        assert running.wait(TIMEOUT_S) == 0


def test_the_token_outlives_a_restart(tmp_path: Path) -> None:
    """Whoever was set up once needs no other token."""
    tokens = []
    for _ in range(2):
        with emulating(tmp_path, "--platform", "meta") as running:
            tokens.append((tmp_path / settings_of(running, 3).destinations[0].token_file).read_text())
    assert tokens[0] == tokens[1] != ""
    secret = tmp_path / ".capi" / "meta-emulator.secret"
    assert (secret.stat().st_mode & 0o077, secret.read_text()) == (0, tokens[0])


def test_the_registry_is_served_on_the_port_asked_for(tmp_path: Path) -> None:
    """It answers at the address that it prints."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with emulating(tmp_path, "--platform", "registry", "--port", str(port)) as running:
        url = settings_of(running, 2).registry.url
        assert url.endswith(f":{port}")
        with urllib.request.urlopen(f"{url}/subjects", timeout=TIMEOUT_S) as reply:
            assert reply.read() == b"[]"
        running.send_signal(signal.SIGTERM)
        assert running.wait(TIMEOUT_S) == 0


def test_what_cannot_be_served_is_refused(tmp_path: Path) -> None:
    """An unknown platform is a usage error, a taken port an error of set-up; both say what to do."""
    with emulating(tmp_path, "--platform", "tiktak") as running:
        said = running.communicate(timeout=TIMEOUT_S)[1]
        assert running.returncode == 2
        assert f"known are {', '.join(STAND_INS)}, all and registry" in " ".join(said.split())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for platform in ("meta", "registry"):
            with emulating(tmp_path, "--platform", platform, "--port", str(port)) as running:
                said = running.communicate(timeout=TIMEOUT_S)[1]
                assert running.returncode == 78
                assert "--port" in said
