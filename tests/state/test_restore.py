"""Restore on real Kafka: a store comes to what was committed, whatever stands in the log and however old it is."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from consumer.clock import SystemClock
from consumer.errors import CapiError, StateUnusable, Unreachable
from consumer.kafka.writer import TransactionalWriter, Writer
from consumer.settings import KafkaSettings
from consumer.state.restore import Changelog, Restore
from consumer.state.store import Checkpoint, Store

DEADLINE_S = 60.0
TOMBSTONES_MS = 86_400_000
MakeTopic = Callable[..., str]
Changes = Mapping[bytes, bytes | None]


class Log:
    """A changelog of one partition, and who writes it."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.kafka = KafkaSettings(bootstrap_servers=bootstrap)
        self.topic = topic
        self._writer = TransactionalWriter(self.kafka, f"{topic}.writer")

    def write(self, changes: Changes, *, end: str = "commit") -> int:
        """Write in one transaction and end it so; the offset of its last record."""
        offsets: list[int | None] = []
        self._writer.begin()
        for key, value in changes.items():
            self._writer.produce(self.topic, value, key=key, partition=0, on_delivered=offsets.append)
        assert self._writer.flush(DEADLINE_S) == 0
        if end == "commit":
            self._writer.commit()
        elif end == "abort":
            self._writer.abort()
        last = offsets[-1]
        assert last is not None
        return last

    def delete_before(self, offset: int) -> None:
        """As retention does."""
        admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap_servers})
        for deleted in admin.delete_records([TopicPartition(self.topic, 0, offset)]).values():
            deleted.result(30)

    def close(self) -> None:
        """End the writer."""
        self._writer.close()

    def restore(self, store: Store, *, later_ms: int = 0) -> None:
        """Restore the store to the end; raises what ended it."""
        restore = self.begun(store, later_ms=later_ms)
        try:
            deadline_s = time.monotonic() + DEADLINE_S
            while restore.take_restored() != {0}:
                assert time.monotonic() < deadline_s, f"{restore!r} did not end"
                time.sleep(0.02)
            assert (restore.left, repr(restore)) == (0, f"<Restore {self.topic}: 1 partitions, 0 left>")
        finally:
            restore.stop()

    def begun(self, store: Store, *, later_ms: int = 0) -> Restore:
        """A restore under way."""
        restore = Restore(
            self.kafka, self.topic, Changelog(self.topic, TOMBSTONES_MS), {0: store}, Later(later_ms)
        )
        restore.start()
        return restore


class Later(SystemClock):
    """The machine's clock, some time from now."""

    def __init__(self, later_ms: int) -> None:
        self._later_ms = later_ms

    def now_ms(self) -> int:
        """Epoch milliseconds, moved."""
        return super().now_ms() + self._later_ms


@pytest.fixture
def log(bootstrap: str, make_topic: MakeTopic) -> Iterator[Log]:
    """An empty changelog."""
    topic = make_topic("state", 1, cleanup_policy="compact,delete", message_timestamp_type="LogAppendTime")
    found = Log(bootstrap, topic)
    yield found
    found.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    found = Store(tmp_path / "0000")
    yield found
    found.close()


def held(store: Store) -> dict[bytes, bytes]:
    """All that a store has."""
    return dict(store.scan(b"", 1_000_000))


def test_what_was_committed_is_there_and_nothing_else(log: Log, store: Store) -> None:
    """The last value of each key, no key that was deleted, nothing of a transaction that was aborted."""
    log.write({b"a": b"1", b"b": b"2", b"c": b"3"})
    log.write({b"a": b"9", b"d": b"4"}, end="abort")
    log.write({b"b": None, b"c": b"5"})
    log.write({b"c": b"9"}, end="abort")
    log.restore(store)
    assert held(store) == {b"a": b"1", b"c": b"5"}


def test_the_end_is_the_last_stable_offset(log: Log, store: Store) -> None:
    """A log that ends in markers and aborted records has an end, behind all of them; a second restore reads nothing."""
    last = log.write({b"a": b"1"})
    aborted = log.write({b"key%d" % number: b"9" for number in range(50)}, end="abort")
    log.restore(store)
    assert held(store) == {b"a": b"1"}
    assert store.checkpoint is not None
    assert store.checkpoint.offset == aborted + 2 > last + 2
    log.restore(store)
    assert store.checkpoint.offset == aborted + 2


def test_an_open_transaction_is_not_waited_for(log: Log, store: Store) -> None:
    """What is still open lies behind the end: it is neither read nor waited for, and comes once it is committed."""
    last = log.write({b"a": b"1"})
    log.write({b"a": b"2"}, end="open")
    log.restore(store)
    assert (held(store), store.checkpoint and store.checkpoint.offset) == ({b"a": b"1"}, last + 2)
    log._writer.commit()
    log.restore(store)
    assert held(store) == {b"a": b"2"}


def test_an_empty_log_is_restored_at_once(log: Log, store: Store) -> None:
    """Nothing to read is an end too."""
    log.restore(store)
    assert (held(store), store.checkpoint and store.checkpoint.offset) == ({}, 0)


def test_a_restore_goes_on_from_the_checkpoint(log: Log, store: Store) -> None:
    """What lies before the checkpoint is not read again."""
    log.write({b"a": b"1"})
    log.restore(store)
    assert store.checkpoint is not None
    store.write({b"a": b"as it was", b"b": b"kept"}, store.checkpoint)
    log.write({b"c": b"3"})
    log.restore(store)
    assert held(store) == {b"a": b"as it was", b"b": b"kept", b"c": b"3"}


@pytest.mark.parametrize("why", ["tombstones may be gone", "the log begins later"])
def test_a_checkpoint_too_old_is_not_believed(log: Log, store: Store, why: str) -> None:
    """A store that may have missed deletions is emptied and built anew from what the log still has."""
    log.write({b"a": b"1", b"gone": b"1"})
    log.restore(store)
    last = log.write({b"gone": None, b"b": b"2"})
    log.write({b"c": b"3"})
    later_ms = 0
    if why == "the log begins later":
        log.delete_before(last + 1)
    else:
        store.write({b"stale": b"1"}, store.checkpoint or Checkpoint(0, 0))
        later_ms = TOMBSTONES_MS + 60_000
    log.restore(store, later_ms=later_ms)
    if why == "the log begins later":
        assert held(store) == {b"c": b"3"}
    else:
        assert held(store) == {b"a": b"1", b"b": b"2", b"c": b"3"}


def test_a_checkpoint_ahead_of_the_log_is_refused(log: Log, store: Store) -> None:
    """A log that was made anew or has lost records is for an operator to judge: nothing is overwritten."""
    log.write({b"a": b"1"})
    store.write({b"z": b"1"}, Checkpoint(1_000, SystemClock().now_ms()))
    with pytest.raises(StateUnusable, match=r"is ahead of .* remove the folder of the store"):
        log.restore(store)
    assert held(store) == {b"z": b"1"}


def test_a_compacted_log_gives_the_same_state(
    bootstrap: str, make_topic: MakeTopic, store: Store, tmp_path: Path
) -> None:
    """After compaction, with gaps between offsets, an empty store and one that goes on end alike."""
    topic = make_topic(
        "state",
        1,
        cleanup_policy="compact",
        segment_ms="100",
        min_cleanable_dirty_ratio="0.01",
    )
    log = Log(bootstrap, topic)
    try:
        before = Store(tmp_path / "before")
        log.write({b"key%d" % number: b"0" for number in range(20)})
        log.restore(before)
        _compacted(log)
        log.restore(store)
        log.restore(before)
        assert held(store) == held(before) == {**{b"key%d" % n: b"3" for n in range(1, 20)}, b"end": b"1"}
        before.close()
    finally:
        log.close()


def _compacted(log: Log) -> None:
    """Write the keys again and again, delete one, and wait until the log has fewer records than were written."""
    for value in (b"1", b"2", b"3"):
        log.write({b"key%d" % number: value for number in range(20)})
    last = log.write({b"key0": None, b"end": b"1"})
    deadline_s = time.monotonic() + DEADLINE_S
    while (count := _records(log, last)) > 40:
        assert time.monotonic() < deadline_s, f"{count} records are left: nothing was compacted"
        time.sleep(0.3)
        log.write({b"end": b"1"})  # a segment ends only when another record comes


def _records(log: Log, last: int) -> int:
    """How many records the log has up to an offset."""
    consumer = Consumer(
        {
            "bootstrap.servers": log.kafka.bootstrap_servers,
            "group.id": "look",
            "isolation.level": "read_committed",
        }
    )
    consumer.assign([TopicPartition(log.topic, 0, 0)])
    count, offset, deadline_s = 0, -1, time.monotonic() + DEADLINE_S
    try:
        while offset < last:
            assert time.monotonic() < deadline_s
            for message in consumer.consume(1000, 0.1):
                assert message.error() is None
                offset = message.offset() or 0
                count += offset <= last
    finally:
        consumer.close()
    return count


def test_a_small_partition_does_not_wait_for_a_big_one(
    bootstrap: str, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """Partitions end one by one: those with little or nothing to read are done while another is far from its end."""
    topic, big, small, empty = make_topic("state", 3), 0, 1, 2
    kafka = KafkaSettings(bootstrap_servers=bootstrap)
    writer = Writer(kafka, client_id="test")
    for number in range(300_000):  # of a kind that doesn't compress: a fetch is measured in bytes that travel
        writer.produce(topic, os.urandom(100), key=b"key%d" % number, partition=big)
    writer.produce(topic, b"v", key=b"key", partition=small)
    assert writer.flush(DEADLINE_S) == 0
    writer.close()
    stores = {number: Store(tmp_path / str(number)) for number in (big, small, empty)}
    restore = Restore(kafka, topic, Changelog(topic, TOMBSTONES_MS), stores, SystemClock())
    assert restore.eta_s is None, "nothing is known yet"
    seen: list[tuple[set[int], int, float | None]] = []
    restore.start()
    try:
        restore.finish(lambda done: seen.append((set(done), restore.left, restore.eta_s)))
        assert restore.left == 0
    finally:
        restore.stop()
    alone = [(left, eta_s) for done, left, eta_s in seen if done == {small, empty}]
    assert alone, seen
    assert alone[0][0] > 100_000
    assert [left for left, _ in alone] == sorted((left for left, _ in alone), reverse=True)
    assert all(eta_s is not None and eta_s > 0 for left, eta_s in alone if left)
    assert sum(1 for _ in stores[big].rows()) == 300_000
    for store in stores.values():
        store.close()


def test_a_restore_without_progress_ends(store: Store) -> None:
    """An operator who waits for it is told when nothing comes, not left waiting."""
    kafka = KafkaSettings(bootstrap_servers="127.0.0.1:1")
    restore = Restore(kafka, "g", Changelog("state", TOMBSTONES_MS), {0: store}, SystemClock())
    with pytest.raises(Unreachable, match="gave nothing for 0 s"):
        restore.finish(lambda _: None, silent_max_s=0.2)
    restore.stop()


def test_what_ends_a_restore_comes_out_of_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that doesn't answer is told to whoever asks what is restored, and stopping still ends the thread."""
    monkeypatch.setattr("consumer.kafka.reader.ASK_TIMEOUT_S", 0.5)
    kafka = KafkaSettings(bootstrap_servers="127.0.0.1:1")
    restore = Restore(kafka, "g", Changelog("state", TOMBSTONES_MS), {0: store}, SystemClock())
    restore.start()
    deadline_s = time.monotonic() + DEADLINE_S
    found: CapiError | None = None
    while found is None:
        assert time.monotonic() < deadline_s
        try:
            assert restore.take_restored() == set()
        except CapiError as error:
            found = error
    assert isinstance(found, Unreachable)
    restore.stop()


def test_a_restore_is_stopped_midway(log: Log, store: Store) -> None:
    """After a stop nothing touches the store, and the next restore completes it."""
    changes = {b"key%05d" % number: b"v" * 100 for number in range(20_000)}
    log.write(changes)
    restore = log.begun(store)
    restore.stop()
    store.write({}, store.checkpoint or Checkpoint(0, 0))
    log.restore(store)
    assert held(store) == changes
