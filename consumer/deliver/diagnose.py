"""What a platform finds out hours after it accepted: asked for, and told in receipts marked `late`.

A group of its own reads the receipts, keeps those of a destination's accepted requests until the platform can be asked
about them, and commits a receipt once its request is diagnosed. So a restart forgets nothing: what was not diagnosed
is read again, and a late receipt that is written twice says the same thing twice.
"""

import threading
from collections.abc import Callable
from concurrent.futures import TimeoutError as TookTooLong
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypeAlias

import structlog
from msgspec import Struct

from consumer.clock import Clock, SystemClock
from consumer.codec import Decoder
from consumer.deliver.access import Access
from consumer.deliver.checks import Ground, account_now, check
from consumer.deliver.docket import Docket, Noted, late_receipts
from consumer.deliver.http import Answer, Http
from consumer.deliver.outcomes import EncodeReceipt
from consumer.deliver.pace import Bucket
from consumer.deliver.senders import Senders
from consumer.deliver.settle import Progress
from consumer.deliver.tally import DestinationTally
from consumer.errors import CapiError, RecordError, SchemaUnavailable
from consumer.kafka.errors import StaleMember
from consumer.kafka.reader import Committed, Reader
from consumer.kafka.start import OffsetsVanished, settle_start
from consumer.kafka.writer import Writer
from consumer.model import Outcome, Receipt, Record, TopicPartition
from consumer.platforms.contract import Account, Diagnosed, Diagnosis, Reply, Undiagnosed
from consumer.settings import Destination, Settings

Ask: TypeAlias = Callable[[str], Diagnosed | Undiagnosed]
"""Asks the platform about a request, by its id; waits for the answer."""

HELD_MAX = 100_000
"""Events that await their diagnosis in memory; what comes behind them waits in Kafka."""
POLL_MAX_RECORDS = 500
POLL_TIMEOUT_S = 0.5
COMMIT_EVERY_S = 5.0
ASK_MARGIN_S = 10.0
FLUSH_TIMEOUT_S = 10.0
AGAIN_S = 30.0
START_BEFORE_S = 3600


class NotTold(CapiError):
    """A late receipt can't be written: nothing more is committed."""


class Clerk:
    """Reads receipts, asks, writes late ones. Used by one thread; `docket` and `tally` may be looked at by others."""

    def __init__(
        self,
        reader: Reader,
        writer: Writer,
        decode: Decoder[Receipt],
        encode: EncodeReceipt,
        ask: Ask,
        diagnosis: Diagnosis,
        tally: DestinationTally,
        clock: Clock,
    ) -> None:
        self.docket = Docket(diagnosis)
        self._reader = reader
        self._writer = writer
        self._decode = decode
        self._encode = encode
        self._ask = ask
        self._tally = tally
        self._clock = clock
        self._bucket = Bucket(diagnosis.requests_per_s)
        self._progress: dict[TopicPartition, Progress] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._commit_at_s = 0.0
        self._holding = False
        self._failed = False
        self._topic = ""
        self._log = structlog.get_logger("deliver").bind(destination=tally.destination)

    def join(self, topic: str, group: str) -> None:
        """Join the group that reads the receipts."""
        self._topic = topic

        def assigned(partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
            found = self._reader.committed(partitions)
            if missing := [at for at in partitions if at not in found]:
                raise OffsetsVanished(group, missing)
            self._progress.update({at: Progress(found[at].offset) for at in partitions})
            self._holding = False
            return {at: found[at].offset for at in partitions}

        self._reader.subscribe([topic], on_assigned=assigned, on_revoked=self._revoked, on_lost=self._lost)

    def _revoked(self, partitions: list[TopicPartition]) -> None:
        self._writer.flush(FLUSH_TIMEOUT_S)
        self.commit()
        self._lost(partitions)

    def _lost(self, partitions: list[TopicPartition]) -> None:
        for at in partitions:
            progress = self._progress.pop(at, None)
            self._committed.pop(at, None)
            if progress is not None:
                progress.lost = True
        self.docket.drop_lost()

    def turn(self) -> None:
        """Read what there is, ask about one request if one is due. Raises what halts it."""
        self._hold()
        for record in self._reader.poll(POLL_MAX_RECORDS, POLL_TIMEOUT_S).records:
            self._take(record)
        now_s = self._clock.monotonic_s()
        request_id = self.docket.due(self._clock.now_ms())
        if request_id and self._bucket.wait_s(now_s) == 0.0:
            self._bucket.take()
            self._diagnose(request_id)
        self._writer.poll()
        if self._failed:
            raise NotTold("a late receipt could not be written; look at the topic of receipts")
        if now_s >= self._commit_at_s:
            self._commit_at_s = now_s + COMMIT_EVERY_S
            self.commit()
        self._tally.undiagnosed = self.docket.held

    def _hold(self) -> None:
        """Fetch nothing while enough is held."""
        full = self.docket.held >= HELD_MAX
        if full != self._holding:
            self._holding = full
            (self._reader.pause if full else self._reader.resume)(self._progress)

    def _take(self, record: Record) -> None:
        progress = self._progress.get(TopicPartition(record.topic, record.partition))
        if progress is None:
            return
        progress.read(record.offset, record.timestamp_ms)
        receipt = self._read(record)
        if receipt is None or not self._concerns(receipt):
            progress.settle(record.offset)
        else:
            self.docket.note(Noted(receipt, progress, record.offset))

    def _read(self, record: Record) -> Receipt | None:
        """The receipt; None for what is none. Raises SchemaUnavailable: then it is begun again from the last commit."""
        try:
            return self._decode(record.value or b"")
        except SchemaUnavailable:
            raise
        except RecordError:
            return None

    def _concerns(self, receipt: Receipt) -> bool:
        ours = receipt.destination == self._tally.destination and bool(receipt.request_id)
        return ours and receipt.outcome == Outcome.DELIVERED and not receipt.late

    def _diagnose(self, request_id: str) -> None:
        found, now_ms = self._ask(request_id), self._clock.now_ms()
        if isinstance(found, Undiagnosed):
            if found.lost or not self.docket.again(request_id, now_ms):
                self._log.warning("not_diagnosed", code=found.code)
                self._settle(self.docket.close(request_id))
            return
        noted = self.docket.close(request_id)
        for fault in found.faults:
            self._tally.late[fault.reason] += fault.count
        if found.faults:
            told = {fault.reason: fault.count for fault in found.faults}
            self._log.warning("late_faults", request_id=request_id, reasons=told)
        self._tell(noted, list(late_receipts(noted, found, now_ms)))

    def _tell(self, noted: list[Noted], late: list[Receipt]) -> None:
        """Settle the request once all of its late receipts are durable."""
        left = len(late)

        def delivered(at: int | None) -> None:
            nonlocal left
            left -= 1
            if at is None:
                self._failed = True
            elif left == 0 and not self._failed:
                self._settle(noted)

        for receipt in late:
            self._writer.produce(
                self._topic, self._encode(receipt), key=receipt.event_id.encode(), on_delivered=delivered
            )
        if not late:
            self._settle(noted)

    def _settle(self, noted: list[Noted]) -> None:
        for each in noted:
            if not each.progress.lost:
                each.progress.settle(each.offset)

    def commit(self) -> None:
        """Commit what moved; a group that moved on decides by itself what is read again. Raises Unreachable."""
        marks = {at: progress.watermark for at, progress in self._progress.items()}
        due = {at: mark for at, mark in marks.items() if self._committed.get(at) != mark}
        try:
            self._reader.commit({at: Committed(mark, "") for at, mark in due.items()})
        except StaleMember:
            return
        self._committed.update(due)

    def close(self) -> None:
        """Write and commit what is there to be."""
        self._writer.flush(FLUSH_TIMEOUT_S)
        self.commit()

    def __repr__(self) -> str:
        return f"<Clerk {self._tally.destination}: {self.docket!r}>"


class DiagnosisLoop:
    """The clerk of one destination as a role of the process. What goes wrong here stops nothing but itself."""

    def __init__(
        self,
        settings: Settings,
        destination: Destination,
        diagnosis: Diagnosis,
        senders: Senders,
        decode: Decoder[Receipt],
        encode: EncodeReceipt,
        tally: DestinationTally,
        clock: Clock | None = None,
    ) -> None:
        """`senders` must be running while `run` is; `decode` is this loop's alone."""
        self._settings = settings
        self._destination = destination
        self._diagnosis = diagnosis
        self._senders = senders
        self._decode = decode
        self._encode = encode
        self._tally = tally
        self._clock = clock or SystemClock()
        self._group = f"{settings.topics.prefix}.diagnose.{destination.name}"
        self._log = structlog.get_logger("deliver").bind(destination=destination.name)
        self._beat_s = self._clock.monotonic_s()
        self._clerk: Clerk | None = None
        self._halted = ""

    def run(self, stop: threading.Event) -> None:
        """Diagnose until `stop` is set. Raises nothing."""
        while not stop.is_set():
            try:
                self._serve(stop)
            except Exception as error:  # noqa: BLE001 (a bug in one diagnosis must not stop the deliveries)
                self._clerk = None
                self._halted = str(error) if isinstance(error, CapiError) else type(error).__name__
                self._log.error("diagnosis_halted", exc_info=error)
                self._wait(stop)

    def _wait(self, stop: threading.Event) -> None:
        until_s = self._clock.monotonic_s() + AGAIN_S
        while not stop.wait(0.2) and self._clock.monotonic_s() < until_s:
            self._beat()

    def _beat(self) -> None:
        self._beat_s = self._clock.monotonic_s()

    def _serve(self, stop: threading.Event) -> None:
        ground, now_ms = check(self._settings, self._destination), self._clock.now_ms()
        settle_start(
            self._settings.kafka,
            ground.topics.control,
            self._group,
            [ground.topics.receipts],
            _started(now_ms),
            now_ms,
        )
        self._beat()
        reader, writer = Reader(self._settings.kafka, self._group), Writer(self._settings.kafka)
        try:
            clerk = Clerk(
                *(reader, writer, self._decode, self._encode, self._asks(ground)),
                *(self._diagnosis, self._tally, self._clock),
            )
            clerk.join(ground.topics.receipts, self._group)
            self._clerk, self._halted = clerk, ""
            while not stop.is_set():
                self._beat()
                clerk.turn()
            clerk.close()
        finally:
            reader.close()
            writer.close()

    def _asks(self, ground: Ground) -> Ask:
        """Asks in the senders' loop, with a token of its own."""
        line = _Line(self._destination, ground, self._diagnosis, self._clock)

        def ask(request_id: str) -> Diagnosed | Undiagnosed:
            asking = self._senders.soon(lambda http: line.ask(http, request_id))
            until_s = self._clock.monotonic_s() + 2 * self._destination.request_timeout_s + ASK_MARGIN_S
            while self._clock.monotonic_s() < until_s:
                self._beat()
                with suppress(TookTooLong):
                    return asking.result(POLL_TIMEOUT_S)
            asking.cancel()
            return Undiagnosed("timeout")

        return ask

    @property
    def name(self) -> str:
        """As the health page and the group call it."""
        return f"diagnose.{self._destination.name}"

    @property
    def heartbeat_s(self) -> float:
        """Monotonic time of the last sign of life."""
        return self._beat_s

    @property
    def ready(self) -> bool:
        """Always: deliveries don't wait for it."""
        return True

    def status(self) -> dict[str, object]:
        """How much awaits its diagnosis: for people and probes."""
        docket = self._clerk.docket if self._clerk is not None else None
        return {
            "halted": self._halted,
            "requests": len(docket) if docket is not None else 0,
            "events": docket.held if docket is not None else 0,
        }

    def __repr__(self) -> str:
        return f"<DiagnosisLoop {self._destination.name}: {self._clerk or self._halted or 'stopped'}>"


def _started(now_ms: int) -> str:
    """Where it starts the first time: before its destination did, which need not have waited for it."""
    return datetime.fromtimestamp(now_ms // 1000 - START_BEFORE_S, UTC).isoformat()


class _Line(Struct):
    """The way to the platform, used in the senders' loop. A key that was replaced is used from the next question on."""

    destination: Destination
    ground: Ground
    diagnosis: Diagnosis
    clock: Clock
    access: Access | None = None
    token_text: Account | None = None

    async def ask(self, http: Http, request_id: str) -> Diagnosed | Undiagnosed:
        self.ground.token_file.changed()
        now = account_now(self.destination, self.ground)
        if self.access is None or now != self.token_text:
            timeout_s = float(self.destination.request_timeout_s)
            self.access = Access(now, self.ground.platform.grant, http, self.clock, timeout_s)
            self.token_text = now
        account = await self.access.account()
        if not isinstance(account, Account):
            return Undiagnosed(account.code)
        request = self.diagnosis.request(account, request_id)
        answer: Answer = await http.send(request, self.destination.request_timeout_s)
        return self.diagnosis.judge(answer) if isinstance(answer, Reply) else Undiagnosed(answer.code)
