"""The nouns, in the order of the flow.

A `Record` comes from Kafka, is decoded and mapped to an `Order` or a `Checkout`, becomes a `Conversion`,
and each of its deliveries ends as a `Receipt`. All are frozen. Times are epoch milliseconds in UTC, money is
integer minor units of its currency; 0, the empty string and an empty map stand for "none".

None of them can be part of a cycle, so the garbage collector need not know them (`gc=False`): it would look at each one
of a backlog again and again.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from msgspec import Struct

Headers: TypeAlias = tuple[tuple[str, bytes], ...]
Identity: TypeAlias = Mapping[str, str]
"""Form of an identifier (`ingest/identity.py` lists them) to its SHA-256 in lower-case hex."""


class TopicPartition(NamedTuple):
    """One partition of a topic."""

    topic: str
    partition: int


class Origin(Struct, frozen=True, gc=False):
    """Where a record stands in Kafka."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"


class Record(Struct, frozen=True, gc=False):
    """What came from Kafka, untouched. `value` is None for a tombstone."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    @property
    def origin(self) -> Origin:
        """Where it stands."""
        return Origin(self.topic, self.partition, self.offset)


class ConsentState(StrEnum):
    """What the customer said about one purpose."""

    UNSPECIFIED = "UNSPECIFIED"
    GRANTED = "GRANTED"
    DENIED = "DENIED"


class Consent(Struct, frozen=True, gc=False):
    """What the customer allowed, by purpose. `at_ms` is when it was said."""

    ads: ConsentState = ConsentState.UNSPECIFIED
    analytics: ConsentState = ConsentState.UNSPECIFIED
    personalisation: ConsentState = ConsentState.UNSPECIFIED
    sale_opt_out: bool = False
    region: str = ""
    at_ms: int = 0


class Item(Struct, frozen=True, gc=False):
    """One line of a cart."""

    sku: str
    quantity: int
    price_minor: int
    name: str = ""
    brand: str = ""
    category: str = ""
    variant: str = ""


class Money(Struct, frozen=True, gc=False):
    """Totals of an order or a cart. `grand_total_minor` is what the customer pays."""

    currency: str = ""
    grand_total_minor: int = 0
    subtotal_minor: int = 0
    tax_minor: int = 0
    shipping_minor: int = 0
    discount_minor: int = 0


class Location(Struct, frozen=True, gc=False):
    """Coarse place, plain. Never a street."""

    country: str = ""
    region: str = ""
    city: str = ""
    postal_code: str = ""


class Refund(Struct, frozen=True, gc=False):
    """Money given back. `order_minor` is what of the order was given back in all; 0 if nobody has added it up."""

    refund_id: str
    at_ms: int
    amount_minor: int
    items: tuple[Item, ...] = ()
    order_minor: int = 0


class OrderHead(Struct, frozen=True, gc=False):
    """What decides about an order record; read first, and often alone.

    `rest` is a digest of everything behind the head: two records with equal `rest`, and heads that differ in
    `updated_at_ms` at most, tell the same thing. `event_id` is the pixel's own, if the shop chose one.
    """

    order_id: str
    checkout_id: str
    status: str
    updated_at_ms: int
    created_at_ms: int
    paid_at_ms: int
    currency: str
    grand_total_minor: int
    event_id: str
    rest: bytes


class Order(Struct, frozen=True, gc=False):
    """An order, mapped; its customer already hashed."""

    head: OrderHead
    shop: str
    money: Money
    items: tuple[Item, ...]
    identity: Identity
    location: Location
    consent: Consent
    refunds: tuple[Refund, ...] = ()


class CheckoutStep(StrEnum):
    """Where in the checkout the customer was."""

    STARTED = "STARTED"
    CONTACT = "CONTACT"
    SHIPPING = "SHIPPING"
    PAYMENT = "PAYMENT"
    COMPLETED = "COMPLETED"


class Checkout(Struct, frozen=True, gc=False):
    """A step of a checkout, mapped; its customer already hashed.

    `step` is upper case; a step not in `CheckoutStep` only leaves context. `browser` holds the fields of the
    schema's record Browser that are not empty, by name (`fbp`, `fbclid`, `ip`, `user_agent`, `page_url` …).
    """

    checkout_id: str
    step: str
    updated_at_ms: int
    created_at_ms: int
    event_id: str
    shop: str
    money: Money
    items: tuple[Item, ...]
    identity: Identity
    location: Location
    consent: Consent
    browser: Mapping[str, str]


class EventName(StrEnum):
    """What happened, as every platform is told in its own words."""

    PURCHASE = "purchase"
    REFUND = "refund"
    BEGIN_CHECKOUT = "begin_checkout"
    ADD_PAYMENT_INFO = "add_payment_info"


class Conversion(Struct, frozen=True, gc=False):
    """One thing that happened, platform-neutral. Field for field the Avro record of `schemas/conversion`."""

    event_id: str
    event_name: str
    event_time: int
    currency: str
    value_minor: int
    enriched_at: int
    consent_ads: str = ConsentState.UNSPECIFIED.value
    consent_analytics: str = ConsentState.UNSPECIFIED.value
    consent_personalisation: str = ConsentState.UNSPECIFIED.value
    sale_opt_out: bool = False
    consent_region: str = ""
    order_id: str = ""
    checkout_id: str = ""
    shop: str = ""
    country: str = ""
    order_only: bool = False
    subtotal_minor: int = 0
    tax_minor: int = 0
    shipping_minor: int = 0
    discount_minor: int = 0
    items: tuple[Item, ...] = ()
    identity: Identity = {}
    click_ids: Mapping[str, str] = {}
    fbclid_at: int = 0
    ip: str = ""
    user_agent: str = ""
    page_url: str = ""
    referrer_url: str = ""
    region: str = ""
    city: str = ""
    postal_code: str = ""
    refund_id: str = ""
    corrects_event_id: str = ""
    corrects_event_time: int = 0
    corrects_value_minor: int = 0
    corrects_refunded_minor: int = 0
    corrects_tax_minor: int = 0
    corrects_shipping_minor: int = 0
    origin_topic: str = ""
    origin_partition: int = -1
    origin_offset: int = -1


class Ending(StrEnum):
    """What became of a record in enrich. In the order of precedence: of several, the first."""

    CONVERSION = "conversion"
    CONFLICT = "conflict"
    DUPLICATE = "duplicate"
    REREAD = "reread"
    FILTERED = "filtered"
    CONTEXT = "context"
    TOMBSTONE = "tombstone"
    LETTER = "letter"


class OrderEnding(Struct, frozen=True, gc=False):
    """What became of an order's record, told. Field for field the Avro record of `schemas/ending`.

    `event_ids` are those of the conversions that it made; if it made none, of the events that it told again.
    """

    topic: str
    partition: int
    offset: int
    order_id: str
    checkout_id: str
    ending: str
    reason: str
    event_ids: tuple[str, ...]
    value_minor: int
    currency: str
    paid: bool
    at_ms: int


class Outcome(StrEnum):
    """How a delivery ended. In the order in which readers take one of several."""

    DELIVERED = "delivered"
    UNKNOWN = "unknown"
    REJECTED = "rejected"
    EXPIRED = "expired"
    SKIPPED = "skipped"


class Receipt(Struct, frozen=True, gc=False):
    """The record of an outcome. Field for field the Avro record of `schemas/receipt`."""

    conversion_topic: str
    conversion_partition: int
    conversion_offset: int
    event_id: str
    event_name: str
    order_id: str
    destination: str
    platform: str
    outcome: str
    reason: str = ""
    code: str = ""
    http_status: int = 0
    attempts: int = 0
    replay_id: str = ""
    late: bool = False
    request_id: str = ""
    request_index: int = 0
    value_minor: int = 0
    currency: str = ""
    first_attempt_at_ms: int = 0
    settled_at_ms: int = 0
