"""Records to orders and checkouts, by a reader compiled once for each writer's schema."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from consumer.avro import Mismatch, Schema
from consumer.codec import load_schema, parse_schema, unframe
from consumer.errors import ConfigurationError, RecordError, Undecodable, Unmappable
from consumer.ingest.compiled import compile_side
from consumer.ingest.mapped import MappedCheckoutReader, MappedOrderReader
from consumer.ingest.mapping import HEAD, MAKERS, CheckoutReader, DecodedHead, OrderReader
from consumer.ingest.rules import Mappings, load_mapping
from consumer.ingest.targets import targets
from consumer.model import Checkout, Order, Record

KINDS = ("order", "checkout")


class Ingest:
    """Decodes and maps; holds one reader a schema id.

    `by_id` gives the JSON of a schema and raises UnknownSchema or SchemaUnavailable. Each method takes a record that
    has a value (a tombstone is nothing to decode) and raises those two, Undecodable or Unmappable. None is a record
    that only says, in an envelope, that something was deleted: a tombstone as well.
    """

    def __init__(self, by_id: Callable[[int], str], mappings: Mappings | None = None) -> None:
        """`mappings` are those of the shop; what they lack is as the reference schemas have it."""
        self._by_id = by_id
        self._mappings = mappings or {}
        self._orders: dict[int, OrderReader | MappedOrderReader] = {}
        self._checkouts: dict[int, CheckoutReader | MappedCheckoutReader] = {}
        self._refusals: dict[tuple[str, int], RecordError] = {}

    def order_head(self, record: Record) -> DecodedHead | None:
        """What decides what becomes of an order record, and no more."""
        value = _value(record)
        return self._order_reader(value).head(value)

    def order(self, record: Record, decoded: DecodedHead | None = None) -> Order:
        """The whole order, of a record that has one; `decoded` is what `order_head` gave for it, if it was asked."""
        value = _value(record)
        return self._order_reader(value).order(value, decoded)

    def has_refunds(self, record: Record, decoded: DecodedHead) -> bool:
        """Whether the order tells of any refund, read without the rest."""
        value = _value(record)
        return self._order_reader(value).has_refunds(value, decoded)

    def checkout(self, record: Record) -> Checkout | None:
        """The step of a checkout."""
        value = _value(record)
        schema_id = unframe(value)
        if (reader := self._checkouts.get(schema_id)) is None:
            with self._once("checkout", schema_id):
                reader = self._checkouts[schema_id] = self._new_checkout_reader(schema_id)
        return reader.checkout(value)

    def __repr__(self) -> str:
        return f"<Ingest: {len(self._orders)} schemas of orders, {len(self._checkouts)} of checkouts>"

    def _order_reader(self, value: bytes) -> OrderReader | MappedOrderReader:
        schema_id = unframe(value)
        if (reader := self._orders.get(schema_id)) is None:
            with self._once("order", schema_id):
                reader = self._orders[schema_id] = self._new_order_reader(schema_id)
        return reader

    @contextmanager
    def _once(self, kind: str, schema_id: int) -> Iterator[None]:
        """A schema that can't be read is looked at once: its records, which may be many, are refused for the same."""
        if (refusal := self._refusals.get((kind, schema_id))) is not None:
            raise refusal.with_traceback(None)
        try:
            yield
        except (Undecodable, Unmappable) as error:
            self._refusals[kind, schema_id] = error
            raise

    def _new_order_reader(self, schema_id: int) -> OrderReader | MappedOrderReader:
        writer, reference, side = self._writer(schema_id), references()["order"], self._mappings.get("order")
        if side is None:
            return OrderReader(schema_id, writer, reference)
        return MappedOrderReader(schema_id, writer, reference, side)

    def _new_checkout_reader(self, schema_id: int) -> CheckoutReader | MappedCheckoutReader:
        writer, reference = self._writer(schema_id), references()["checkout"]
        side = self._mappings.get("checkout")
        if side is None:
            return CheckoutReader(schema_id, writer, reference)
        return MappedCheckoutReader(schema_id, writer, reference, side)

    def _writer(self, schema_id: int) -> Schema:
        return parse_schema(self._by_id(schema_id))


@cache
def references() -> Mapping[str, Schema]:
    """The reference schemas by kind."""
    return {kind: parse_schema(load_schema(kind)) for kind in KINDS}


def mappings_of(file: Path | None) -> Mappings:
    """The mappings in a file; none without one. Raises ConfigurationError."""
    return {} if file is None else load_mapping(file, references())


def check_mapping(mappings: Mappings, kind: str, schema_json: str, where: str) -> None:
    """Check what is mapped of a kind against a schema, named by `where`. Raises ConfigurationError."""
    side = mappings.get(kind)
    if side is None:
        return
    try:
        wanted = targets(references()[kind])
        compile_side(
            side, parse_schema(schema_json), wanted, MAKERS, head=len(HEAD) if kind == "order" else 0
        )
    except Undecodable as error:
        raise ConfigurationError(f"{where}: {error}") from None
    except Mismatch as error:
        raise ConfigurationError(
            f"the mapping does not fit {where}: {error}; change the {kind} in it"
        ) from None


def _value(record: Record) -> bytes:
    if record.value is None:
        raise Undecodable("there is no value")
    return record.value
