"""What a fate means, and what to do next: one sentence each, for people."""

from collections.abc import Mapping
from enum import StrEnum

from consumer.deadletter.reasons import REASONS
from consumer.model import Outcome


class Fate(StrEnum):
    """What became of a delivery that has no receipt."""

    PUT_ASIDE = "put_aside"
    IN_FLIGHT = "in_flight"
    NOT_OWED = "not_owed"
    MISSING = "missing"
    NOT_SETTLED = "not_settled"


_FATES: Mapping[str, str] = {
    Fate.PUT_ASIDE: "Nothing: it lies in the topic `later` and is tried again when it is due.",
    Fate.IN_FLIGHT: "Wait; if it stays so, see with `capi offsets show` how far behind the destination is, and at its "
    "/health/status if it is parked.",
    Fate.NOT_OWED: "Nothing: it is older than the destination's own start.",
    Fate.MISSING: "Keep the topics as they are and tell those who maintain this product: this must not happen.",
    Fate.NOT_SETTLED: "Ask again while a ledger runs (`capi run --role ledger`): only it knows how far groups are.",
}
_SKIPS: Mapping[str, str] = {
    "consent": "Nothing: the customer did not allow it, and it must not be sent.",
    "sale_opt_out": "Nothing: the customer opted out of sale, and the platform has no field for that.",
    "not_wanted": "Nothing, unless the destination is to have this event: then add it to its `events`.",
    "when": "Nothing, unless the destination's condition `when` is wrong: then mend it.",
    "too_old": "Nothing can send it: it was older than the platform takes before the destination could have it.",
}
_INCOMPLETE = "Have the shop collect what the reason names: the platform demands it."
_NO_EVENT = "Nothing: the platform has no such event."
_LATE = "Look the reason up at the platform: it took the event, and found this fault afterwards."
_DELIVERED = "Nothing: the platform took it. What it shows is in its own reports."


def advice(fate: str, reason: str, *, late: bool = False) -> str:
    """What to do next about a delivery.

    >>> advice("delivered", "")
    'Nothing: the platform took it. What it shows is in its own reports.'
    >>> advice("skipped", "no_refund")
    'Nothing: the platform has no such event.'
    """
    if late:
        return _LATE
    if fate == Outcome.DELIVERED:
        return _DELIVERED
    if fate == Outcome.SKIPPED:
        return _NO_EVENT if reason in _NO_EVENTS else _SKIPS.get(reason, _INCOMPLETE)
    if fate in _FATES:
        return _FATES[fate]
    known = REASONS.get(reason) or REASONS.get(fate)
    return (
        known.advice if known is not None else "Read the release notes: this build doesn't know this outcome."
    )


_NO_EVENTS = frozenset({"no_purchase", "no_refund", "no_begin_checkout", "no_add_payment_info"})

_ENDINGS: Mapping[str, str] = {
    "conversion": "",
    "duplicate": "Nothing: it told what was told before.",
    "conflict": "See why the shop told the same event with other content: the first one counts.",
    "reread": "Nothing: the same record was read again.",
    "filtered": "Nothing, if the reason is right; else look at gate and state settings.",
    "context": "",
    "tombstone": "Nothing: the shop deleted the order's record.",
}


def ending_advice(ending: str, reason: str) -> str:
    """What to do next about a record of an order.

    >>> ending_advice("letter", "no_currency")[:20]
    'Publish the currency'
    """
    if ending == "letter" and reason in REASONS:
        return REASONS[reason].advice
    return _ENDINGS.get(ending, "")
