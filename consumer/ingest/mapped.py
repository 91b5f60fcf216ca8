"""Orders and checkouts of a shop's own schema, by its mapping: the same nouns as the reference mapping makes."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from consumer.avro import Mismatch, Schema
from consumer.codec import check_end, read
from consumer.errors import Undecodable
from consumer.ingest.compiled import Fields, compile_side
from consumer.ingest.mapping import (
    HEAD,
    MAKERS,
    REST_BYTES,
    DecodedHead,
    checkout_of,
    head_of,
    order_of,
    unmappable,
)
from consumer.ingest.rules import Side
from consumer.ingest.targets import targets
from consumer.model import Checkout, Order
from consumer.money import exponent

_encode = msgspec.msgpack.Encoder(order="deterministic").encode


class Held:
    """What was decoded of an order whose head was asked for. It prints no value."""

    __slots__ = ("values",)

    def __init__(self, values: Any) -> None:  # noqa: ANN401 - a decoded record
        self.values = values

    def __repr__(self) -> str:
        return "<Held ****>"


class MappedOrderReader:
    """Orders of one writer's schema. Making one raises Unmappable, and its methods Undecodable and Unmappable."""

    def __init__(self, schema_id: int, writer: Schema, reference: Schema, side: Side) -> None:
        self._schema_id = schema_id
        try:
            self._compiled = compile_side(
                side, writer, targets(reference), MAKERS, head=len(HEAD), peek="refunds"
            )
        except Mismatch as error:
            raise unmappable(schema_id, error) from None
        self._in_parts = len(self._compiled.readers) > 1

    def head(self, value: bytes) -> DecodedHead | None:
        """What decides; None if the record says that the order is gone. In one piece all of it is decoded here."""
        values, end = read(self._compiled.readers[0], value, self._schema_id)
        if self._in_parts:
            if end > len(value):
                check_end(value, end, self._schema_id)
            rest, held = value[end:], None
        else:
            check_end(value, end, self._schema_id)
            if self._compiled.is_deleted(values):
                return None
            rest, held = _encode(self._compiled.told(values)), Held(values)
        digest = blake2b(rest, digest_size=REST_BYTES).digest()
        fields, _ = self._compiled.fields[0](values, "", None)
        return DecodedHead(head_of(fields, digest), end, held)

    def order(self, value: bytes, decoded: DecodedHead | None = None) -> Order:
        """The whole order; `decoded` spares reading its head again. There must be one."""
        decoded = decoded or self.head(value)
        if decoded is None:
            raise Undecodable("the record only says that its order is gone")
        fields, declared = self._behind(value, decoded, self._compiled.fields[-1])
        return order_of(decoded.head, fields, declared)

    def has_refunds(self, value: bytes, decoded: DecodedHead) -> bool:
        """Whether there is any refund; nothing else is mapped."""
        (refunds,), _ = self._behind(value, decoded, self._compiled.peeked)
        return bool(refunds)

    def _behind(
        self, value: bytes, decoded: DecodedHead, make: Fields
    ) -> tuple[tuple[Any, ...], Mapping[str, str]]:
        """Fields of what stands behind the head, which was decoded with it if the record is read in one piece."""
        head, at, held = decoded
        if isinstance(held, Held):
            values = held.values
        else:
            values, end = read(self._compiled.readers[-1], value, self._schema_id, at)
            check_end(value, end, self._schema_id)
        return make(values, head.currency, exponent(head.currency))

    def __repr__(self) -> str:
        return f"<MappedOrderReader: schema {self._schema_id}{', head first' if self._in_parts else ''}>"


class MappedCheckoutReader:
    """Checkouts of one writer's schema. Making one raises Unmappable."""

    def __init__(self, schema_id: int, writer: Schema, reference: Schema, side: Side) -> None:
        self._schema_id = schema_id
        try:
            self._compiled = compile_side(side, writer, targets(reference), MAKERS)
        except Mismatch as error:
            raise unmappable(schema_id, error) from None

    def checkout(self, value: bytes) -> Checkout | None:
        """The step; None if the record says that the checkout is gone. Raises Undecodable and Unmappable."""
        values, end = read(self._compiled.readers[0], value, self._schema_id)
        check_end(value, end, self._schema_id)
        if self._compiled.is_deleted(values):
            return None
        fields, declared = self._compiled.fields[0](values, "", None)
        return checkout_of(fields, declared)

    def __repr__(self) -> str:
        return f"<MappedCheckoutReader: schema {self._schema_id}>"
