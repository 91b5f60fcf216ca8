"""Snapshots as the roles make them."""

from collections.abc import Callable

import pytest

from consumer.deliver.tally import LATENCY_BOUNDS_S, DestinationSnapshot, Matched
from consumer.enrich.tally import TallySnapshot
from consumer.ledger.tally import Account, LedgerSnapshot
from consumer.rekey.tally import RekeySnapshot

NOW_MS = 1_800_000_000_000


@pytest.fixture
def enrich() -> TallySnapshot:
    """A loop that has seen some of everything."""
    return TallySnapshot(
        read={"orders": 9, "checkouts": 5},
        endings={
            ("orders", "conversion"): 4,
            ("orders", "duplicate"): 2,
            ("orders", "conflict"): 1,
            ("checkouts", "context"): 5,
            ("checkouts", "duplicate"): 3,
        },
        filtered={"unpaid": 2},
        letters={"undecodable": 1},
        conversions={"purchase": 4},
        odd_ids={"shared_id": 2},
        odd_id_examples={"shared_id": "orders:0:7"},
        order_only=1,
        transactions=7,
        aborted=2,
        fenced=1,
        expired=6,
        waiting=3,
        restore_left=11,
        restore_eta_s=2.5,
        active_partitions=4,
        last_commit_ms=NOW_MS - 2_000,
        lag={"orders": 12, "checkouts": 0},
    )


@pytest.fixture
def ledger() -> LedgerSnapshot:
    """A ledger that misses something."""
    accounts = (Account("meta-us", owed=9, delivered=6, missing=2), Account("ga4", owed=5, delivered=5))
    return LedgerSnapshot(accounts, 7, {"capi.receipts": 3})


@pytest.fixture
def rekey() -> RekeySnapshot:
    """A loop that has seen some of everything."""
    return RekeySnapshot(
        topic="orders",
        rekeyed={"checkout": 7, "order": 2, "own": 1},
        letters={"too_large": 1},
        transactions=3,
        aborted=1,
        fenced=1,
        partitions=2,
        last_commit_ms=NOW_MS - 1_000,
        lag=6,
    )


def _destination(
    name: str = "meta-us", platform: str = "meta", *, parked: bool = False
) -> DestinationSnapshot:
    """A destination that has seen some of everything."""
    counts = [0] * (len(LATENCY_BOUNDS_S) + 1)
    counts[3], counts[5], counts[-1] = 4, 2, 1
    return DestinationSnapshot(
        destination=name,
        platform=platform,
        outcomes={("delivered", ""): 40, ("skipped", "consent"): 3, ("rejected", "bad_currency"): 1},
        in_flight=8,
        queued=120,
        parked=parked,
        park_reason="bad token" if parked else "",
        breaker="half_open",
        requests={"accepted": 6, "throttled": 1},
        unknown_codes={"190": 2, "mail of ann@example.com": 1},
        late={"EVENT_TOO_OLD": 3},
        latency_counts=counts,
        latency_sum_s=12.5,
        lag=128,
        oldest_age_s=33.5,
        letters={"rejected": 1},
        resent=2,
        last_commit_ms=NOW_MS - 500,
        concurrency=4,
        partitions=6,
        token_read_ms=NOW_MS - 60_000,
        match={"purchase": Matched(20, {"email": 18, "click_id": 0}, 131.5)},
    )


@pytest.fixture
def destination() -> Callable[..., DestinationSnapshot]:
    """Makes a destination of this name and platform, perhaps parked."""
    return _destination
