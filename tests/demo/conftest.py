"""A run whose books balance, as facts: made of a small shop's own truth, so that tests can unbalance it."""

from collections import Counter

import pytest

from consumer.deliver.tally import LATENCY_BOUNDS_S, DestinationTally
from consumer.demo.facts import Destined, Enriched, Facts, Run, Stored
from consumer.demo.readback import Deliveries
from consumer.emulators.kept import Count, Stats
from consumer.emulators.oracle import Held, expected
from consumer.emulators.shop import Plan, Truth, traffic

SEED = 5
ORDERS = 120
SKIPPED = 7
REJECTED = 3


def _meta(truths: list[Truth]) -> Destined:
    """Delivered is all that is eligible; a few more were skipped and rejected."""
    wanted = expected(truths, "meta")
    delivered = {event: len(ids) for event, ids in wanted.events.items()}
    total = sum(delivered.values())
    tally = DestinationTally("meta", "meta")
    tally.outcomes.update({("delivered", ""): total, ("skipped", "consent"): SKIPPED})
    tally.outcomes.update({("rejected", "rejected"): REJECTED})
    for event in (b'{"em":1,"ph":1}', b'{"em":1,"ph":1}', b'{"ph":1}'):
        tally.match.built("purchase", event, {"email": b'"em":', "phone": b'"ph":'})
    tally.requests.update(accepted=9, rejected=2)
    tally.latency_counts = [0, 0, 0, 9, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1]
    assert len(tally.latency_counts) == len(LATENCY_BOUNDS_S) + 1
    return Destined(
        platform="meta",
        deliveries=Deliveries(
            owed=total + SKIPPED + REJECTED,
            outcomes={"delivered": total, "skipped": SKIPPED, "rejected": REJECTED},
            skipped={"consent": SKIPPED},
            delivered=delivered,
            in_flight=0,
            missing=0,
            repeated=0,
            strays=0,
        ),
        counted=tally.snapshot(),
        stats=Stats(
            server=total,
            pixel=total // 2,
            after_dedupe=wanted.eligible.count,
            money=dict(wanted.eligible.money),
            refunds=0,
            refunds_money={},
            requests=11,
            rejected_requests=2,
            events={"Purchase": Count(server=total, pixel=total // 2, after_dedupe=total)},
            server_repeats=0,
        ),
        held=Held(wanted.events, wanted.eligible, wanted.refunds),
        wanted=wanted,
    )


@pytest.fixture(scope="session")
def facts() -> Facts:
    """Facts of a run in which all is well."""
    plan = Plan(seed=SEED, orders=ORDERS, now_ms=1_795_000_000_000)
    meta = _meta([told for told in traffic(plan) if isinstance(told, Truth)])
    conversions = Counter(meta.deliveries.delivered) + Counter(purchase=SKIPPED + REJECTED)
    steps = conversions["begin_checkout"] + conversions["add_payment_info"]
    return Facts(
        run=Run(SEED, ORDERS, "127.0.0.1:9092", 5, 12.3),
        published={"orders": conversions["purchase"] + 43, "checkouts": steps + 300},
        enriched=Enriched(
            read={"orders": conversions["purchase"] + 43, "checkouts": steps + 300},
            endings={
                ("orders", "conversion"): conversions["purchase"],
                ("orders", "filtered"): 40,
                ("orders", "letter"): 3,
                ("checkouts", "conversion"): steps,
                ("checkouts", "context"): 300,
            },
            filtered={"state_pending": 40},
            letters={"undecodable": 3},
            conversions=conversions,
            order_only=4,
            odd_ids={"own_id": 2},
            odd_id_examples={"own_id": "orders:3:14"},
        ),
        stored=Stored(
            inputs={"orders": conversions["purchase"] + 43, "checkouts": steps + 300},
            endings={"conversion": conversions["purchase"], "filtered": 40, "letter": 3},
            conversions=conversions,
            order_only=4,
            letters={"ingest": 3, "meta": REJECTED},
        ),
        destinations={"meta": meta},
    )
