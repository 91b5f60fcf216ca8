"""The measurements themselves, at a size that measures nothing."""

from pathlib import Path

import pytest
from msgspec import json

from tests.bench.__main__ import main
from tests.bench.rows import AIMS

STEPS = (
    *("consume", "decode_head", "decode_and_hash_order", "decode_and_hash_checkout", "plan"),
    *("encode", "tell_endings", "produce", "commit", "store", "rest"),
)
NAMES = {
    *("enrich.rate", "enrich.cpu", "enrich.rss", "enrich.unchanged_update.cpu"),
    *(f"enrich.step.{step}" for step in STEPS),
    *(
        f"deliver.{size}_a_request.{latency_ms}_ms.{what}"
        for size in (1, 100)
        for latency_ms in (0, 300)
        for what in ("rate", "cpu")
    ),
    *("restore.rate", "restore.cpu"),
    *(f"ledger.{what}" for what in ("rate", "cpu", "why", "judge", "file")),
}


def test_every_number_is_in_the_table_and_in_the_file(
    bootstrap: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is measured is printed beside its aim and written with its unit, for all roles."""
    monkeypatch.setenv("CAPI_TEST_BOOTSTRAP", bootstrap)
    file = tmp_path / "bench.json"
    assert main(["--records", "100", "--seed", "3", "--output", str(file)]) == 0
    told = json.decode(file.read_bytes())
    printed = capsys.readouterr().out
    assert set(told) == NAMES
    assert set(AIMS) <= NAMES
    assert all(set(row) == {"value", "unit", "of"} for row in told.values())
    assert all(row["value"] > 0 for name, row in told.items() if name != "enrich.step.rest")
    assert [name for name in NAMES if name not in printed] == []
