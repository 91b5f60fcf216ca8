"""What deliver counts, one destination at a time, in plain integers."""

from typing import Literal

from msgspec import Struct

BreakerState = Literal["closed", "open", "half_open"]

LATENCY_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Upper bounds, inclusive, of the buckets of a request's latency; one more bucket holds what is slower."""


class DestinationSnapshot(Struct, frozen=True):
    """One destination at one moment: counts since the process began, and what holds right now.

    Counts: `outcomes` by (outcome, reason), in conversions; `requests` by verdict, one a reply; `unknown_codes` by a
    platform's code that its file doesn't know; `letters` by reason; `resent`, conversions sent again after a crash or
    a time-out; `latency_counts[i]`, requests that took up to `LATENCY_BOUNDS_S[i]` and longer than the bound before,
    so it is one longer than the bounds; `latency_sum_s`, over all of them.
    Of this moment: `in_flight` conversions sent and unanswered, `queued` conversions read and unsent, `lag` records
    unread or unsettled, `oldest_age_s` of the oldest undelivered conversion (0 if none), `concurrency` requests allowed
    at once, `partitions` assigned, `last_commit_ms` since the epoch (0 before the first), `token_read_ms` likewise,
    when the credentials in use were read.
    """

    destination: str
    platform: str
    outcomes: dict[tuple[str, str], int]
    in_flight: int
    queued: int
    parked: bool
    park_reason: str
    breaker: BreakerState
    requests: dict[str, int]
    unknown_codes: dict[str, int]
    latency_counts: list[int]
    latency_sum_s: float
    lag: int
    oldest_age_s: float
    letters: dict[str, int]
    resent: int
    last_commit_ms: int
    concurrency: int
    partitions: int
    token_read_ms: int = 0
