"""What the shop puts out: records for Kafka, pixel events for browsers, and lines of truth."""

from collections.abc import Mapping
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
    """What the shop's pixel sent from the browser. Times are epoch milliseconds, money is minor units."""

    event: str
    event_id: str
    at_ms: int
    currency: str
    value_minor: int
    exponent: int
    order_id: str
    page_url: str
    fbp: str
    fbc: str


class Truth(Struct, frozen=True):
    """What must come of one event. `cause` says why it must not arrive; empty if it must.

    An order that was never paid has a line too, with the cause `not_paid`: it must come to nothing.
    """

    order_id: str
    checkout_id: str
    event_id: str
    event: str
    value_minor: int
    currency: str
    eligible: Mapping[str, bool]
    cause: str
