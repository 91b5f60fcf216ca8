"""Commits of one destination: only what moved since the last one, waited for or not."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TypeAlias

import structlog

from consumer.clock import Clock
from consumer.deliver.settle import Progress
from consumer.deliver.tally import DestinationTally
from consumer.errors import CapiError, Unreachable
from consumer.kafka.errors import StaleMember
from consumer.kafka.reader import Committed, Reader
from consumer.model import TopicPartition

Partitions: TypeAlias = Mapping[TopicPartition, Progress]
Mark: TypeAlias = tuple[int, int, int]
"""What moves whenever a partition's watermark or runs do: its position, how much is unsettled, its count of intents."""


class Commits:
    """Used by one thread, the reader's own. A commit that fails is made again: a group that moved on decides first."""

    def __init__(self, reader: Reader, tally: DestinationTally, clock: Clock) -> None:
        self._reader = reader
        self._tally = tally
        self._clock = clock
        self._log = structlog.get_logger("deliver").bind(destination=tally.destination)
        self._marks: dict[TopicPartition, Mark] = {}

    def soon(self, of: Partitions) -> bool:
        """Begin to commit, unless a commit is under way, which a poll must end; False if there is nothing to do."""
        due = self._moved(of)
        if due and not self._reader.committing:
            self._reader.commit_soon(_positions(due), partial(self._ended, _marks(due)))
        return bool(due) or self._reader.committing

    def now(self, of: Partitions) -> bool:
        """Commit and wait; whether it is committed. A broker that hangs makes this take long."""
        due = self._moved(of)
        try:
            self._reader.commit(_positions(due))
        except (StaleMember, Unreachable) as error:
            self._ended({}, error)
            return False
        self._ended(_marks(due), None)
        return True

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """These are another's now."""
        for at in partitions:
            self._marks.pop(at, None)

    def _moved(self, of: Partitions) -> Partitions:
        return {at: progress for at, progress in of.items() if _mark(progress) != self._marks.get(at)}

    def _ended(self, marks: Mapping[TopicPartition, Mark], error: CapiError | None) -> None:
        if error is not None:
            self._log.warning("not_committed", error=str(error))
            return
        self._marks.update(marks)
        if marks:
            self._tally.last_commit_ms = self._clock.now_ms()

    def __repr__(self) -> str:
        return (
            f"<Commits {self._tally.destination}: {'one' if self._reader.committing else 'none'} under way>"
        )


def _mark(progress: Progress) -> Mark:
    return progress.position, progress.unsettled, progress.intents


def _marks(of: Partitions) -> dict[TopicPartition, Mark]:
    return {at: _mark(progress) for at, progress in of.items()}


def _positions(of: Partitions) -> dict[TopicPartition, Committed]:
    return {at: Committed(progress.watermark, progress.metadata) for at, progress in of.items()}
