"""Traces: a span a batch or a transaction, never one a record; free of charge while no collector is configured."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanContext, StatusCode, TraceFlags, Tracer

from consumer.model import Headers
from consumer.settings import Settings
from consumer.telemetry.otlp import TIMEOUT_S, address, resource

ATTRIBUTES = frozenset(
    {
        *("capi.destination", "capi.platform", "capi.role", "capi.verdict", "capi.outcome", "capi.code"),
        *(
            "capi.records",
            "capi.conversions",
            "capi.letters",
            "capi.partitions",
            "capi.attempt",
            "capi.bytes",
        ),
        *("messaging.system", "messaging.destination.name", "messaging.consumer.group.name"),
        *("messaging.operation.name", "messaging.batch.message_count"),
        *("http.request.method", "http.response.status_code", "server.address", "error.type"),
    }
)
"""All that a span may bear: nothing that tells of one customer. Others are left out."""

LINKS_MAX = 32
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_OFF: AbstractContextManager[Span] = nullcontext(INVALID_SPAN)


class _Active:
    """The process's tracer, None while traces are off."""

    provider: TracerProvider | None = None
    tracer: Tracer | None = None


def configure(settings: Settings) -> None:
    """Export spans to `telemetry.otlp_endpoint`; if that is empty, do nothing. A second call replaces the first."""
    close()
    endpoint = settings.telemetry.otlp_endpoint
    if not endpoint:
        return
    provider = TracerProvider(resource=resource(settings.instance_id), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=address(endpoint, "traces"), timeout=TIMEOUT_S)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    _Active.provider, _Active.tracer = provider, provider.get_tracer("capi")


def close() -> None:
    """Export what is left, at most `TIMEOUT_S` an export, and switch off."""
    provider, _Active.provider, _Active.tracer = _Active.provider, None, None
    if provider is not None:
        provider.shutdown()


def span(
    name: str, attributes: Mapping[str, str | int] | None = None, links: Iterable[bytes | str | None] = ()
) -> AbstractContextManager[Span]:
    """A span around a `with`. `links` are `traceparent` values, read only if traces are on; at most `LINKS_MAX` count.

    An exception that passes through marks it as failed, by its type alone.
    """
    tracer = _Active.tracer
    return _OFF if tracer is None else _recorded(tracer, name, attributes or {}, links)


@contextmanager
def _recorded(
    tracer: Tracer, name: str, attributes: Mapping[str, str | int], links: Iterable[bytes | str | None]
) -> Iterator[Span]:
    listed = {key: value for key, value in attributes.items() if key in ATTRIBUTES}
    with tracer.start_as_current_span(
        name,
        attributes=listed,
        links=list(linked(links)),
        record_exception=False,
        set_status_on_exception=False,
    ) as made:
        try:
            yield made
        except BaseException as error:
            made.set_attribute("error.type", type(error).__qualname__)
            made.set_status(StatusCode.ERROR)
            raise


def linked(traceparents: Iterable[bytes | str | None]) -> Iterator[Link]:
    """A link for each distinct context, the first `LINKS_MAX` of them; what is no W3C traceparent is passed over."""
    seen: set[tuple[int, int]] = set()
    for text in traceparents:
        context = _context(text)
        if context is None or (context.trace_id, context.span_id) in seen:
            continue
        seen.add((context.trace_id, context.span_id))
        yield Link(context)
        if len(seen) == LINKS_MAX:
            return


def traceparent(made: Span) -> Headers:
    """The header by which another stage links to this span; none if nobody records it."""
    if not made.is_recording():
        return ()
    at = made.get_span_context()
    return (("traceparent", f"00-{at.trace_id:032x}-{at.span_id:016x}-{int(at.trace_flags):02x}".encode()),)


def _context(text: bytes | str | None) -> SpanContext | None:
    text = text.decode("ascii", "replace") if isinstance(text, bytes) else text
    found = _TRACEPARENT.fullmatch(text or "")
    if found is None:
        return None
    trace, parent, flags = (int(part, 16) for part in found.groups())
    context = SpanContext(trace, parent, is_remote=True, trace_flags=TraceFlags(flags))
    return context if context.is_valid else None
