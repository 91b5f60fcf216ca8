"""The report as other programs read it: its JSON is fixed. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from consumer.deliver.tally import LATENCY_BOUNDS_S, Matched
from consumer.demo.conservation import violations
from consumer.demo.facts import Counts, Destined, Enriched, Facts
from consumer.emulators.kept import Stats
from consumer.model import Ending, Outcome
from consumer.platforms.contract import Identifier


class OddIds(Struct, frozen=True):
    """So many event ids of one oddity, and the place (topic:partition:offset) of a record with one."""

    count: int
    example: str


class EnrichReport(Struct, frozen=True):
    """Records read by topic, what became of them, the conversions by event, and event ids to look at."""

    read: Counts
    endings: Counts
    conversions: Counts
    order_only: int
    filtered: Counts
    odd_event_ids: Mapping[str, OddIds]


class Latency(Struct, frozen=True):
    """Milliseconds of a request, at the median and at the 99th of a hundred."""

    p50: float
    p99: float


class Match(Struct, frozen=True):
    """Events as they were built: how many were looked at, their mean score, and the share that tells an identifier."""

    events: int
    score: float
    identifiers: Mapping[Identifier, float]


class Emulated(Struct, frozen=True):
    """What the platform holds: events by source; after dedupe purchases and refunds, in count and money."""

    server: int
    pixel: int
    after_dedupe: int
    money: Counts
    refunds: int
    refunds_money: Counts


class DestinationReport(Struct, frozen=True):
    """One destination's account: `owed` is the sum of all up to `missing`."""

    owed: int
    delivered: int
    skipped: Counts
    rejected: int
    expired: int
    unknown: int
    in_flight: int
    missing: int
    requests: int
    latency_ms: Latency
    match: Mapping[str, Match]
    emulator: Emulated


class OracleReport(Struct, frozen=True):
    """What must be, by the shop's truth: by destination what is eligible, and what isn't by its cause."""

    paid_orders: int
    eligible: Counts
    excluded: Mapping[str, Counts]
    money: Mapping[str, Counts]
    refunds: Counts
    refunds_money: Mapping[str, Counts]


class Conservation(Struct, frozen=True):
    """Whether all adds up and agrees, and a sentence for each thing that doesn't."""

    holds: bool
    violations: Sequence[str]


class Report(Struct, frozen=True):
    """All of it."""

    seed: int
    broker: str
    enrich: EnrichReport
    destinations: Mapping[str, DestinationReport]
    oracle: OracleReport
    conservation: Conservation


def report(facts: Facts) -> Report:
    """Make it of the facts."""
    found = list(violations(facts))
    return Report(
        seed=facts.run.seed,
        broker=facts.run.broker,
        enrich=_enrich(facts.enriched),
        destinations={name: _destination(each) for name, each in facts.destinations.items()},
        oracle=_oracle(facts.destinations),
        conservation=Conservation(not found, found),
    )


def _enrich(enriched: Enriched) -> EnrichReport:
    endings = dict.fromkeys((ending.value for ending in Ending), 0)
    for (_, ending), count in enriched.endings.items():
        endings[ending] += count
    return EnrichReport(
        read=enriched.read,
        endings=endings,
        conversions=_sorted(enriched.conversions),
        order_only=enriched.order_only,
        filtered=_sorted(enriched.filtered),
        odd_event_ids={
            kind: OddIds(count, enriched.odd_id_examples.get(kind, ""))
            for kind, count in sorted(enriched.odd_ids.items())
        },
    )


def _destination(of: Destined) -> DestinationReport:
    deliveries = of.deliveries
    outcomes = {outcome: deliveries.outcomes.get(outcome.value, 0) for outcome in Outcome}
    return DestinationReport(
        owed=deliveries.owed,
        delivered=outcomes[Outcome.DELIVERED],
        skipped=_sorted(deliveries.skipped),
        rejected=outcomes[Outcome.REJECTED],
        expired=outcomes[Outcome.EXPIRED],
        unknown=outcomes[Outcome.UNKNOWN],
        in_flight=deliveries.in_flight,
        missing=deliveries.missing,
        requests=sum(of.counted.requests.values()),
        latency_ms=latency(of.counted.latency_counts),
        match={event: matched(counted) for event, counted in sorted(of.counted.match.items())},
        emulator=_emulated(of.stats),
    )


def _emulated(stats: Stats) -> Emulated:
    return Emulated(
        server=stats.server,
        pixel=stats.pixel,
        after_dedupe=stats.after_dedupe,
        money=_sorted(stats.money),
        refunds=stats.refunds,
        refunds_money=_sorted(stats.refunds_money),
    )


def _oracle(destinations: Mapping[str, Destined]) -> OracleReport:
    wanted = {name: each.wanted for name, each in destinations.items()}
    return OracleReport(
        paid_orders=next((each.paid.count for each in wanted.values()), 0),
        eligible={name: each.eligible.count for name, each in wanted.items()},
        excluded={
            name: _sorted({cause: worth.count for cause, worth in each.excluded.items()})
            for name, each in wanted.items()
        },
        money={name: _sorted(each.eligible.money) for name, each in wanted.items()},
        refunds={name: each.refunds.count for name, each in wanted.items()},
        refunds_money={name: _sorted(each.refunds.money) for name, each in wanted.items()},
    )


def matched(of: Matched) -> Match:
    """Shares and the mean, of one event."""
    shares = {name: round(count / of.events, 4) for name, count in of.identifiers.items()}
    return Match(of.events, round(of.score / of.events, 2), shares)


def latency(counts: Sequence[int]) -> Latency:
    """Percentiles of a histogram over `LATENCY_BOUNDS_S`, as if requests were spread evenly within each bucket."""
    return Latency(_percentile_ms(counts, 0.5), _percentile_ms(counts, 0.99))


def _percentile_ms(counts: Sequence[int], share: float) -> float:
    """Of what is slower than the last bound only that is known: the bound."""
    left = share * sum(counts)
    below_s = 0.0
    for bound_s, count in zip(LATENCY_BOUNDS_S, counts, strict=False):
        if count and left <= count:
            return round(1000 * (below_s + (bound_s - below_s) * left / count), 1)
        left -= count
        below_s = bound_s
    return round(1000 * below_s, 1) if any(counts) else 0.0


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(_nonzero(counts)))


def _nonzero(counts: Mapping[str, int]) -> Iterable[tuple[str, int]]:
    return ((key, count) for key, count in counts.items() if count)
