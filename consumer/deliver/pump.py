"""One destination's thread: reads conversions, hands them to the sender, settles what ended, commits.

Nothing is consumed while too much is unsettled: the backlog stays in Kafka. Offsets settle in any order; a commit names
the watermark, and beside it what is settled above.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from queue import Empty, SimpleQueue

import structlog
from msgspec import Struct

from consumer.clock import Clock
from consumer.deliver.commits import Commits
from consumer.deliver.delivery import Ended
from consumer.deliver.intake import Intake, Ready
from consumer.deliver.intent import Intents
from consumer.deliver.outcomes import Outcomes
from consumer.deliver.sender import Sender
from consumer.deliver.settle import Progress
from consumer.deliver.tally import DestinationTally
from consumer.errors import CapiError, SchemaUnavailable
from consumer.kafka.reader import Batch, Reader
from consumer.kafka.start import OffsetsVanished
from consumer.kafka.writer import Writer
from consumer.model import Record, TopicPartition

POLL_MAX_RECORDS = 500
POLL_TIMEOUT_S = 0.05
HURRY_TIMEOUT_S = 0.005
"""While receipts are on their way nothing waits longer: what a crash sends again is what no commit tells of yet.

Nor does anything while requests wait for their intent to be committed.
"""
COMMIT_EVERY_S = 0.05
PAUSE_AFTER_S = 1.0
"""A full destination first just doesn't read; if that lasts, it pauses, for the group must hear of it all the same."""
SCHEMA_RETRY_S = 1.0
LEAVE_WAIT_S = 15.0
"""How long partitions that go elsewhere wait for the replies under way; what has none by then is sent again there."""
CANCEL_WAIT_S = 1.0
FLUSH_TIMEOUT_S = 10.0
DRAINED_MIN_S = 1.0
LOOK_EVERY_S = 1.0


class NotWritten(CapiError):
    """A receipt or a letter can't be written: the destination stops, and nothing more settles."""


class SenderEnded(CapiError):
    """The sender is gone though nobody stopped it."""


class Tools(Struct, frozen=True):
    """What a pump works with; all are its own. Without `intents`, nothing is told before it is sent."""

    reader: Reader
    writer: Writer
    outcomes: Outcomes
    sender: Sender
    sending: "Future[None]"
    intake: Intake
    intents: Intents | None


class Pump:
    """Turns as long as someone turns it. Used by one thread."""

    def __init__(
        self,
        tools: Tools,
        tally: DestinationTally,
        clock: Clock,
        *,
        group: str,
        topic: str,
        partitions: int,
        unsettled_max: int,
    ) -> None:
        self._reader = tools.reader
        self._writer = tools.writer
        self._outcomes = tools.outcomes
        self._sender = tools.sender
        self._sending = tools.sending
        self._intake = tools.intake
        self._intents = tools.intents
        self._tally = tally
        self._clock = clock
        self._group = group
        self._topic = topic
        self._partitions = partitions
        self._unsettled_max = unsettled_max
        self._log = structlog.get_logger("deliver").bind(destination=tally.destination)
        self._progress: dict[TopicPartition, Progress] = {}
        self._commits = Commits(tools.reader, tally, clock)
        self._ended: SimpleQueue[list[Ended]] = SimpleQueue()
        self._unread: deque[Record] = deque()
        self._unread_until_s = 0.0
        self._paused: set[TopicPartition] = set()
        self._scattered: set[TopicPartition] = set()
        self._full_since_s: float | None = None
        self._commit_at_s = 0.0
        self._look_at_s = 0.0

    def join(self) -> None:
        """Join the group."""
        self._sender.begin(self._ended.put)
        self._reader.subscribe(
            [self._topic], on_assigned=self._assigned, on_revoked=self._revoked, on_lost=self._lost
        )

    def turn(self) -> None:
        """Do what there is to do, waiting a little for it. Raises what halts the destination."""
        now_s = self._clock.monotonic_s()
        self._write(self._take_ended())
        self._serve_intents()
        self._retry_unread(now_s)
        wait_s = HURRY_TIMEOUT_S if self._hurried else POLL_TIMEOUT_S
        if self._may_read(now_s):
            self._take(self._reader.poll(POLL_MAX_RECORDS, wait_s))
        else:
            self._write(self._take_ended(wait_s))
            if (
                self._reader.committing
            ):  # a poll tells of its end; the record that may come with it does no harm
                self._take(self._reader.poll(1, 0.0))
        self._writer.poll()
        self._check()
        if now_s >= self._commit_at_s:
            self._commit_at_s = now_s + COMMIT_EVERY_S
            self._commit()
            self._scattered = {at for at, progress in self._progress.items() if progress.scattered}
        self._look(now_s)

    @property
    def _hurried(self) -> bool:
        if self._outcomes.under_way:
            return True
        return self._intents is not None and bool(self._sender.lane.under_way())

    def _serve_intents(self) -> None:
        """Commit what is about to be sent, at once, and tell the sender what it may send."""
        if self._intents is not None:
            self._intents.serve(self._commit_these)

    def _commit_these(self, of: Collection[Progress]) -> bool:
        return self._commits.now({at: progress for at, progress in self._progress.items() if progress in of})

    def drain(self, deadline_s: float, beat: Callable[[], None]) -> bool:
        """Begin nothing more, wait for the replies under way, settle and commit; whether all came in time."""
        self._sender.stop()
        while not self._sender.finished.is_set() and self._clock.monotonic_s() < deadline_s:
            beat()
            self._write(self._take_ended(HURRY_TIMEOUT_S if self._hurried else POLL_TIMEOUT_S))
            self._serve_intents()
            self._writer.poll()
        self._write(self._take_ended())
        deadline_s = max(deadline_s, self._clock.monotonic_s() + DRAINED_MIN_S)
        written = (
            self._writer.flush(deadline_s - self._clock.monotonic_s()) == 0 and not self._outcomes.failed
        )
        self._serve_intents()
        committed = self._commit_until(deadline_s)
        self._tally.in_flight = self._unsettled
        return written and committed and self._sender.finished.is_set()

    def _commit_until(self, deadline_s: float) -> bool:
        """Commit all that is settled; whether it came to that. What is read meanwhile is left to the next member."""
        while self._commit():
            if self._clock.monotonic_s() >= deadline_s:
                return False
            self._reader.poll(1, POLL_TIMEOUT_S)
        return True

    def abandon(self, wait_s: float) -> None:
        """Give everything up as it is: what isn't committed will be read again.

        Requests under way have `wait_s` to end by themselves; then they are cut off.
        """
        for progress in self._progress.values():
            progress.lost = True
        self._progress.clear()
        self._sender.forget_lost()
        self._sender.stop()
        deadline_s = self._clock.monotonic_s() + wait_s
        while not self._sender.finished.wait(POLL_TIMEOUT_S) and self._clock.monotonic_s() < deadline_s:
            self._serve_intents()  # all is lost: nothing more is begun
        if not self._sender.finished.is_set():
            self._sending.cancel()
            self._sender.finished.wait(CANCEL_WAIT_S)

    # Partitions come and go: these run inside the reader's poll.

    def _assigned(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        found = self._reader.committed(partitions)
        if missing := [at for at in partitions if at not in found]:
            raise OffsetsVanished(self._group, missing)
        for at in partitions:
            self._progress[at] = Progress(found[at].offset, found[at].metadata)
        self._share()
        if partitions:
            self._log.info("partitions_assigned", partitions=sorted(at.partition for at in partitions))
        return {at: found[at].offset for at in partitions}

    def _revoked(self, partitions: list[TopicPartition]) -> None:
        """Wait for the replies under way and settle them; what was not sent is for the next owner."""
        going = {at: self._progress[at] for at in partitions if at in self._progress}
        for progress in going.values():
            progress.leaving = True
        self._sender.sync(LEAVE_WAIT_S)
        deadline_s = self._clock.monotonic_s() + LEAVE_WAIT_S
        while self._under_way(going.values()) and self._clock.monotonic_s() < deadline_s:
            self._write(self._take_ended(HURRY_TIMEOUT_S if self._hurried else POLL_TIMEOUT_S))
            self._serve_intents()
            self._writer.poll()
        self._sender.sync(LEAVE_WAIT_S)  # the last reply is heard of: its outcome is handed over by then
        self._write(self._take_ended())
        self._writer.flush(FLUSH_TIMEOUT_S)
        self._serve_intents()
        self._commits.now(going)
        self._lost(partitions)

    def _under_way(self, going: Iterable[Progress]) -> bool:
        ours = set(map(id, going))
        groups = self._sender.lane.under_way()
        return any(id(delivery.progress) in ours for group in groups for delivery in group.deliveries)

    def _lost(self, partitions: list[TopicPartition]) -> None:
        for at in partitions:
            progress = self._progress.pop(at, None)
            if progress is not None:
                progress.lost = True
        self._commits.forget(partitions)
        self._paused.difference_update(partitions)
        self._unread = deque(record for record in self._unread if _at(record) in self._progress)
        self._sender.forget_lost()
        self._share()

    def _share(self) -> None:
        """The platform's rate is shared by the processes as the partitions are."""
        self._sender.share(len(self._progress) / self._partitions)

    # Records in, outcomes out.

    def _may_read(self, now_s: float) -> bool:
        """Whether to poll: there is room, or the group must be served though nothing is fetched."""
        room = self._unsettled_max // 2 if self._stopped else self._unsettled_max
        if not self._unread and self._unsettled < room:
            self._full_since_s = None
            self._hold(self._scattered & self._progress.keys())
            return True
        if self._full_since_s is None:
            self._full_since_s = now_s
        if now_s - self._full_since_s < PAUSE_AFTER_S:
            return False
        self._hold(set(self._progress))
        return True

    @property
    def _stopped(self) -> bool:
        """All is paused: it begins again well before it is full again, since pausing throws the prefetch away."""
        return bool(self._progress) and self._paused.issuperset(self._progress)

    def _hold(self, wanted: set[TopicPartition]) -> None:
        """Fetch all but these."""
        if pausing := wanted - self._paused:
            self._reader.pause(pausing)
        if resuming := self._paused - wanted:
            self._reader.resume(resuming)
        self._paused = wanted

    def _take(self, batch: Batch) -> None:
        if self._unread:
            self._unread.extend(batch.records)
        else:
            self._read(deque(batch.records))
        for at, offset in batch.ends:
            progress = self._progress.get(at)
            if progress is not None and not self._unread:
                progress.end(offset)

    def _retry_unread(self, now_s: float) -> None:
        if self._unread and now_s >= self._unread_until_s:
            unread, self._unread = self._unread, deque()
            self._read(unread)

    def _read(self, records: deque[Record]) -> None:
        """Take records in their order. From one whose schema can't be asked now, all wait."""
        now_ms = self._clock.now_ms()
        ready: list[Ready] = []
        ended: list[Ended] = []
        while records:
            try:
                taken = self._taken(records[0], now_ms)
            except SchemaUnavailable as error:
                self._unread, self._unread_until_s = records, self._clock.monotonic_s() + SCHEMA_RETRY_S
                self._log.warning("schema_unavailable", schema_id=error.schema_id)
                break
            records.popleft()
            if isinstance(taken, Ready):
                ready.append(taken)
            elif taken is not None:
                ended.append(taken)
        self._write(ended)
        if ready:
            self._sender.add_soon(ready)

    def _taken(self, record: Record, now_ms: int) -> Ready | Ended | None:
        """What is to be done about a record; None if nothing is: it is another's, or was settled before."""
        progress = self._progress.get(_at(record))
        if progress is None:
            return None
        told = self._intake.decode(record)
        seen = progress.read(record.offset, record.timestamp_ms)
        if seen == "settled":
            return None
        if seen == "intended" and self._intents is not None:
            return self._intake.left_in_flight(record, told, progress)
        return self._intake.take(record, told, progress, now_ms)

    def _take_ended(self, wait_s: float = 0.0) -> list[Ended]:
        """What ended since the last call; waits for the first of it if asked to."""
        ended: list[Ended] = []
        try:
            while True:
                ended += self._ended.get(timeout=wait_s) if wait_s else self._ended.get_nowait()
                wait_s = 0.0
        except Empty:
            return ended

    def _write(self, ended: list[Ended]) -> None:
        letters: dict[str, int] = {}
        for each in ended:
            self._outcomes.write(each)
            if each.letter and not each.progress.lost:
                letters[each.letter] = letters.get(each.letter, 0) + 1
        for reason, count in letters.items():
            self._log.warning("letter_written", reason=reason, count=count)

    def _check(self) -> None:
        if self._outcomes.failed:
            message = (
                "a receipt or a letter could not be written: nothing more is settled, and the destination stops. "
                "Look at the topics of receipts and letters: they must exist and take records of this size"
            )
            raise NotWritten(message)
        if self._sender.finished.is_set():
            error = self._sending.exception(FLUSH_TIMEOUT_S)
            raise SenderEnded("the sender ended by itself") from error

    def _commit(self) -> bool:
        """Commit what moved; whether there is more to wait for.

        With intents each commit is waited for: none may come to the broker again behind the one that tells of them.
        """
        if self._intents is None:
            return self._commits.soon(self._progress)
        return not self._commits.now(self._progress)

    @property
    def _unsettled(self) -> int:
        return sum(progress.unsettled for progress in self._progress.values())

    def _look(self, now_s: float) -> None:
        """Refresh what people see."""
        self._tally.in_flight = self._unsettled
        if now_s < self._look_at_s:
            return
        self._look_at_s = now_s + LOOK_EVERY_S
        lag, oldest_ms = 0, 0
        for at, progress in self._progress.items():
            end = self._reader.known_end(at)
            lag += max(0, (end if end is not None else progress.position) - progress.watermark)
            if progress.oldest_ms:
                oldest_ms = min(oldest_ms or progress.oldest_ms, progress.oldest_ms)
        self._tally.lag = lag
        self._tally.oldest_age_s = max(0.0, (self._clock.now_ms() - oldest_ms) / 1000) if oldest_ms else 0.0
        self._tally.partitions = len(self._progress)

    @property
    def assignment(self) -> list[int]:
        """Numbers of the partitions that are ours; a copy."""
        return sorted(at.partition for at in list(self._progress))

    def __repr__(self) -> str:
        return (
            f"<Pump {self._tally.destination}: {len(self._progress)} partitions, {self._unsettled} unsettled>"
        )


def _at(record: Record) -> TopicPartition:
    return TopicPartition(record.topic, record.partition)
