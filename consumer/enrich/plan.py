"""What becomes of a record: every ending is on this page.

A plan is decided from the record, the state, the time and the rules alone, and changes nothing but the state's
overlay. It says what happened in order: first the orders whose wait this record ends, last the record itself.

    record ─► empty · unusable ─────────────► tombstone · letter
    order  ─► gate ─► known? ─► join ───────► filtered · letter · duplicate · conflict · reread · conversion · (waits)
           └► refunds, each on its own ────► the same; of several endings the record's is the first
    step   ─► context kept ─► known? ───────► letter · filtered · context · duplicate · conflict · reread · conversion
"""

from typing import Protocol, TypeAlias

import msgspec
from msgspec import Struct

from consumer.enrich.context import Context, keep, merge
from consumer.enrich.conversion import STEP_EVENTS, own_part, purchase_ids, step_event, step_id
from consumer.enrich.dedupe import Claim, again, claim_id, odd, subject_of, told_by, worth_of
from consumer.enrich.gate import NO_CURRENCY, gate
from consumer.enrich.join import TOO_LARGE, admit, converted, release_completed, release_passed, release_read
from consumer.enrich.memory import Memory, Waiting
from consumer.enrich.planned import Empty, Filtered, Kept, Planned, Refused, Repeated, first_of
from consumer.enrich.refunds import claim_refunds, is_cancelled, refunds
from consumer.enrich.rules import FUTURE_MAX_MS, Rules
from consumer.errors import RecordError
from consumer.ingest.mapping import DecodedHead
from consumer.model import Checkout, CheckoutStep, Ending, EventName, Order, OrderHead, Origin, Record
from consumer.money import exponent

Told: TypeAlias = DecodedHead | Checkout | RecordError | None
"""What a record says: an order's head, a checkout's step, why it can't be used, or nothing (a tombstone)."""


class ReadsOrders(Protocol):
    """Reads on in an order whose head was read. Both raise RecordError."""

    def order(self, record: Record, decoded: DecodedHead | None = None) -> Order:
        """The whole order."""
        ...

    def has_refunds(self, record: Record, decoded: DecodedHead) -> bool:
        """Whether it tells of any refund, read without the rest."""
        ...


class Arrival(Struct, frozen=True):
    """A record that is next in time."""

    record: Record
    told: Told


def plan(arrival: Arrival, memory: Memory, reads: ReadsOrders, now_ms: int, rules: Rules) -> list[Planned]:
    """What happens now that this record is there: first orders that need wait no longer, last the record's own."""
    match arrival.told:
        case None:
            return [Empty()]
        case RecordError() as error:
            return [Refused(error.reason, str(error))]
        case DecodedHead() as decoded:
            memory.time.observe("orders", decoded.head.updated_at_ms, now_ms)
            return _order(arrival.record, decoded, memory, reads, now_ms, rules)
        case Checkout() as step:
            memory.time.observe("checkouts", step.updated_at_ms, now_ms)
            return [
                *release_passed(memory, now_ms, rules),
                *_step(arrival.record.origin, step, memory, now_ms, rules),
            ]


def plan_time(memory: Memory, now_ms: int, rules: Rules) -> list[Planned]:
    """What happens because time went by while the checkouts are at their end."""
    return list(release_read(memory, now_ms, rules))


def _order(
    record: Record, decoded: DecodedHead, memory: Memory, reads: ReadsOrders, now_ms: int, rules: Rules
) -> list[Planned]:
    head, stream_ms = decoded.head, memory.time.of("orders")
    refusal = gate(head, stream_ms, now_ms, rules)
    if isinstance(refusal, Refused):
        return [refusal]
    known = _known(head, memory) if refusal is None else None
    if known is not None and known.claim.of(record.origin):
        return [Repeated(Ending.REREAD, known.event_ids)]
    if known is not None and not known.odd and known.claim.told == told_by(head):
        return [Repeated(Ending.DUPLICATE, known.event_ids)]
    try:
        if refusal is not None and not _gives_back(record, decoded, reads, rules):
            return [refusal]
        order = own_part(reads.order(record, decoded))
    except RecordError as error:
        return [Refused(error.reason, str(error))]
    return _paid(order, refusal, known, record.origin, memory, now_ms, rules)


class _Known(Struct, frozen=True):
    claim: Claim
    event_ids: tuple[str, ...]
    odd: str


def _known(head: OrderHead, memory: Memory) -> _Known | None:
    """Who told of the order's purchase before, under any of its ids."""
    for place, event_id in enumerate(purchase_ids(head)):
        claim = memory.claim(claim_id(EventName.PURCHASE, event_id))
        if claim is not None:
            return _Known(claim, (event_id,), odd(claim, head.order_id, is_second=place > 0))
    return None


def _gives_back(record: Record, decoded: DecodedHead, reads: ReadsOrders, rules: Rules) -> bool:
    """Whether an order that is no purchase now was paid once, and tells of money given back."""
    head = decoded.head
    return head.paid_at_ms > 0 and (is_cancelled(head, rules) or reads.has_refunds(record, decoded))


def _paid(
    order: Order,
    refusal: Filtered | None,
    before: _Known | None,
    origin: Origin,
    memory: Memory,
    now_ms: int,
    rules: Rules,
) -> list[Planned]:
    """The purchase, unless it is known or doesn't count any more, and each refund that is new."""
    head, stream_ms = order.head, memory.time.of("orders")
    if exponent(head.currency) is None:  # the gate asks it of purchases alone
        return [NO_CURRENCY]
    worth = worth_of(head.currency, head.grand_total_minor, order.items)
    known: Planned | None = refusal
    if before is not None:
        known = Repeated(again(before.claim, origin, worth), before.event_ids, before.odd)
    given_back = refunds(order, origin, memory, now_ms, rules)
    if known is not None and not given_back.due:
        return [first_of([known, *given_back.others])]
    since_ms = min(head.updated_at_ms, now_ms)
    told = msgspec.structs.replace(order, refunds=given_back.due)
    planned = admit(Waiting(told, origin, since_ms, now_ms, known is None), memory, now_ms, rules)
    if planned[0] is TOO_LARGE:
        return planned
    if known is None:
        expiry_ms = max(stream_ms, head.paid_at_ms) + rules.dedupe_window_ms
        claim = _claim(origin, worth, told_by(head), head.order_id)
        for event_id in purchase_ids(head):
            memory.put_claim(claim_id(EventName.PURCHASE, event_id), claim, expiry_ms)
    claim_refunds(order, given_back.due, origin, memory, rules)
    return planned


def _step(origin: Origin, step: Checkout, memory: Memory, now_ms: int, rules: Rules) -> list[Planned]:
    stream_ms = memory.time.of("checkouts")
    if step.updated_at_ms > now_ms + FUTURE_MAX_MS:
        return [Refused("future_time", "updated_at lies in the future")]
    if step.updated_at_ms < stream_ms - rules.dedupe_window_ms:
        return [Filtered("too_old")]
    known = memory.context(step.checkout_id)
    merged = merge(known, step)
    kept = keep(known, merged)
    expiry_ms = kept.latest_ms + rules.context_ttl_ms
    if kept != known and not memory.put_context(step.checkout_id, kept, expiry_ms, rules.state_max_bytes):
        return [Refused("too_large", "the checkout's context is larger than the state topic takes")]
    released: list[Planned] = []
    if step.step == CheckoutStep.COMPLETED:
        released.extend(release_completed(step.checkout_id, memory, now_ms, rules))
    return [*released, _step_event(origin, step, merged, memory, now_ms, rules)]


def _step_event(
    origin: Origin, step: Checkout, context: Context, memory: Memory, now_ms: int, rules: Rules
) -> Planned:
    name = STEP_EVENTS.get(step.step)
    if name is None:
        return Kept()
    if exponent(step.money.currency) is None:
        return Filtered("no_currency")
    event_id = step_id(step, name)
    event = claim_id(name, event_id)
    worth = worth_of(step.money.currency, step.money.grand_total_minor, step.items)
    claim = memory.claim(event)
    if claim is not None:
        return Repeated(
            again(claim, origin, worth), (event_id,), odd(claim, step.checkout_id, is_second=False)
        )
    planned = converted(step_event(step, name, context, origin, now_ms, rules), rules)
    if planned is None:
        return Refused("too_large", "the conversion is larger than its topic takes")
    expiry_ms = max(memory.time.of("checkouts"), step.updated_at_ms) + rules.dedupe_window_ms
    memory.put_claim(event, _claim(origin, worth, b"", step.checkout_id), expiry_ms)
    return planned


def _claim(origin: Origin, worth: bytes, told: bytes, subject_id: str) -> Claim:
    return Claim(origin.topic, origin.partition, origin.offset, worth, told, subject_of(subject_id))
