"""An order meets its checkout, now or later."""

from collections.abc import Iterable, Iterator

from consumer.enrich.context import Context
from consumer.enrich.conversion import join_key, purchase, refund
from consumer.enrich.memory import Memory, Waiting
from consumer.enrich.planned import Also, Converted, Planned, Refused, Waits
from consumer.enrich.refunds import refund_id
from consumer.enrich.rules import Rules
from consumer.model import Conversion

TOO_LARGE = Refused("too_large", "the order is larger than the topics of conversions and state take")


def admit(due: Waiting, memory: Memory, now_ms: int, rules: Rules) -> list[Planned]:
    """Join an order of which something counts, or let it wait.

    It is joined at once if it names no checkout, if its checkout is completed, or if the checkouts have already got
    past its wait. What of it counts is told together: a refund never overtakes its purchase.
    """
    checkout_id = due.order.head.checkout_id
    context = memory.context(checkout_id) if checkout_id else None
    over = memory.time.checkouts_ms > due.since_ms + rules.wait_ms
    if not checkout_id or over or (context is not None and context.completed):
        return _joined(due, context, now_ms, rules) or [TOO_LARGE]
    if _joined(due, None, now_ms, rules) and memory.put_waiting(due, rules.state_max_bytes):
        return [Waits()]
    return [TOO_LARGE]


def release_completed(checkout_id: str, memory: Memory, now_ms: int, rules: Rules) -> Iterator[Planned]:
    """The orders that waited for this checkout, which is completed now."""
    return _released(memory.take_checkout(checkout_id), memory, now_ms, rules)


def release_passed(memory: Memory, now_ms: int, rules: Rules) -> Iterator[Planned]:
    """The orders whose wait the checkouts' stream time has ended, joined with what there is."""
    passed = memory.take_passed(memory.time.checkouts_ms - rules.wait_ms)
    return _released(passed, memory, now_ms, rules)


def release_read(memory: Memory, now_ms: int, rules: Rules) -> Iterator[Planned]:
    """The orders whose wait the clock has ended, for checkouts that are at their end."""
    return _released(memory.take_read(now_ms - rules.wait_ms), memory, now_ms, rules)


def _released(waited: Iterable[Waiting], memory: Memory, now_ms: int, rules: Rules) -> Iterator[Planned]:
    for due in waited:
        context = memory.context(due.order.head.checkout_id)
        # That the order alone fits was seen when it was admitted; the bound can only have shrunk since then.
        yield from _joined(due, context, now_ms, rules) or _told(due, None, now_ms, rules)


def _joined(due: Waiting, context: Context | None, now_ms: int, rules: Rules) -> list[Planned]:
    """What counts, with all that is known, or the order's part alone if that is too large; none if even that is."""
    for known in (None,) if context is None else (context, None):
        told = _told(due, known, now_ms, rules)
        if all(_fits(each, rules) for each in told):
            return told
    return []


def _told(due: Waiting, context: Context | None, now_ms: int, rules: Rules) -> list[Planned]:
    """The conversions of one record: the first is its ending, the others are more of it."""
    order = due.order
    paid = purchase(order, context, due.origin, now_ms, rules)
    given_back = [refund(paid, of, refund_id(order.head.order_id, of)) for of in order.refunds]
    first, *others = [encoded(each, rules) for each in ([paid, *given_back] if due.purchase else given_back)]
    return [first, *(Also(each) for each in others)]


def converted(conversion: Conversion, rules: Rules) -> Converted | None:
    """The conversion as a record; None if it is too large for its topic."""
    record = encoded(conversion, rules)
    return record if _fits(record, rules) else None


def _fits(planned: Planned, rules: Rules) -> bool:
    match planned:
        case Converted(_, key, payload) | Also(Converted(_, key, payload)):
            return len(key) + len(payload) <= rules.conversion_max_bytes
        case _:
            return True


def encoded(conversion: Conversion, rules: Rules) -> Converted:
    """The conversion as a record, whatever its size."""
    key = join_key(conversion.checkout_id, conversion.order_id)
    return Converted(conversion, key, rules.encode(conversion))
