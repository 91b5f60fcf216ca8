"""The command `capi schemas`, against a registry."""

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from consumer.cli.schemas import group
from consumer.emulators.registry import RegistryThread


@pytest.fixture
def capi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Runs `capi schemas` against the registry at an address; exit code and what it printed."""
    monkeypatch.delenv("CAPI_CONFIG", raising=False)
    monkeypatch.setenv("CAPI_REGISTRY__CACHE_DIR", str(tmp_path / "cache"))

    def run(url: str, *words: str) -> tuple[int, str]:
        monkeypatch.setenv("CAPI_REGISTRY__URL", url)
        result = CliRunner().invoke(group, words)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout

    return run


def test_check_compares_with_the_registry(capi: Callable[..., tuple[int, str]]) -> None:
    """A missing subject, an equal one and a shop's own that we can't read are told, each in a line."""
    with RegistryThread() as registry:
        code, said = capi(registry.url, "check", "-o", "json")
        assert code == 0
        assert sum("does not have yet" in finding["what"] for finding in json.loads(said)) == 5
        code, said = capi(registry.url, "register", "-o", "json")
        assert code == 0
        ours = ["capi.conversions-value", "capi.endings-value", "capi.receipts-value"]
        assert list(json.loads(said)) == ours
        code, said = capi(registry.url, "check")
        assert code == 0
        assert "registry capi.conversions-value v1 read by ours: ok" in said
        assert "registry capi.receipts-value v1 followed by ours: ok" in said
        foreign = {
            "type": "record",
            "name": "Order",
            "namespace": "capi",
            "fields": [{"name": "order_id", "type": "int"}],
        }
        _register(registry.url, "orders-value", json.dumps(foreign))
        code, said = capi(registry.url, "check")
        assert code == 1
        assert "registry orders-value v1 read by ours: order_id was int, is string" in said


def test_register_takes_the_shops_schemas_only_if_asked(capi: Callable[..., tuple[int, str]]) -> None:
    """`--shop` adds orders and checkouts, and a second run gives the same ids."""
    with RegistryThread() as registry:
        code, said = capi(registry.url, "register", "--shop", "-o", "json")
        assert code == 0
        assert set(json.loads(said)) == {
            "capi.conversions-value",
            "capi.endings-value",
            "capi.receipts-value",
            "orders-value",
            "checkouts-value",
        }
        assert capi(registry.url, "register", "--shop", "-o", "json") == (0, said)


def test_check_needs_no_registry_if_told_so(capi: Callable[..., tuple[int, str]]) -> None:
    """`--no-registry` looks at the files alone."""
    code, said = capi("http://127.0.0.1:9", "check", "--no-registry")
    assert code == 0
    assert "order v1 parses: ok" in said
    assert "registry" not in said


def _register(url: str, subject: str, schema: str) -> None:
    request = urllib.request.Request(
        f"{url}/subjects/{subject}/versions", json.dumps({"schema": schema}).encode(), method="POST"
    )
    with urllib.request.urlopen(request, timeout=20) as reply:
        assert reply.status == 200
