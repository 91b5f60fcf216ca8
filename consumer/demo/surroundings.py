"""All that a run needs around the product: Kafka, a registry, the platforms' emulators, a folder, and the settings."""

import secrets
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec import Struct
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from consumer.codec import schemas_dir
from consumer.demo.emulated import Emulated
from consumer.emulators.platforms import STAND_INS, EmulatorThread, destination
from consumer.emulators.registry import RegistryThread
from consumer.errors import Unreachable
from consumer.kafka.registry import SchemaStore
from consumer.kafka.removal import remove
from consumer.kafka.topics import PARTITIONS, Topics, specs
from consumer.local.broker import Kafka
from consumer.settings import Settings, load

WAIT_S = 5
"""The demo's join.wait_s: whoever watches need not wait a minute for a checkout that never comes."""
SOON = {"later_after_s": 1, "refund_after_s": 0}
"""Nor for what a platform takes hours later."""
EVENTS_PER_ORDER = 20
"""More than an emulator ever gets."""
EVENTS_MIN = 200_000


class Asked(Struct, frozen=True):
    """What the command line said. Empty `bootstrap` and `registry` start their own.

    `mapping` names one of `schemas/shops`: the shop's records have its shape. Empty is our own.
    """

    seed: int
    orders: int
    destinations: tuple[str, ...]
    bootstrap: str = ""
    registry: str = ""
    mapping: str = ""


class OwnSettings(Settings):
    """Settings that no environment variable changes: a demo must never reach a real platform."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What the demo says."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


class Surroundings:
    """From `with` to its end. On a cluster of others all names begin with a prefix of this run.

    `keep` leaves the folder, and topics on a cluster of others, for whoever must find out what went wrong.
    """

    def __init__(self, asked: Asked, say: Callable[[str], None]) -> None:
        self.settings: Settings = OwnSettings()
        self.emulated: dict[str, Emulated] = {}
        self.broker = ""
        self.keep = False
        self._asked = asked
        self._say = say
        self._store: SchemaStore | None = None
        self._open = ExitStack()
        self.folder = Path()

    def __enter__(self) -> Self:
        """Start what is to be started, make the topics, register our schemas.

        Raises Unreachable, Refused, ConfigurationError, NotStarted.
        """
        try:
            self._start()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop what was started and remove what was made."""
        self._open.close()

    def _start(self) -> None:
        asked = self._asked
        self.folder = Path(tempfile.mkdtemp(prefix="capi-demo-"))
        self._open.callback(self._sweep)
        bootstrap = asked.bootstrap or self._kafka()
        registry = asked.registry or self._open.enter_context(RegistryThread()).url
        emulators = self._open.enter_context(
            EmulatorThread(asked.destinations, events_max=max(EVENTS_MIN, EVENTS_PER_ORDER * asked.orders))
        )
        self.emulated = {name: Emulated(STAND_INS[name], url) for name, url in emulators.urls.items()}
        self.settings = self._settings(bootstrap, registry, emulators)
        self._store = SchemaStore(self.settings.registry)
        self._open.callback(self._store.close)
        self._prepare()
        platforms = ", ".join(asked.destinations)
        self._say(
            f"Kafka, a schema registry and the Conversion API of {platforms} (emulated) are there: the shop opens."
        )

    @property
    def store(self) -> SchemaStore:
        """Schemas, by the registry of this run; there from the start on."""
        if self._store is None:
            message = "not started"
            raise LookupError(message)
        return self._store

    def _kafka(self) -> str:
        self._say("Starting Apache Kafka on this machine; the first time its jars are fetched …")
        bootstrap = self._open.enter_context(Kafka()).bootstrap
        self.broker = f"embedded Apache Kafka at {bootstrap}"
        return bootstrap

    def _settings(self, bootstrap: str, registry: str, emulators: EmulatorThread) -> Settings:
        prefix = f"capi-demo-{secrets.token_hex(4)}" if self._asked.bootstrap else "capi"
        mapping = self._asked.mapping
        within = f"{prefix}." if self._asked.bootstrap else ""
        self.broker = self.broker or bootstrap
        return OwnSettings.model_validate(
            {
                "instance_id": "demo",
                "mapping": schemas_dir() / "shops" / mapping / "mapping.yaml" if mapping else None,
                "http": {"port": 0},
                "kafka": {
                    "bootstrap_servers": bootstrap,
                    "extra": load(None).kafka.extra if self._asked.bootstrap else {},
                },
                "registry": {"url": registry, "cache_dir": self.folder / "schemas"},
                "topics": {
                    "prefix": prefix,
                    "orders": f"{within}orders",
                    "checkouts": f"{within}checkouts",
                },
                "state": {"dir": self.folder / "state"},
                "join": {"wait_s": WAIT_S},
                "destinations": [
                    SOON
                    | destination(
                        name, self._token_file(name, emulators.credentials[name]), emulators.urls[name]
                    )
                    for name in self._asked.destinations
                ],
            }
        )

    def _token_file(self, name: str, credentials: str) -> Path:
        path = self.folder / f"{name}.token"
        path.touch(mode=0o600)
        path.write_text(credentials, encoding="utf-8")
        return path

    def _prepare(self) -> None:
        kafka = self.settings.kafka
        wanted = specs(self.settings, PARTITIONS, shop=True)
        try:
            Topics(kafka).apply(wanted, -1)
        except Unreachable:
            if not self._asked.bootstrap:
                raise
            message = (
                f"Kafka does not answer at {self._asked.bootstrap}; check --bootstrap, or leave it out: "
                "then the demo starts a Kafka of its own"
            )
            raise Unreachable(message) from None
        if self._asked.bootstrap:
            names = [spec.name for spec in wanted]
            groups = [f"{self.settings.topics.prefix}.enrich"]
            groups += [f"{self.settings.topics.prefix}.deliver.{name}" for name in self._asked.destinations]
            self._say(
                f"Made {len(names)} topics that begin with {self.settings.topics.prefix} on {self.broker}."
            )
            self._open.callback(lambda: self._clear(names, groups))

    def _clear(self, topics: list[str], groups: list[str]) -> None:
        """Leave a cluster of others as it was."""
        prefix = self.settings.topics.prefix
        if self.keep:
            self._say(f"Topics and groups that begin with {prefix} are left on {self.broker}.")
        else:
            left = remove(self.settings.kafka, topics, groups)
            told = ", ".join(name for name in left if name in topics)
            self._say(
                f"To be deleted by hand: {told}." if told else f"Removed the topics that begin with {prefix}."
            )
            if held := [name for name in left if name in groups]:
                self._say(f"Kafka forgets {', '.join(held)} by itself: a static member's place outlives it.")
        if self._asked.registry:
            self._say(f"Subjects that begin with {prefix} are left in the registry.")

    def _sweep(self) -> None:
        if self.keep:
            self._say(f"Log lines and state are left in {self.folder}.")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __repr__(self) -> str:
        return f"<Surroundings {self.broker or 'not started'}>"
