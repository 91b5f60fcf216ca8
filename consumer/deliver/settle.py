"""Which records of a partition are settled: in any order, while the watermark moves in order.

The watermark is the offset to commit: everything below it is settled. Beside the commit stands, as run-lengths over the
records read from the watermark on (offsets have gaps), what is settled above it, so that whoever goes on there sends
nothing again that has its outcome; and, if intent is noted, what was about to be sent, so that whoever goes on knows
what may count already.

    1:settled              without intent
    2:intended;settled     with it: what is intended and not settled had no outcome yet
"""

from collections.abc import Collection, Iterator
from itertools import pairwise
from typing import Literal, TypeAlias

from consumer.deliver.runs import Runs, above, holds, joined, read_back, without, written

METADATA_MAX_CHARACTERS = 3_000
"""The broker takes 4,096 bytes."""
INTAKE_MAX_CHARACTERS = 2_000
INTENT_MAX_CHARACTERS = 1_500
"""Intent is never cut off; what is settled has the rest."""

Seen: TypeAlias = Literal["new", "settled", "intended"]
"""What was known of a record before it was read: nothing, its outcome, or that it was about to be sent."""


class Progress:
    """One partition, from its assignment on. `lost` once it is another's: what ends then is no longer ours to tell."""

    def __init__(self, position: int, metadata: str = "") -> None:
        """`position` is the committed offset, `metadata` what was written beside it; a foreign text says nothing."""
        self.position = position
        self.lost = False
        self.leaving = False
        self.intents = 0
        self._read = 0
        self._open: dict[int, tuple[int, int]] = {}
        self._intended, self._known = _told(metadata)

    def read(self, offset: int, timestamp_ms: int) -> Seen:
        """Note a record, the next in order. It is unsettled from now on, unless it was settled before the restart."""
        place = self._read
        self._read += 1
        self.position = offset + 1
        while self._known and self._known[0][1] <= place:
            del self._known[0]
        if self._known and self._known[0][0] <= place:
            return "settled"
        self._open[offset] = (place, timestamp_ms)
        return "intended" if self._intended and holds(self._intended, place) else "new"

    def end(self, offset: int) -> None:
        """Note that there are no records below `offset` that were not read."""
        self.position = max(self.position, offset)

    def settle(self, offset: int) -> None:
        """All that is to be durable of this record is. Raises KeyError if it is settled already."""
        del self._open[offset]

    def intend(self, offsets: Collection[int]) -> list[int]:
        """Note that these unsettled records are about to be sent; which of them may be, once that is committed.

        It is all of them, or the first ones, as many as a commit can tell of; the one at the watermark always may be,
        so that room is made.
        """
        chosen = sorted(offsets)
        while chosen:
            intended = joined(above(self._intended, self._first), self._places(chosen))
            if chosen == [self.watermark] or self._fits(intended):
                self._intend(intended)
                break
            chosen = chosen[: len(chosen) // 2]
        return chosen

    def withdraw(self, offsets: Collection[int]) -> None:
        """Note that these, intended, don't count. Where a commit can't tell of the holes, they stay intended."""
        intended = without(above(self._intended, self._first), self._places(offsets))
        if self._fits(intended):
            self._intend(intended)

    def _intend(self, intended: Runs) -> None:
        """`intents` changes with it, so that a commit is seen to be due."""
        self._intended = intended
        self.intents += 1

    def _places(self, offsets: Collection[int]) -> list[int]:
        return [self._open[offset][0] for offset in offsets if offset in self._open]

    def _fits(self, intended: Runs) -> bool:
        return len(written(intended, self._first)) <= INTENT_MAX_CHARACTERS

    @property
    def unsettled(self) -> int:
        """How many records were read and have no durable outcome yet."""
        return len(self._open)

    @property
    def watermark(self) -> int:
        """The offset that may be committed."""
        return next(iter(self._open), self.position)

    @property
    def _first(self) -> int:
        """The watermark's place."""
        return next((place for place, _ in self._open.values()), self._read)

    @property
    def oldest_ms(self) -> int:
        """Timestamp of the first unsettled record; 0 if there is none."""
        return next((timestamp_ms for _, timestamp_ms in self._open.values()), 0)

    @property
    def metadata(self) -> str:
        """What stands beside the commit.

        Where the settled runs don't fit, it is the first ones: of the rest, what was intended ends as unknown after a
        restart, and what wasn't is sent again.
        """
        text = self._text()
        if len(text) <= METADATA_MAX_CHARACTERS:
            return text
        return text[:METADATA_MAX_CHARACTERS].rpartition(".")[0]

    @property
    def scattered(self) -> bool:
        """Read no more for now: the runs would outgrow the commit's metadata."""
        return len(self._text()) > INTAKE_MAX_CHARACTERS

    def _text(self) -> str:
        settled = written(list(self._settled()), self._first)
        if intended := above(self._intended, self._first):
            return f"2:{written(intended, self._first)};{settled}"
        return settled and f"1:{settled}"

    def _settled(self) -> Iterator[tuple[int, int]]:
        """Settled stretches above the watermark: between the open records, and those known but not read yet."""
        opened = [place for place, _ in self._open.values()]
        for one, other in pairwise((*opened, self._read)):
            if other > one + 1:
                yield one + 1, other
        for begin, end in self._known:
            if end > self._read:
                yield max(begin, self._read), end

    def __repr__(self) -> str:
        return f"<Progress {self.watermark}: {len(self._open)} unsettled>"


def _told(metadata: str) -> tuple[Runs, Runs]:
    """What was intended and what is settled, in records from the watermark."""
    version, _, text = metadata.partition(":")
    if version == "2":
        intended, _, settled = text.partition(";")
        return read_back(intended), read_back(settled)
    return [], read_back(text) if version == "1" else []
