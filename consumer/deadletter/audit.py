"""What operators did, in `<prefix>.audit`: who, when, to which letters and why. Its key is the command.

Letters can't be taken out of Kafka: those that were discarded are named there, and left out wherever letters are shown.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from operator import itemgetter
from typing import TypeAlias

from msgspec import DecodeError, Struct, json

from consumer.deadletter.read import Read
from consumer.errors import Unreachable
from consumer.kafka.writer import Writer
from consumer.model import Record, TopicPartition
from consumer.settings import KafkaSettings

DISCARD = "dlq discard"
LETTERS_MAX = 10_000
"""Letters that one record names, so that it stays far below what topics usually take, whatever their offsets."""
SKEW_MS = 60_000
"""Brokers' clocks may differ by this. A letter written later than it was discarded is another, in a topic made anew."""
WRITE_TIMEOUT_S = 30.0

Run: TypeAlias = tuple[int, int]
"""The first and the last of offsets that follow each other."""


class Entry(Struct, frozen=True):
    """A deed, or one of its `parts`: `counts` are letters by reason, `letters` their offsets by `topic:partition`."""

    command: str
    by: str
    at_ms: int
    filter: tuple[str, ...]
    reason: str
    counts: Mapping[str, int]
    letters: Mapping[str, tuple[Run, ...]]
    part: int = 1
    parts: int = 1


class Deed(Struct, frozen=True):
    """What is done, by whom and when, by which filter; `reason` is what the operator gave as one."""

    command: str
    by: str
    at_ms: int
    filter: tuple[str, ...]
    reason: str


class Named(Struct, frozen=True, gc=False):
    """A letter's place, and its reason: enough to name it."""

    at: TopicPartition
    offset: int
    reason: str


def named(letter: Read) -> Named:
    """What is kept of a letter to name it."""
    return Named(TopicPartition(letter.at.topic, letter.at.partition), letter.at.offset, letter.reason)


def entries(deed: Deed, letters: Sequence[Named]) -> list[Entry]:
    """The records that tell of it: as many as it takes to name all letters."""
    parts = [letters[start : start + LETTERS_MAX] for start in range(0, len(letters), LETTERS_MAX)]
    return [
        Entry(
            deed.command,
            deed.by,
            deed.at_ms,
            deed.filter,
            deed.reason,
            counts=dict(sorted(Counter(letter.reason for letter in part).items())),
            letters=_places(part),
            part=number,
            parts=len(parts),
        )
        for number, part in enumerate(parts, 1)
    ]


def _places(letters: Iterable[Named]) -> Mapping[str, tuple[Run, ...]]:
    offsets: defaultdict[str, list[int]] = defaultdict(list)
    for letter in letters:
        offsets[f"{letter.at.topic}:{letter.at.partition}"].append(letter.offset)
    return {place: tuple(runs(sorted(some))) for place, some in sorted(offsets.items())}


def runs(offsets: Iterable[int]) -> Iterator[Run]:
    """Offsets in order, as runs.

    >>> list(runs([1, 2, 3, 7, 9, 10]))
    [(1, 3), (7, 7), (9, 10)]
    """
    first = last = None
    for offset in offsets:
        if first is None or last is None or offset != last + 1:
            if first is not None and last is not None:
                yield first, last
            first = offset
        last = offset
    if first is not None and last is not None:
        yield first, last


def write(kafka: KafkaSettings, topic: str, told: Sequence[Entry]) -> None:
    """Write them and wait. Raises Unreachable if one can't be written; the same again then does the rest."""
    writer = Writer(kafka, client_id="capi-audit")
    written: list[int | None] = []
    try:
        for entry in told:
            key = entry.command.encode()
            writer.produce(topic, json.encode(entry), key=key, on_delivered=written.append)
        writer.flush(WRITE_TIMEOUT_S)
    finally:
        writer.close()
    if missing := len(told) - sum(offset is not None for offset in written):
        raise Unreachable(
            f"{missing} of {len(told)} records can't be written to {topic}: check that it is there and writable, "
            "then give the same command again"
        )


class _Runs(Struct):
    """Runs of one partition by their first offset; `reach` is the furthest last one so far."""

    firsts: list[int]
    lasts: list[int]
    until_ms: list[int]
    reach: list[int]


class Discarded:
    """The letters that were discarded, of the records of the audit topic."""

    def __init__(self, records: Iterable[Record]) -> None:
        """What is no entry of a discard is passed over."""
        found: defaultdict[TopicPartition, list[tuple[int, int, int]]] = defaultdict(list)
        for record in records:
            for place, some in _discards(record).items():
                topic, _, partition = place.rpartition(":")
                until_ms = record.timestamp_ms + SKEW_MS
                found[TopicPartition(topic, int(partition))] += [
                    (first, last, until_ms) for first, last in some
                ]
        self._runs = {at: _in_order(some) for at, some in found.items()}

    def holds(self, letter: Read) -> bool:
        """Whether this letter is among them."""
        at = self._runs.get(TopicPartition(letter.at.topic, letter.at.partition))
        if at is None:
            return False
        offset = letter.at.offset
        place = bisect_right(at.firsts, offset) - 1
        while place >= 0 and at.reach[place] >= offset:
            if at.lasts[place] >= offset and letter.timestamp_ms <= at.until_ms[place]:
                return True
            place -= 1
        return False

    def __repr__(self) -> str:
        return f"<Discarded: {sum(len(some.firsts) for some in self._runs.values())} runs>"


NONE_DISCARDED = Discarded(())


def _discards(record: Record) -> Mapping[str, tuple[Run, ...]]:
    if record.key != DISCARD.encode() or record.value is None:
        return {}
    try:
        letters = json.decode(record.value, type=Entry).letters
    except DecodeError:
        return {}
    return {place: some for place, some in letters.items() if place.rpartition(":")[2].isdecimal()}


def _in_order(some: list[tuple[int, int, int]]) -> _Runs:
    some.sort(key=itemgetter(0))
    lasts = [last for _, last, _ in some]
    return _Runs(
        firsts=[first for first, _, _ in some],
        lasts=lasts,
        until_ms=[until_ms for _, _, until_ms in some],
        reach=list(accumulate(lasts, max)),
    )
