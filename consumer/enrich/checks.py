"""What must be so before enrich starts. Each refusal says what to do."""

from msgspec import Struct

from consumer.deadletter.letter import RECORD_OVERHEAD_BYTES
from consumer.errors import ConfigurationError
from consumer.kafka import limits
from consumer.settings import Settings


class Topics(Struct, frozen=True):
    """Names of the topics that enrich reads and writes."""

    orders: str
    checkouts: str
    replay: str
    state: str
    conversions: str
    endings: str
    letters: str
    control: str

    @property
    def inputs(self) -> tuple[str, str, str]:
        """What enrich reads; equally many partitions, that one of each goes to the same process."""
        return self.orders, self.checkouts, self.replay


class Ground(Struct, frozen=True):
    """What was found of the cluster. Sizes are of one record's key, value and headers."""

    cluster_id: str
    topics: Topics
    partitions: int
    state_max_bytes: int
    conversion_max_bytes: int
    ending_max_bytes: int
    letter_max_bytes: int
    batch_max_bytes: int
    tombstones_ms: int


def topics_of(settings: Settings) -> Topics:
    """The names that the settings make."""
    named, prefix = settings.topics, settings.topics.prefix
    return Topics(
        orders=named.orders if named.orders_keyed_by_checkout else named.orders_by_checkout,
        checkouts=named.checkouts,
        replay=f"{prefix}.ingest-replay",
        state=f"{prefix}.state",
        conversions=f"{prefix}.conversions",
        endings=f"{prefix}.endings",
        letters=f"{prefix}.dlq.ingest",
        control=f"{prefix}.control",
    )


def check(settings: Settings) -> Ground:
    """Look at the cluster. Raises ConfigurationError, Unreachable, Refused."""
    topics = topics_of(settings)
    written = (topics.state, topics.conversions, topics.endings, topics.letters)
    wanted = [*topics.inputs, *written, topics.control]
    cluster = limits.ask(settings.kafka, wanted)
    found = cluster.topics
    limits.check_equal({name: found[name].partitions for name in (*topics.inputs, topics.state)})
    _kept(topics.state, found[topics.state].retention_ms, settings)
    return Ground(
        cluster_id=cluster.cluster_id,
        topics=topics,
        partitions=found[topics.orders].partitions,
        state_max_bytes=found[topics.state].max_message_bytes - RECORD_OVERHEAD_BYTES,
        conversion_max_bytes=found[topics.conversions].max_message_bytes - RECORD_OVERHEAD_BYTES,
        ending_max_bytes=found[topics.endings].max_message_bytes - RECORD_OVERHEAD_BYTES,
        letter_max_bytes=found[topics.letters].max_message_bytes,
        batch_max_bytes=min(found[name].max_message_bytes for name in written),
        tombstones_ms=found[topics.state].tombstones_ms,
    )


def _kept(topic: str, retention_ms: int, settings: Settings) -> None:
    needed_ms = 2_000 * max(
        settings.state.dedupe_window_s, settings.state.context_ttl_s, settings.join.wait_s
    )
    if 0 <= retention_ms < needed_ms:
        message = (
            f"{topic} keeps records for {retention_ms} ms, but state must last {needed_ms} ms (twice the longest "
            f"window): set its retention.ms to {needed_ms} or more, or make the windows in state shorter"
        )
        raise ConfigurationError(message)
