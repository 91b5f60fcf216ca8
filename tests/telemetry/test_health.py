"""Health on a real socket."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from consumer.errors import ConfigurationError
from consumer.settings import HttpSettings
from consumer.telemetry.health import SILENT_MAX_S, HealthServer


class SetClock:
    """Time that stands until a test moves it."""

    def __init__(self) -> None:
        self.at_s = 1_000.0

    def now_ms(self) -> int:
        """The time that was set."""
        return int(self.at_s * 1000)

    def monotonic_s(self) -> float:
        """The same, in seconds."""
        return self.at_s


class Loop:
    """A role whose signs of life a test gives."""

    def __init__(self, name: str, clock: SetClock) -> None:
        self.name = name
        self.clock = clock
        self.heartbeat_s = clock.at_s
        self.ready = False
        self.asked = threading.Event()
        self.may_tell = threading.Event()
        self.may_tell.set()

    def status(self) -> Mapping[str, object]:
        """Some values, as soon as it may tell them."""
        self.asked.set()
        assert self.may_tell.wait(60)
        return {"assignment": [0, 2], "restore_left": 7, "lag": {"orders": 3}}


@contextmanager
def served(clock: SetClock, *roles: Loop) -> Iterator[HealthServer]:
    """A server on a free port."""
    server = HealthServer(HttpSettings(port=0), roles, lambda: b"capi_parked 1.0\n", clock)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def get(server: HealthServer, path: str) -> tuple[int, str, bytes]:
    """Status, content type and body."""
    url = f"http://127.0.0.1:{server.port}{path}"
    try:
        with urllib.request.urlopen(url, timeout=30) as reply:
            return reply.status, reply.headers["Content-Type"], reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read()


def told(server: HealthServer, path: str) -> tuple[int, dict[str, object]]:
    """Status, and what the JSON body says."""
    status, kind, body = get(server, path)
    assert kind == "application/json"
    parsed = json.loads(body)
    assert isinstance(parsed, dict)
    return status, parsed


def test_a_stuck_loop_turns_live_to_503() -> None:
    """Live as long as all loops turn; else it names those that don't, and it recovers with them."""
    clock = SetClock()
    enrich, deliver = Loop("enrich", clock), Loop("deliver.meta-us", clock)
    with served(clock, enrich, deliver) as server:
        clock.at_s += SILENT_MAX_S
        assert told(server, "/health/live") == (200, {"live": True, "stuck": []})
        clock.at_s += 1
        enrich.heartbeat_s = clock.at_s
        assert told(server, "/health/live") == (503, {"live": False, "stuck": ["deliver.meta-us"]})
        deliver.heartbeat_s = clock.at_s
        assert told(server, "/health/live")[0] == 200


def test_ready_says_what_is_missing() -> None:
    """Ready only when all roles are, and never again once it drains; draining is no reason to be killed."""
    clock = SetClock()
    enrich, deliver = Loop("enrich", clock), Loop("deliver.meta-us", clock)
    with served(clock, enrich, deliver) as server:
        deliver.ready = True
        assert told(server, "/health/ready") == (
            503,
            {"ready": False, "missing": ["enrich"], "draining": False},
        )
        enrich.ready = True
        assert told(server, "/health/ready") == (200, {"ready": True, "missing": [], "draining": False})
        server.drain()
        assert told(server, "/health/ready") == (503, {"ready": False, "missing": [], "draining": True})
        assert told(server, "/health/live")[0] == 200


def test_status_tells_of_each_role() -> None:
    """What a role says of itself, and since when it has been silent."""
    clock = SetClock()
    enrich = Loop("enrich", clock)
    with served(clock, enrich) as server:
        clock.at_s += 2.5
        status, body = told(server, "/health/status")
    enrich_says = {"assignment": [0, 2], "restore_left": 7, "lag": {"orders": 3}}
    assert status == 200
    assert body == {
        "draining": False,
        "roles": {"enrich": {"silent_s": 2.5, "ready": False, **enrich_says}},
    }


def test_live_answers_while_a_status_hangs() -> None:
    """A role that can't tell its status must not make the process look dead."""
    clock = SetClock()
    enrich = Loop("enrich", clock)
    enrich.may_tell.clear()
    with served(clock, enrich) as server:
        asking = threading.Thread(target=get, args=(server, "/health/status"))
        asking.start()
        assert enrich.asked.wait(30)
        assert told(server, "/health/live")[0] == 200
        enrich.may_tell.set()
        asking.join()


def test_metrics_are_served_as_prometheus_reads_them() -> None:
    """The page, unchanged, with the content type of the text format."""
    with served(SetClock()) as server:
        assert get(server, "/metrics") == (
            200,
            "text/plain; version=0.0.4; charset=utf-8",
            b"capi_parked 1.0\n",
        )


def test_other_paths_are_not_found() -> None:
    """Only four pages exist."""
    with served(SetClock()) as server:
        assert get(server, "/")[0] == 404


def test_a_taken_port_is_a_setting_to_change() -> None:
    """The message names the address and the settings; nothing is left running."""
    with served(SetClock()) as server:
        second = HealthServer(HttpSettings(port=server.port), (), lambda: b"")
        with pytest.raises(ConfigurationError, match=rf"127\.0\.0\.1:{server.port}.*http\.port"):
            second.start()
        second.stop()
        assert get(server, "/health/live")[0] == 200


def test_stop_closes_the_port() -> None:
    """After a stop nobody answers, and a second stop does no harm."""
    with served(SetClock()) as server:
        url = f"http://127.0.0.1:{server.port}/health/live"
        server.stop()
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(url, timeout=5)


def test_a_server_shows_itself() -> None:
    """Its line names its address and roles."""
    clock = SetClock()
    with served(clock, Loop("enrich", clock)) as server:
        assert repr(server) == f"<HealthServer 127.0.0.1:{server.port}: 1 roles>"
