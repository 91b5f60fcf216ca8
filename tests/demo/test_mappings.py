"""The demo in the shape of each platform that has a ready mapping: other records, the same truth."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from consumer.emulators.shop.shapes import SHAPES

SEED, ORDERS = 3, 14
TIMEOUT_S = 240


def demo(tmp_path: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """The command in a folder of its own, without the settings of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CAPI_")}
    command = [sys.executable, "-m", "consumer", "demo", *words]
    return subprocess.run(
        command, check=False, cwd=tmp_path, env=kept, text=True, capture_output=True, timeout=TIMEOUT_S
    )


@pytest.mark.parametrize("mapping", SHAPES)
def test_the_shop_in_another_shape_comes_out_the_same(mapping: str, bootstrap: str, tmp_path: Path) -> None:
    """Told as the platform tells it and mapped, all that must arrive arrives once, with the same money."""
    words = ("--orders", str(ORDERS), "--seed", str(SEED), "--bootstrap", bootstrap, "-o", "json")
    ran = demo(tmp_path, *words, "--mapping", mapping)
    assert ran.returncode == 0, f"seed {SEED}\n{ran.stderr}\n{ran.stdout}"
    told = json.loads(ran.stdout)
    assert told["conservation"] == {"holds": True, "violations": []}
    assert told["oracle"]["eligible"]["meta"] == told["destinations"]["meta"]["emulator"]["after_dedupe"] > 0
    assert told["oracle"]["money"]["meta"] == told["destinations"]["meta"]["emulator"]["money"]
    assert told["enrich"]["conversions"].keys() >= {"purchase", "begin_checkout", "add_payment_info"}


def test_a_mapping_that_is_not_ready_is_refused(tmp_path: Path) -> None:
    """Before anything is started, with the names of those that are."""
    ran = demo(tmp_path, "--mapping", "magento")
    assert ran.returncode == 2
    assert "magento is not known here" in ran.stderr
    assert "woocommerce" in ran.stderr
