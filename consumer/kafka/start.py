"""Where a group starts: decided once, for all its partitions together, recorded, committed before the first read.

The decision is a record of the control topic under the group's name. It is written twice: first what was decided, then
that it was committed. A group with the second record and without its offsets has lost them: nobody may guess where it
was, so it halts and asks.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from msgspec import Struct, json

from consumer.errors import CapiError, ConfigurationError, Unreachable
from consumer.kafka.errors import StaleMember
from consumer.kafka.reader import Committed, Reader
from consumer.kafka.writer import Writer
from consumer.model import TopicPartition
from consumer.settings import KafkaSettings

WRITE_TIMEOUT_S = 15.0
POLL_MAX_RECORDS = 1_000
POLL_TIMEOUT_S = 0.1


class GroupStart(Struct, frozen=True, tag="start", tag_field="kind"):
    """A group's start: topic to the first offset of each partition."""

    group: str
    start: str
    decided_at_ms: int
    offsets: dict[str, list[int]]
    committed: bool = False


class OffsetsVanished(CapiError):
    """The group had offsets and has none any more, for some of its partitions."""

    def __init__(self, group: str, partitions: Sequence[TopicPartition]) -> None:
        first = partitions[0]
        super().__init__(
            f"group {group} has lost its committed offsets ({len(partitions)} partitions, {first.topic}"
            f"[{first.partition}] first): it was idle for longer than the broker keeps them, or they were deleted. "
            "`capi offsets show` says where it stands; `capi offsets accept-gap` goes on at the oldest record, or "
            "commit where it should go on, then start it again"
        )


def settle_start(
    kafka: KafkaSettings,
    control_topic: str,
    group: str,
    topics: Sequence[str],
    start: str,
    now_ms: int,
    *,
    whole: Collection[str] = (),
) -> GroupStart | None:
    """Give a group without offsets its start. Call it before subscribing; two callers at once agree.

    Returns the decision on record, None for a group whose offsets were committed by other means.

    `start` is `earliest`, `now` or an RFC 3339 time; those of the topics that are `whole` are read from their first
    record on all the same. Raises OffsetsVanished, ConfigurationError, Unreachable, Refused.
    """
    reader = Reader(kafka, group, eof=True, client_id=f"{group}.start")
    try:
        partitions = [
            TopicPartition(topic, n) for topic in topics for n in range(reader.partitions_of(topic))
        ]
        missing = [at for at in partitions if at not in reader.committed(partitions)]
        decided = recorded(reader, control_topic, group)
        if not missing:
            return decided
        if decided is None and len(missing) == len(partitions):
            decision = GroupStart(group, start, now_ms, _offsets(reader, partitions, start, whole))
            _record(kafka, control_topic, decision)
            decided = recorded(reader, control_topic, group)
        if decided is None or decided.committed:
            raise OffsetsVanished(group, missing)
        _commit(reader, decided, missing)
        _record(kafka, control_topic, _as_committed(decided))
        return decided
    finally:
        reader.close()


def recorded(reader: Reader, control_topic: str, group: str) -> GroupStart | None:
    """The decision on record: the first one made, with whether it was committed since."""
    found: GroupStart | None = None
    for value in _read(reader, control_topic, group.encode()):
        decision = json.decode(value, type=GroupStart)
        if found is None or decision.committed:
            found = decision
    return found


def _read(reader: Reader, topic: str, key: bytes) -> list[bytes]:
    """All values of a key, in order."""
    marks = {
        at: reader.watermarks(at)
        for at in (TopicPartition(topic, number) for number in range(reader.partitions_of(topic)))
    }
    left = {at for at, (low, end) in marks.items() if end > low}
    reader.assign({at: marks[at][0] for at in left})
    values: list[bytes] = []
    while left:
        batch = reader.poll(POLL_MAX_RECORDS, POLL_TIMEOUT_S)
        values.extend(
            record.value for record in batch.records if record.key == key and record.value is not None
        )
        left -= {at for at, offset in batch.ends if offset >= marks.get(at, (0, 0))[1]}
    reader.assign({})
    return values


def _offsets(
    reader: Reader, partitions: Sequence[TopicPartition], start: str, whole: Collection[str]
) -> dict[str, list[int]]:
    first = [partition for partition in partitions if partition.topic in whole]
    others = [partition for partition in partitions if partition.topic not in whole]
    return _by_topic({**_starts(reader, first, "earliest"), **_starts(reader, others, start)})


def _starts(reader: Reader, partitions: Sequence[TopicPartition], start: str) -> Mapping[TopicPartition, int]:
    if start == "earliest":
        return {partition: reader.watermarks(partition)[0] for partition in partitions}
    if start == "now":
        return {partition: reader.watermarks(partition)[1] for partition in partitions}
    return reader.offsets_at(partitions, int(datetime.fromisoformat(start).timestamp() * 1000))


def _by_topic(at: Mapping[TopicPartition, int]) -> dict[str, list[int]]:
    by_topic: dict[str, list[int]] = {}
    for partition in sorted(at):
        by_topic.setdefault(partition.topic, []).append(at[partition])
    return by_topic


def _commit(reader: Reader, decided: GroupStart, missing: Sequence[TopicPartition]) -> None:
    positions = {}
    for at in missing:
        offsets = decided.offsets.get(at.topic, [])
        if at.partition >= len(offsets):
            message = f"group {decided.group} started without {at.topic}[{at.partition}]; topics or partitions changed"
            raise ConfigurationError(message)
        positions[at] = Committed(offsets[at.partition])
    try:
        reader.commit(positions)
    except StaleMember:
        return  # the group has members already: whoever decided the same was faster


def _as_committed(decided: GroupStart) -> GroupStart:
    return GroupStart(decided.group, decided.start, decided.decided_at_ms, decided.offsets, committed=True)


def _record(kafka: KafkaSettings, topic: str, decision: GroupStart) -> None:
    writer = Writer(kafka, client_id=f"{decision.group}.start")
    written: list[int | None] = []
    try:
        writer.produce(topic, json.encode(decision), key=decision.group.encode(), on_delivered=written.append)
        writer.flush(WRITE_TIMEOUT_S)
    finally:
        writer.close()
    if not written or written[0] is None:
        message = (
            f"where {decision.group} starts can't be recorded in {topic}; check that it is there and writable"
        )
        raise Unreachable(message)
