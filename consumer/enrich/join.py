"""An order meets its checkout, now or later."""

from collections.abc import Iterator

from consumer.enrich.context import Context
from consumer.enrich.conversion import join_key, purchase
from consumer.enrich.memory import Memory, Waiting
from consumer.enrich.planned import Converted, Refused, Waits
from consumer.enrich.rules import Rules
from consumer.model import Conversion, Order, Origin

TOO_LARGE = Refused("too_large", "the order is larger than the topics of conversions and state take")


def admit(
    order: Order, origin: Origin, memory: Memory, now_ms: int, rules: Rules
) -> Converted | Waits | Refused:
    """Join an order that counts, or let it wait.

    It is joined at once if it names no checkout, if its checkout is completed, or if the checkouts have already got
    past its wait.
    """
    checkout_id = order.head.checkout_id
    context = memory.context(checkout_id) if checkout_id else None
    since_ms = min(order.head.updated_at_ms, now_ms)
    over = memory.time.checkouts_ms > since_ms + rules.wait_ms
    if not checkout_id or over or (context is not None and context.completed):
        return _joined(order, context, origin, now_ms, rules) or TOO_LARGE
    waiting = Waiting(order, origin, since_ms, now_ms)
    if _joined(order, None, origin, now_ms, rules) is None or not memory.put_waiting(
        waiting, rules.state_max_bytes
    ):
        return TOO_LARGE
    return Waits()


def release_completed(checkout_id: str, memory: Memory, now_ms: int, rules: Rules) -> list[Converted]:
    """The orders that waited for this checkout, which is completed now."""
    return [_released(waiting, memory, now_ms, rules) for waiting in memory.take_checkout(checkout_id)]


def release_passed(memory: Memory, now_ms: int, rules: Rules) -> Iterator[Converted]:
    """The orders whose wait the checkouts' stream time has ended, joined with what there is."""
    for waiting in memory.take_passed(memory.time.checkouts_ms - rules.wait_ms):
        yield _released(waiting, memory, now_ms, rules)


def release_read(memory: Memory, now_ms: int, rules: Rules) -> Iterator[Converted]:
    """The orders whose wait the clock has ended, for checkouts that are at their end."""
    for waiting in memory.take_read(now_ms - rules.wait_ms):
        yield _released(waiting, memory, now_ms, rules)


def _released(waiting: Waiting, memory: Memory, now_ms: int, rules: Rules) -> Converted:
    context = memory.context(waiting.order.head.checkout_id)
    found = _joined(waiting.order, context, waiting.origin, now_ms, rules)
    # That the order alone fits was seen when it was admitted; the bound can only have shrunk since then.
    return found or _encoded(purchase(waiting.order, None, waiting.origin, now_ms, rules), rules)


def _joined(
    order: Order, context: Context | None, origin: Origin, now_ms: int, rules: Rules
) -> Converted | None:
    """The purchase with all that is known, or the order's part of it if that is too large; None if even that is."""
    found = converted(purchase(order, context, origin, now_ms, rules), rules)
    if found is None and context is not None:
        return converted(purchase(order, None, origin, now_ms, rules), rules)
    return found


def converted(conversion: Conversion, rules: Rules) -> Converted | None:
    """The conversion as a record; None if it is too large for its topic."""
    record = _encoded(conversion, rules)
    return record if len(record.key) + len(record.payload) <= rules.conversion_max_bytes else None


def _encoded(conversion: Conversion, rules: Rules) -> Converted:
    key = join_key(conversion.checkout_id, conversion.order_id)
    return Converted(conversion, key, rules.encode(conversion))
