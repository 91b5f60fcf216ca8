"""The measurement of a large state, at a size that measures nothing."""

from pathlib import Path

import pytest
from msgspec import json

from tests.bench.__main__ import main


def test_a_large_state_is_measured_when_it_is_named(
    bootstrap: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Memory, disk and time are told with the numbers of entries that they are of, and restored they are all."""
    monkeypatch.setenv("CAPI_TEST_BOOTSTRAP", bootstrap)
    file = tmp_path / "bench.json"
    assert main(["--only", "bounds", "--records", "120", "--seed", "3", "--output", str(file)]) == 0
    told = json.decode(file.read_bytes())
    assert {"bounds.restore", "bounds.rss", "bounds.disk", "bounds.open", "bounds.read"} <= set(told)
    assert all(row["value"] > 0 for row in told.values())
    assert told["bounds.rss"]["of"] == "2,000 open checkouts, 20,000 dedupe entries, 1 process"
    assert "bounds.restore.rate" in capsys.readouterr().out
