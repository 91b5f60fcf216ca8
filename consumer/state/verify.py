"""Holding a store against its changelog, read afresh into a store of its own: another way there than a restore's."""

import heapq
import time
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter

from msgspec import Struct

from consumer.errors import Unreachable
from consumer.kafka.reader import Reader
from consumer.model import TopicPartition
from consumer.state.store import Checkpoint, Store
from consumer.state.value import expiry_of

POLL_MAX_RECORDS = 10_000
POLL_TIMEOUT_S = 0.2
SILENT_MAX_S = 60.0
NAMED_MAX = 10
_LIVE, _GONE, _NEWER = b"l", b"g", b"n"


class Compared(Struct, frozen=True):
    """One partition. Entries that have expired count nowhere; keys written behind the checkpoint are not judged.

    `behind` is in offsets of the changelog; `first` are keys that differ, at most `NAMED_MAX`.
    """

    partition: int
    same: int
    lacking: int
    extra: int
    other: int
    behind: int
    first: tuple[bytes, ...] = ()
    problem: str = ""

    @property
    def holds(self) -> bool:
        """The store is what the changelog says, as far as it has come."""
        return not (self.lacking or self.extra or self.other or self.problem)


def verify(reader: Reader, at: TopicPartition, store: Store, scratch: Store, horizon_ms: int) -> Compared:
    """Read the partition's changelog into `scratch`, which is empty, and compare. `reader` reports ends.

    Raises Unreachable, Refused, OffsetOutOfRange, StateUnusable, and ValueError for a value of an unknown format.
    """
    checkpoint = store.checkpoint.offset if store.checkpoint is not None else 0
    low, end = reader.watermarks(at)
    _read(reader, at, low, end, scratch, checkpoint)
    counts = {"same": 0, "lacking": 0, "extra": 0, "other": 0}
    first: list[bytes] = []
    for key, logged, stored in _side_by_side(scratch, store):
        found = _judge(logged, stored, horizon_ms)
        if found is None:
            continue
        counts[found] += 1
        if found != "same" and len(first) < NAMED_MAX:
            first.append(key)
    problem = f"ahead of the changelog, which ends at {end}" if checkpoint > end else ""
    return Compared(
        partition=at.partition,
        **counts,
        behind=max(0, end - max(checkpoint, low)),
        first=tuple(first),
        problem=problem,
    )


def _read(reader: Reader, at: TopicPartition, low: int, end: int, scratch: Store, checkpoint: int) -> None:
    reader.assign({at: low})
    position, heard_s = low, time.monotonic()
    while position < end:
        batch = reader.poll(POLL_MAX_RECORDS, POLL_TIMEOUT_S)
        records = [record for record in batch.records if record.key is not None and record.offset < end]
        if records:
            changes = [
                (record.key or b"", _noted(record.offset, record.value, checkpoint)) for record in records
            ]
            scratch.apply(changes, Checkpoint(records[-1].offset + 1, 0))
        read = [record.offset + 1 for record in batch.records[-1:]]
        position = max([position, *read, *(offset for where, offset in batch.ends if where == at)])
        now_s = time.monotonic()
        if batch.records or batch.ends:
            heard_s = now_s
        elif now_s - heard_s > SILENT_MAX_S:
            raise Unreachable(f"{at.topic}[{at.partition}] gave nothing for {SILENT_MAX_S:.0f} s")


def _noted(offset: int, value: bytes | None, checkpoint: int) -> bytes:
    if offset >= checkpoint:
        return _NEWER
    return _GONE if value is None else _LIVE + value


def _side_by_side(scratch: Store, store: Store) -> Iterator[tuple[bytes, bytes | None, bytes | None]]:
    """Every key of either, in order, with what the changelog noted and what is stored."""
    logged = ((key, 0, value) for key, value in scratch.rows())
    stored = ((key, 1, value) for key, value in store.rows())
    for key, group in groupby(heapq.merge(logged, stored), key=itemgetter(0)):
        sides: list[bytes | None] = [None, None]
        for _, side, value in group:
            sides[side] = value
        yield key, sides[0], sides[1]


def _judge(logged: bytes | None, stored: bytes | None, horizon_ms: int) -> str | None:
    """Same, lacking (in the store), extra or other; None if there is nothing to judge."""
    if logged == _NEWER:
        return None
    must = _unexpired(logged[1:] if logged is not None and logged.startswith(_LIVE) else None, horizon_ms)
    found = _unexpired(stored, horizon_ms)
    if must is None:
        return None if found is None else "extra"
    if found is None:
        return "lacking"
    return "same" if found == must else "other"


def _unexpired(value: bytes | None, horizon_ms: int) -> bytes | None:
    return None if value is None or expiry_of(value) < horizon_ms else value
