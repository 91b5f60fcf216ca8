"""What the topics tell of letters' deliveries, read on a real cluster."""

from consumer.deadletter.read import Read
from consumer.kafka.reader import Committed, Reader
from consumer.kafka.writer import Writer
from consumer.model import Headers, Origin, TopicPartition
from consumer.replay.plan import INGEST, Delivery
from consumer.replay.since import Ways, lying, originals
from consumer.settings import KafkaSettings
from tests.conftest import MakeTopic


def write(kafka: KafkaSettings, topic: str, records: list[tuple[bytes, Headers]]) -> None:
    """Write these, in order, to partition 0."""
    writer = Writer(kafka)
    for value, headers in records:
        writer.produce(topic, value, partition=0, headers=headers)
    assert writer.flush(30) == 0
    writer.close()


def headers(of: int, destination: bytes = b"", letter: bytes = b"") -> Headers:
    """Those of a record that was sent again."""
    told = (("capi.destination", destination), ("capi.origin", b"c:0:%d" % of), ("capi.letter", letter))
    return tuple(each for each in told if each[1])


def commit(kafka: KafkaSettings, group: str, topic: str, offset: int) -> None:
    """Set where a group goes on."""
    reader = Reader(kafka, group)
    reader.commit({TopicPartition(topic, 0): Committed(offset)})
    reader.close()


def test_what_lies_before_its_reader_is_under_way(bootstrap: str, prefix: str, make_topic: MakeTopic) -> None:
    """By each destination's own position; what enrich has read names its letter, and a group without one is told."""
    kafka = KafkaSettings(bootstrap_servers=bootstrap)
    lanes, ingest = make_topic("replay"), make_topic("ingest-replay")
    write(
        kafka,
        lanes,
        [
            (b"", headers(1, b"a")),
            (b"", headers(2, b"a")),
            (b"", headers(3, b"b")),
            (b"", headers(4, b"gone")),
        ],
    )
    write(
        kafka, ingest, [(b"", headers(5, letter=b"dlq:0:1")), (b"", headers(6, letter=b"dlq:0:2")), (b"", ())]
    )
    commit(kafka, f"{prefix}.a", lanes, 1)
    commit(kafka, f"{prefix}.enrich", ingest, 1)
    ways = {
        "a": Ways(f"{prefix}.a", (lanes,)),
        "b": Ways(f"{prefix}.b", (lanes,)),
        INGEST: Ways(f"{prefix}.enrich", (ingest,)),
    }
    reader = Reader(kafka, f"{prefix}.look", eof=True)
    found = lying(kafka, reader, ways)
    reader.close()
    places = [("a", 2), ("b", 3), (INGEST, 6)]
    assert found.under_way == {Delivery(name, Origin("c", 0, of)) for name, of in places}
    assert found.read_again == {Origin("dlq", 0, 1)}
    assert found.started == {"a", INGEST}


def test_the_record_behind_a_letter_that_is_cut_is_found(
    bootstrap: str, prefix: str, make_topic: MakeTopic
) -> None:
    """Where it stands; of one that is gone, or of a topic that nobody reads, there is none."""
    kafka = KafkaSettings(bootstrap_servers=bootstrap)
    topic = make_topic("conversions")
    write(kafka, topic, [(b"zero", ()), (b"one", ()), (b"two", ())])

    def cut(of: Origin, truncated: str = "key=0 value=9") -> Read:
        return Read(
            Origin("dlq", 0, 0), 1, of, "deliver", "rejected", "ours", 1, None, b"", truncated=truncated
        )

    asked = [cut(Origin(topic, 0, 1)), cut(Origin(topic, 0, 9)), cut(Origin("other", 0, 0))]
    reader = Reader(kafka, f"{prefix}.look", eof=True)
    found = originals(reader, [*asked, cut(Origin(topic, 0, 2), "")], {topic})
    reader.close()
    assert {of: record.value for of, record in found.items()} == {Origin(topic, 0, 1): b"one"}
