"""Where groups stand in their topics, and going on behind a gap that an operator accepts."""

from collections.abc import Sequence

from msgspec import Struct

from consumer.errors import ConfigurationError
from consumer.kafka.errors import StaleMember
from consumer.kafka.reader import Committed, Reader
from consumer.model import TopicPartition
from consumer.settings import KafkaSettings

NONE = -1


class Place(Struct, frozen=True):
    """A group in one partition: the oldest offset there is, the next one to read (`NONE` if unknown), the end."""

    group: str
    topic: str
    partition: int
    oldest: int
    committed: int
    end: int

    @property
    def lag(self) -> int:
        """Offsets still to be read; a little more than records."""
        return max(0, self.end - max(self.committed, self.oldest))

    @property
    def problem(self) -> str:
        """What keeps the group from going on here; empty if nothing does."""
        if self.committed == NONE:
            return "no committed offset"
        if self.committed < self.oldest:
            return f"{self.oldest - self.committed} offsets were deleted unread"
        if self.committed > self.end:
            return "committed beyond the end: the topic was made anew"
        return ""


def places(kafka: KafkaSettings, group: str, topics: Sequence[str]) -> list[Place]:
    """Where the group stands in all partitions of its topics. Raises ConfigurationError, Unreachable, Refused."""
    reader = Reader(kafka, group, client_id=f"{group}.offsets")
    try:
        return _places(reader, group, topics)
    finally:
        reader.close()


def _places(reader: Reader, group: str, topics: Sequence[str]) -> list[Place]:
    asked = [TopicPartition(topic, n) for topic in topics for n in range(reader.partitions_of(topic))]
    committed = reader.committed(asked)
    found = []
    for at in asked:
        oldest, end = reader.watermarks(at)
        offset = committed[at].offset if at in committed else NONE
        found.append(Place(group, at.topic, at.partition, oldest, offset, end))
    return found


def accept_gap(kafka: KafkaSettings, group: str, topics: Sequence[str]) -> list[Place]:
    """Let the group go on at the oldest record wherever it can't go on by itself; where it stood before.

    Raises ConfigurationError while a process of the group is running, Unreachable, Refused.
    """
    reader = Reader(kafka, group, client_id=f"{group}.offsets")
    try:
        stuck = [place for place in _places(reader, group, topics) if place.problem]
        reader.commit({TopicPartition(at.topic, at.partition): Committed(at.oldest) for at in stuck})
    except StaleMember:
        message = f"{group} is running: stop its processes first, or they would go on from where they are"
        raise ConfigurationError(message) from None
    else:
        return stuck
    finally:
        reader.close()
