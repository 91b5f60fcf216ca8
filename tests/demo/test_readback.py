"""One destination's account, from its receipts alone; and topics read to their ends on a real Kafka."""

import uuid
from collections.abc import Callable

from consumer.demo.readback import ReadBack, deliveries
from consumer.kafka.writer import TransactionalWriter, Writer
from consumer.model import Receipt
from consumer.settings import KafkaSettings


def receipt(offset: int, outcome: str, reason: str = "", *, late: bool = False) -> Receipt:
    """A receipt of the conversion at an offset of partition 0."""
    return Receipt(
        conversion_topic="capi.conversions",
        conversion_partition=0,
        conversion_offset=offset,
        event_id=f"purchase:{offset}",
        event_name="purchase",
        order_id=str(offset),
        destination="meta",
        platform="meta",
        outcome=outcome,
        reason=reason,
        late=late,
    )


def test_every_conversion_has_one_fate() -> None:
    """Outcomes by the receipts; what has none is missing below the committed offset, else in flight."""
    places = {(0, offset) for offset in (0, 1, 2, 4, 9)}
    told = [receipt(0, "delivered"), receipt(1, "skipped", "consent"), receipt(4, "rejected")]
    found = deliveries(places, told, {0: 5})
    assert found.owed == 5
    assert found.outcomes == {"delivered": 1, "skipped": 1, "rejected": 1}
    assert found.skipped == {"consent": 1}
    assert found.delivered == {"purchase": 1}
    assert (found.missing, found.in_flight) == (1, 1)
    assert (found.repeated, found.strays) == (0, 0)


def test_of_several_receipts_the_first_in_precedence_counts() -> None:
    """Delivered before unknown, rejected, expired and skipped, in whichever order they were written."""
    order = ["delivered", "unknown", "rejected", "expired", "skipped"]
    for place, outcome in enumerate(order):
        told = [receipt(0, each) for each in reversed(order[place:])]
        found = deliveries({(0, 0)}, told, {0: 1})
        assert found.outcomes == {outcome: 1}
        assert found.repeated == len(order) - place - 1


def test_what_the_platform_found_later_wins() -> None:
    """A late receipt counts, though one of delivered is there."""
    told = [receipt(0, "delivered"), receipt(0, "rejected", late=True)]
    assert deliveries({(0, 0)}, told, {0: 1}).outcomes == {"rejected": 1}


def test_a_receipt_of_no_conversion_is_a_stray() -> None:
    """It counts for nothing, but it is told."""
    found = deliveries({(0, 0)}, [receipt(0, "delivered"), receipt(7, "delivered")], {0: 1})
    assert found.outcomes == {"delivered": 1}
    assert found.strays == 1


def test_topics_are_read_to_their_ends(bootstrap: str, make_topic: Callable[..., str]) -> None:
    """All partitions, an empty one too; what was aborted is not there, though it stands at the end."""
    topic = make_topic("read", partitions=3)
    kafka = KafkaSettings(bootstrap_servers=bootstrap)
    writer = Writer(kafka, client_id="test")
    for number in range(700):
        writer.produce(topic, str(number).encode(), partition=number % 2)
    assert writer.flush(60) == 0
    writer.close()
    aborted = TransactionalWriter(kafka, f"test-{uuid.uuid4().hex}")
    aborted.begin()
    aborted.produce(topic, b"never", partition=0)
    aborted.flush(60)
    aborted.abort()
    aborted.close()
    with ReadBack(kafka, "test") as back:
        for _ in range(2):
            values = sorted(int(record.value or b"") for record in back.records(topic))
            assert values == list(range(700))
        assert back.committed(f"nobody-{uuid.uuid4().hex}", topic) == {}
        assert back.unread(f"nobody-{uuid.uuid4().hex}", topic) >= 700
