"""What becomes of a record: every ending is on this page.

A plan is decided from the record, the state, the time and the rules alone, and changes nothing but the state's
overlay. It says what happened in order: first the orders whose wait this record ends, last the record itself.

    record ─► empty · unusable ─────────────► tombstone · letter
    order  ─► gate ─► known? ─► join ───────► filtered · letter · duplicate · conflict · reread · conversion · (waits)
    step   ─► context kept ─► known? ───────► letter · filtered · context · duplicate · conflict · reread · conversion
"""

from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct

from consumer.enrich.context import Context, keep, merge
from consumer.enrich.conversion import STEP_EVENTS, own_part, purchase_id, step_event, step_id
from consumer.enrich.dedupe import Claim, again, claim_id, told_by, worth_of
from consumer.enrich.gate import gate
from consumer.enrich.join import admit, converted, release_completed, release_passed, release_read
from consumer.enrich.memory import Memory
from consumer.enrich.planned import Converted, Empty, Filtered, Kept, Planned, Refused, Repeated, Waits
from consumer.enrich.rules import FUTURE_MAX_MS, Rules
from consumer.errors import RecordError
from consumer.ingest.mapping import DecodedHead
from consumer.model import Checkout, CheckoutStep, Ending, EventName, Order, Origin, Record
from consumer.money import exponent

Told: TypeAlias = DecodedHead | Checkout | RecordError | None
"""What a record says: an order's head, a checkout's step, why it can't be used, or nothing (a tombstone)."""

ReadOrder: TypeAlias = Callable[[Record, DecodedHead], Order]
"""Decodes an order whole, whose head was read. Raises RecordError."""


class Arrival(Struct, frozen=True):
    """A record that is next in time."""

    record: Record
    told: Told


def plan(arrival: Arrival, memory: Memory, read_order: ReadOrder, now_ms: int, rules: Rules) -> list[Planned]:
    """What happens now that this record is there. The last one is the record's own."""
    match arrival.told:
        case None:
            return [Empty()]
        case RecordError() as error:
            return [Refused(error.reason, str(error))]
        case DecodedHead() as decoded:
            memory.time.observe("orders", decoded.head.updated_at_ms, now_ms)
            return [_order(arrival.record, decoded, memory, read_order, now_ms, rules)]
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
    record: Record, decoded: DecodedHead, memory: Memory, read_order: ReadOrder, now_ms: int, rules: Rules
) -> Planned:
    head, stream_ms = decoded.head, memory.time.of("orders")
    refusal = gate(head, stream_ms, now_ms, rules)
    if refusal is not None:
        return refusal
    origin, told = record.origin, told_by(head)
    event = claim_id(EventName.PURCHASE, purchase_id(head))
    claim = memory.claim(event)
    if claim is not None and claim.of(origin):
        return Repeated(Ending.REREAD)
    if claim is not None and claim.told == told:
        return Repeated(Ending.DUPLICATE)
    try:
        order = own_part(read_order(record, decoded))
    except RecordError as error:
        return Refused(error.reason, str(error))
    worth = worth_of(head.currency, head.grand_total_minor, order.items)
    if claim is not None:
        return Repeated(again(claim, origin, worth))
    planned = admit(order, origin, memory, now_ms, rules)
    if isinstance(planned, Converted | Waits):
        expiry_ms = max(stream_ms, head.paid_at_ms) + rules.dedupe_window_ms
        memory.put_claim(event, _claim(origin, worth, told), expiry_ms)
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
    event = claim_id(name, step_id(step, name))
    worth = worth_of(step.money.currency, step.money.grand_total_minor, step.items)
    claim = memory.claim(event)
    if claim is not None:
        return Repeated(again(claim, origin, worth))
    planned = converted(step_event(step, name, context, origin, now_ms, rules), rules)
    if planned is None:
        return Refused("too_large", "the conversion is larger than its topic takes")
    expiry_ms = max(memory.time.of("checkouts"), step.updated_at_ms) + rules.dedupe_window_ms
    memory.put_claim(event, _claim(origin, worth, b""), expiry_ms)
    return planned


def _claim(origin: Origin, worth: bytes, told: bytes) -> Claim:
    return Claim(origin.topic, origin.partition, origin.offset, worth, told)
