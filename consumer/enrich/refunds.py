"""What of a paid order was given back: each refund once, and a cancellation as the last of them.

A refund is named by its own id or, if the shop has none, by all that was refunded up to it. A cancelled order gives
back what isn't refunded yet, under the name `cancel`; a refund told after that was in it.
"""

from collections.abc import Iterable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from consumer.enrich.dedupe import Claim, again, claim_id, subject_of, worth_of
from consumer.enrich.memory import Memory
from consumer.enrich.planned import Filtered, Planned, Repeated
from consumer.enrich.rules import FUTURE_MAX_MS, Rules
from consumer.model import EventName, Order, OrderHead, Origin, Refund

CANCEL = "cancel"


class Named(Struct, frozen=True):
    """A refund with the id that its event is named by, and what was refunded up to it, itself included."""

    refund: Refund
    total_minor: int


class Refunds(Struct, frozen=True):
    """Those to tell now, and what else became of the order's others."""

    due: tuple[Refund, ...] = ()
    others: tuple[Planned, ...] = ()


NOTHING = Refunds()


def is_cancelled(head: OrderHead, rules: Rules) -> bool:
    """Whether a paid order was taken back as a whole."""
    return head.paid_at_ms > 0 and head.status in rules.cancelled_states


def refund_id(order_id: str, refund: Refund) -> str:
    """The event id of a refund that has its name."""
    return f"refund:{order_id}:{refund.refund_id}"


def refunds(order: Order, origin: Origin, memory: Memory, now_ms: int, rules: Rules) -> Refunds:
    """Sort the order's refunds. Nothing is remembered yet: `claim_refunds` does, once they are told."""
    is_whole = is_cancelled(order.head, rules)
    if not order.refunds and not is_whole:
        return NOTHING
    due: list[Refund] = []
    others: list[Planned] = []
    cancelled = memory.claim(_claim_id(order.head, Refund(CANCEL, 0, 0))) is not None
    all_named = list(_named(order, cancelled=is_whole))
    order_minor = _given_back_minor(all_named, order.head)
    for named in all_named:
        planned = _judged(named, order, origin, memory, now_ms, rules, cancelled=cancelled)
        if planned is None:
            due.append(replace(named.refund, order_minor=order_minor))
        else:
            others.append(planned)
    return Refunds(tuple(due), tuple(others))


def _named(order: Order, *, cancelled: bool) -> Iterator[Named]:
    head, total_minor = order.head, 0
    seen: set[str] = set()
    for refund in order.refunds:
        if refund.refund_id and refund.refund_id in seen:
            continue
        seen.add(refund.refund_id)
        total_minor += refund.amount_minor
        yield Named(replace(refund, refund_id=refund.refund_id or str(total_minor)), total_minor)
    if cancelled:
        rest_minor = head.grand_total_minor - total_minor
        items = () if order.refunds else order.items
        yield Named(Refund(CANCEL, head.updated_at_ms, max(0, rest_minor), items), head.grand_total_minor)


def _given_back_minor(all_named: Iterable[Named], head: OrderHead) -> int:
    """All that the order tells of, but for refunds that are too large.

    The same for each of its refunds, so that it is no matter which of them a platform hears of last.
    """
    totals = (named.total_minor for named in all_named)
    return max((total for total in totals if total <= head.grand_total_minor), default=0)


def _judged(
    named: Named,
    order: Order,
    origin: Origin,
    memory: Memory,
    now_ms: int,
    rules: Rules,
    *,
    cancelled: bool,
) -> Planned | None:
    """Why a refund isn't told now; None if it is."""
    refund, head = named.refund, order.head
    claim = memory.claim(_claim_id(head, refund))
    if claim is not None:
        return Repeated(again(claim, origin, _worth(order, refund)), (refund_id(head.order_id, refund),))
    if cancelled or refund.amount_minor == 0:
        return Filtered("already_refunded" if cancelled or refund.refund_id == CANCEL else "nothing_refunded")
    if named.total_minor > head.grand_total_minor:
        return Filtered("refund_too_large")
    if refund.at_ms > now_ms + FUTURE_MAX_MS:
        return Filtered("future_refund")
    if refund.at_ms < memory.time.of("orders") - rules.dedupe_window_ms:
        return Filtered("too_old")
    return None


def claim_refunds(
    order: Order, due: tuple[Refund, ...], origin: Origin, memory: Memory, rules: Rules
) -> None:
    """Remember that these were told."""
    for refund in due:
        told = Claim(
            origin.topic,
            origin.partition,
            origin.offset,
            _worth(order, refund),
            subject=subject_of(order.head.order_id),
        )
        expiry_ms = max(memory.time.of("orders"), refund.at_ms) + rules.dedupe_window_ms
        memory.put_claim(_claim_id(order.head, refund), told, expiry_ms)


def _claim_id(head: OrderHead, refund: Refund) -> str:
    return claim_id(EventName.REFUND, refund_id(head.order_id, refund))


def _worth(order: Order, refund: Refund) -> bytes:
    """A cancellation is worth the order: what it gives back depends on the refunds known when it was told."""
    if refund.refund_id == CANCEL:
        return worth_of(order.head.currency, order.head.grand_total_minor, ())
    return worth_of(order.head.currency, refund.amount_minor, refund.items)
