"""The command `capi doctor`, against an emulator."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from consumer.cli import app
from consumer.emulators.platforms import EmulatorThread, destination
from consumer.errors import ConfigurationError


@pytest.fixture
def capi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Runs `capi doctor` with these destinations; exit code and what it printed. Kafka's settings are wrong at once."""
    monkeypatch.delenv("CAPI_CONFIG", raising=False)

    def run(destinations: list[dict[str, object]], *words: str) -> tuple[int, str]:
        settings = {
            "kafka": {"extra": {"no.such.key": 1}},
            "registry": {"url": "http://127.0.0.1:1", "cache_dir": str(tmp_path / "schemas")},
            "destinations": destinations,
        }
        path = tmp_path / "capi.yaml"
        path.write_text(yaml.safe_dump(settings))
        result = CliRunner().invoke(app, ["doctor", "--config", str(path), *words])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout

    return run


def test_each_check_has_a_line(capi: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    """In columns, or as JSON; only the destinations that are asked for. The exit code is the gravest finding's."""
    token_file = tmp_path / "token"
    with EmulatorThread(["snapchat"]) as running:
        token_file.write_text(running.credentials["snapchat"])
        right = destination("snapchat", token_file, running.urls["snapchat"])
        twin = {**right, "name": "twin"}
        code, said = capi([right, twin], "--destination", "twin", "--destination", "twin")
        assert code == 78
        lines = said.splitlines()
        assert [line.split()[:2] for line in lines] == [
            ["twin", "settings"],
            ["twin", "token"],
            ["twin", "host"],
            ["twin", "probe"],
            ["kafka", "topics"],
            ["registry", "schemas"],
        ]
        assert lines[0].startswith("twin      settings    ok      complete; ")
        assert token_file.read_text() not in said
        code, said = capi([right, twin], "-o", "json")
        found = json.loads(said)
        assert (code, len(found)) == (78, 10)
        assert {(each["state"], each["exit_code"]) for each in found[:8]} == {("ok", 0)}
        assert [each["exit_code"] for each in found[8:]] == [78, 69]
        with pytest.raises(ConfigurationError, match="did you mean twin"):
            capi([right, twin], "--destination", "twim")
