"""Export to a collector on a real socket."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from consumer.deliver.tally import LATENCY_BOUNDS_S, DestinationSnapshot
from consumer.enrich.tally import TallySnapshot
from consumer.ledger.tally import LedgerSnapshot
from consumer.rekey.tally import RekeySnapshot
from consumer.settings import Settings, TelemetrySettings
from consumer.telemetry import traces
from consumer.telemetry.catalogue import CATALOGUE
from consumer.telemetry.metrics import Metrics

PERSON = "ann@example.com"


class Collector:
    """Takes what is posted to it: (path, body)."""

    def __init__(self) -> None:
        posted: SimpleQueue[tuple[str, bytes]] = SimpleQueue()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                posted.put((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.posted = posted
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def settings(self) -> Settings:
        """Settings that export to it."""
        endpoint = f"http://127.0.0.1:{self.server.server_port}"
        return Settings(instance_id="capi-0", telemetry=TelemetrySettings(otlp_endpoint=endpoint))

    def spans(self) -> list[Span]:
        """The spans of the next request."""
        path, body = self.posted.get(timeout=30)
        assert path == "/v1/traces"
        request = ExportTraceServiceRequest.FromString(body)
        return [span for r in request.resource_spans for s in r.scope_spans for span in s.spans]


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector on a free port; traces are off afterwards."""
    made = Collector()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.05,))
    thread.start()
    yield made
    traces.close()
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def attributes(span: Span) -> dict[str, object]:
    """A span's attributes as plain values."""
    return {
        a.key: a.value.int_value if a.value.HasField("int_value") else a.value.string_value
        for a in span.attributes
    }


def parent(number: int) -> bytes:
    """The traceparent of the so-many-th producer."""
    return f"00-{number:032x}-{number:016x}-01".encode()


def test_metrics_are_posted_with_the_latencies(
    collector: Collector,
    enrich: TallySnapshot,
    rekey: RekeySnapshot,
    ledger: LedgerSnapshot,
    destination: Callable[..., DestinationSnapshot],
) -> None:
    """All of the catalogue arrives, the histogram too, and says which instance speaks."""
    metrics = Metrics(
        collector.settings,
        enrich=lambda: enrich,
        destinations=lambda: [destination()],
        rekey=lambda: rekey,
        ledger=lambda: ledger,
    )
    metrics.close()
    path, body = collector.posted.get(timeout=30)
    (whole,) = ExportMetricsServiceRequest.FromString(body).resource_metrics
    (scope,) = whole.scope_metrics
    (point,) = next(m for m in scope.metrics if m.name == "capi_request_seconds").histogram.data_points
    assert path == "/v1/metrics"
    assert {m.name for m in scope.metrics} == {metric.name for metric in CATALOGUE}
    assert {a.key: a.value.string_value for a in whole.resource.attributes}["service.instance.id"] == "capi-0"
    assert (point.count, point.sum, list(point.bucket_counts)) == (7, 12.5, destination().latency_counts)
    assert list(point.explicit_bounds) == list(LATENCY_BOUNDS_S)


def test_a_span_is_posted_with_its_links(collector: Collector) -> None:
    """One span a batch, linked to each producer once, at most 32; what is no traceparent is passed over."""
    traces.configure(collector.settings)
    given = [None, b"", b"garbage", parent(0), parent(1), parent(1), *(parent(n) for n in range(2, 60))]
    with traces.span("deliver batch", {"capi.destination": "meta-us", "capi.records": 5}, given):
        pass
    traces.close()
    (span,) = collector.spans()
    assert span.name == "deliver batch"
    assert attributes(span) == {"capi.destination": "meta-us", "capi.records": 5}
    assert [int.from_bytes(link.trace_id) for link in span.links] == list(range(1, 33))


def test_a_span_bears_nothing_of_a_customer(collector: Collector) -> None:
    """Neither an unlisted attribute nor an exception's text leaves; the type of what failed does."""
    traces.configure(collector.settings)
    with pytest.raises(ValueError, match="ann"), traces.span("deliver batch", {"order_id": PERSON}):
        raise ValueError(PERSON)
    traces.close()
    (span,) = collector.spans()
    assert attributes(span) == {"error.type": "ValueError"}
    assert span.status.code == Status.STATUS_CODE_ERROR
    assert PERSON not in str(span)


def test_spans_within_spans_are_of_one_trace(collector: Collector) -> None:
    """A request's span belongs to its batch's."""
    traces.configure(collector.settings)
    with traces.span("deliver batch"), traces.span("request"):
        pass
    traces.close()
    inner, outer = sorted(collector.spans(), key=lambda span: span.name == "deliver batch")
    assert inner.parent_span_id == outer.span_id


def test_without_an_endpoint_nothing_happens() -> None:
    """Off, a span is a shared nothing, and the links aren't even looked at."""
    looked: list[int] = []

    def links() -> Iterator[bytes]:
        looked.append(1)
        yield parent(1)

    traces.configure(Settings(instance_id="capi-0"))
    with traces.span("deliver batch", {"capi.records": 5}, links()) as span:
        assert not span.is_recording()
    assert traces.span("one") is traces.span("other")
    assert looked == []
