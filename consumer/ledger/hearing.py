"""What a judgement needs of the cluster: where groups began and have come to, and then where the topics end."""

from collections.abc import KeysView, Mapping, Sequence

import structlog
from msgspec import Struct

from consumer.clock import Clock
from consumer.errors import CapiError, ConfigurationError
from consumer.kafka.groups import Groups
from consumer.kafka.reader import Reader
from consumer.kafka.start import GroupStart, recorded
from consumer.ledger.conservation import Bounds, Offsets
from consumer.model import TopicPartition
from consumer.settings import Settings

AGAIN_S = 5.0
NOT_STARTED = "no start on record: it never ran, or its offsets were committed by other means"


class Hearing(Struct, frozen=True):
    """The bounds of all destinations, and the ends that are to be reached before they are judged."""

    bounds: Sequence[Bounds]
    not_judged: Mapping[str, str]
    ends: Mapping[TopicPartition, int]

    @property
    def partitions(self) -> KeysView[TopicPartition]:
        """All that are read."""
        return self.ends.keys()

    def ripe(self, reached: Mapping[TopicPartition, int]) -> bool:
        """All is read that there was to be read."""
        return all(reached.get(at, 0) >= end for at, end in self.ends.items())


class Hearings:
    """Asks the cluster from time to time. Used by one thread."""

    def __init__(self, settings: Settings) -> None:
        prefix = settings.topics.prefix
        self.next_at_s = 0.0
        self._kafka = settings.kafka
        self._names = [destination.name for destination in settings.destinations]
        self._groups = {name: f"{prefix}.deliver.{name}" for name in self._names}
        self._conversions = f"{prefix}.conversions"
        self._later = f"{prefix}.later"
        self._control = f"{prefix}.control"
        self._needed = [self._conversions, f"{prefix}.receipts", self._later]
        platforms = sorted({destination.platform for destination in settings.destinations})
        letters = [f"{prefix}.dlq.{of}" for of in ("ingest", *platforms)]
        self._optional = [f"{prefix}.endings", *letters]
        self._cluster = Groups(settings.kafka, f"{prefix}.ledger")
        self._starts: dict[str, GroupStart] = {}
        self._pending: Hearing | None = None
        self._log = structlog.get_logger("ledger")

    def partitions(self, reader: Reader) -> list[TopicPartition]:
        """All partitions to read. Raises ConfigurationError if a topic is missing that must be there, Unreachable."""
        counts = {topic: reader.partitions_of(topic) for topic in self._needed}
        for topic in self._optional:
            try:
                counts[topic] = reader.partitions_of(topic)
            except ConfigurationError:
                continue
        return [TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)]

    def due(self, clock: Clock, reader: Reader, reached: Mapping[TopicPartition, int]) -> Hearing | None:
        """A hearing that is to be judged now; None as long as it isn't time, or not all is read yet."""
        if self._pending is None:
            if clock.monotonic_s() < self.next_at_s:
                return None
            try:
                self._pending = self._heard(reader)
            except CapiError as error:
                self.next_at_s = clock.monotonic_s() + AGAIN_S
                self._log.warning("not_judged", error=str(error))
                return None
        hearing = self._pending
        if hearing.partitions == reached.keys() and not hearing.ripe(reached):
            return None
        self._pending = None
        return hearing

    def _heard(self, reader: Reader) -> Hearing:
        """Committed offsets first: what they say is settled is in the topics before the ends that are asked for."""
        committed = self._cluster.committed(self._groups.values())
        bounds, not_judged = [], {}
        for name, group in self._groups.items():
            start = self._start(group)
            offsets = start.offsets.get(self._conversions) if start is not None else None
            if offsets is None:
                not_judged[name] = NOT_STARTED
                continue
            found = committed[group]
            bounds.append(
                Bounds(
                    name,
                    start=dict(enumerate(offsets)),
                    committed=_of(found, self._conversions),
                    later=_of(found, self._later),
                )
            )
        ends = {at: reader.watermarks(at)[1] for at in self.partitions(reader)}
        return Hearing(bounds, not_judged, ends)

    def _start(self, group: str) -> GroupStart | None:
        """Decided once: asked for until it is known."""
        if group not in self._starts:
            reader = Reader(self._kafka, f"{group}.start", eof=True)
            try:
                found = recorded(reader, self._control, group)
            finally:
                reader.close()
            if found is None:
                return None
            self._starts[group] = found
        return self._starts[group]

    def __repr__(self) -> str:
        return f"<Hearings: {len(self._names)} destinations, {len(self._starts)} started>"


def _of(found: Mapping[TopicPartition, int], topic: str) -> Offsets:
    return {at.partition: offset for at, offset in found.items() if at.topic == topic}
