"""What a measurement stands on: a cluster, a registry, topics, settings, and roles as processes of their own."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from msgspec import json

from consumer.codec import load_schema
from consumer.emulators.registry import RegistryThread
from consumer.emulators.shop import Topic
from consumer.kafka.registry import SchemaStore
from consumer.kafka.topics import Topics, specs
from consumer.kafka.writer import Writer
from consumer.local.broker import Kafka
from consumer.settings import Settings, load
from tests.bench.shop import Ids, Message

ROOT = Path(__file__).parents[2]
PARTITIONS = 6
FLUSH_TIMEOUT_S = 60.0
ROLE_TIMEOUT_S = 120.0
Report = dict[str, Any]


class RoleFailed(Exception):
    """A role's process ended without a report; the text is the end of its log."""


class Ground:
    """The cluster of `CAPI_TEST_BOOTSTRAP`, else one of its own. A context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open = ExitStack()
        self._bootstrap = ""
        self._registry = ""

    def __enter__(self) -> Self:
        existing = os.environ.get("CAPI_TEST_BOOTSTRAP")
        self._bootstrap = existing or self._open.enter_context(Kafka()).bootstrap
        self._registry = self._open.enter_context(RegistryThread()).url
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def shop(self, destinations: Iterable[Mapping[str, object]] = ()) -> "ShopGround":
        """Topics and settings that nobody else uses."""
        prefix = f"bench{uuid.uuid4().hex[:8]}"
        folder = self._folder / prefix
        folder.mkdir(parents=True)
        values = {
            "instance_id": "bench",
            "drain_timeout_s": 5,
            "http": {"port": 0},
            "kafka": {"bootstrap_servers": self._bootstrap},
            "registry": {"url": self._registry, "cache_dir": str(folder / "schemas")},
            "topics": {"prefix": prefix, "orders": f"{prefix}.orders", "checkouts": f"{prefix}.checkouts"},
            "state": {"dir": str(folder / "state")},
            "ledger": {"dir": str(folder / "ledger")},
            "destinations": list(destinations),
        }
        file = folder / "settings.yaml"
        file.write_text(yaml.safe_dump(values), encoding="utf-8")
        return ShopGround(load(file), file)

    def __repr__(self) -> str:
        return f"<Ground {self._bootstrap}>"


class ShopGround:
    """One shop's topics and settings."""

    def __init__(self, settings: Settings, file: Path) -> None:
        self.settings = settings
        self._file = file
        Topics(settings.kafka).apply(specs(settings, PARTITIONS, shop=True), 1)

    def ids(self) -> Ids:
        """Ids of the shop's schemas, registered."""
        store = SchemaStore(self.settings.registry)
        topics = self.settings.topics
        return Ids(
            store.register(f"{topics.orders}-value", load_schema("order")),
            store.register(f"{topics.checkouts}-value", load_schema("checkout")),
        )

    def publish(self, messages: Iterable[Message]) -> int:
        """Write the shop's records; how many."""
        topics = self.settings.topics
        names = {Topic.ORDERS: topics.orders, Topic.CHECKOUTS: topics.checkouts}
        return self.write((names[one.topic], one.key, one.value, one.at_ms) for one in messages)

    def write(self, records: Iterable[tuple[str, bytes | None, bytes | None, int]]) -> int:
        """Write records of any topic; how many."""
        count = 0
        writer = Writer(self.settings.kafka, client_id="bench")
        for topic, key, value, at_ms in records:
            writer.produce(topic, value, key=key, timestamp_ms=at_ms)
            count += 1
        left = writer.flush(FLUSH_TIMEOUT_S)
        writer.close()
        if left:
            raise RuntimeError(f"Kafka did not take {left} records")
        return count

    def run(self, role: str, *, timeout_s: float = ROLE_TIMEOUT_S, **asked: object) -> Report:
        """Run `python -m tests.bench.role` and give its report. Raises RoleFailed."""
        try:
            done = subprocess.run(
                [sys.executable, "-m", "tests.bench.role", role, str(self._file)],
                cwd=ROOT,
                input=json.encode(asked),
                capture_output=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RoleFailed(f"{role} gave no report in {timeout_s:.0f} s") from None
        if done.returncode:
            raise RoleFailed(f"{role} ended with {done.returncode}:\n{done.stderr.decode()[-3000:]}")
        report: Report = json.decode(done.stdout)
        return report

    def __repr__(self) -> str:
        return f"<ShopGround {self.settings.topics.prefix}>"
