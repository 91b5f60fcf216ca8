"""A real schema registry (Apicurio with the Confluent API), in memory, on loopback."""

import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from consumer.local import fetch, process
from consumer.local.broker import NotStarted

START_TIMEOUT_S = 90
STOP_TIMEOUT_S = 10
_API = "/apis/ccompat/v7"
_JVM = ["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]
_SETTINGS = [
    "-Dquarkus.http.host=127.0.0.1",
    "-Dquarkus.http.port=0",
    "-Dquarkus.management.host=127.0.0.1",  # by default every interface
    "-Dquarkus.management.port=0",  # by default one port a machine
    "-Dquarkus.http.access-log.enabled=false",
    "-Dapicurio.rules.global.compatibility=BACKWARD",  # as Confluent's default
    "-Dapicurio.ccompat.max-subjects=1000000",  # the list of subjects stops at 1,000 by default
]


class Registry:
    """One registry; a context manager. Its memory is empty at every start."""

    def __init__(self) -> None:
        self.url = ""
        self._folder = Path(tempfile.mkdtemp(prefix="capi-registry-"))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Fetch it if need be, start it and wait until it answers. Raises NotStarted, Unreachable."""
        command = [str(fetch.java()), *_JVM, *_SETTINGS, "-jar", "quarkus-run.jar"]
        self._process = process.spawn(command, self._log, fetch.registry_home())
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not self.url:
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                raise NotStarted(f"the registry did not start:\n{process.tail(self._log)}")
            time.sleep(0.1)
            self.url = self._answering()
        return self

    def suspend(self) -> None:
        """Hang: connections are taken, nothing is answered."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End the hang."""
        self._running().send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it and remove its log."""
        if self._process is not None:
            process.end(self._process, STOP_TIMEOUT_S)
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
        return f"<Registry {self.url or 'not started'}>"

    @property
    def _log(self) -> Path:
        return self._folder / "registry.log"

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise NotStarted("the registry was not started")
        return self._process

    def _answering(self) -> str:
        """The address in its own log, so that no other server is taken for it; empty if not yet."""
        found = re.search(r"Listening on: (http://[\d.]+:\d+)", self._log.read_text(errors="replace"))
        if not found:
            return ""
        url = found[1] + _API
        try:
            with urllib.request.urlopen(f"{url}/subjects", timeout=5):  # noqa: S310 (loopback)
                return url
        except (urllib.error.URLError, TimeoutError):
            return ""
