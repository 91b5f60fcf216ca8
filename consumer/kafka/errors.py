"""What Kafka's clients can say, in our words, with what to do about each.

CapiError
├── StaleMember           the group moved on: poll, the rebalance callbacks decide
├── OffsetOutOfRange      the records to read next are gone, or never were: halt and ask
├── TransactionAborted    abort(), rewind to committed(), make the batch again
└── TransactionLost       the outcome is unknown: a new writer, then ask committed()

Of `consumer.errors`, Fenced (as TransactionLost, and someone may share our id), Unreachable and Refused.
"""

from confluent_kafka import KafkaError, KafkaException

from consumer.errors import CapiError, Fenced, Refused, Unreachable
from consumer.model import TopicPartition

STALE = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError._NO_OFFSET,  # noqa: SLF001 (librdkafka's local codes bear an underscore)
        KafkaError._STATE,  # noqa: SLF001
    }
)
FENCING = frozenset(
    {
        KafkaError._FENCED,  # noqa: SLF001
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.TRANSACTION_COORDINATOR_FENCED,
    }
)
REFUSING = frozenset(
    {
        KafkaError._AUTHENTICATION,  # noqa: SLF001
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)
FATAL = KafkaError._FATAL  # noqa: SLF001
MOVING = frozenset(
    {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    }
)
"""A group's coordinator is on its way to another broker, or of a cluster that is new."""
VANISHED = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})  # noqa: SLF001


class StaleMember(CapiError):
    """The group has given this member's partitions to others, or is about to."""


class OffsetOutOfRange(CapiError):
    """The offset to read next is not in the log."""

    def __init__(self, partition: TopicPartition) -> None:
        super().__init__(
            f"the records that {partition.topic}[{partition.partition}] should be read from are no longer there: "
            "they were deleted before they were read, or the topic was made anew. Nothing is skipped by itself: "
            "look at the gap with `capi offsets show`; `capi offsets accept-gap` goes on at the oldest record"
        )
        self.partition = partition


class TransactionAborted(CapiError):
    """The transaction can't be committed; nothing of it counts once it is aborted."""


class TransactionLost(CapiError):
    """The producer is of no more use, and nobody knows yet if its transaction was committed."""


def code_of(error: KafkaException | KafkaError) -> KafkaError | None:
    """The librdkafka error within, None if it was raised without one."""
    if isinstance(error, KafkaError):
        return error
    inner = error.args[0] if error.args else None
    return inner if isinstance(inner, KafkaError) else None


def cause_of(error: KafkaError) -> int:
    """The code of an error that came while reading. What is behind a fatal one the client tells only in its words."""
    if error.code() != FATAL:
        return int(error.code())
    causes = (KafkaError.FENCED_INSTANCE_ID, KafkaError.UNRELEASED_INSTANCE_ID)
    return next((code for code in causes if KafkaError(code).str() in error.str()), FATAL)


def unavailable(doing: str, error: KafkaException | KafkaError) -> CapiError:
    """Refused if the cluster said no, else Unreachable. `doing` says what was tried."""
    inner = code_of(error)
    if inner is None:
        return Unreachable(f"{doing}: {error}")
    if inner.code() in REFUSING:
        return Refused(
            f"{doing}: Kafka refuses ({inner.name()}); check the credentials and ACLs in kafka.extra"
        )
    return Unreachable(f"{doing}: Kafka does not answer ({inner.name()}); check kafka.bootstrap_servers")


def transaction_problem(doing: str, error: KafkaException) -> CapiError:
    """Which row of the error table a failed call inside a transaction is."""
    inner = code_of(error)
    if inner is None:
        return TransactionLost(f"{doing}: {error}")
    text = f"{doing}: {inner.name()} {inner.str()}"
    if inner.code() in FENCING:
        return Fenced(text)
    if inner.fatal():
        return TransactionLost(text)
    if inner.txn_requires_abort() or inner.code() in STALE:
        return TransactionAborted(text)
    return TransactionLost(text)
