"""What the shop puts out: records for Kafka, pixel events for browsers, and lines of truth."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct

Fields: TypeAlias = Mapping[str, object]
"""The fields of an Avro record of `schemas/`; those left out take the schema's default."""


class Topic(StrEnum):
    """Which of the shop's two topics."""

    ORDERS = "orders"
    CHECKOUTS = "checkouts"


class Damage(StrEnum):
    """What happened to a record's bytes on their way to the topic."""

    NONE = ""
    GARBAGE = "garbage"
    """Not the wire format at all."""
    TRUNCATED = "truncated"
    """The second half is missing."""
    UNKNOWN_SCHEMA = "unknown_schema"
    """Whole, but under a schema id that no registry gave out."""


class Published(Struct, frozen=True):
    """One record as the shop publishes it. `value` is None for a tombstone.

    `at_ms` is its event time and Kafka timestamp, `published_ms` its place in the order of publishing.
    """

    topic: Topic
    key: str | None
    value: Fields | None
    at_ms: int
    published_ms: int
    damage: Damage = Damage.NONE


class PixelFire(Struct, frozen=True):
    """What the shop's pixel sent from the browser. Times are epoch milliseconds, money is minor units.

    `browser` has the cookies and click ids that the visitor allowed, in the fields of the schema's Browser;
    `platforms` are those that the pixel sent it to.
    """

    event: str
    event_id: str
    at_ms: int
    currency: str
    value_minor: int
    exponent: int
    order_id: str
    page_url: str
    browser: Mapping[str, str]
    platforms: frozenset[str]


class Known(Struct, frozen=True):
    """What a conversion can carry once it is made, as far as the visitor allows it.

    `browser` is in the fields of the schema's Browser, and empty where an order is known without its checkout.
    `customer` says whether e-mail, phone and names are known. `consent` is GRANTED, DENIED or UNSPECIFIED for each
    of ads, analytics and personalisation.
    """

    event: str
    browser: Mapping[str, str]
    customer: bool
    country: str
    currency: str
    consent: Mapping[str, str]
    sale_opt_out: bool


def nothing(known: Known) -> str:
    """No demand."""
    del known
    return ""


class Taker(Struct, frozen=True):
    """What a platform takes: so much of it as the truth must know.

    `purpose` is the one whose consent counts, ads or analytics. `lacks` names what the platform demands and an event
    has not, as a cause such as `no_client_id`; empty if it has all.
    """

    events: frozenset[str]
    purpose: str = "ads"
    lacks: Callable[[Known], str] = nothing


SALES = Taker(frozenset({"purchase", "begin_checkout", "add_payment_info"}))
"""Whoever takes all but refunds, and demands nothing more."""


class Truth(Struct, frozen=True, omit_defaults=True):
    """What must come of one event. `cause` says why it must not arrive; empty if it must.

    `causes` has those of platforms for which it is another. An order that was never paid has a line too, with the
    cause `not_paid`: it must come to nothing.
    """

    order_id: str
    checkout_id: str
    event_id: str
    event: str
    value_minor: int
    currency: str
    eligible: Mapping[str, bool]
    cause: str
    causes: Mapping[str, str] = {}


def own_event_id(truth: Truth) -> str:
    """What the shop calls the event."""
    return truth.event_id


def own_value(truth: Truth) -> int:
    """What the event is worth, in minor units."""
    return truth.value_minor
