"""The endings of orders, told: what became of each of their records, so that anyone can ask why.

A record ends when it is planned; an order that waits, when a conversion of it ends the wait, whatever brought that
about. It is told in the same transaction.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from msgspec.structs import replace

from consumer.enrich.planned import Also, Converted, Happened, Planned, Repeated
from consumer.model import Conversion, Ending, EventName, OrderEnding, OrderHead, Record
from consumer.money import exponent

EncodeEnding: TypeAlias = Callable[[OrderEnding], bytes]
"""An ending as the bytes of a record's value."""
Keyed: TypeAlias = tuple[bytes | None, OrderEnding]
"""An ending under its order's id, or under its record's own key where the order isn't known."""

_UNREAD = OrderHead("", "", "", 0, 0, 0, "", 0, "", b"")
_WORDS = {ending: ending.value for ending in Ending}
_PARTS = 16
"""The key and two ids, of up to four bytes a character, take twelve parts of what there is; the rest takes four."""


def endings(happened: Sequence[Happened], orders: str, at_ms: int) -> Iterator[Keyed]:
    """Those of orders among what happened; `orders` is the topic that enrich reads them from."""
    for place, each in enumerate(happened):
        planned, record = each.planned, each.record
        if isinstance(planned, Converted):
            if planned.conversion.order_id:
                yield _converted(planned.conversion, tuple(_more(happened, place + 1)), at_ms)
        elif planned.ending is not None and record is not None and record.topic == orders:
            yield _ended(record, each.head or _UNREAD, planned, _WORDS[planned.ending], at_ms)


def _more(happened: Sequence[Happened], place: int) -> Iterator[str]:
    """Event ids of the conversions from this place on that are of the same record as the one before it."""
    while place < len(happened) and isinstance(planned := happened[place].planned, Also):
        yield planned.converted.conversion.event_id
        place += 1


def _converted(of: Conversion, more: tuple[str, ...], at_ms: int) -> Keyed:
    """The ending of an order's conversion: what makes one was paid."""
    return of.order_id.encode(), OrderEnding(
        topic=of.origin_topic,
        partition=of.origin_partition,
        offset=of.origin_offset,
        order_id=of.order_id,
        checkout_id=of.checkout_id,
        ending=_WORDS[Ending.CONVERSION],
        reason="",
        event_ids=(of.event_id, *more),
        value_minor=of.corrects_value_minor if of.event_name == EventName.REFUND else of.value_minor,
        currency=of.currency,
        paid=True,
        at_ms=at_ms,
    )


def _ended(record: Record, head: OrderHead, planned: Planned, ending: str, at_ms: int) -> Keyed:
    """The ending of a record by itself. What is no currency isn't told: nobody knows what a shop has written there."""
    has_money = exponent(head.currency) is not None
    return head.order_id.encode() or record.key, OrderEnding(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        order_id=head.order_id,
        checkout_id=head.checkout_id,
        ending=ending,
        reason=planned.reason,
        event_ids=planned.event_ids if isinstance(planned, Repeated) else (),
        value_minor=head.grand_total_minor if has_money else 0,
        currency=head.currency if has_money else "",
        paid=head.paid_at_ms > 0,
        at_ms=at_ms,
    )


def fitted(keyed: Keyed, encode: EncodeEnding, max_bytes: int) -> tuple[bytes | None, bytes]:
    """Key and value of an ending's record: if they are too large for its topic, the ids cut and no event ids."""
    key, ending = keyed
    payload = encode(ending)
    if len(payload) + len(key or b"") <= max_bytes:
        return key, payload
    most = max_bytes // _PARTS
    order_id, checkout_id = ending.order_id[:most], ending.checkout_id[:most]
    payload = encode(replace(ending, order_id=order_id, checkout_id=checkout_id, event_ids=()))
    return key[: 4 * most] if key is not None else None, payload
