"""Which key an order goes on under, where the shop's own is another than the checkout's id.

    order of a checkout ─► the checkout's id, as the shop keys its checkouts
    other order ─────────► `order:<order id>`
    nothing to be known ─► its own key, else its own partition

The last are tombstones, and records that can't be read: enrich finds the same fault and makes the letter, so that one
place alone decides what a letter is.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias

from msgspec import Struct

from consumer.errors import RecordError
from consumer.ingest.mapping import DecodedHead
from consumer.model import Record

KeyedBy: TypeAlias = Literal["checkout", "order", "own"]
KEYED_BY: tuple[KeyedBy, ...] = ("checkout", "order", "own")
ReadHead: TypeAlias = Callable[[Record], DecodedHead | None]
"""Reads what decides about an order. Raises RecordError, or SchemaUnavailable if it can't be asked now."""


class Rekeyed(Struct, frozen=True, gc=False):
    """Where a record goes; partition -1 follows the key."""

    by: KeyedBy
    key: bytes | None
    partition: int = -1


def rekey(record: Record, read_head: ReadHead, partitions: int) -> Rekeyed:
    """Decide it, for a topic of so many partitions. Raises SchemaUnavailable: the record must wait."""
    decoded = _decoded(record, read_head)
    if decoded is None:
        own = -1 if record.key is not None else record.partition % partitions
        return Rekeyed("own", record.key, own)
    head = decoded.head
    if head.checkout_id:
        return Rekeyed("checkout", head.checkout_id.encode())
    return Rekeyed("order", f"order:{head.order_id}".encode())


def _decoded(record: Record, read_head: ReadHead) -> DecodedHead | None:
    if record.value is None:
        return None
    try:
        return read_head(record)
    except RecordError:
        return None
