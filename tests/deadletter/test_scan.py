"""Letters of all topics, found on a real cluster: by filter, by time, the newest, without what was discarded."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from confluent_kafka.admin import AdminClient

from consumer.deadletter import audit
from consumer.deadletter.audit import DISCARD, Deed
from consumer.deadletter.filters import EVERY, Filter, Known, parse
from consumer.deadletter.groups import Groups
from consumer.deadletter.letter import Attempt, Letter, ingest_letter, letter
from consumer.deadletter.read import Read
from consumer.deadletter.scan import Letters
from consumer.errors import ConfigurationError
from consumer.kafka.topics import Topics, TopicSpec
from consumer.kafka.writer import TransactionalWriter
from consumer.model import Origin, Record
from consumer.settings import Settings, TopicSettings

Write = Callable[..., None]
KNOWN = Known(("meta-eu", "ga4-eu"), ("meta", "ga4"))
FOREIGN = Letter(b"somebody", b"else's", (("x-reason", b"none of ours"),))
BARE = Letter(None, None, ())


def delivered(number: int, platform: str = "meta", reason: str = "rejected", code: str = "100") -> Letter:
    """A letter of the conversion at this offset."""
    attempt = Attempt(f"{platform}-eu", platform, f"purchase:{number}", code, 400, 1, 1_000, 2_000)
    return letter(Record("capi.conversions", 0, number, 0, b"k", b"v"), "deliver", reason, "no", attempt)


def ingested(number: int, reason: str = "bad_money") -> Letter:
    """A letter of the order at this offset."""
    return ingest_letter(Record("orders", 0, number, 0, b"k", b"v"), reason, "no", 1_000, 10_000)


def meant(*words: str) -> Filter:
    """The filter of these words, now."""
    return parse(words, KNOWN, int(time.time() * 1000))


def numbers(found: Iterator[Read] | list[Read]) -> list[int]:
    """Of which offsets they are."""
    return [each.of.offset for each in found]


def test_letters_of_all_topics_are_found(settings: Settings, write: Write) -> None:
    """Whatever lies between them; foreign records, those without headers and tombstones are counted apart."""
    write("ingest", [ingested(0), FOREIGN, ingested(1)])
    write("meta", [BARE, delivered(2), FOREIGN])
    write("ga4", [delivered(3, "ga4")])
    with Letters(settings) as letters:
        assert sorted(numbers(letters.scan())) == [0, 1, 2, 3]
        assert (letters.to_see, letters.seen, letters.foreign, letters.discarded) == (7, 7, 3, 0)
        assert numbers(letters.scan(meant("platform=ga4"))) == [3]
        assert letters.to_see == 1
        assert sorted(numbers(letters.scan(meant("stage=ingest", "reason=bad_money")))) == [0, 1]
        assert numbers(letters.scan(meant("reason=expired"))) == []
        assert repr(letters) == "<Letters of 3 topics: 22 seen, 9 foreign>"


def test_topics_of_platforms_that_the_settings_have_no_more_are_read(
    settings: Settings, write: Write
) -> None:
    """Their letters are still there."""
    write("ga4", [delivered(3, "ga4")])
    (meta, _) = settings.destinations
    with Letters(settings.model_copy(update={"destinations": (meta,)})) as letters:
        assert numbers(letters.scan()) == [3]


def test_no_topic_at_all_is_told(settings: Settings) -> None:
    """With the command that makes them."""
    other = settings.model_copy(update={"topics": TopicSettings(prefix=f"{settings.topics.prefix}x")})
    with pytest.raises(ConfigurationError, match="capi topics apply"):
        Letters(other)


def test_the_newest_come_first(settings: Settings, write: Write) -> None:
    """Of all topics and partitions, by when they were written; those that aren't meant don't count."""
    for number in range(12):
        of = ("ingest", "meta", "ga4")[number % 3]
        write(of, [ingested(number) if of == "ingest" else delivered(number, of), FOREIGN])
        time.sleep(0.003)  # the broker's clock counts milliseconds
    with Letters(settings) as letters:
        assert numbers(letters.newest(5)) == [11, 10, 9, 8, 7]
        assert numbers(letters.newest(2, meant("stage=ingest"))) == [9, 6]
        assert numbers(letters.newest(99, meant("platform=meta"))) == [10, 7, 4, 1]
        assert letters.newest(3, meant("code=x")) == []


def test_a_time_is_sought_and_not_read_up_to(settings: Settings, write: Write) -> None:
    """What lies before `since` and from `until` on is not even looked at, in each partition."""
    wider = TopicSpec(f"{settings.topics.prefix}.dlq.meta", 2, {}, grows=True)
    Topics(settings.kafka).apply([wider], 1)
    times = []
    for round_ in range(3):
        for partition in (0, 1):
            first = 1_000 * round_ + 100 * partition
            write("meta", (delivered(number) for number in range(first, first + 100)), partition)
        time.sleep(0.02)
        times.append(int(time.time() * 1000))
        time.sleep(0.02)
    middle = Filter(since_ms=times[0], until_ms=times[1])
    with Letters(settings) as letters:
        assert sorted(numbers(letters.scan(middle))) == list(range(1_000, 1_200))
        assert (letters.to_see, letters.seen) == (200, 200)
        assert sorted(numbers(letters.newest(500, middle))) == list(range(1_000, 1_200))
        assert numbers(letters.scan(Filter(since_ms=times[2]))) == []
        assert letters.to_see == 0
        assert sorted(numbers(letters.scan(Filter(until_ms=times[0])))) == list(range(200))


def test_one_letter_is_found_by_its_place(settings: Settings, write: Write) -> None:
    """A letter, a record that is none, nothing behind the end, and no other topic."""
    topic = f"{settings.topics.prefix}.dlq.meta"
    write("meta", [delivered(7), FOREIGN])
    with Letters(settings) as letters:
        found = letters.at(Origin(topic, 0, 0))
        assert isinstance(found, Read)
        assert found.of.offset == 7
        other = letters.at(Origin(topic, 0, 1))
        assert isinstance(other, Record)
        assert other.value == FOREIGN.value
        assert letters.at(Origin(topic, 0, 2)) is None
        assert letters.at(Origin(topic, 5, 0)) is None
        with pytest.raises(ConfigurationError, match=r"is no topic of letters; there are .*\.dlq\.ga4"):
            letters.at(Origin(f"{settings.topics.prefix}.conversions", 0, 0))


def test_letters_of_transactions_count_once_they_do(settings: Settings) -> None:
    """Ingest's are in enrich's: what was aborted is no letter, and the marks between are no trouble."""
    topic = f"{settings.topics.prefix}.dlq.ingest"
    with closing(TransactionalWriter(settings.kafka, f"{settings.topics.prefix}.test")) as writer:
        for number in range(4):
            writer.begin()
            made = ingested(number)
            writer.produce(topic, made.value, key=made.key, headers=made.headers)
            writer.flush(10)
            if number % 2:
                writer.abort()
            else:
                writer.commit()
    with Letters(settings) as letters:
        assert numbers(letters.scan()) == [0, 2]
        assert numbers(letters.newest(1)) == [2]
        assert letters.at(Origin(topic, 0, 1)) is None


def test_what_was_discarded_is_left_out(settings: Settings, write: Write) -> None:
    """Unless asked for; it is counted either way, and letters written since are none of it."""
    write("meta", [delivered(number, code=str(number % 2)) for number in range(10)])
    with Letters(settings) as letters:
        named = [audit.named(each) for each in letters.scan(meant("code=1"))]
        audit.write(settings.kafka, letters.audit, audit.entries(Deed(DISCARD, "me", 1, (), "why"), named))
    write("meta", [delivered(11, code="1")])
    with Letters(settings) as letters:
        assert numbers(letters.scan()) == [0, 2, 4, 6, 8, 11]
        assert letters.discarded == 5
        assert numbers(letters.newest(3)) == [11, 8, 6]
    with Letters(settings, with_discarded=True) as letters:
        found = list(letters.scan(meant("code=1")))
        assert numbers(found) == [1, 3, 5, 7, 9, 11]
        assert [letters.is_discarded(each) for each in found] == [True] * 5 + [False]
        assert letters.discarded == 5


def test_without_the_audit_topic_nothing_is_discarded(settings: Settings, write: Write) -> None:
    """An older cluster has none yet: letters are shown, and whoever would discard some is told what to do."""
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
    admin.delete_topics([f"{settings.topics.prefix}.audit"])[f"{settings.topics.prefix}.audit"].result(30)
    deadline_s = time.monotonic() + 30
    while Topics(settings.kafka).beginning_with(f"{settings.topics.prefix}.audit"):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    write("meta", [delivered(1)])
    with Letters(settings) as letters:
        assert numbers(letters.scan()) == [1]
        with pytest.raises(ConfigurationError, match="capi topics apply"):
            assert letters.audit


def test_a_hundred_thousand_letters_are_grouped(settings: Settings, write: Write) -> None:
    """Each is counted once, in the group of its cause; whoever waits hears how far it is."""
    reasons, codes = ("rejected", "expired", "unknown"), ("100", "190", "2")
    some = [delivered(number, reason=reasons[number % 3], code=codes[number % 2]) for number in range(6)]
    write("meta", (some[number % 6] for number in range(60_000)))
    write("ga4", (delivered(7, "ga4") if number % 4 else FOREIGN for number in range(40_000)))
    heard: list[int] = []
    with Letters(settings, on_seen=lambda at: heard.append(at.seen)) as letters:
        groups = Groups()
        for each in letters.scan(EVERY):
            groups.add(each)
        assert (letters.seen, letters.foreign, letters.to_see) == (100_000, 10_000, 100_000)
    counted = {
        (group.cause.reason, group.cause.destination, group.cause.code): group.letters for group in groups
    }
    assert counted == {
        **{(reason, "meta-eu", code): 10_000 for reason in reasons for code in codes[:2]},
        ("rejected", "ga4-eu", "100"): 30_000,
    }
    assert heard == list(range(1_000, 100_001, 1_000))
