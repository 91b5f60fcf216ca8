"""Outcomes made durable: a receipt for each, a letter for those that a person should see.

A record settles once both are acknowledged. If one can't be written, `failed` says so and nothing more settles: the
destination stops, and goes on where it was committed.
"""

from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct

from consumer.clock import Clock
from consumer.deadletter.letter import Attempt, letter
from consumer.deliver.delivery import Done, Ended
from consumer.deliver.later import Deferred, headers_of
from consumer.deliver.tally import DestinationTally
from consumer.kafka.writer import Writer
from consumer.model import Receipt

EncodeReceipt: TypeAlias = Callable[[Receipt], bytes]


class Addressee(Struct, frozen=True):
    """Where outcomes of one destination go. `letter_max_bytes` is what the letters' topic takes for one record."""

    destination: str
    platform: str
    receipts: str
    letters: str
    later: str
    letter_max_bytes: int


class Outcomes:
    """Writes the outcomes of one destination, from one thread."""

    def __init__(
        self,
        writer: Writer,
        encode: EncodeReceipt,
        to: Addressee,
        clock: Clock,
        tally: DestinationTally,
    ) -> None:
        self._writer = writer
        self._encode = encode
        self._to = to
        self._clock = clock
        self._tally = tally
        self.failed = False
        self.under_way = 0

    def write(self, done: Done) -> None:
        """Queue what makes it durable. What is done for a lost partition is dropped."""
        if done.progress.lost:
            return
        if isinstance(done, Deferred):
            self._put_aside(done)
        else:
            self._write(done)

    def _put_aside(self, deferred: Deferred) -> None:
        self.under_way += 1
        record = deferred.record
        self._writer.produce(
            self._to.later,
            record.value,
            key=record.key,
            partition=record.partition,
            headers=headers_of(deferred, self._to.destination),
            on_delivered=self._settling(deferred, 1),
        )
        self._tally.deferred += 1

    def _write(self, ended: Ended) -> None:
        """The receipt, and the letter if there is to be one."""
        now_ms = self._clock.now_ms()
        receipt = _receipt(ended, self._to, now_ms)
        writes = 2 if ended.letter else 1
        self.under_way += writes
        on_delivered = self._settling(ended, writes)
        if ended.letter:
            self._write_letter(ended, now_ms, on_delivered)
        key = receipt.event_id.encode() or ended.record.key
        self._writer.produce(self._to.receipts, self._encode(receipt), key=key, on_delivered=on_delivered)
        self._tally.ended(ended.outcome.value, ended.reason, ended.letter)

    def _settling(self, done: Done, writes: int) -> Callable[[int | None], None]:
        """Settles the record at the last acknowledgement."""
        left = writes
        progress, offset = done.progress, done.place

        def delivered(at: int | None) -> None:
            nonlocal left
            self.under_way -= 1
            left -= 1
            if at is None:
                self.failed = True
            elif left == 0 and not self.failed and not progress.lost:
                progress.settle(offset)

        return delivered

    def _write_letter(self, ended: Ended, now_ms: int, on_delivered: Callable[[int | None], None]) -> None:
        attempt = Attempt(
            destination=self._to.destination,
            platform=self._to.platform,
            event_id=ended.conversion.event_id if ended.conversion is not None else "",
            code=ended.code,
            http_status=ended.http_status,
            attempts=ended.attempts,
            first_at_ms=ended.first_attempt_at_ms,
            last_at_ms=now_ms,
        )
        made = letter(ended.record, "deliver", ended.letter, ended.why, attempt, self._to.letter_max_bytes)
        self._writer.produce(
            self._to.letters, made.value, key=made.key, headers=made.headers, on_delivered=on_delivered
        )

    def __repr__(self) -> str:
        return f"<Outcomes {self._to.destination}: {self.under_way} under way{', failed' if self.failed else ''}>"


def _receipt(ended: Ended, to: Addressee, now_ms: int) -> Receipt:
    record, conversion = ended.record, ended.conversion
    return Receipt(
        conversion_topic=record.topic,
        conversion_partition=record.partition,
        conversion_offset=record.offset,
        event_id=conversion.event_id if conversion is not None else "",
        event_name=conversion.event_name if conversion is not None else "",
        order_id=conversion.order_id if conversion is not None else "",
        destination=to.destination,
        platform=to.platform,
        outcome=ended.outcome.value,
        reason=ended.reason,
        code=ended.code,
        http_status=ended.http_status,
        attempts=ended.attempts,
        replay_id=ended.replay_id,
        request_id=ended.request_id,
        request_index=ended.request_index,
        value_minor=conversion.value_minor if conversion is not None else 0,
        currency=conversion.currency if conversion is not None else "",
        first_attempt_at_ms=ended.first_attempt_at_ms,
        settled_at_ms=now_ms,
    )
