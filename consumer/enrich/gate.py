"""What counts as bought, and when. Everything here is decided from an order's head alone."""

from consumer.enrich.planned import Filtered, Refused
from consumer.enrich.rules import FUTURE_MAX_MS, Rules
from consumer.model import OrderHead
from consumer.money import exponent

STATES = frozenset(
    {
        *("pending", "authorized", "partially_paid", "paid", "fulfilled", "partially_fulfilled", "shipped"),
        *("delivered", "completed", "cancelled", "refunded", "partially_refunded", "voided", "expired"),
        *("failed", "on_hold", "draft"),
    }
)
"""States that have a filter reason of their own; all others share `state_other`, so that reasons stay few."""

NO_CURRENCY = Refused("no_currency", "currency is empty or no ISO 4217 code")


def gate(head: OrderHead, stream_ms: int, now_ms: int, rules: Rules) -> Filtered | Refused | None:
    """Why the order is no purchase now; None if it is one.

    `stream_ms` is the stream time of orders. What is older than the dedupe window is filtered before anyone looks for
    its event id: the entry may have expired.
    """
    if head.status.upper() not in rules.purchase_states:
        return Filtered(state_reason(head.status))
    if head.paid_at_ms <= 0:
        return Refused("no_paid_at", f"status {state_reason(head.status)} without paid_at")
    if head.paid_at_ms > now_ms + FUTURE_MAX_MS:
        return Refused("future_time", "paid_at lies in the future")
    if exponent(head.currency) is None:
        return NO_CURRENCY
    if head.paid_at_ms < stream_ms - rules.dedupe_window_ms:
        return Filtered("too_old")
    return None


def state_reason(status: str) -> str:
    """The filter reason of a state.

    >>> state_reason("PENDING"), state_reason("In Review")
    ('state_pending', 'state_other')
    """
    state = status.lower()
    return f"state_{state}" if state in STATES else "state_other"
