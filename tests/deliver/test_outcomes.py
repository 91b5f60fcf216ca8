"""Outcomes on real Kafka: receipt and letter are durable before a record settles."""

import time
from collections.abc import Callable
from random import Random
from typing import Any, TypeAlias

import msgspec
import pytest
from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as KafkaPartition

from consumer.clock import SystemClock
from consumer.deliver.delivery import Ended
from consumer.deliver.later import Deferred, History
from consumer.deliver.outcomes import Addressee, Outcomes
from consumer.deliver.settle import Progress
from consumer.deliver.tally import DestinationTally
from consumer.kafka.writer import Writer
from consumer.model import Conversion, Outcome, Receipt, Record
from consumer.settings import KafkaSettings

MakeTopic: TypeAlias = Callable[..., str]
WAIT_S = 60.0
SOON: dict[str, str] = {"message.timeout.ms": "8000"}
"""A topic that doesn't exist is given up after that."""


class Desk:
    """Outcomes of one destination, with topics of its own."""

    def __init__(
        self,
        bootstrap: str,
        receipts: str,
        letters: str,
        letter_max_bytes: int = 1_000_000,
        later: str = "later",
    ) -> None:
        self.bootstrap = bootstrap
        self.progress = Progress(0)
        self.tally = DestinationTally("meta-us", "meta")
        self.writer = Writer(KafkaSettings(bootstrap_servers=bootstrap, extra=SOON), client_id="outcomes")
        to = Addressee("meta-us", "meta", receipts, letters, later, letter_max_bytes)
        self.to = to
        self.outcomes = Outcomes(self.writer, msgspec.json.encode, to, SystemClock(), self.tally)

    def ended(self, offset: int, outcome: Outcome, letter: str = "", value: bytes = b"value") -> Ended:
        """An outcome of the record at this offset, which is read now."""
        assert self.progress.read(offset, 1) == "new"
        record = Record("capi.conversions", 3, offset, 1, b"key", value)
        conversion = Conversion(f"purchase:{offset}", "purchase", 1, "EUR", 1999, 1, order_id=f"o{offset}")
        return Ended(
            *(record, conversion, self.progress, offset, outcome, letter),
            code="100",
            http_status=400,
            attempts=2,
            first_attempt_at_ms=5,
            letter=letter,
            why="no" if letter else "",
        )

    def settle(self) -> None:
        """Wait until nothing is under way."""
        end_s = time.monotonic() + WAIT_S
        while self.outcomes.under_way:
            assert time.monotonic() < end_s, repr(self.outcomes)
            self.writer.poll(0.05)

    def read(self, topic: str) -> list[Any]:
        """All records of a topic of one partition."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "none"})
        at = KafkaPartition(topic, 0, 0)
        consumer.assign([at])
        _, end = consumer.get_watermark_offsets(at, WAIT_S)
        found = consumer.consume(end, WAIT_S) if end else []
        consumer.close()
        assert len(found) == end
        return found


def test_record_settles_once_receipt_and_letter_are_there(bootstrap: str, make_topic: MakeTopic) -> None:
    """Nothing settles by being written; what settled has its receipt, and its letter if it is to have one."""
    desk = Desk(bootstrap, make_topic("receipts"), make_topic("dlq.meta"))
    desk.outcomes.write(desk.ended(0, Outcome.DELIVERED))
    desk.outcomes.write(desk.ended(1, Outcome.REJECTED, "rejected"))
    assert (desk.progress.unsettled, desk.outcomes.under_way) == (2, 3)
    desk.settle()
    assert (desk.progress.unsettled, desk.progress.watermark) == (0, 2)
    assert not desk.outcomes.failed

    receipts = [msgspec.json.decode(each.value(), type=Receipt) for each in desk.read(desk.to.receipts)]
    told = [
        (each.conversion_partition, each.conversion_offset, each.outcome, each.reason) for each in receipts
    ]
    assert told == [(3, 0, "delivered", ""), (3, 1, "rejected", "rejected")]
    assert [each.event_id for each in receipts] == ["purchase:0", "purchase:1"]
    assert {(each.code, each.http_status, each.attempts, each.first_attempt_at_ms) for each in receipts} == {
        ("100", 400, 2, 5)
    }
    (letter,) = desk.read(desk.to.letters)
    headers = {name: text.decode() for name, text in letter.headers()}
    assert (letter.key(), letter.value()) == (b"key", b"value")
    assert headers["__connect.errors.offset"] == "1"
    assert headers["dlq.event.id"] == "purchase:1"
    assert desk.tally.outcomes == {("delivered", ""): 1, ("rejected", "rejected"): 1}
    assert desk.tally.letters == {"rejected": 1}
    desk.writer.close()


def test_put_aside_settles_once_it_is_there(bootstrap: str, make_topic: MakeTopic) -> None:
    """What is put aside is a record with the conversion's own bytes, and settles the place where it was read."""
    desk = Desk(bootstrap, make_topic("receipts"), make_topic("dlq.meta"), later=make_topic("later"))
    assert desk.progress.read(7, 1) == "new"
    record = Record("capi.conversions", 0, 3, 1, b"key", b"value", (("traceparent", b"00-1-1-01"),))
    conversion = Conversion("refund:1:1", "refund", 1, "EUR", 1999, 1)
    desk.outcomes.write(Deferred(record, conversion, desk.progress, 7, 99, History(4, 5, alone=True)))
    assert desk.progress.unsettled == 1
    desk.settle()
    assert desk.progress.unsettled == 0
    (aside,) = desk.read(desk.to.later)
    headers = {name: text.decode() for name, text in aside.headers()}
    assert (aside.key(), aside.value()) == (b"key", b"value")
    assert headers == {
        "traceparent": "00-1-1-01",
        "capi.destination": "meta-us",
        "capi.origin": "capi.conversions:0:3",
        "capi.not_before_ms": "99",
        "capi.attempts": "4",
        "capi.first_attempt_at_ms": "5",
        "capi.alone": "1",
    }
    assert desk.tally.deferred == 1
    assert desk.tally.outcomes == {}
    desk.writer.close()


def test_letter_waits_for_its_receipt_and_the_receipt_for_its_letter(
    bootstrap: str, make_topic: MakeTopic
) -> None:
    """One acknowledgement of two settles nothing."""
    desk = Desk(bootstrap, make_topic("receipts"), make_topic("dlq.meta"))
    desk.outcomes.write(desk.ended(0, Outcome.REJECTED, "rejected"))
    seen: list[tuple[int, int]] = []
    end_s = time.monotonic() + WAIT_S
    while desk.outcomes.under_way:
        assert time.monotonic() < end_s
        desk.writer.poll(0.05)
        seen.append((desk.outcomes.under_way, desk.progress.unsettled))
    assert all(unsettled == (1 if under_way else 0) for under_way, unsettled in seen)
    desk.writer.close()


def test_letter_too_large_for_its_topic_is_cut(bootstrap: str, make_topic: MakeTopic) -> None:
    """A record larger than the letters' topic takes still has its letter, with its coordinates."""
    desk = Desk(bootstrap, make_topic("receipts"), make_topic("dlq.meta", max_message_bytes="4000"), 4_000)
    desk.outcomes.write(desk.ended(0, Outcome.REJECTED, "rejected", value=random_bytes(50_000)))
    desk.settle()
    assert (desk.outcomes.failed, desk.progress.watermark) == (False, 1)
    (letter,) = desk.read(desk.to.letters)
    headers = dict(letter.headers())
    assert headers["dlq.truncated"] == b"key=3 value=50000"
    assert headers["__connect.errors.offset"] == b"0"
    desk.writer.close()


def random_bytes(count: int) -> bytes:
    """Bytes that don't compress."""
    return Random(1).randbytes(count)


@pytest.mark.parametrize("refusal", ["too large", "no such topic"])
def test_letter_that_is_refused_stops_all_settling(
    bootstrap: str, make_topic: MakeTopic, prefix: str, refusal: str
) -> None:
    """If a letter can't be written, its record stays unsettled, and so does all that ends after it."""
    small = make_topic("dlq.meta", max_message_bytes="2000")
    letters = small if refusal == "too large" else f"{prefix}.nowhere"
    desk = Desk(bootstrap, make_topic("receipts"), letters)
    desk.outcomes.write(desk.ended(0, Outcome.DELIVERED))
    desk.settle()
    desk.outcomes.write(desk.ended(1, Outcome.REJECTED, "rejected", value=random_bytes(50_000)))
    desk.settle()
    assert desk.outcomes.failed
    desk.outcomes.write(desk.ended(2, Outcome.DELIVERED))
    desk.settle()
    assert (desk.progress.watermark, desk.progress.unsettled) == (1, 2)
    assert repr(desk.outcomes) == "<Outcomes meta-us: 0 under way, failed>"
    desk.writer.close()


def test_lost_partition_writes_nothing(bootstrap: str, make_topic: MakeTopic) -> None:
    """What ends for a partition that is another's is theirs to tell: no receipt, no letter, no count."""
    desk = Desk(bootstrap, make_topic("receipts"), make_topic("dlq.meta"))
    before, after = desk.ended(0, Outcome.DELIVERED), desk.ended(1, Outcome.REJECTED, "rejected")
    desk.outcomes.write(before)
    desk.progress.lost = True
    desk.outcomes.write(after)
    desk.settle()
    assert len(desk.read(desk.to.receipts)) == 1
    assert desk.read(desk.to.letters) == []
    assert desk.progress.unsettled == 2
    assert desk.tally.outcomes.total() == 1
    desk.writer.close()
