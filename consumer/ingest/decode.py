"""Records to orders and checkouts, by a reader compiled once for each writer's schema."""

from collections.abc import Callable

from consumer.avro import Schema
from consumer.codec import load_schema, parse_schema, unframe
from consumer.errors import Undecodable
from consumer.ingest.mapping import CheckoutReader, DecodedHead, OrderReader
from consumer.model import Checkout, Order, Record


class Ingest:
    """Decodes and maps; holds one reader a schema id.

    `by_id` gives the JSON of a schema and raises UnknownSchema or SchemaUnavailable. Each method takes a record that
    has a value (a tombstone is nothing to decode) and raises those two, Undecodable or Unmappable.
    """

    def __init__(self, by_id: Callable[[int], str]) -> None:
        self._by_id = by_id
        self._order = parse_schema(load_schema("order"))
        self._checkout = parse_schema(load_schema("checkout"))
        self._orders: dict[int, OrderReader] = {}
        self._checkouts: dict[int, CheckoutReader] = {}

    def order_head(self, record: Record) -> DecodedHead:
        """What decides what becomes of an order record, and no more."""
        value = _value(record)
        return self._order_reader(value).head(value)

    def order(self, record: Record, decoded: DecodedHead | None = None) -> Order:
        """The whole order; `decoded` is what `order_head` gave for the same record, if it was asked."""
        value = _value(record)
        return self._order_reader(value).order(value, decoded)

    def checkout(self, record: Record) -> Checkout:
        """The step of a checkout."""
        value = _value(record)
        schema_id = unframe(value)
        if (reader := self._checkouts.get(schema_id)) is None:
            reader = self._checkouts[schema_id] = CheckoutReader(
                schema_id, self._writer(schema_id), self._checkout
            )
        return reader.checkout(value)

    def __repr__(self) -> str:
        return f"<Ingest: {len(self._orders)} schemas of orders, {len(self._checkouts)} of checkouts>"

    def _order_reader(self, value: bytes) -> OrderReader:
        schema_id = unframe(value)
        if (reader := self._orders.get(schema_id)) is None:
            reader = self._orders[schema_id] = OrderReader(schema_id, self._writer(schema_id), self._order)
        return reader

    def _writer(self, schema_id: int) -> Schema:
        return parse_schema(self._by_id(schema_id))


def _value(record: Record) -> bytes:
    if record.value is None:
        raise Undecodable("there is no value")
    return record.value
