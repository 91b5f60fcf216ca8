"""The page: what it names is what the catalogue documents, and its numbers are those of the snapshots."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from consumer.deliver.tally import LATENCY_BOUNDS_S, DestinationSnapshot
from consumer.enrich.tally import TallySnapshot
from consumer.ledger.tally import LedgerSnapshot
from consumer.rekey.tally import RekeySnapshot
from consumer.settings import Settings
from consumer.telemetry.catalogue import CATALOGUE
from consumer.telemetry.metrics import Metrics
from consumer.telemetry.readings import readings

Make = Callable[..., DestinationSnapshot]
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
NOW_MS = 1_800_000_000_000


class StandingClock:
    """Time stands, so that ages are exact."""

    def now_ms(self) -> int:
        """The moment of the snapshots."""
        return NOW_MS

    def monotonic_s(self) -> float:
        """The same, in seconds."""
        return NOW_MS / 1000


def page_of(
    enrich: TallySnapshot | None,
    *destinations: DestinationSnapshot,
    rekey: RekeySnapshot | None = None,
    ledger: LedgerSnapshot | None = None,
) -> str:
    """The page of a process with these roles."""
    metrics = Metrics(
        Settings(instance_id="a"),
        enrich=(lambda: enrich) if enrich is not None else None,
        destinations=lambda: destinations,
        rekey=(lambda: rekey) if rekey is not None else None,
        ledger=(lambda: ledger) if ledger is not None else None,
        clock=StandingClock(),
    )
    try:
        return metrics.page().decode()
    finally:
        metrics.close()


def samples(page: str) -> Samples:
    """Every sample by name and labels."""
    families = text_string_to_metric_families(page)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def test_the_catalogue_is_the_page(
    enrich: TallySnapshot, rekey: RekeySnapshot, ledger: LedgerSnapshot, destination: Make
) -> None:
    """Names, types, labels and sentences exposed are exactly those of the catalogue."""
    exposed = {}
    page = page_of(enrich, destination(), rekey=rekey, ledger=ledger)
    for family in text_string_to_metric_families(page):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {frozenset(sample.labels) - {"le"} for sample in family.samples}
        exposed[name] = (family.type, labels, family.documentation)
    assert exposed == {m.name: (m.kind, {frozenset(m.labels)}, m.says) for m in CATALOGUE}


def test_the_page_has_no_noise(enrich: TallySnapshot, destination: Make) -> None:
    """Nothing of the SDK's own shows."""
    page = page_of(enrich, destination())
    assert "capi_records_total{" in page
    assert [noise for noise in ("otel_", "target_info", "_total_total", "_created") if noise in page] == []


def test_the_numbers_are_those_of_the_snapshots(enrich: TallySnapshot, destination: Make) -> None:
    """Each reading arrives under its labels."""
    found = samples(page_of(enrich, destination(), destination("ga4", "ga4", parked=True)))

    def at(name: str, **labels: str) -> float:
        return found[f"capi_{name}", tuple(sorted(labels.items()))]

    assert at("records_total", topic="orders", ending="conversion") == 4
    assert [at("duplicates_total", kind=kind) for kind in ("duplicate", "conflict", "reread")] == [5, 1, 0]
    assert [at("transactions_total", result=result) for result in ("committed", "aborted")] == [7, 2]
    assert at("consumer_lag_records", group="capi.enrich", topic="orders") == 12
    assert at("consumer_lag_records", group="capi.deliver.ga4", topic="capi.conversions") == 128
    assert at("last_commit_age_seconds", group="capi.enrich") == 2
    assert (at("restore_left_records"), at("restore_eta_seconds")) == (11, 2.5)
    assert at("token_age_seconds", destination="meta-us") == 60
    assert at("deliveries_total", destination="meta-us", outcome="skipped", reason="consent") == 3
    assert [at("parked", destination=name) for name in ("meta-us", "ga4")] == [0, 1]
    assert at("breaker_state", destination="ga4", state="half_open") == 1
    assert at("breaker_state", destination="ga4", state="open") == 0
    of = {"destination": "ga4", "event": "purchase"}
    assert (at("match_events_total", **of), at("match_score_total", **of)) == (20, 131.5)
    told = [at("match_identifiers_total", **of, identifier=each) for each in ("email", "click_id")]
    assert told == [18, 0]
    assert at("letters_total", topic="capi.dlq.meta", reason="rejected") == 1
    assert at("letters_total", topic="capi.dlq.meta", reason="expired") == 0


def test_a_pace_that_nobody_knows_is_not_told(enrich: TallySnapshot) -> None:
    """As long as a restore has no pace there is no ETA on the page, and what is left is there."""
    found = samples(page_of(replace(enrich, restore_eta_s=None)))
    assert ("capi_restore_eta_seconds", ()) not in found
    assert found["capi_restore_left_records", ()] == 11


def test_rekey_and_enrich_add_up(enrich: TallySnapshot, rekey: RekeySnapshot) -> None:
    """What both roles of a process count under one name adds up; what is of one group bears its name."""
    made = readings("capi", enrich, (), NOW_MS, rekey)
    assert made["capi_rekeyed_total"] == {("checkout",): 7, ("order",): 2, ("own",): 1}
    assert made["capi_transactions_total"] == {("committed",): 10, ("aborted",): 3}
    assert made["capi_fencings_total"][()] == 2
    assert made["capi_letters_total"]["capi.dlq.ingest", "too_large"] == 1
    assert made["capi_consumer_lag_records"]["capi.rekey", "orders"] == 6
    assert made["capi_active_partitions"] == {("capi.enrich",): 4, ("capi.rekey",): 2}


def test_what_the_ledger_misses_is_told_by_destination(ledger: LedgerSnapshot) -> None:
    """Also where nothing is missing, or nobody could tell that from a ledger that isn't there."""
    made = readings("capi", None, (), NOW_MS, ledger=ledger)
    assert made["capi_owed"] == {("meta-us",): 9, ("ga4",): 5}
    assert made["capi_missing"] == {("meta-us",): 2, ("ga4",): 0}
    assert made["capi_consumer_lag_records"] == {("capi.ledger", "capi.receipts"): 3}
    assert made["capi_active_partitions"] == {("capi.ledger",): 7}


def test_latencies_are_a_histogram(destination: Make) -> None:
    """Buckets add up, the last one is the count, and the sum is the lane's."""
    found = samples(page_of(None, destination()))
    bounds = [*(str(bound) for bound in LATENCY_BOUNDS_S), "+Inf"]
    buckets = [
        found["capi_request_seconds_bucket", (("destination", "meta-us"), ("le", bound))] for bound in bounds
    ]
    assert buckets == [0, 0, 0, 4, 4, 6, 6, 6, 6, 6, 6, 6, 6, 6, 7]
    of_it = (("destination", "meta-us"),)
    assert (found["capi_request_seconds_count", of_it], found["capi_request_seconds_sum", of_it]) == (7, 12.5)


def test_a_scrape_sees_what_came_since_the_last(destination: Make) -> None:
    """Two scrapes of the same second tell different numbers, if the lane went on."""
    destinations = [destination("a")]
    metrics = Metrics(
        Settings(instance_id="a"), enrich=None, destinations=lambda: destinations, clock=StandingClock()
    )
    before = samples(metrics.page().decode())
    destinations.append(destination("b"))
    after = samples(metrics.page().decode())
    metrics.close()
    assert ("capi_in_flight", (("destination", "b"),)) in after.keys() - before.keys()


def test_one_page_takes_one_snapshot(enrich: TallySnapshot) -> None:
    """All metrics of a page are of one moment, or they would not add up."""
    taken: list[int] = []

    def source() -> TallySnapshot:
        taken.append(1)
        return enrich

    metrics = Metrics(
        Settings(instance_id="a"), enrich=source, destinations=lambda: (), clock=StandingClock()
    )
    metrics.page()
    metrics.close()
    assert len(taken) == 1


def test_accounts_of_one_platform_share_its_letters(destination: Make) -> None:
    """Two destinations of a platform write to one topic: their letters add up."""
    made = readings("capi", None, [destination("meta-us"), destination("meta-eu")], NOW_MS)
    assert made["capi_letters_total"]["capi.dlq.meta", "rejected"] == 2


@pytest.mark.parametrize("code", ["mail of ann@example.com", "x" * 65, ""])
def test_odd_codes_go_by_other(destination: Make, code: str) -> None:
    """What a platform wrote freely becomes no label."""
    at = replace(destination(), unknown_codes={"190": 2, code: 1})
    made = readings("capi", None, [at], NOW_MS)["capi_unknown_codes_total"]
    assert made == {("meta-us", "190"): 2, ("meta-us", "other"): 1}


def test_codes_are_bounded(destination: Make) -> None:
    """However many codes a platform invents, the labels stay few and nothing is uncounted."""
    at = replace(destination(), unknown_codes={str(code): 1 for code in range(500)})
    codes = readings("capi", None, [at], NOW_MS)["capi_unknown_codes_total"]
    assert (len(codes), sum(codes.values())) == (51, 500)


def test_a_process_without_enrich_has_none_of_its_metrics(destination: Make) -> None:
    """A deliver-only process tells nothing about waiting orders."""
    page = page_of(None, destination())
    assert "capi_in_flight{" in page
    assert "capi_waiting_orders " not in page
