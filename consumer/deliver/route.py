"""Whether a destination is to have a conversion: what isn't sent is skipped with a reason, or has expired."""

from collections.abc import Collection
from typing import TypeAlias

from msgspec import Struct

from consumer.model import ConsentState, Conversion
from consumer.platforms.contract import Limits, Platform

DEADLINE_MARGIN_MS = 120_000
"""A window closes for us a little before it does for the platform: clocks differ, and a request takes time."""


class Skip(Struct, frozen=True):
    """Not for this destination."""

    reason: str


class Expire(Struct, frozen=True):
    """Its window closed while it was ours."""


class Send(Struct, frozen=True):
    """To be sent, not before and not after these times (epoch ms)."""

    not_before_ms: int
    deadline_ms: int


Way: TypeAlias = Skip | Expire | Send


def route(
    conversion: Conversion, platform: Platform, wanted: Collection[str], started_ms: int, now_ms: int
) -> Way:
    """Decide it. `wanted` are the destination's events, `started_ms` is when the destination began."""
    name = conversion.event_name
    if name not in wanted:
        return Skip("not_wanted")
    if name not in platform.events:
        return Skip(f"no_{name}")
    asked = conversion.consent_ads if platform.purpose == "ads" else conversion.consent_analytics
    if asked == ConsentState.DENIED:
        return Skip("consent")
    if conversion.sale_opt_out and not platform.limited_use:
        return Skip("sale_opt_out")
    return _window(conversion, platform.limits, started_ms, now_ms)


def _window(conversion: Conversion, limits: Limits, started_ms: int, now_ms: int) -> Way:
    deadline_ms = conversion.event_time + limits.age_max_ms - DEADLINE_MARGIN_MS
    if deadline_ms <= max(conversion.enriched_at, started_ms):
        return Skip("too_old")
    if deadline_ms <= now_ms:
        return Expire()
    return Send(conversion.event_time - limits.future_max_ms, deadline_ms)
