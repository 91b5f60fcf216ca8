"""A ledger as a process of its own, receipts written by hand, and what a file holds."""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import duckdb
from confluent_kafka import Consumer, TopicPartition
from msgspec import json

from consumer.codec import Encoder, load_schema
from consumer.kafka.start import settle_start
from consumer.kafka.writer import Writer
from consumer.ledger.tables import TABLES
from consumer.model import Receipt
from tests.broker.dispatch import At, Dispatch, Process


def start_ledger(dispatch: Dispatch, folder: str = "ledger", name: str = "ledger") -> Process:
    """`capi run --role ledger`, its file in this folder, judging every second."""
    settings = {"dir": str(dispatch.folder / folder), "judge_every_s": 1}
    file = dispatch.file(name, instance_id=name, ledger=settings)
    return dispatch.run("run", "--role", "ledger", "--config", str(file), log=name)


def conservation(process: Process) -> dict[str, dict[str, Any]]:
    """Each destination's account as last judged; nothing as long as none is."""
    status, body = process.get("/v1/conservation")
    accounts = json.decode(body)["destinations"] if status == 200 else []
    return {each["destination"]: each for each in accounts}


def await_settled(process: Process, dispatch: Dispatch, *names: str) -> None:
    """Wait until the ledger knows that all that was written has ended at these destinations."""
    owed = len(dispatch.written)

    def settled() -> bool:
        found = conservation(process)
        return all(
            name in found
            and (found[name]["owed"], found[name]["in_flight"], found[name]["missing"]) == (owed, 0, 0)
            for name in names
        )

    process.await_that("the ledger is up to date", settled)


def receipt(
    dispatch: Dispatch, at: At, event_id: str, destination: str = "meta-us", **more: object
) -> Receipt:
    """A delivery's, as deliver would write it."""
    now_ms = int(time.time() * 1000)
    values: dict[str, Any] = {
        "conversion_topic": f"{dispatch.prefix}.conversions",
        "conversion_partition": at[0],
        "conversion_offset": at[1],
        "event_id": event_id,
        "event_name": "purchase",
        "order_id": event_id.partition(":")[2],
        "destination": destination,
        "platform": "meta",
        "outcome": "delivered",
        "http_status": 200,
        "attempts": 1,
        "first_attempt_at_ms": now_ms,
        "settled_at_ms": now_ms,
    }
    return Receipt(**{**values, **more})


def write_receipts(dispatch: Dispatch, receipts: Iterable[Receipt]) -> None:
    """Into their topic, by the way that deliver takes."""
    schema = load_schema("receipt")
    encode: Encoder[Receipt] = Encoder(
        schema, dispatch.schemas.register(f"{dispatch.prefix}.receipts-value", schema)
    )
    writer = Writer(dispatch.settings.kafka)
    for each in receipts:
        writer.produce(f"{dispatch.prefix}.receipts", encode(each), key=each.event_id.encode())
    assert writer.flush(60) == 0
    writer.close()


def settle_all(dispatch: Dispatch, destination: str = "meta-us") -> None:
    """The destination's group began at the first conversion, and says that it has come to the end."""
    group, topic = f"{dispatch.prefix}.deliver.{destination}", f"{dispatch.prefix}.conversions"
    kafka = dispatch.settings.kafka
    settle_start(kafka, f"{dispatch.prefix}.control", group, [topic], "earliest", 1)
    member = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": group})
    ends = dispatch.ends("conversions")
    member.commit(offsets=[TopicPartition(topic, *at) for at in ends.items()], asynchronous=False)
    member.close()


def held(folder: Path) -> Mapping[str, list[tuple[Any, ...]]]:
    """All rows of a file that no process has open, in an order of their own."""
    connection = duckdb.connect(str(folder / "ledger.duckdb"), read_only=True)
    try:
        tables = (*TABLES, "offsets")
        return {name: connection.execute(f"FROM {name} ORDER BY ALL").fetchall() for name in tables}
    finally:
        connection.close()
