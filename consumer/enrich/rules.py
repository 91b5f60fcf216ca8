"""What the operator decided, in the units that plans reckon in."""

from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct

from consumer.model import Conversion
from consumer.settings import Settings

Encode: TypeAlias = Callable[[Conversion], bytes]
"""A conversion as the bytes of a record's value."""

FUTURE_MAX_MS = 3_600_000
"""How far ahead of the clock an event may be: clocks differ, but not by more."""


class Rules(Struct, frozen=True):
    """The settings that decide, and the bounds of the topics written to."""

    purchase_states: frozenset[str]
    cancelled_states: frozenset[str]
    wait_ms: int
    waiting_max_orders: int
    dedupe_window_ms: int
    context_ttl_ms: int
    deny_when_missing: bool
    conversion_max_bytes: int
    state_max_bytes: int
    encode: Encode


def rules_of(settings: Settings, encode: Encode, *, conversion_max_bytes: int, state_max_bytes: int) -> Rules:
    """The rules that these settings make; the bounds are those of one record's key and value together."""
    return Rules(
        purchase_states=frozenset(state.upper() for state in settings.gate.purchase_states),
        cancelled_states=frozenset(state.upper() for state in settings.gate.cancelled_states),
        wait_ms=settings.join.wait_s * 1000,
        waiting_max_orders=settings.join.waiting_max_orders,
        dedupe_window_ms=settings.state.dedupe_window_s * 1000,
        context_ttl_ms=settings.state.context_ttl_s * 1000,
        deny_when_missing=settings.consent.when_missing == "deny",
        conversion_max_bytes=conversion_max_bytes,
        state_max_bytes=state_max_bytes,
        encode=encode,
    )
