"""Real Apache Kafka in KRaft mode: one or three nodes on loopback."""

import base64
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from consumer.errors import CapiError
from consumer.local import fetch, process

START_TIMEOUT_S = 90
STOP_TIMEOUT_S = 15
HEAP_MB = {1: 512, 3: 384}
_JVM = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Djava.awt.headless=true"]
_LOGGING = """rootLogger.level=WARN
rootLogger.appenderRef.out.ref=OUT
appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=[%d] %p %m (%c)%n
"""


class NotStarted(CapiError):
    """Kafka or the registry did not start; the text ends with the tail of its log."""


class Kafka:
    """A cluster of one or three nodes, each broker and controller; a context manager.

    `settings` are further server properties. The data lies in a folder of its own, removed at the end.
    """

    def __init__(self, nodes: int = 1, settings: Mapping[str, str] | None = None) -> None:
        self.nodes = nodes
        self._settings = dict(settings or {})
        self._folder = Path(tempfile.mkdtemp(prefix="capi-kafka-"))
        self._ports = free_ports(2 * nodes)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._classpath = ""

    @property
    def bootstrap(self) -> str:
        """The brokers' addresses, comma-separated."""
        return ",".join(f"127.0.0.1:{self._port(node)}" for node in range(self.nodes))

    def start(self) -> Self:
        """Fetch the jars, start all nodes, wait until they answer. Raises NotStarted, Unreachable."""
        self._classpath = f"{fetch.kafka_jars()}/*"
        (self._folder / "log4j2.properties").write_text(_LOGGING, encoding="utf-8")
        cluster = _cluster_id()
        formats = [self._format(node, cluster) for node in range(self.nodes)]
        for node, formatting in enumerate(formats):
            if formatting.wait(START_TIMEOUT_S) != 0:
                raise NotStarted(f"Kafka's storage was not made:\n{process.tail(self._log(node))}")
        for node in range(self.nodes):
            self._spawn(node)
        self._await(list(range(self.nodes)))
        return self

    def kill(self, node: int) -> None:
        """Kill -9 one node, counted from 0."""
        self._processes[node].kill()
        self._processes[node].wait()

    def restart(self, node: int) -> None:
        """Bring a killed node back with its data, and wait until it answers."""
        self._spawn(node)
        self._await([node])

    def stop(self) -> None:
        """End all nodes and remove their data."""
        for running in self._processes.values():
            running.terminate()
        for running in self._processes.values():
            process.end(running, STOP_TIMEOUT_S)
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        running = sum(node.poll() is None for node in self._processes.values())
        return f"<Kafka {self.bootstrap}: {running} of {self.nodes} nodes>"

    def _port(self, node: int) -> int:
        return self._ports[2 * node]

    def _log(self, node: int) -> Path:
        return self._folder / f"node{node}.log"

    def _java(self, heap_mb: int, *command: str) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={self._folder}/log4j2.properties"
        return [str(fetch.java()), f"-Xmx{heap_mb}m", *_JVM, logging, "-cp", self._classpath, *command]

    def _format(self, node: int, cluster: str) -> "subprocess.Popen[bytes]":
        settings = self._folder / f"node{node}.properties"
        settings.write_text(self._properties(node), encoding="utf-8")
        mode = ["--standalone"] if self.nodes == 1 else []
        command = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(settings), *mode]
        return process.spawn(self._java(128, *command), self._log(node))

    def _spawn(self, node: int) -> None:
        command = self._java(HEAP_MB[self.nodes], "kafka.Kafka", str(self._folder / f"node{node}.properties"))
        self._processes[node] = process.spawn(command, self._log(node))

    def _await(self, nodes: list[int]) -> None:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not all(_answers(self._port(node)) for node in nodes):
            ended = [node for node in nodes if self._processes[node].poll() is not None]
            if ended or time.monotonic() > deadline_s:
                raise NotStarted(f"Kafka did not start:\n{process.tail(self._log((ended or nodes)[0]))}")
            time.sleep(0.1)

    def _properties(self, node: int) -> str:
        """Small, quick to rebalance, ready for transactions; on loopback only."""
        port, control = self._port(node), self._ports[2 * node + 1]
        copies, in_sync = self.nodes, 2 if self.nodes > 1 else 1
        voters = ",".join(f"{n + 1}@127.0.0.1:{self._ports[2 * n + 1]}" for n in range(self.nodes))
        quorum = f"bootstrap.servers=127.0.0.1:{control}" if self.nodes == 1 else f"voters={voters}"
        return "\n".join(
            [
                "process.roles=broker,controller",
                f"node.id={node + 1}",
                f"controller.quorum.{quorum}",
                f"listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{control}",
                f"advertised.listeners=PLAINTEXT://127.0.0.1:{port}",
                "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
                "controller.listener.names=CONTROLLER",
                "inter.broker.listener.name=PLAINTEXT",
                f"log.dirs={self._folder}/data{node}",
                "auto.create.topics.enable=false",
                f"default.replication.factor={copies}",
                f"min.insync.replicas={in_sync}",
                "offsets.topic.num.partitions=4",
                f"offsets.topic.replication.factor={copies}",
                "transaction.state.log.num.partitions=4",
                f"transaction.state.log.replication.factor={copies}",
                f"transaction.state.log.min.isr={in_sync}",
                "transaction.abort.timed.out.transaction.cleanup.interval.ms=1000",
                "group.initial.rebalance.delay.ms=0",
                "group.min.session.timeout.ms=1000",
                "group.consumer.min.session.timeout.ms=1000",
                "group.consumer.min.heartbeat.interval.ms=200",
                "group.consumer.heartbeat.interval.ms=500",
                "group.consumer.session.timeout.ms=6000",
                "log.cleaner.dedupe.buffer.size=16777216",
                "log.cleaner.backoff.ms=500",
                "num.network.threads=2",
                "num.io.threads=4",
                *(f"{name}={value}" for name, value in self._settings.items()),
                "",
            ]
        )


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, all different."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _cluster_id() -> str:
    """A random id as Kafka writes them, but with no dash first: the tool that formats would take it for an option."""
    text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    return "A" + text[1:]


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.3)
        return probe.connect_ex(("127.0.0.1", port)) == 0
