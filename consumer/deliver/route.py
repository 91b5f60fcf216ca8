"""Whether a destination is to have a conversion: what isn't sent is skipped with a reason, or has expired."""

from collections.abc import Collection
from typing import TypeAlias

from msgspec import Struct

from consumer.deliver.when import When, WhenError
from consumer.deliver.worth import Rule
from consumer.model import ConsentState, Conversion, EventName
from consumer.platforms.contract import Account, Limits, Platform

DEADLINE_MARGIN_MS = 120_000
"""A window closes for us a little before it does for the platform: clocks differ, and a request takes time."""


class Skip(Struct, frozen=True):
    """Not for this destination."""

    reason: str


class Expire(Struct, frozen=True):
    """Its window closed while it was ours."""


class Refuse(Struct, frozen=True):
    """Nobody can say if it is for this destination: a letter, for whoever wrote the condition."""

    why: str


class Send(Struct, frozen=True):
    """To be sent, not before and not after these times (epoch ms)."""

    not_before_ms: int
    deadline_ms: int


Way: TypeAlias = Skip | Expire | Refuse | Send


class Wants(Struct, frozen=True):
    """What a destination takes of what its platform can take, for which account, and what an order is worth there."""

    events: Collection[str]
    account: Account
    when: When | None = None
    value: Rule = "grand_total"
    refund_after_ms: int = 0
    skips_incomplete: bool = False


def route(conversion: Conversion, platform: Platform, wants: Wants, started_ms: int, now_ms: int) -> Way:
    """Decide it. `started_ms` is when the destination began."""
    if reason := _unwanted(conversion, platform, wants):
        return Skip(reason)
    try:
        if wants.when is not None and not wants.when.holds(conversion):
            return Skip("when")
    except WhenError as error:
        return Refuse(str(error))
    return _window(conversion, platform.limits, wants, started_ms, now_ms)


def _unwanted(conversion: Conversion, platform: Platform, wants: Wants) -> str:
    """Why the destination, its platform or the customer doesn't want it told; "" if all do."""
    name = conversion.event_name
    if name not in wants.events:
        return "not_wanted"
    if name not in platform.events:
        return f"no_{name}"
    asked = conversion.consent_ads if platform.purpose == "ads" else conversion.consent_analytics
    if asked == ConsentState.DENIED:
        return "consent"
    return "sale_opt_out" if conversion.sale_opt_out and not platform.limited_use else ""


def _window(conversion: Conversion, limits: Limits, wants: Wants, started_ms: int, now_ms: int) -> Way:
    not_before_ms = conversion.event_time - limits.future_max_ms
    deadline_ms = conversion.event_time + limits.age_max_ms - DEADLINE_MARGIN_MS
    if conversion.event_name == EventName.REFUND:
        not_before_ms = max(not_before_ms, conversion.corrects_event_time + wants.refund_after_ms)
        if limits.refund_until_ms:
            deadline_ms = conversion.corrects_event_time + limits.refund_until_ms - DEADLINE_MARGIN_MS
    if deadline_ms <= max(conversion.enriched_at, started_ms):
        return Skip("too_old")
    if deadline_ms <= now_ms:
        return Expire()
    return Send(not_before_ms, deadline_ms)
