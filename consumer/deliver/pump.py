"""One destination's thread: reads conversions, hands them to the sender, settles what ended, commits.

Nothing is consumed while too much is unsettled: the backlog stays in Kafka. Offsets settle in any order; a commit names
the watermark, and beside it what is settled above.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable
from queue import Empty, SimpleQueue

import structlog

from consumer.clock import Clock
from consumer.deliver.commits import Commits
from consumer.deliver.delivery import Done, Ended
from consumer.deliver.intake import Place, Ready
from consumer.deliver.settle import Progress
from consumer.deliver.tally import DestinationTally
from consumer.deliver.tools import NotWritten, SenderEnded, Tools
from consumer.deliver.valve import Valve
from consumer.errors import SchemaUnavailable
from consumer.kafka.reader import Batch
from consumer.kafka.start import OffsetsVanished
from consumer.model import Record, TopicPartition

POLL_MAX_RECORDS = 500
POLL_TIMEOUT_S = 0.05
HURRY_TIMEOUT_S = 0.005
"""While receipts are on their way nothing waits longer: what a crash sends again is what no commit tells of yet.

Nor does anything while requests wait for their intent to be committed.
"""
COMMIT_EVERY_S = 0.05
SCHEMA_RETRY_S = 1.0
LEAVE_WAIT_S = 15.0
"""How long partitions that go elsewhere wait for the replies under way; what has none by then is sent again there."""
CANCEL_WAIT_S = 1.0
FLUSH_TIMEOUT_S = 10.0
DRAINED_MIN_S = 1.0
LOOK_EVERY_S = 1.0


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
        self._aside = tools.aside
        self._intents = tools.intents
        self._tally = tally
        self._clock = clock
        self._group = group
        self._topic = topic
        self._partitions = partitions
        self._valve = Valve(tools.reader, unsettled_max)
        self._log = structlog.get_logger("deliver").bind(destination=tally.destination)
        self._progress: dict[TopicPartition, Progress] = {}
        self._commits = Commits(tools.reader, tally, clock)
        self._done: SimpleQueue[list[Done]] = SimpleQueue()
        self._unread: deque[Record] = deque()
        self._unread_until_s = 0.0
        self._reached: set[TopicPartition] = set()
        self._scattered: set[TopicPartition] = set()
        self._commit_at_s = 0.0
        self._look_at_s = 0.0

    def join(self) -> None:
        """Join the group."""
        self._sender.begin(self._done.put)
        self._reader.subscribe(
            [self._topic, *self._aside.topics],
            on_assigned=self._assigned,
            on_revoked=self._revoked,
            on_lost=self._lost,
        )

    def turn(self) -> None:
        """Do what there is to do, waiting a little for it. Raises what halts the destination."""
        now_s = self._clock.monotonic_s()
        self._write(self._take_done())
        self._hand_on(self._aside.free(self._clock.now_ms()))
        self._serve_intents()
        self._retry_unread(now_s)
        wait_s = HURRY_TIMEOUT_S if self._hurried else POLL_TIMEOUT_S
        if self._may_read(now_s):
            self._take(self._reader.poll(POLL_MAX_RECORDS, wait_s))
        else:
            self._write(self._take_done(wait_s))
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
            self._write(self._take_done(HURRY_TIMEOUT_S if self._hurried else POLL_TIMEOUT_S))
            self._serve_intents()
            self._writer.poll()
        self._write(self._take_done())
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
        self._aside.assigned(partitions)
        self._share()
        if partitions:
            self._log.info("partitions_assigned", partitions=sorted({at.partition for at in partitions}))
        return {at: found[at].offset for at in partitions}

    def _revoked(self, partitions: list[TopicPartition]) -> None:
        """Wait for the replies under way and settle them; what was not sent is for the next owner."""
        going = {at: self._progress[at] for at in partitions if at in self._progress}
        for progress in going.values():
            progress.leaving = True
        self._sender.sync(LEAVE_WAIT_S)
        deadline_s = self._clock.monotonic_s() + LEAVE_WAIT_S
        while self._under_way(going.values()) and self._clock.monotonic_s() < deadline_s:
            self._write(self._take_done(HURRY_TIMEOUT_S if self._hurried else POLL_TIMEOUT_S))
            self._serve_intents()
            self._writer.poll()
        self._sender.sync(LEAVE_WAIT_S)  # the last reply is heard of: its outcome is handed over by then
        self._write(self._take_done())
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
        self._valve.forget(partitions)
        self._reached.difference_update(partitions)
        self._unread = deque(record for record in self._unread if _at(record) in self._progress)
        self._sender.forget_lost()
        self._aside.lost()
        self._aside.forget(partitions)
        self._share()

    def _share(self) -> None:
        """The platform's rate is shared by the processes as the partitions are."""
        self._sender.share(len(self.assignment) / self._partitions)

    # Records in, outcomes out.

    def _may_read(self, now_s: float) -> bool:
        closed = self._scattered & self._progress.keys()
        if self._aside.full:
            closed = closed | {at for at in self._progress if at.topic in self._aside.topics}
        unsettled = self._unsettled - len(self._aside)
        return self._valve.may_read(self._progress.keys(), closed, unsettled, now_s, stuck=bool(self._unread))

    def _take(self, batch: Batch) -> None:
        if self._unread:
            self._unread.extend(batch.records)
        else:
            self._read(deque(batch.records))
        for at, offset in batch.ends:
            progress = self._progress.get(at)
            if progress is not None and not self._unread:
                progress.end(offset)
            if progress is not None and at.topic in self._aside.topics:
                self._reached.add(at)
        self._reach()

    def _reach(self) -> None:
        """The refunds beside what is read to its end by now may go on."""
        if self._reached and not self._unread:
            for at in self._reached:
                self._aside.end(at)
            self._reached.clear()

    def _retry_unread(self, now_s: float) -> None:
        if self._unread and now_s >= self._unread_until_s:
            unread, self._unread = self._unread, deque()
            self._read(unread)
            self._reach()

    def _read(self, records: deque[Record]) -> None:
        """Take records in their order. From one whose schema can't be asked now, all wait."""
        now_ms = self._clock.now_ms()
        taken: list[Ready | Done] = []
        while records:
            try:
                one = self._taken(records[0], now_ms)
            except SchemaUnavailable as error:
                self._unread, self._unread_until_s = records, self._clock.monotonic_s() + SCHEMA_RETRY_S
                self._log.warning("schema_unavailable", schema_id=error.schema_id)
                break
            records.popleft()
            if one is not None:
                taken.append(one)
        self._hand_on(taken)

    def _hand_on(self, taken: list[Ready | Done]) -> None:
        """What can be sent to the sender, what ended to its topics."""
        self._write([each for each in taken if not isinstance(each, Ready)])
        if ready := [each for each in taken if isinstance(each, Ready)]:
            self._sender.add_soon(ready)

    def _taken(self, record: Record, now_ms: int) -> Ready | Done | None:
        """What is to be done about a record; None if nothing is: it is another's, was settled before, or waits."""
        progress = self._progress.get(_at(record))
        if progress is None:
            return None
        if record.topic in self._aside.topics:
            return self._returned(record, progress)
        told = self._aside.decode(record)
        seen = progress.read(record.offset, record.timestamp_ms)
        if seen == "settled":
            return None
        place = Place(progress, record.offset)
        if seen == "intended" and self._intents is not None:
            return self._aside.left_in_flight(record, told, place)
        return self._aside.take(record, told, place, now_ms)

    def _returned(self, record: Record, progress: Progress) -> Done | None:
        """A record of what was put aside, or is sent again: it waits for its time."""
        found = self._aside.found(record)
        seen = progress.read(record.offset, record.timestamp_ms)
        if seen == "settled":
            return None
        if found is not None and seen == "intended" and self._intents is not None:
            back, told = found
            return self._aside.left_in_flight(back.record, told, Place(progress, record.offset, back.history))
        self._aside.wait(found, progress, record)
        return None

    def _take_done(self, wait_s: float = 0.0) -> list[Done]:
        """What the lane is done with since the last call; waits for the first of it if asked to."""
        done: list[Done] = []
        try:
            while True:
                done += self._done.get(timeout=wait_s) if wait_s else self._done.get_nowait()
                wait_s = 0.0
        except Empty:
            pass
        for each in done:
            self._aside.done(each)
        return done

    def _write(self, done: list[Done]) -> None:
        letters: dict[str, int] = {}
        for each in done:
            self._outcomes.write(each)
            if isinstance(each, Ended) and each.letter and not each.progress.lost:
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
            if at.topic != self._topic:
                continue
            end = self._reader.known_end(at)
            lag += max(0, (end if end is not None else progress.position) - progress.watermark)
            if progress.oldest_ms:
                oldest_ms = min(oldest_ms or progress.oldest_ms, progress.oldest_ms)
        self._tally.lag = lag
        self._tally.oldest_age_s = max(0.0, (self._clock.now_ms() - oldest_ms) / 1000) if oldest_ms else 0.0
        self._tally.partitions = len(self.assignment)

    @property
    def assignment(self) -> list[int]:
        """Numbers of the partitions that are ours; a copy."""
        return sorted(at.partition for at in list(self._progress) if at.topic == self._topic)

    def __repr__(self) -> str:
        return (
            f"<Pump {self._tally.destination}: {len(self._progress)} partitions, {self._unsettled} unsettled>"
        )


def _at(record: Record) -> TopicPartition:
    return TopicPartition(record.topic, record.partition)
