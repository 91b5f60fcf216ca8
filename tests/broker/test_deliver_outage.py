"""A broker that hangs for longer than a loop may be silent."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from consumer.demo.publish import Publisher
from consumer.emulators.registry import RegistryThread
from consumer.emulators.shop import Damage, Plan, traffic
from consumer.local.broker import Kafka
from consumer.telemetry.health import SILENT_MAX_S
from tests.broker.dispatch import Dispatch, Emulated, Process, judge

SEED = 5
ORDERS = 1_000
FROZEN_S = SILENT_MAX_S + 5


@contextmanager
def frozen(kafka: Kafka) -> Iterator[None]:
    """The broker hangs: connections stay open, and nothing answers."""
    (broker,) = kafka._processes.values()
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(broker.pid, signal.SIGCONT)


def publish(dispatch: Dispatch) -> None:
    """The shop's traffic."""
    plan = Plan(seed=SEED, orders=ORDERS, now_ms=int(time.time() * 1000))
    publisher = Publisher(dispatch.settings, dispatch.schemas)
    list(
        publisher.publish(
            each for each in traffic(plan) if getattr(each, "damage", None) is not Damage.UNKNOWN_SCHEMA
        )
    )
    publisher.close()


def silences(process: Process) -> dict[str, float]:
    """How long each role has given no sign of life."""
    return {role: process.status(role)["silent_s"] for role in ("enrich", "deliver.meta-us")}


@pytest.mark.timeout(400)
def test_a_broker_that_hangs_makes_nobody_look_dead(prefix: str, tmp_path: Path) -> None:
    """While it hangs, all roles give signs of life; when it is back, all goes on and nothing was lost."""
    print(f"seed {SEED}")  # noqa: T201 (so that a failure can be repeated)
    with Kafka() as kafka, RegistryThread() as registry, Emulated(latency_ms=100) as meta:
        dispatch = Dispatch(kafka.bootstrap, registry.url, prefix, tmp_path, join={"wait_s": 5})
        dispatch.destination("meta-us", meta, batch_max_events=20)
        dispatch.make_topics()
        publish(dispatch)
        most: dict[str, float] = {}
        with dispatch.run("run", "--config", str(dispatch.file("one")), log="one") as process:
            process.await_accepted(meta, 100)
            with frozen(kafka):
                end_s = time.monotonic() + FROZEN_S
                while time.monotonic() < end_s and process.is_alive():
                    most = {role: max(most.get(role, 0.0), s) for role, s in silences(process).items()}
                    assert process.get("/health/live")[0] == 200, process.get("/health/live")
                    time.sleep(0.5)
            print(most)  # noqa: T201 (the longest silence of each)
            dispatch.await_enriched(process)
            dispatch.note_conversions()
            dispatch.await_settled("meta-us", processes=[process])
            process.stop()
        outcomes = judge(dispatch).outcomes
        assert outcomes["delivered"] == len(meta.deduped())
        assert outcomes.total() == len(dispatch.written)
