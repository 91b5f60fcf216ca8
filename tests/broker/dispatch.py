"""Conversions on a real cluster, with deliver as processes of their own, and platforms' stand-ins over HTTP."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self, TypeAlias, TypeVar
from urllib.error import HTTPError

import yaml
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from msgspec import json

from consumer.codec import Decoder, Encoder, load_schema
from consumer.emulators.contract import random_token
from consumer.emulators.platforms import STAND_INS, EmulatorThread
from consumer.emulators.platforms import destination as leading_to
from consumer.kafka.registry import SchemaStore
from consumer.kafka.topics import Topics, specs
from consumer.kafka.writer import TransactionalWriter, Writer
from consumer.model import Conversion, Receipt
from consumer.settings import load
from tests.guarantees import OneOutcomeEach

ROOT = Path(__file__).parents[2]
DEADLINE_S = 120.0
TOKEN = "good-token-of-the-shop"  # noqa: S105 (nobody's)
LOADING = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError._UNKNOWN_PARTITION,
)
Told = TypeVar("Told")
At: TypeAlias = tuple[int, int]
"""Where a conversion was written: partition and offset."""


class HasUrl(Protocol):
    """Something that answers as a platform."""

    url: str


class Stored(NamedTuple):
    """A record as it stands in a topic."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, str]


def wait_for(
    what: str, holds: Callable[[], bool], deadline_s: float = DEADLINE_S, every_s: float = 0.05
) -> None:
    """Wait until it holds. Raises TimeoutError, saying what was waited for."""
    end_s = time.monotonic() + deadline_s
    while not holds():
        if time.monotonic() > end_s:
            raise TimeoutError(f"{what}: not within {deadline_s:.0f} s")
        time.sleep(every_s)


def conversion(number: int, **fields: object) -> Conversion:
    """A purchase that every platform takes, made a moment ago."""
    now_ms = int(time.time() * 1000)
    values: dict[str, Any] = {
        "event_id": f"purchase:{number}",
        "event_name": "purchase",
        "event_time": now_ms - 5_000,
        "enriched_at": now_ms,
        "currency": "EUR",
        "value_minor": 100 + number,
        "order_id": str(number),
        "consent_ads": "GRANTED",
        "consent_analytics": "GRANTED",
        "country": "DE",
        "click_ids": {"ga_client_id": f"1000000000.{number}"},
        "identity": {"email": sha256(f"{number}@example.com".encode()).hexdigest()},
        "user_agent": "Mozilla/5.0",
        "page_url": "https://shop.example/thanks",
    }
    return Conversion(**{**values, **fields})


def refund(number: int, which: int = 1, **fields: object) -> Conversion:
    """A refund of that purchase: all of it, given back a moment ago."""
    purchase = conversion(number)
    values: dict[str, object] = {
        "event_id": f"refund:{number}:{which}",
        "event_name": "refund",
        "corrects_event_id": purchase.event_id,
        "corrects_event_time": purchase.event_time,
        "corrects_value_minor": purchase.value_minor,
    }
    return conversion(number, **{**values, **fields})


class Emulated:
    """A platform's stand-in, told and asked over HTTP as anyone would."""

    def __init__(
        self,
        platform: str = "meta",
        *,
        latency_ms: float = 0,
        secret: str = "",
        account: str = "",
        port: int = 0,
    ) -> None:
        """With a port, `url` is known before anyone listens there."""
        stand_in = STAND_INS[platform]
        self.platform = platform
        self.account = account or stand_in.account
        self._secret = secret or (TOKEN if stand_in.secret is random_token else stand_in.secret())
        self._thread = EmulatorThread(
            [platform],
            tokens={platform: self._secret},
            accounts={platform: [self.account]},
            ports={platform: port},
            latency_ms=latency_ms,
        )
        self.url = f"http://127.0.0.1:{port}" if port else ""

    def __enter__(self) -> Self:
        self.url = self._thread.__enter__().urls[self.platform]
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.__exit__(None, None, None)

    def credentials(self, url: str = "") -> str:
        """What a token file must hold for it to be let in, if it is asked at this address."""
        return STAND_INS[self.platform].credentials(self._secret, url or self.url)

    def set_token(self, token: str) -> None:
        """Take only this token from now on, or what is had for it."""
        self._secret = token
        self._thread.emulators[self.platform].set_token(token)

    def fault(self, kind: str, **more: object) -> None:
        """Tell it to fail."""
        _ask(f"{self.url}/_emulator/faults", "POST", json.encode({"kind": kind, **more}))

    def mend(self) -> None:
        """No more faults."""
        _ask(f"{self.url}/_emulator/faults", "DELETE")

    @property
    def stats(self) -> dict[str, Any]:
        """The sums."""
        sums: dict[str, Any] = json.decode(_ask(f"{self.url}/_emulator/stats"))
        return sums

    def accepted(self) -> list[str]:
        """Ids of the events that it took, in order, repeats included."""
        return [json.decode(line)["event_id"] for line in self._lines("accepted")]

    def events(self) -> list[dict[str, Any]]:
        """The events after dedupe, in order: what each is, who told it, and itself."""
        return [json.decode(line) for line in self._lines("deduped")]

    def deduped(self) -> set[str]:
        """Ids of the events after dedupe."""
        return {event["event_id"] for event in self.events()}

    def requests(self) -> list[dict[str, Any]]:
        """Its log."""
        return [json.decode(line) for line in self._lines("requests")]

    def await_quiet(self) -> None:
        """Wait until nothing comes in any more: what a killed process had sent may still be in the sockets."""
        counts = [-1]

        def quiet() -> bool:
            counts.append(self.stats["requests"])
            return counts[-1] == counts[-2]

        wait_for("no more requests", quiet, every_s=0.3)

    def _lines(self, what: str) -> list[bytes]:
        return _ask(f"{self.url}/_emulator/{what}").splitlines()

    def __repr__(self) -> str:
        return f"<Emulated {self.url}>"


class Process:
    """`capi run` in a process of its own; a context manager that kills what is still running."""

    def __init__(
        self, arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._log = log
        self._at = log.stat().st_size if log.exists() else 0
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "consumer", *arguments],
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )

    def lines(self, event: str = "") -> list[dict[str, Any]]:
        """What it logged since its start, of one event if named."""
        found = []
        with self._log.open("rb") as file:
            file.seek(self._at)
            for line in file.read().splitlines():
                try:
                    said = json.decode(line)
                except ValueError:
                    continue
                if isinstance(said, dict) and event in ("", said.get("event")):
                    found.append(said)
        return found

    @property
    def text(self) -> str:
        """All that it printed since its start."""
        with self._log.open("rb") as file:
            file.seek(self._at)
            return file.read().decode(errors="replace")

    @property
    def tail(self) -> str:
        """The end of it."""
        return "\n".join(self.text.splitlines()[-40:])

    def await_line(self, event: str, deadline_s: float = DEADLINE_S, **fields: object) -> dict[str, Any]:
        """Wait for a log line with these fields; the first such."""

        def found() -> list[dict[str, Any]]:
            return [line for line in self.lines(event) if fields.items() <= line.items()]

        self.await_that(f"log line {event} {fields}", lambda: bool(found()), deadline_s)
        return found()[0]

    def await_ready(self) -> None:
        """Wait until it says that it is ready."""
        self.await_that("ready", lambda: self.get("/health/ready")[0] == 200)

    def await_accepted(self, at: Emulated, count: int) -> None:
        """Wait until the platform has taken so many events, repeats included."""
        self.await_that(f"{count} accepted", lambda: int(at.stats["server"]) >= count)

    def await_that(
        self, what: str, holds: Callable[[], bool], deadline_s: float = DEADLINE_S, every_s: float = 0.05
    ) -> None:
        """Wait until it holds. AssertionError, with the end of its log, if it ends or that takes too long."""
        try:
            wait_for(what, lambda: self.is_alive() and holds(), deadline_s, every_s)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{self.tail}") from None

    @property
    def port(self) -> int:
        """Where it answers; 0 as long as it doesn't."""
        started = self.lines("started")
        return int(started[0]["port"]) if started else 0

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body; status 0 if nobody answers."""
        if not self.port:
            return 0, b""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=20) as answer:
                return answer.status, answer.read()
        except HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 0, b""

    def status(self, role: str) -> dict[str, Any]:
        """What it says of a role."""
        told: dict[str, Any] = json.decode(self.get("/health/status")[1])["roles"][role]
        return told

    def metric(self, line: str) -> float | None:
        """The value of a metric, named with its labels as on the page."""
        for each in self.get("/metrics")[1].decode().splitlines():
            if each.startswith(f"{line} "):
                return float(each.rpartition(" ")[2])
        return None

    def is_alive(self) -> bool:
        """True; an AssertionError with the end of its log if it has ended."""
        if self._process.poll() is not None:
            raise AssertionError(f"it ended with {self._process.returncode}:\n{self.tail}")
        return True

    def kill(self) -> None:
        """Kill -9."""
        self._process.kill()
        self._process.wait()

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def stop(self) -> None:
        """SIGTERM, and its good end."""
        self.signal()
        assert self.end() == 0, self.tail

    def end(self, deadline_s: float = DEADLINE_S) -> int:
        """Wait for its end; the exit code."""
        return self._process.wait(deadline_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.kill()


class Dispatch:
    """Topics of one test, conversions written to them, and what deliver made of them."""

    def __init__(
        self,
        bootstrap: str,
        registry_url: str,
        prefix: str,
        folder: Path,
        partitions: int = 3,
        **wishes: object,
    ) -> None:
        self.folder = folder
        self.prefix = prefix
        self.partitions = partitions
        self.values: dict[str, Any] = {
            "instance_id": "one",
            "drain_timeout_s": 30,
            "http": {"port": 0},
            "kafka": {"bootstrap_servers": bootstrap, "session_timeout_s": 6},
            "registry": {"url": registry_url, "cache_dir": str(folder / "schemas")},
            "topics": {"prefix": prefix, "orders": f"{prefix}.orders", "checkouts": f"{prefix}.checkouts"},
            "state": {"dir": str(folder / "state")},
            "destinations": [],
        }
        for name, value in wishes.items():
            if isinstance(value, Mapping):
                self.values.setdefault(name, {}).update(value)
            else:
                self.values[name] = value
        self.settings = load(self.file())
        self.schemas = SchemaStore(self.settings.registry)
        self.written: dict[At, str] = {}
        self._encode: Encoder[Conversion] | None = None

    def make_topics(self) -> None:
        """All topics, ours and the shop's."""
        Topics(self.settings.kafka).apply(specs(self.settings, self.partitions, shop=True), 1)

    def make_own_topics(self) -> None:
        """Ours alone."""
        Topics(self.settings.kafka).apply(specs(self.settings, self.partitions), 1)

    def token_file(self, name: str) -> Path:
        """The file with a destination's token."""
        return self.folder / f"{name}.token"

    def put_token(self, name: str, token: str) -> None:
        """Replace the file as Kubernetes does: all at once."""
        draft = self.folder / f"{name}.token.new"
        draft.write_text(token, encoding="utf-8")
        draft.replace(self.token_file(name))

    def destination(self, name: str, at: HasUrl, platform: str = "meta", /, **more: object) -> None:
        """Add a destination to the settings; what its token file holds is good there."""
        self.put_token(name, at.credentials() if isinstance(at, Emulated) else TOKEN)
        account = {"account": at.account} if isinstance(at, Emulated) else {}
        leads = leading_to(platform, self.token_file(name), at.url)
        self.values["destinations"].append({**leads, **account, "name": name, "linger_ms": 20, **more})
        self.settings = load(self.file())

    def changed(self, **changes: object) -> list[dict[str, object]]:
        """The destinations with these settings in place of their own, for `start`."""
        return [{**each, **changes} for each in self.values["destinations"]]

    def file(self, name: str = "settings", **more: object) -> Path:
        """The settings as a file."""
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump({**self.values, **more}), encoding="utf-8")
        return file

    def start(self, name: str = "one", **more: object) -> Process:
        """Start deliver; settings may be given anew for this process."""
        file = self.file(name, instance_id=name, **more)
        return self.run("run", "--role", "deliver", "--config", str(file), log=name)

    def run(self, *arguments: str, log: str) -> Process:
        """Start `capi` with these arguments."""
        return Process(arguments, self.folder / f"{log}.log")

    def write(self, conversions: Iterable[Conversion], *, transaction: bool = False) -> dict[At, str]:
        """Write conversions, keyed by their order; where each is, and its event id."""
        if self._encode is None:
            schema = load_schema("conversion")
            self._encode = Encoder(schema, self.schemas.register(f"{self.prefix}.conversions-value", schema))
        keyed = [(each.event_id, each.order_id.encode(), self._encode(each)) for each in conversions]
        return self._write(keyed, transaction=transaction)

    def write_raw(self, event_id: str, value: bytes | None, key: bytes) -> dict[At, str]:
        """Write bytes as they are."""
        return self._write([(event_id, key, value)], transaction=False)

    def _write(self, keyed: Sequence[tuple[str, bytes, bytes | None]], *, transaction: bool) -> dict[At, str]:
        """Partitions take turns, so that a test knows them."""
        kafka, topic = self.settings.kafka, f"{self.prefix}.conversions"
        writer = TransactionalWriter(kafka, f"{self.prefix}.test") if transaction else Writer(kafka)
        if isinstance(writer, TransactionalWriter):
            writer.begin()
        written: dict[At, str] = {}

        def noted(partition: int, event_id: str) -> Callable[[int | None], None]:
            def note(offset: int | None) -> None:
                if offset is not None:
                    written[partition, offset] = event_id

            return note

        for number, (event_id, key, value) in enumerate(keyed):
            partition = number % self.partitions
            writer.produce(
                topic, value, key=key, partition=partition, on_delivered=noted(partition, event_id)
            )
        assert writer.flush(60) == 0
        if isinstance(writer, TransactionalWriter):
            writer.commit()
        writer.close()
        assert len(written) == len(keyed)
        self.written.update(written)
        return written

    def await_settled(
        self,
        *names: str,
        processes: Sequence[Process] = (),
        deadline_s: float = DEADLINE_S,
        topic: str = "conversions",
    ) -> None:
        """Wait until these destinations' committed offsets are at the end of conversions, or of another topic."""
        ends = self.ends(topic)
        state: dict[str, dict[int, int]] = {}

        def settled() -> bool:
            for process in processes:
                process.is_alive()
            for name in names:
                positions = self.positions(f"deliver.{name}", topic)
                state[name] = {number: offset for number, (offset, _) in positions.items()}
            return all(state[name].get(number, -1) >= end for name in names for number, end in ends.items())

        try:
            wait_for("settled", settled, deadline_s, every_s=0.1)
        except TimeoutError as error:
            logs = "\n".join(process.tail for process in processes)
            raise AssertionError(f"{error}: ends {ends}, committed {state}\n{logs}") from None

    def await_enriched(self, process: Process) -> None:
        """Wait until all records of the shop are read, and no order waits."""

        def enriched() -> bool:
            for name in ("orders", "checkouts"):
                positions = self.positions("enrich", name)
                if any(positions.get(at, (-1, ""))[0] < end for at, end in self.ends(name).items()):
                    return False
            return bool(process.status("enrich")["waiting"] == 0)

        process.await_that("enriched", enriched)

    def note_conversions(self) -> None:
        """Take what stands in conversions as written: enrich wrote it."""
        decode = Decoder(Conversion, load_schema("conversion"), self.schemas.schema)
        for each in self.records("conversions"):
            self.written[each.partition, each.offset] = decode(each.value or b"").event_id

    def ends(self, name: str) -> dict[int, int]:
        """The end of each partition of `<prefix>.<name>`, behind the last record that can be read."""
        reader = self._reader("watch")
        try:
            asked = [TopicPartition(f"{self.prefix}.{name}", number) for number in range(self.partitions)]
            return {
                at.partition: _patiently(partial(reader.get_watermark_offsets, at, 30))[1] for at in asked
            }
        finally:
            reader.close()

    def committed(self, destination: str) -> dict[int, tuple[int, str]]:
        """A destination's committed offset and its metadata, by partition; those without one are absent."""
        return self.positions(f"deliver.{destination}", "conversions")

    def positions(self, group: str, name: str) -> dict[int, tuple[int, str]]:
        """What the group `<prefix>.<group>` has committed of `<prefix>.<name>`."""
        reader = self._reader(group)
        try:
            asked = [TopicPartition(f"{self.prefix}.{name}", number) for number in range(self.partitions)]
            found = _patiently(lambda: reader.committed(asked, 30))
            return {at.partition: (at.offset, at.metadata or "") for at in found if at.offset >= 0}
        finally:
            reader.close()

    def receipts(self) -> list[Receipt]:
        """All, in order per partition."""
        decode = Decoder(Receipt, load_schema("receipt"), self.schemas.schema)
        return [decode(record.value) for record in self.records("receipts") if record.value is not None]

    def letters(self, platform: str = "meta") -> list[Stored]:
        """All letters."""
        return list(self.records(f"dlq.{platform}"))

    def record(self, name: str, at: At) -> Stored:
        """The one that stands there."""
        (found,) = [each for each in self.records(name) if (each.partition, each.offset) == at]
        return found

    @property
    def topics(self) -> list[str]:
        """All topics of the cluster that begin with the prefix, without it."""
        reader = self._reader("watch")
        try:
            known = reader.list_topics(timeout=30).topics
        finally:
            reader.close()
        begin = f"{self.prefix}."
        return sorted(name.removeprefix(begin) for name in known if name.startswith(begin))

    def records(self, name: str, isolation: str = "read_committed") -> Iterator[Stored]:
        """All records of `<prefix>.<name>`, read with a client of the test's own."""
        topic = f"{self.prefix}.{name}"
        reader = self._reader("watch", isolation)
        try:
            for number in reader.list_topics(topic, 30).topics[topic].partitions:
                yield from _partition(reader, TopicPartition(topic, number, 0))
        finally:
            reader.close()

    def _reader(self, group: str, isolation: str = "read_committed") -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self.settings.kafka.bootstrap_servers,
                "group.id": f"{self.prefix}.{group}",
                "isolation.level": isolation,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
            }
        )

    def __repr__(self) -> str:
        return f"<Dispatch {self.prefix}: {len(self.written)} conversions>"


def judge(dispatch: Dispatch, destination: str = "meta-us") -> OneOutcomeEach:
    """The outcomes of all that was written, complete."""
    outcomes = OneOutcomeEach(destination)
    outcomes.owed(dispatch.written)
    outcomes.receipts(dispatch.receipts())
    assert list(outcomes.violations()) == []
    return outcomes


def _patiently(ask: Callable[[], Told]) -> Told:
    """Ask again while a broker that has just started, or was away, finds its coordinators and leaders."""
    end_s = time.monotonic() + DEADLINE_S
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in LOADING or time.monotonic() > end_s:
                raise
            time.sleep(0.1)


def _partition(reader: Consumer, at: TopicPartition) -> Iterator[Stored]:
    reader.assign([at])
    end_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < end_s:
        for message in reader.consume(1000, 0.2):
            error = message.error()
            if error is None:
                yield Stored(
                    message.partition() or 0,
                    message.offset() or 0,
                    message.key(),
                    message.value(),
                    _headers(message),
                )
            elif error.code() == KafkaError._PARTITION_EOF:
                return
            else:
                raise AssertionError(str(error))
    raise TimeoutError(f"{at.topic}[{at.partition}] has no end")


def _headers(message: Message) -> dict[str, str]:
    found = message.headers() or []
    pairs = found.items() if isinstance(found, dict) else found
    return {name: value if isinstance(value, str) else (value or b"").decode() for name, value in pairs}


def _ask(url: str, method: str = "GET", body: bytes | None = None) -> bytes:
    request = urllib.request.Request(url, body, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        read: bytes = answer.read()
        return read
