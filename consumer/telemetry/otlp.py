"""What metrics and traces have in common on their way to a collector."""

from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from opentelemetry.sdk.resources import Resource


def _version() -> str:
    """What is installed; a checkout that runs in place has no version."""
    try:
        return version("capi-consumer")
    except PackageNotFoundError:
        return "source"


VERSION = _version()
TIMEOUT_S = 5
"""How long one export may take; a collector that is away costs its data and nothing else."""


def resource(instance_id: str) -> Resource:
    """Who speaks; `OTEL_RESOURCE_ATTRIBUTES` adds to it."""
    return Resource.create(
        {"service.name": "capi", "service.version": VERSION, "service.instance.id": instance_id}
    )


def address(endpoint: str, signal: Literal["metrics", "traces"]) -> str:
    """Where a signal is posted, under the collector's base address.

    >>> address("http://127.0.0.1:4318/", "traces")
    'http://127.0.0.1:4318/v1/traces'
    """
    return f"{endpoint.rstrip('/')}/v1/{signal}"
