"""Traces through enrich: from the shop's producer, over the transaction, to whoever reads the conversion."""

from collections.abc import Callable, Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from consumer.telemetry import traces
from tests.broker.inside import Inside
from tests.broker.shopfloor import ShopFloor
from tests.broker.test_bad_records import Shop

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
COUNTS = {"records": 2, "conversions": 1, "letters": 1}


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Traces are on, and what is exported is kept here."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(traces._Active, "tracer", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


def run(floor: ShopFloor) -> None:
    """A good order with a trace of its producer's, and a bad one."""
    orders, shop = floor.settings.topics.orders, Shop(floor)
    header = (("traceparent", f"00-{TRACE}-{PARENT}-01".encode()),)
    good = floor.write(orders, shop.order("good"), b"key", headers=header)
    bad = floor.write(orders, b"\xff", b"key")
    with Inside(floor) as inside:
        inside.await_ended({good: "good", bad: "bad"})


def test_transaction_links_what_came_in_to_what_went_out(
    open_floor: Callable[..., ShopFloor], spans: InMemorySpanExporter
) -> None:
    """A span a transaction, linked to its inputs' traces, with counts; conversions and letters name it."""
    floor = open_floor(partitions=1)
    run(floor)
    made = [span for span in spans.get_finished_spans() if span.name == "enrich"]
    linked = [span for span in made if span.links]
    assert [f"{link.context.trace_id:032x}-{link.context.span_id:016x}" for link in linked[0].links] == [
        f"{TRACE}-{PARENT}"
    ]
    totals = {
        name: sum(int(str((span.attributes or {})[f"capi.{name}"])) for span in made) for name in COUNTS
    }
    assert totals == COUNTS
    ids = {f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}" for span in made if span.context}
    for topic in ("conversions", "dlq.ingest"):
        ((_, _, headers),) = floor.records(topic)
        assert headers["traceparent"].rpartition("-")[0] in ids


def test_without_traces_there_is_no_header(open_floor: Callable[..., ShopFloor]) -> None:
    """Nobody records, so nobody is pointed to."""
    floor = open_floor(partitions=1)
    run(floor)
    for topic in ("conversions", "dlq.ingest"):
        ((_, _, headers),) = floor.records(topic)
        assert "traceparent" not in headers
