"""The reference mapping: what the schemas in `schemas/` call a thing is what the model calls it.

A writer's schema need not be ours: what it has more is passed over, what it lacks takes our default, and if it lacks
what must be there, every record of it is Unmappable, by field and schema id. Reasons of Unmappable: `REASONS`.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from consumer.avro import Maker, Mismatch, Schema, compile_reader
from consumer.codec import BODY_AT, check_end, read
from consumer.errors import Unmappable
from consumer.ingest.identity import Address, Customer, hashed, location
from consumer.ingest.person import Person, Persons
from consumer.model import Checkout, Consent, ConsentState, Item, Money, Order, OrderHead, Refund

REASONS = frozenset(
    {
        "missing_field",  # the writer's schema lacks it, or it is null
        "bad_type",  # the writer's schema has it as another type
        "no_order_id",
        "no_checkout_id",
        "bad_time",  # before 2000 or beyond 9999; a date in the future is enrich's to judge
        "bad_money",  # negative, or more than 10^15 minor units
        "bad_quantity",  # less than one, or more than a million
        "bad_value",  # none of those that the mapping lists
    }
)
REST_BYTES = 16

_EARLIEST_MS = 946_684_800_000
_LATEST_MS = 253_402_300_799_999
_MONEY_MAX_MINOR = 10**15
_QUANTITY_MAX = 1_000_000
_PAGES = ("page_url", "referrer_url")
_STATES = {state.value: state for state in ConsentState}
_persons = Persons()
_NOTHING: Mapping[str, str] = {}
HEAD = (
    "order_id",
    "checkout_id",
    "status",
    "updated_at",
    "created_at",
    "paid_at",
    "currency",
    "grand_total_minor",
    "event_id",
)


class DecodedHead(NamedTuple):
    """The head of an order, and where in the record's value the rest is to be read from.

    `held` is what was decoded besides, if the head could not be read alone.
    """

    head: OrderHead
    end: int
    held: object = None


class OrderReader:
    """Orders of one writer's schema. Making one raises Unmappable, and its methods Undecodable and Unmappable."""

    def __init__(self, schema_id: int, writer: Schema, reference: Schema) -> None:
        self._schema_id = schema_id
        names = [field["name"] for field in writer["fields"]]
        self._in_one_piece = names[: len(HEAD)] == list(HEAD)
        first, behind = slice(None), slice(None)
        if self._in_one_piece:
            first, behind = slice(len(HEAD)), slice(len(HEAD), None)
        fields = reference["fields"]
        try:
            self._head = compile_reader(writer, {**reference, "fields": fields[: len(HEAD)]}, MAKERS, first)
            self._tail = compile_reader(writer, {**reference, "fields": fields[len(HEAD) :]}, MAKERS, behind)
            self._refunds = compile_reader(writer, _only_refunds(reference), {"capi.Order": tuple}, behind)
        except Mismatch as error:
            raise unmappable(schema_id, error) from None
        self._whole = compile_reader(writer)

    def head(self, value: bytes) -> DecodedHead:
        """The head alone; what is behind it is digested, not decoded."""
        values, end = read(self._head, value, self._schema_id)
        if not self._in_one_piece:
            check_end(value, end, self._schema_id)
            return DecodedHead(head_of(values, self._digest(value)), BODY_AT)
        if end > len(value):
            check_end(value, end, self._schema_id)
        return DecodedHead(head_of(values, blake2b(value[end:], digest_size=REST_BYTES).digest()), end)

    def order(self, value: bytes, decoded: DecodedHead | None = None) -> Order:
        """The whole order; `decoded` spares reading its head again."""
        head, at, _ = decoded or self.head(value)
        values, end = read(self._tail, value, self._schema_id, at)
        check_end(value, end, self._schema_id)
        return order_of(head, values)

    def has_refunds(self, value: bytes, decoded: DecodedHead) -> bool:
        """Whether there is any refund; the rest is passed over undecoded."""
        (refunds,), _ = read(self._refunds, value, self._schema_id, decoded.end or BODY_AT)
        return bool(refunds)

    def _digest(self, value: bytes) -> bytes:
        """Digest of all values but the head's, for a schema that has them elsewhere."""
        values = read(self._whole, value, self._schema_id)[0]
        rest = {name: each for name, each in values.items() if name not in HEAD}
        return blake2b(msgspec.msgpack.encode(rest, order="deterministic"), digest_size=REST_BYTES).digest()


class CheckoutReader:
    """Checkouts of one writer's schema. Making one raises Unmappable."""

    def __init__(self, schema_id: int, writer: Schema, reference: Schema) -> None:
        self._schema_id = schema_id
        try:
            self._reader = compile_reader(writer, reference, MAKERS)
        except Mismatch as error:
            raise unmappable(schema_id, error) from None

    def checkout(self, value: bytes) -> Checkout:
        """The step. Raises Undecodable and Unmappable."""
        values, end = read(self._reader, value, self._schema_id)
        check_end(value, end, self._schema_id)
        return checkout_of(values)


def unmappable(schema_id: int, error: Mismatch) -> Unmappable:
    """What every record of a schema is that can't give what is asked of it."""
    return Unmappable("missing_field" if error.lacking else "bad_type", f"schema {schema_id}: field {error}")


def _only_refunds(reference: Schema) -> Schema:
    """The reference as a shape that tells how many refunds there are, and no more."""
    refunds = next(field for field in reference["fields"] if field["name"] == "refunds")
    of = refunds["type"]["items"]
    nothing = {**refunds, "type": {**refunds["type"], "items": {**of, "fields": of["fields"][:1]}}}
    return {**reference, "fields": [nothing]}


def _consent(
    ads: str,
    analytics: str,
    personalisation: str,
    sale_opt_out: bool,  # noqa: FBT001 - made by position, in the schema's order
    region: str,
    at_ms: int,
) -> Consent:
    return Consent(_STATES[ads], _STATES[analytics], _STATES[personalisation], sale_opt_out, region, at_ms)


MAKERS: Mapping[str, Maker] = {
    "capi.Order": tuple,
    "capi.Checkout": tuple,
    "capi.Item": Item,
    "capi.Refund": Refund,
    "capi.Customer": Customer,
    "capi.Address": Address,
    "capi.Consent": _consent,
}


def head_of(values: tuple[Any, ...], rest: bytes) -> OrderHead:
    """The head of an order from the fields `HEAD`, checked. Raises Unmappable."""
    order_id, checkout_id, status, updated, created, paid, currency, total, event_id = values
    if not order_id:
        raise Unmappable("no_order_id", "order_id is empty")
    _check_time("updated_at", updated)
    _check_time("created_at", created)
    if paid:
        _check_time("paid_at", paid)
    _check_money("grand_total_minor", total)
    return OrderHead(
        order_id,
        checkout_id,
        status.strip().upper(),
        updated,
        created,
        paid,
        _code(currency),
        total,
        event_id,
        rest,
    )


def order_of(head: OrderHead, values: tuple[Any, ...], declared: Mapping[str, str] = _NOTHING) -> Order:
    """The order from the reference schema's fields behind its head, checked. Raises Unmappable.

    `declared` is form to hash, where the shop says in which form it hands them over.
    """
    shop, subtotal, tax, shipping, discount, items, customer, billing, shipped_to, consent, refunds = values
    money = _money(head.currency, head.grand_total_minor, subtotal, tax, shipping, discount)
    _check_items("items", items)
    for refund in refunds:
        _check_time("refunds[].at", refund.at_ms)
        _check_money("refunds[].amount_minor", refund.amount_minor)
        _check_items("refunds[].items", refund.items)
    address = billing or shipped_to
    who = _who(customer, address, declared)
    return Order(head, shop, money, items, who.identity, who.location, consent, refunds)


def checkout_of(values: tuple[Any, ...], declared: Mapping[str, str] = _NOTHING) -> Checkout:
    """The step from the reference schema's fields, checked. Raises Unmappable; `declared` as in `order_of`."""
    (
        checkout_id,
        step,
        updated,
        created,
        event_id,
        shop,
        *amounts,
        browser,
        consent,
        items,
        customer,
        address,
    ) = values
    if not checkout_id:
        raise Unmappable("no_checkout_id", "checkout_id is empty")
    _check_time("updated_at", updated)
    if created:
        _check_time("created_at", created)
    currency, total, subtotal, tax, shipping, discount = amounts
    _check_money("grand_total_minor", total)
    _check_items("items", items)
    who = _who(customer, address, declared)
    return Checkout(
        checkout_id,
        step.strip().upper(),
        updated,
        created,
        event_id,
        shop,
        _money(_code(currency), total, subtotal, tax, shipping, discount),
        items,
        who.identity,
        who.location,
        consent,
        {name: bare(value) if name in _PAGES else value for name, value in browser.items() if value},
    )


def _who(customer: Customer, address: Address, declared: Mapping[str, str]) -> Person:
    if declared:
        return Person(hashed(customer, address, declared), location(address))
    return _persons.of(customer, address)


def bare(url: str) -> str:
    """An address without query and fragment: they may hold an e-mail; click ids have fields of their own.

    >>> bare("https://shop.example/thanks?email=a@b.example#top")
    'https://shop.example/thanks'
    """
    return url.partition("#")[0].partition("?")[0]


def _code(currency: str) -> str:
    return currency.strip().upper()


def _money(currency: str, total: int, subtotal: int, tax: int, shipping: int, discount: int) -> Money:
    if (
        min(subtotal, tax, shipping, discount) < 0
        or max(subtotal, tax, shipping, discount) > _MONEY_MAX_MINOR
    ):
        raise Unmappable("bad_money", "subtotal, tax, shipping or discount is negative or absurdly high")
    return Money(currency, total, subtotal, tax, shipping, discount)


def _check_time(path: str, at_ms: int) -> None:
    if not _EARLIEST_MS <= at_ms <= _LATEST_MS:
        raise Unmappable("bad_time", f"{path} is before the year 2000 or beyond 9999")


def _check_money(path: str, amount_minor: int) -> None:
    if not 0 <= amount_minor <= _MONEY_MAX_MINOR:
        raise Unmappable("bad_money", f"{path} is negative or absurdly high")


def _check_items(path: str, items: tuple[Item, ...]) -> None:
    for item in items:
        if not 1 <= item.quantity <= _QUANTITY_MAX:
            raise Unmappable("bad_quantity", f"{path}[].quantity is less than one or absurdly high")
        if not 0 <= item.price_minor <= _MONEY_MAX_MINOR:
            raise Unmappable("bad_money", f"{path}[].price_minor is negative or absurdly high")
