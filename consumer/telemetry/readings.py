"""Snapshots become readings: a pure function from what the roles tallied to what is exposed."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from consumer.deadletter.reasons import REASONS, Stage
from consumer.deliver.tally import DestinationSnapshot, Matched
from consumer.enrich.tally import TallySnapshot
from consumer.ledger.tally import LedgerSnapshot
from consumer.rekey.tally import RekeySnapshot

Labels: TypeAlias = tuple[str, ...]
Readings: TypeAlias = Mapping[str, Mapping[Labels, float]]
"""By metric's name, then by its labels' values in the catalogue's order. Histograms are not among them."""

_DUPLICATES = ("duplicate", "conflict", "reread")
_BREAKER = ("closed", "open", "half_open")
_CODE = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")
_CODES_MAX = 50
_Found: TypeAlias = Iterable[tuple[str, Labels, float]]


def readings(
    prefix: str,
    enrich: TallySnapshot | None,
    destinations: Sequence[DestinationSnapshot],
    now_ms: int,
    rekey: RekeySnapshot | None = None,
    ledger: LedgerSnapshot | None = None,
) -> Readings:
    """Every reading of a process with these roles. Equal labels add up: two accounts share a platform's letters."""
    made: defaultdict[str, defaultdict[Labels, float]] = defaultdict(lambda: defaultdict(float))
    found = [_enrich(prefix, enrich, now_ms)] if enrich is not None else []
    found += [_rekey(prefix, rekey, now_ms)] if rekey is not None else []
    found += [_ledger(prefix, ledger)] if ledger is not None else []
    found += [_destination(prefix, destination, now_ms) for destination in destinations]
    for some in found:
        for name, labels, value in some:
            made[name][labels] += value
    return made


def _rekey(prefix: str, at: RekeySnapshot, now_ms: int) -> _Found:
    group = f"{prefix}.rekey"
    yield from _by("capi_rekeyed_total", at.rekeyed)
    for reason, count in at.letters.items():
        yield "capi_letters_total", (f"{prefix}.dlq.ingest", reason), count
    yield "capi_transactions_total", ("committed",), at.transactions
    yield "capi_transactions_total", ("aborted",), at.aborted
    yield "capi_fencings_total", (), at.fenced
    yield "capi_active_partitions", (group,), at.partitions
    yield "capi_consumer_lag_records", (group, at.topic), at.lag
    yield from _age("capi_last_commit_age_seconds", group, at.last_commit_ms, now_ms)


def _enrich(prefix: str, at: TallySnapshot, now_ms: int) -> _Found:
    group = f"{prefix}.enrich"
    for (topic, ending), count in at.endings.items():
        yield "capi_records_total", (topic, ending), count
    for kind in _DUPLICATES:
        count = sum(some for (_, ending), some in at.endings.items() if ending == kind)
        yield "capi_duplicates_total", (kind,), count
    yield from _by("capi_filtered_total", at.filtered)
    yield from _by("capi_odd_event_ids_total", at.odd_ids)
    yield from _by("capi_conversions_total", at.conversions)
    yield from _letters(f"{prefix}.dlq.ingest", at.letters, "ingest")
    yield "capi_order_only_total", (), at.order_only
    yield "capi_waiting_orders", (), at.waiting
    yield "capi_state_expired_total", (), at.expired
    yield "capi_restore_left_records", (), at.restore_left
    if at.restore_eta_s is not None:
        yield "capi_restore_eta_seconds", (), at.restore_eta_s
    yield "capi_transactions_total", ("committed",), at.transactions
    yield "capi_transactions_total", ("aborted",), at.aborted
    yield "capi_fencings_total", (), at.fenced
    yield "capi_active_partitions", (group,), at.active_partitions
    for topic, lag in at.lag.items():
        yield "capi_consumer_lag_records", (group, topic), lag
    yield from _age("capi_last_commit_age_seconds", group, at.last_commit_ms, now_ms)


def _destination(prefix: str, at: DestinationSnapshot, now_ms: int) -> _Found:
    name, group = at.destination, f"{prefix}.deliver.{at.destination}"
    for (outcome, reason), count in at.outcomes.items():
        yield "capi_deliveries_total", (name, outcome, reason), count
    for verdict, count in at.requests.items():
        yield "capi_requests_total", (name, verdict), count
    for code, count in _bounded(at.unknown_codes):
        yield "capi_unknown_codes_total", (name, code), count
    for reason, count in _bounded(at.late):
        yield "capi_late_faults_total", (name, reason), count
    yield "capi_undiagnosed", (name,), at.undiagnosed
    yield from _match(name, at.match)
    yield from _letters(f"{prefix}.dlq.{at.platform}", at.letters, "deliver")
    yield "capi_in_flight", (name,), at.in_flight
    yield "capi_queued", (name,), at.queued
    yield "capi_parked", (name,), at.parked
    for state in _BREAKER:
        yield "capi_breaker_state", (name, state), at.breaker == state
    yield "capi_concurrency_requests", (name,), at.concurrency
    yield "capi_resent_total", (name,), at.resent
    yield "capi_deferred_total", (name,), at.deferred
    yield "capi_oldest_undelivered_age_seconds", (name,), at.oldest_age_s
    yield "capi_active_partitions", (group,), at.partitions
    yield "capi_consumer_lag_records", (group, f"{prefix}.conversions"), at.lag
    yield from _age("capi_last_commit_age_seconds", group, at.last_commit_ms, now_ms)
    yield from _age("capi_token_age_seconds", name, at.token_read_ms, now_ms)


def _ledger(prefix: str, at: LedgerSnapshot) -> _Found:
    group = f"{prefix}.ledger"
    for account in at.accounts:
        yield "capi_owed", (account.destination,), account.owed
        yield "capi_missing", (account.destination,), account.missing
    yield "capi_active_partitions", (group,), at.partitions
    for topic, lag in at.lag.items():
        yield "capi_consumer_lag_records", (group, topic), lag


def _match(name: str, at: Mapping[str, Matched]) -> _Found:
    for event, matched in at.items():
        yield "capi_match_events_total", (name, event), matched.events
        yield "capi_match_score_total", (name, event), matched.score
        for identifier, count in matched.identifiers.items():
            yield "capi_match_identifiers_total", (name, event, identifier), count


def _by(metric: str, counts: Mapping[str, int]) -> _Found:
    for label, count in counts.items():
        yield metric, (label,), count


def _letters(topic: str, counts: Mapping[str, int], stage: Stage) -> _Found:
    """The usual reasons are there from the start at 0, or the first letter would be no increase to an alert."""
    usual = {name: 0 for name, reason in REASONS.items() if reason.stage == stage}
    for reason, count in {**usual, **counts}.items():
        yield "capi_letters_total", (topic, reason), count


def _age(metric: str, label: str, then_ms: int, now_ms: int) -> _Found:
    """Nothing, as long as it has not happened."""
    if then_ms:
        yield metric, (label,), max(0, now_ms - then_ms) / 1000


def _bounded(codes: Mapping[str, int]) -> Iterable[tuple[str, int]]:
    """A platform writes its codes itself: odd ones, and those beyond the first so many, go by `other`."""
    for place, (code, count) in enumerate(codes.items()):
        yield (code if place < _CODES_MAX and _CODE.fullmatch(code) else "other"), count
