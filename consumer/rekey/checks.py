"""What must be so before orders are rekeyed. Each refusal says what to do."""

from msgspec import Struct

from consumer.deadletter.letter import RECORD_OVERHEAD_BYTES
from consumer.errors import ConfigurationError
from consumer.kafka import limits
from consumer.kafka.clients import MESSAGE_MAX_BYTES
from consumer.settings import Settings


class Topics(Struct, frozen=True):
    """Names of the topics that rekey reads and writes."""

    orders: str
    by_checkout: str
    checkouts: str
    letters: str
    control: str


class Ground(Struct, frozen=True):
    """What was found of the cluster. `record_max_bytes` is of one record's key, value and headers."""

    topics: Topics
    partitions: int
    record_max_bytes: int
    letter_max_bytes: int
    batch_max_bytes: int


def topics_of(settings: Settings) -> Topics:
    """The names that the settings make."""
    named = settings.topics
    return Topics(
        orders=named.orders,
        by_checkout=named.orders_by_checkout,
        checkouts=named.checkouts,
        letters=f"{named.prefix}.dlq.ingest",
        control=f"{named.prefix}.control",
    )


def check(settings: Settings) -> Ground:
    """Look at the cluster. Raises ConfigurationError, Unreachable, Refused."""
    if settings.topics.orders_keyed_by_checkout:
        message = (
            "there is nothing to rekey: by topics.orders_keyed_by_checkout the shop keys its orders by checkout id; "
            "set that to false, or leave the role out"
        )
        raise ConfigurationError(message)
    topics = topics_of(settings)
    wanted = (topics.orders, topics.by_checkout, topics.checkouts, topics.letters, topics.control)
    found = limits.ask(settings.kafka, wanted).topics
    limits.check_equal({name: found[name].partitions for name in (topics.by_checkout, topics.checkouts)})
    read, written = found[topics.orders].max_message_bytes, found[topics.by_checkout].max_message_bytes
    if written < min(read, MESSAGE_MAX_BYTES):
        message = (
            f"{topics.by_checkout} takes records of {written} bytes, and {topics.orders} of {read}: set its "
            f"max.message.bytes to {read} or more (`capi topics apply` sets it to what is usual)"
        )
        raise ConfigurationError(message)
    letter_max_bytes = found[topics.letters].max_message_bytes
    return Ground(
        topics=topics,
        partitions=found[topics.by_checkout].partitions,
        record_max_bytes=min(written, MESSAGE_MAX_BYTES) - RECORD_OVERHEAD_BYTES,
        letter_max_bytes=letter_max_bytes,
        batch_max_bytes=min(written, letter_max_bytes),
    )
