"""A shop on a real cluster, with enrich as processes of their own that a test may kill, freeze and thaw."""

import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeAlias

import yaml
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from msgspec import json

from consumer.codec import Decoder, load_schema
from consumer.demo.publish import Publisher
from consumer.emulators.shop import Damage, PixelFire, Plan, Published, Truth, traffic
from consumer.enrich.checks import topics_of
from consumer.kafka.registry import SchemaStore
from consumer.kafka.topics import Topics, specs
from consumer.kafka.writer import Writer
from consumer.model import Conversion, Headers, OrderEnding, Origin
from consumer.settings import Settings, load
from consumer.state.store import CHECKPOINT_KEY, Store
from tests.broker.role_process import STEPS
from tests.guarantees import SameState

ROOT = Path(__file__).parents[2]
OPEN = ("begun", "produced", "positions_sent")
"""The steps of an open transaction."""
DEADLINE_S = 120.0
Told: TypeAlias = Published | PixelFire | Truth
Record: TypeAlias = tuple[bytes | None, bytes | None, dict[str, str]]


def whole(seed: int, orders: int) -> list[Told]:
    """Traffic of six hours up to now, as `whole_of` gives it."""
    return whole_of(Plan(seed=seed, orders=orders, now_ms=int(time.time() * 1000)))


def whole_of(plan: Plan) -> list[Told]:
    """All of it, but for the schema that no registry knows: it holds its partition for half a minute."""
    return [told for told in traffic(plan) if getattr(told, "damage", None) is not Damage.UNKNOWN_SCHEMA]


def wait_for(
    what: str, holds: Callable[[], bool], deadline_s: float = DEADLINE_S, every_s: float = 0.02
) -> None:
    """Wait until it holds. Raises TimeoutError, saying what was waited for."""
    end_s = time.monotonic() + deadline_s
    while not holds():
        if time.monotonic() > end_s:
            raise TimeoutError(f"{what}: not within {deadline_s:.0f} s")
        time.sleep(every_s)


class Process:
    """A role under one instance id; a context manager that kills what is still running."""

    def __init__(self, settings_file: Path, folder: Path, role: str = "enrich") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "status.json").unlink(missing_ok=True)
        (folder / "steps").write_bytes(b"\0\0")
        with (folder / "steps").open("r+b") as file:
            self._steps = mmap.mmap(file.fileno(), 2)
        self.folder = folder
        self._log = folder / "log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"tests.broker.{role}_process", str(settings_file), str(folder)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def step(self) -> str:
        """The last step that its loop told of, also after its death."""
        return STEPS[self._steps[0]]

    def catch(self, step: str, work: Callable[[], object]) -> None:
        """Have its loop stay in this step, once work that is given brings it there, until it is let go."""
        self._steps[1] = STEPS.index(step)
        work()
        wait_for(f"in {step}", lambda: self.is_alive() and self.step == step, every_s=0.001)

    def let_go(self) -> None:
        """It need stay in no step any more."""
        self._steps[1] = 0

    @property
    def status(self) -> dict[str, Any]:
        """What it last said of itself."""
        try:
            status: dict[str, Any] = json.decode((self.folder / "status.json").read_bytes())
        except FileNotFoundError:
            return {"ready": False, "assignment": [], "waiting": 0, "tally": {}}
        return status

    @property
    def endings(self) -> list[str]:
        """Where the records stand whose endings were counted, in this life and those before."""
        return (self.folder / "endings").read_text(encoding="utf-8").splitlines()

    @property
    def log(self) -> str:
        """The end of its log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-30:])

    def await_ready(self, partitions: int | None = None) -> None:
        """Wait until all that it holds (so many partitions, if given) is restored."""
        wait_for(f"ready\n{self._log}", lambda: self.is_alive() and self._ready(partitions))

    def _ready(self, partitions: int | None) -> bool:
        status = self.status
        return bool(status["ready"]) and partitions in {None, len(status["assignment"])}

    def is_alive(self) -> bool:
        """True; an AssertionError with the end of its log if it has ended."""
        if self._process.poll() is not None:
            raise AssertionError(f"it ended with {self._process.returncode}:\n{self.log}")
        return True

    def kill(self) -> str:
        """Kill -9; the step that it was in."""
        self._process.kill()
        self._process.wait()
        return self.step

    def freeze(self) -> None:
        """SIGSTOP."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self._process.pid, signal.SIGCONT)

    def stop(self) -> dict[str, Any]:
        """SIGTERM and wait for its good end; what it said at last."""
        self._process.terminate()
        assert self._process.wait(60) == 0, self.log
        return self.status

    def end(self) -> int:
        """Wait for its end; the exit code."""
        return self._process.wait(DEADLINE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


class ShopFloor:
    """Topics of one test, what is published to them, and readers that see what was committed."""

    def __init__(
        self,
        bootstrap: str,
        registry_url: str,
        prefix: str,
        folder: Path,
        partitions: int = 3,
        **wishes: Mapping[str, object],
    ) -> None:
        self.folder = folder
        self.partitions = partitions
        self.prefix = prefix
        self._values: dict[str, Any] = {
            "kafka": {"bootstrap_servers": bootstrap},
            "registry": {"url": registry_url, "cache_dir": str(folder / "schemas")},
            "topics": {"prefix": prefix, "orders": f"{prefix}.orders", "checkouts": f"{prefix}.checkouts"},
            "join": {"wait_s": 5},
        }
        for section, values in wishes.items():
            self._values.setdefault(section, {}).update(values)
        self.settings = self.settings_of("shop")[0]
        self.schemas = SchemaStore(self.settings.registry)

    def make_topics(self, replication_factor: int = 1) -> None:
        """All that enrich needs, and the shop's own two."""
        Topics(self.settings.kafka).apply(
            specs(self.settings, self.partitions, shop=True), replication_factor
        )

    def map_by(self, mapping: Path) -> None:
        """Read the shop's records by this mapping from now on."""
        self._values["mapping"] = str(mapping)

    def settings_of(self, instance_id: str) -> tuple[Settings, Path]:
        """The settings of one instance, and the file that holds them."""
        state = {"dir": str(self.folder / instance_id / "state"), **self._values.get("state", {})}
        file = self.folder / f"{instance_id}.yaml"
        file.write_text(
            yaml.safe_dump({"instance_id": instance_id, **self._values, "state": state}), encoding="utf-8"
        )
        return load(file), file

    def start(self, instance_id: str = "one") -> Process:
        """Start enrich under this id, with the state that it left, if any."""
        return Process(self.settings_of(instance_id)[1], self.folder / instance_id)

    def start_rekey(self, instance_id: str = "one") -> Process:
        """Start rekey under this id."""
        return Process(self.settings_of(instance_id)[1], self.folder / f"rekey-{instance_id}", "rekey")

    def publisher(self) -> Publisher:
        """Writes the shop's records."""
        return Publisher(self.settings, self.schemas)

    def publish(self, told: Iterable[Told]) -> Mapping[str, int]:
        """Publish all records; how many, by topic."""
        publisher = self.publisher()
        try:
            list(publisher.publish(told))
        finally:
            publisher.close()
        names = {"orders": self.settings.topics.orders, "checkouts": self.settings.topics.checkouts}
        return {names[topic]: count for topic, count in publisher.written.items()}

    def write(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        partition: int = 0,
        headers: Headers = (),
    ) -> Origin:
        """Write one record as it is; where it stands."""
        return self.write_all([(topic, value, key)], partition, headers)[0]

    def write_all(
        self,
        records: Iterable[tuple[str, bytes | None, bytes | None]],
        partition: int = 0,
        headers: Headers = (),
    ) -> list[Origin]:
        """Write records (topic, value, key) as they are, one after the other; where each stands."""
        writer, origins = Writer(self.settings.kafka, client_id="test"), []
        for topic, value, key in records:
            offsets: list[int | None] = []
            writer.produce(
                topic, value, key=key, partition=partition, headers=headers, on_delivered=offsets.append
            )
            writer.flush(30)
            assert offsets
            assert offsets[0] is not None, f"{topic} did not take the record"
            origins.append(Origin(topic, partition, offsets[0]))
        writer.close()
        return origins

    @property
    def inputs(self) -> list[TopicPartition]:
        """Partitions of all that enrich reads."""
        return [
            TopicPartition(topic, number)
            for topic in topics_of(self.settings).inputs
            for number in range(self.partitions)
        ]

    def await_drained(self, *processes: Process, deadline_s: float = DEADLINE_S) -> None:
        """Wait until the group's offsets are at the end of the inputs and no order waits in these processes."""
        self._await_at_end("enrich", self.inputs, processes, deadline_s)

    def await_rekeyed(self, *processes: Process) -> None:
        """Wait until these processes have rekeyed all orders."""
        topic = self.settings.topics.orders
        name = topic.removeprefix(f"{self.prefix}.")
        orders = [TopicPartition(topic, number) for number in range(self._partitions_of(name))]
        self._await_at_end("rekey", orders, processes, DEADLINE_S)

    def _await_at_end(
        self, role: str, inputs: list[TopicPartition], processes: Sequence[Process], deadline_s: float
    ) -> None:
        group = self._reader(f"{self.prefix}.{role}")
        try:
            ends = {(at.topic, at.partition): group.get_watermark_offsets(at, 30)[1] for at in inputs}

            def drained() -> bool:
                committed = {(at.topic, at.partition): at.offset for at in group.committed(inputs, 30)}
                # The group of a start that is still being decided has offsets below zero.
                return all(max(committed[at], 0) >= end for at, end in ends.items()) and not any(
                    process.is_alive() and process.status.get("waiting") for process in processes
                )

            wait_for(f"{role} drained", drained, deadline_s, every_s=0.1)
        except TimeoutError as error:
            logs = "\n".join(process.log for process in processes)
            raise AssertionError(f"{error}\n{logs}") from None
        finally:
            group.close()

    def rewind(self) -> None:
        """Set enrich's offsets to 0, once its last member's session is over."""
        self.rewind_group("enrich", self.inputs)

    def rewind_group(self, role: str, inputs: Iterable[TopicPartition]) -> None:
        """Set a role's offsets to 0, once its last member's session is over."""
        group = self._reader(f"{self.prefix}.{role}")
        offsets = [TopicPartition(at.topic, at.partition, 0) for at in inputs]

        def taken() -> bool:
            try:
                group.commit(offsets=offsets, asynchronous=False)
            except KafkaException:
                return False
            return True

        wait_for("the group is empty", taken, every_s=0.1)
        group.close()

    def records(self, name: str) -> Iterator[Record]:
        """Key, value and headers of all committed records of `<prefix>.<name>`, partition by partition."""
        for number in range(self._partitions_of(name)):
            yield from self._partition(f"{self.prefix}.{name}", number)

    def conversions(self) -> list[Conversion]:
        """All that were committed."""
        decode = Decoder(Conversion, load_schema("conversion"), self.schemas.schema)
        return [decode(value) for _, value, _ in self.records("conversions") if value is not None]

    def endings(self) -> list[OrderEnding]:
        """All that were committed, those of one order in their order."""
        decode = Decoder(OrderEnding, load_schema("ending"), self.schemas.schema)
        return [decode(value) for _, value, _ in self.records("endings") if value is not None]

    def places(self, name: str) -> list[Origin]:
        """Where the committed records of `<prefix>.<name>` stand."""
        topic = f"{self.prefix}.{name}"
        return [
            Origin(topic, number, message.offset() or 0)
            for number in range(self._partitions_of(name))
            for message in self._messages(topic, number)
        ]

    def letters(self) -> list[Record]:
        """All that were committed."""
        return list(self.records("dlq.ingest"))

    def state(self, instance_id: str) -> SameState:
        """The changelog against the stores of an instance that has ended."""
        same = SameState()
        for number in range(self.partitions):
            logged = self._partition(f"{self.prefix}.state", number)
            same.logged(number, ((key or b"", value) for key, value, _ in logged))
            store = Store(self.folder / instance_id / "state" / f"{number:04d}")
            same.stored(number, ((key, value) for key, value in store.under(b"") if key != CHECKPOINT_KEY))
            store.close()
        return same

    def _partitions_of(self, name: str) -> int:
        topic = f"{self.prefix}.{name}"
        reader = self._reader(f"{self.prefix}.watch")
        found = len(reader.list_topics(topic, 30).topics[topic].partitions)
        reader.close()
        return found

    def _partition(self, topic: str, number: int) -> Iterator[Record]:
        for message in self._messages(topic, number):
            yield message.key(), message.value(), _headers(message)

    def _messages(self, topic: str, number: int) -> Iterator[Message]:
        """Read with a client of the test's own, so that the product's reader isn't its own witness."""
        reader = self._reader(f"{self.prefix}.watch")
        reader.assign([TopicPartition(topic, number, 0)])
        end_s = time.monotonic() + DEADLINE_S
        try:
            while time.monotonic() < end_s:
                for message in reader.consume(1000, 0.2):
                    error = message.error()
                    if error is None:
                        yield message
                    elif error.code() == KafkaError._PARTITION_EOF:
                        return
                    else:
                        raise AssertionError(str(error))
        finally:
            reader.close()
        raise TimeoutError(f"{topic}[{number}] has no end")

    def _reader(self, group: str) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self.settings.kafka.bootstrap_servers,
                "group.id": group,
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
            }
        )

    def __repr__(self) -> str:
        return f"<ShopFloor {self.prefix}: {self.partitions} partitions>"


def _headers(message: Message) -> dict[str, str]:
    found = message.headers() or []
    pairs = found.items() if isinstance(found, dict) else found
    return {name: value if isinstance(value, str) else (value or b"").decode() for name, value in pairs}
