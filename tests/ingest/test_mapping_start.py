"""A mapping at the process's start, against a real registry."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from consumer.app import App
from consumer.codec import schemas_dir
from consumer.errors import ConfigurationError
from consumer.ingest.checked import checked_ingest
from consumer.kafka.registry import SchemaStore
from consumer.settings import Settings

SHOPIFY = schemas_dir() / "shops" / "shopify"


@pytest.fixture
def settings(registry_url: str, prefix: str, tmp_path: Path) -> Settings:
    """Topics of a shop of its own, mapped by a file that a test may change."""
    file = tmp_path / "mapping.yaml"
    file.write_text((SHOPIFY / "mapping.yaml").read_text())
    return Settings.model_validate(
        {
            "mapping": file,
            "registry": {"url": registry_url, "cache_dir": tmp_path / "cache"},
            "topics": {"prefix": prefix, "orders": f"{prefix}.orders", "checkouts": f"{prefix}.checkouts"},
            "http": {"port": 0},
        }
    )


@pytest.fixture
def store(settings: Settings) -> SchemaStore:
    """The registry, with the shop's two schemas."""
    store = SchemaStore(settings.registry)
    for kind, topic in (("order", settings.topics.orders), ("checkout", settings.topics.checkouts)):
        store.register(f"{topic}-value", (SHOPIFY / f"{kind}.avsc").read_text())
    return store


def change(settings: Settings, old: str, new: str) -> None:
    """Change the mapping's first such text."""
    file = settings.mapping
    assert file is not None
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_a_mapping_that_fits_starts(settings: Settings, store: SchemaStore) -> None:
    """Both sides are checked and nothing is said."""
    with capture_logs() as lines:
        checked_ingest(settings, store)
    assert lines == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("checkout_token", "checkout_tokn", "checkout_tokn is not there; did you mean checkout_token?"),
        ("order_id: name", "order_id: refunds", "refunds is array, not text"),
        ("checkout_id: token", "checkout_id: tokens", "tokens is not there; did you mean token?"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused(
    settings: Settings, store: SchemaStore, old: str, new: str, told: str
) -> None:
    """Enrich does not start: path, subject, version and the nearest that exists are named."""
    change(settings, old, new)
    with pytest.raises(ConfigurationError) as caught:
        App(settings, roles=["enrich"]).__enter__()
    assert told in str(caught.value)
    assert "-value version 1" in str(caught.value)
    assert caught.value.exit_code == 78
    store.close()


def test_without_schemas_it_starts_and_says_so(settings: Settings) -> None:
    """A topic that nobody has written to yet has no schema: that is a warning, for each side."""
    with capture_logs() as lines:
        checked_ingest(settings, SchemaStore(settings.registry))
    assert [(line["event"], line["topic"]) for line in lines] == [
        ("mapping_unchecked", settings.topics.orders),
        ("mapping_unchecked", settings.topics.checkouts),
    ]


def test_a_silent_registry_keeps_nothing_from_starting(settings: Settings) -> None:
    """What is needed may be on disk; schemas are checked again when a record has them."""
    registry = settings.registry.model_copy(update={"url": "http://127.0.0.1:9"})
    silent = settings.model_copy(update={"registry": registry})
    with capture_logs() as lines:
        checked_ingest(silent, SchemaStore(registry))
    assert {line["event"] for line in lines} == {"mapping_unchecked"}
