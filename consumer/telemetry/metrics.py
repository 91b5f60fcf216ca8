"""Metrics, from snapshots taken when someone asks: a Prometheus page, and OTLP if a collector is configured.

The SDK is never called per message: its instruments observe. It has no observable histogram, so the latencies, which
the lanes tally in buckets, join each export at its edge.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from msgspec import Struct
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    MetricExportResult,
    MetricReader,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.metrics.export import Metric as ExportedMetric
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from consumer.clock import Clock, SystemClock
from consumer.deliver.tally import LATENCY_BOUNDS_S, DestinationSnapshot
from consumer.enrich.tally import TallySnapshot
from consumer.ledger.tally import LedgerSnapshot
from consumer.rekey.tally import RekeySnapshot
from consumer.settings import Settings
from consumer.telemetry import logs
from consumer.telemetry.catalogue import CATALOGUE, LATENCY, Metric
from consumer.telemetry.otlp import TIMEOUT_S, VERSION, address, resource
from consumer.telemetry.readings import Readings, readings

Rekey: TypeAlias = Callable[[], RekeySnapshot]
Enrich: TypeAlias = Callable[[], TallySnapshot]
Ledger: TypeAlias = Callable[[], LedgerSnapshot]
Destinations: TypeAlias = Callable[[], Sequence[DestinationSnapshot]]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SAME_MOMENT_S = 1.0
"""One export asks for each metric in turn; within this time they all see the same snapshots."""


class Metrics:
    """The metrics of a process. `page` and the export may run on any thread, also at once."""

    def __init__(
        self,
        settings: Settings,
        *,
        enrich: Enrich | None,
        destinations: Destinations,
        rekey: Rekey | None = None,
        ledger: Ledger | None = None,
        clock: Clock | None = None,
    ) -> None:
        """A role that the process lacks is None. Exports only if `telemetry.otlp_endpoint` is set."""
        clock = clock or SystemClock()
        self._moments = _Moments(settings.topics.prefix, rekey, enrich, ledger, destinations, clock)
        self._registry = CollectorRegistry()
        self._asking = threading.Lock()
        prometheus = PrometheusMetricReader(
            disable_target_info=True, scope_info_enabled=False, registry=self._registry
        )
        self._registry.register(_LatencyFamily(self._moments))
        endpoint = settings.telemetry.otlp_endpoint
        readers: list[MetricReader] = [prometheus]
        if endpoint:
            exporter = _Exporter(self._moments, clock, address(endpoint, "metrics"))
            readers.append(PeriodicExportingMetricReader(exporter, export_timeout_millis=TIMEOUT_S * 1000))
        self._provider = MeterProvider(readers, resource(settings.instance_id), shutdown_on_exit=False)
        meter = self._provider.get_meter("capi")
        for metric in CATALOGUE:
            if metric is not LATENCY:
                _observe(meter, metric, self._moments)

    def page(self) -> bytes:
        """The Prometheus text format, as of now."""
        with self._asking:
            self._moments.renew()
            return generate_latest(self._registry)

    def close(self) -> None:
        """Export a last time and end the exporter's thread; waits for one export at most."""
        self._moments.renew()
        self._provider.shutdown(timeout_millis=TIMEOUT_S * 1000)

    def __repr__(self) -> str:
        return f"<Metrics: {len(CATALOGUE)} kinds>"


class _Moment(Struct, frozen=True):
    """What all metrics of one export are made of."""

    taken_s: float
    readings: Readings
    destinations: Sequence[DestinationSnapshot]


class _Moments:
    """Takes the snapshots, once an export."""

    def __init__(
        self,
        prefix: str,
        rekey: Rekey | None,
        enrich: Enrich | None,
        ledger: Ledger | None,
        destinations: Destinations,
        clock: Clock,
    ) -> None:
        self._prefix = prefix
        self._rekey = rekey
        self._enrich = enrich
        self._ledger = ledger
        self._destinations = destinations
        self._clock = clock
        self._began_ns = clock.now_ms() * 1_000_000
        self._last: _Moment | None = None

    @property
    def began_ns(self) -> int:
        return self._began_ns

    def renew(self) -> None:
        """The next to ask gets new snapshots."""
        self._last = None

    def now(self) -> _Moment:
        """The last moment, if it is still the same one, else a new one."""
        now_s, last = self._clock.monotonic_s(), self._last
        if last is not None and now_s - last.taken_s < _SAME_MOMENT_S:
            return last
        rekey = self._rekey() if self._rekey is not None else None
        enrich = self._enrich() if self._enrich is not None else None
        ledger = self._ledger() if self._ledger is not None else None
        destinations = self._destinations()
        made: Readings = {
            **readings(self._prefix, enrich, destinations, self._clock.now_ms(), rekey, ledger),
            "capi_build_info": {(VERSION,): 1.0},
            "capi_log_keys_dropped_total": {(): float(logs.dropped())},
        }
        moment = self._last = _Moment(now_s, made, destinations)
        return moment


def _observe(meter: Meter, metric: Metric, moments: _Moments) -> None:
    def observed(_: CallbackOptions) -> Iterable[Observation]:
        for values, reading in moments.now().readings.get(metric.name, {}).items():
            yield Observation(reading, dict(zip(metric.labels, values, strict=True)))

    if metric.kind == "counter":
        meter.create_observable_counter(metric.name, [observed], description=metric.says)
    else:
        meter.create_observable_gauge(metric.name, [observed], description=metric.says)


class _LatencyFamily(Collector):
    """The latencies on the Prometheus page."""

    def __init__(self, moments: _Moments) -> None:
        self._moments = moments

    def collect(self) -> Iterable[HistogramMetricFamily]:
        family = HistogramMetricFamily(LATENCY.name, LATENCY.says, labels=LATENCY.labels)
        for destination in self._moments.now().destinations:
            upto, buckets = 0, []
            for bound, count in zip((*LATENCY_BOUNDS_S, "+Inf"), destination.latency_counts, strict=True):
                upto += count
                buckets.append((str(bound), upto))
            family.add_metric([destination.destination], buckets, destination.latency_sum_s)
        yield family


class _Exporter(OTLPMetricExporter):
    """OTLP over HTTP, with the latencies added."""

    def __init__(self, moments: _Moments, clock: Clock, endpoint: str) -> None:
        super().__init__(endpoint=endpoint, timeout=TIMEOUT_S)
        self._moments = moments
        self._clock = clock

    def export(
        self,
        metrics_data: MetricsData,
        timeout_millis: float | None = TIMEOUT_S * 1000,
        **kwargs: Any,  # noqa: ANN401 (the signature of the class above)
    ) -> MetricExportResult:
        return super().export(self._with_latencies(metrics_data), timeout_millis, **kwargs)

    def _with_latencies(self, data: MetricsData) -> MetricsData:
        """There is one resource and one scope: ours."""
        whole = data.resource_metrics[0]
        scope = whole.scope_metrics[0]
        begin_ns, now_ns = self._moments.began_ns, self._clock.now_ms() * 1_000_000
        points = [_point(at, begin_ns, now_ns) for at in self._moments.now().destinations]
        latencies = Histogram(points, AggregationTemporality.CUMULATIVE)
        metrics = [*scope.metrics, ExportedMetric(LATENCY.name, LATENCY.says, "s", latencies)]
        scope = replace(scope, metrics=metrics)
        return MetricsData([replace(whole, scope_metrics=[scope])])


def _point(at: DestinationSnapshot, begin_ns: int, now_ns: int) -> HistogramDataPoint:
    """Least and greatest are not tallied: the bounds of their buckets stand for them."""
    used = [place for place, count in enumerate(at.latency_counts) if count]
    edges = (0.0, *LATENCY_BOUNDS_S)
    return HistogramDataPoint(
        attributes={"destination": at.destination},
        start_time_unix_nano=begin_ns,
        time_unix_nano=now_ns,
        count=sum(at.latency_counts),
        sum=at.latency_sum_s,
        bucket_counts=at.latency_counts,
        explicit_bounds=LATENCY_BOUNDS_S,
        min=edges[used[0]] if used else 0.0,
        max=edges[min(used[-1] + 1, len(edges) - 1)] if used else 0.0,
    )
