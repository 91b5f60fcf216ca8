"""What is fetched and what isn't: nothing while too much is unsettled, so that the backlog stays in Kafka."""

from collections.abc import Collection

from consumer.kafka.reader import Reader
from consumer.model import TopicPartition

PAUSE_AFTER_S = 1.0
"""A full destination first just doesn't read; if that lasts, it pauses, for the group must hear of it all the same."""


class Valve:
    """Opens and closes one reader's partitions. Used by the reader's thread."""

    def __init__(self, reader: Reader, unsettled_max: int) -> None:
        self._reader = reader
        self._unsettled_max = unsettled_max
        self._paused: set[TopicPartition] = set()
        self._full_since_s: float | None = None

    def may_read(
        self,
        ours: Collection[TopicPartition],
        closed: Collection[TopicPartition],
        unsettled: int,
        now_s: float,
        *,
        stuck: bool,
    ) -> bool:
        """Whether to poll: there is room, or the group must be served though nothing is fetched.

        `closed` partitions are not fetched in any case; `stuck` if records wait that were read already.
        """
        stopped = bool(ours) and self._paused.issuperset(ours)
        # Pausing throws the prefetch away: what is stopped begins again well before it is full again.
        room = self._unsettled_max // 2 if stopped else self._unsettled_max
        if not stuck and unsettled < room:
            self._full_since_s = None
            self._hold(set(closed))
            return True
        if self._full_since_s is None:
            self._full_since_s = now_s
        if now_s - self._full_since_s < PAUSE_AFTER_S:
            return False
        self._hold(set(ours))
        return True

    def _hold(self, wanted: set[TopicPartition]) -> None:
        """Fetch all but these."""
        if pausing := wanted - self._paused:
            self._reader.pause(pausing)
        if resuming := self._paused - wanted:
            self._reader.resume(resuming)
        self._paused = wanted

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """These are another's now."""
        self._paused.difference_update(partitions)

    def __repr__(self) -> str:
        return f"<Valve: {len(self._paused)} partitions held>"
