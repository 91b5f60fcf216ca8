"""`capi mapping try`: what a record becomes, or which path is wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from consumer.codec import schemas_dir
from consumer.kafka.registry import SchemaStore
from consumer.settings import RegistrySettings

SHOPIFY = schemas_dir() / "shops" / "shopify"
EXAMPLE = SHOPIFY / "examples" / "order-paid.json"
PERSONAL = ("Anna", "Köch", "Example.org", "170 1234567", "Hauptstraße", "203.0.113.9", "Firefox")


def tried(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """What the command says."""
    command = [sys.executable, "-m", "consumer", "mapping", "try", *map(str, arguments)]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=120, env={**os.environ, **environment}
    )


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    """A copy of a mapping that a test may change, without schemas beside it."""
    copy = tmp_path / "mapping.yaml"
    copy.write_text((SHOPIFY / "mapping.yaml").read_text())
    return copy


def test_an_order_is_shown_without_its_people() -> None:
    """Every field that isn't empty, a line each; people as hashes."""
    shown = tried(SHOPIFY / "mapping.yaml", "--record", EXAMPLE)
    assert (shown.returncode, shown.stderr) == (0, "")
    lines = dict(line.split(": ", 1) for line in shown.stdout.splitlines())
    assert lines["head.order_id"] == "#1001"
    assert lines["money.grand_total_minor"] == "8989"
    assert lines["items[1].sku"] == "MUG-07"
    assert len(lines["identity.email"]) == 64
    assert [word for word in PERSONAL if word in shown.stdout] == []


def test_a_checkout_is_shown_with_its_browser_masked() -> None:
    """IP address and user agent are there, but not to be read."""
    record = SHOPIFY / "examples" / "checkout-payment.json"
    shown = tried(SHOPIFY / "mapping.yaml", "--record", record, "--kind", "checkout", "-o", "json")
    assert shown.returncode == 0
    checkout = json.loads(shown.stdout)["checkout"]
    assert (checkout["browser"]["ip"], checkout["browser"]["user_agent"]) == ("****", "****")
    assert (checkout["step"], checkout["browser"]["fbclid"]) == ("PAYMENT", "AbC_dEf")
    assert [word for word in PERSONAL if word in shown.stdout] == []


def test_a_deleted_row_is_shown_as_a_tombstone() -> None:
    """A delete of a change stream becomes nothing."""
    folder = schemas_dir() / "shops" / "debezium"
    shown = tried(
        folder / "mapping.yaml", "--record", folder / "examples" / "order-deleted.json", "-o", "json"
    )
    assert (shown.returncode, json.loads(shown.stdout)) == (0, {"order": {"tombstone": True}})


def test_a_path_that_does_not_exist_is_configuration(mapping: Path) -> None:
    """Exit code 78, the path, the schema that lacks it and the nearest that exists."""
    mapping.write_text(mapping.read_text().replace("updated_at: updated_at", "updated_at: updatd_at", 1))
    shown = tried(mapping, "--record", EXAMPLE, "--schema", SHOPIFY / "order.avsc")
    assert shown.returncode == 78
    assert "updatd_at is not there; did you mean updated_at?" in shown.stderr
    assert "order.avsc" in shown.stderr
    assert shown.stdout == ""


def test_a_record_that_cannot_be_mapped_is_told(mapping: Path, tmp_path: Path) -> None:
    """Exit code 1 with reason and path: money with too many decimals, and a record that isn't of the schema."""
    told = json.loads(EXAMPLE.read_text())
    told["total_price_set"]["presentment_money"]["amount"] = "89.899"
    record = tmp_path / "record.json"
    record.write_text(json.dumps(told))
    arguments = (mapping, "--record", record, "--schema", SHOPIFY / "order.avsc")
    shown = tried(*arguments, "-o", "json")
    assert shown.returncode == 1
    assert json.loads(shown.stdout) == {
        "reason": "bad_money",
        "problem": "total_price_set.presentment_money.amount has more decimals than its currency",
    }
    record.write_text(json.dumps({**told, "updated_on": "x"}))
    unfit = tried(*arguments)
    assert unfit.returncode == 1
    assert "unfit: updated_on is not in the schema; did you mean updated_at?" in unfit.stderr
    record.write_text("{")
    assert tried(*arguments).returncode == 1


@pytest.mark.parametrize("missing", ["mapping", "record", "schema"])
def test_a_file_that_is_not_there_is_configuration(missing: str) -> None:
    """Each of the three files is named if it can't be read."""
    files = {"mapping": SHOPIFY / "mapping.yaml", "record": EXAMPLE, "schema": SHOPIFY / "order.avsc"}
    files[missing] = Path("nowhere.file")
    shown = tried(files["mapping"], "--record", files["record"], "--schema", files["schema"])
    assert shown.returncode == 78
    assert "nowhere.file: No such file" in shown.stderr


def test_the_registrys_newest_schema_is_taken(
    mapping: Path, registry_url: str, prefix: str, tmp_path: Path
) -> None:
    """Without a schema beside the mapping the topic's subject has it; if there is none, it says what to do."""
    store = SchemaStore(RegistrySettings(url=registry_url, cache_dir=tmp_path / "cache"))
    environment = {
        "CAPI_REGISTRY__URL": registry_url,
        "CAPI_REGISTRY__CACHE_DIR": str(tmp_path / "other"),
        "CAPI_TOPICS__ORDERS": f"{prefix}.orders",
    }
    none = tried(mapping, "--record", EXAMPLE, **environment)
    assert none.returncode == 78
    assert f"the registry has no {prefix}.orders-value; name the record's schema with --schema" in none.stderr
    store.register(f"{prefix}.orders-value", (SHOPIFY / "order.avsc").read_text())
    shown = tried(mapping, "--record", EXAMPLE, **environment)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "money.grand_total_minor: 8989" in shown.stdout
    store.close()


def test_the_settings_check_looks_at_the_mapping(mapping: Path) -> None:
    """`capi config check` reads the mapping that the settings name, and says what is wrong in it."""
    command = [sys.executable, "-m", "consumer", "config", "check"]
    environment = {**os.environ, "CAPI_MAPPING": str(mapping)}
    for change, code, told in (("order_id: name", 0, ""), ("order_idd: name", 78, "did you mean order_id?")):
        mapping.write_text(mapping.read_text().replace("order_id: name", change, 1))
        ran = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=120, env=environment
        )
        assert ran.returncode == code, ran.stderr
        assert told in ran.stderr
