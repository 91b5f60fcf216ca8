"""Every metric: what a dashboard, an alert or the documentation may name."""

from typing import Literal, TypeAlias

from msgspec import Struct

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]


class Metric(Struct, frozen=True):
    """A metric as it is exposed; counters count since the process began."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    says: str


LATENCY = Metric(
    "capi_request_seconds", "histogram", ("destination",), "Seconds from a request's first byte to its reply."
)

CATALOGUE: tuple[Metric, ...] = (
    Metric("capi_build_info", "gauge", ("version",), "1; the label says which version runs."),
    Metric(
        "capi_rekeyed_total",
        "counter",
        ("key",),
        "Orders written on, keyed by their checkout, by their own id (order), or as they were (own).",
    ),
    Metric("capi_records_total", "counter", ("topic", "ending"), "Records of the shop by how they ended."),
    Metric("capi_filtered_total", "counter", ("reason",), "Records that are no conversion, by why."),
    Metric("capi_conversions_total", "counter", ("event",), "Conversions written, by event."),
    Metric("capi_order_only_total", "counter", (), "Conversions whose checkout did not come in time."),
    Metric(
        "capi_duplicates_total", "counter", ("kind",), "Records seen before: duplicate, conflict or reread."
    ),
    Metric(
        "capi_odd_event_ids_total",
        "counter",
        ("kind",),
        "Event ids to look at: shared_id (of several orders), second_id (of one order), own_id (not by the rule).",
    ),
    Metric("capi_waiting_orders", "gauge", (), "Orders that wait for their checkout."),
    Metric("capi_state_expired_total", "counter", (), "Entries of state whose time was over."),
    Metric("capi_restore_left_records", "gauge", (), "Records of the changelog still to be read back."),
    Metric("capi_restore_eta_seconds", "gauge", (), "Time until they are, at the pace so far."),
    Metric(
        "capi_transactions_total",
        "counter",
        ("result",),
        "Transactions of rekey and enrich: committed or aborted.",
    ),
    Metric("capi_fencings_total", "counter", (), "Times that another process took over this instance's id."),
    Metric("capi_letters_total", "counter", ("topic", "reason"), "Letters written."),
    Metric("capi_active_partitions", "gauge", ("group",), "Partitions that this process works on."),
    Metric("capi_consumer_lag_records", "gauge", ("group", "topic"), "Records not yet read or not settled."),
    Metric("capi_last_commit_age_seconds", "gauge", ("group",), "Time since offsets were last committed."),
    Metric(
        "capi_deliveries_total",
        "counter",
        ("destination", "outcome", "reason"),
        "Deliveries by how they ended.",
    ),
    Metric("capi_in_flight", "gauge", ("destination",), "Conversions read and not settled."),
    Metric("capi_queued", "gauge", ("destination",), "Conversions read that no request holds."),
    Metric(
        "capi_oldest_undelivered_age_seconds",
        "gauge",
        ("destination",),
        "Age of the oldest undelivered conversion.",
    ),
    Metric("capi_parked", "gauge", ("destination",), "1 while a set-up fault stops the destination."),
    Metric(
        "capi_breaker_state",
        "gauge",
        ("destination", "state"),
        "1 at the state that the breaker is in, 0 at others.",
    ),
    Metric("capi_concurrency_requests", "gauge", ("destination",), "Requests now allowed at once."),
    Metric(
        "capi_requests_total", "counter", ("destination", "verdict"), "Requests by what their reply meant."
    ),
    Metric(
        "capi_unknown_codes_total",
        "counter",
        ("destination", "code"),
        "Replies with a code that is not in our table.",
    ),
    Metric(
        "capi_resent_total", "counter", ("destination",), "Conversions sent again after an unknown outcome."
    ),
    Metric("capi_deferred_total", "counter", ("destination",), "Times that a conversion was put aside."),
    Metric(
        "capi_late_faults_total",
        "counter",
        ("destination", "reason"),
        "Events found at fault by the platform after it had accepted them.",
    ),
    Metric("capi_undiagnosed", "gauge", ("destination",), "Accepted events that may yet be found at fault."),
    Metric("capi_owed", "gauge", ("destination",), "Conversions that the ledger says a destination is owed."),
    Metric(
        "capi_missing",
        "gauge",
        ("destination",),
        "Of these, below the committed offset and without an outcome: must be 0.",
    ),
    Metric(
        "capi_match_events_total", "counter", ("destination", "event"), "Events looked at for identifiers."
    ),
    Metric(
        "capi_match_identifiers_total",
        "counter",
        ("destination", "event", "identifier"),
        "Events looked at that tell the identifier.",
    ),
    Metric(
        "capi_match_score_total",
        "counter",
        ("destination", "event"),
        "Sum of the predicted scores, 0 to 10, of events looked at.",
    ),
    Metric(
        "capi_token_age_seconds", "gauge", ("destination",), "Time since the credentials in use were read."
    ),
    Metric(
        "capi_log_keys_dropped_total", "counter", (), "Keys of log lines that are not on the list of keys."
    ),
    LATENCY,
)
