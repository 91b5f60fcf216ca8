"""Which records of a partition are settled: in any order, while the watermark moves in order.

The watermark is the offset to commit: everything below it is settled. What is settled above it is written beside the
commit as run-lengths over the records read from the watermark on (offsets have gaps), so that whoever goes on there
sends nothing again that has its outcome.
"""

from collections.abc import Iterator
from itertools import pairwise

METADATA_MAX_CHARACTERS = 3_000
"""The broker takes 4,096 bytes."""
INTAKE_MAX_CHARACTERS = 2_000
_VERSION = "1:"
_DIGITS_MAX = 19


class Progress:
    """One partition, from its assignment on. `lost` once it is another's: what ends then is no longer ours to tell."""

    def __init__(self, position: int, metadata: str = "") -> None:
        """`position` is the committed offset, `metadata` what was written beside it; a foreign text says nothing."""
        self.position = position
        self.lost = False
        self.leaving = False
        self._read = 0
        self._open: dict[int, tuple[int, int]] = {}
        self._known = list(_settled_runs(metadata))

    def read(self, offset: int, timestamp_ms: int) -> bool:
        """Note a record, the next in order; False if it was settled before the restart."""
        index = self._read
        self._read += 1
        self.position = offset + 1
        while self._known and self._known[0][1] <= index:
            del self._known[0]
        if self._known and self._known[0][0] <= index:
            return False
        self._open[offset] = (index, timestamp_ms)
        return True

    def end(self, offset: int) -> None:
        """Note that there are no records below `offset` that were not read."""
        self.position = max(self.position, offset)

    def settle(self, offset: int) -> None:
        """All that is to be durable of this record is. Raises KeyError if it is settled already."""
        del self._open[offset]

    @property
    def unsettled(self) -> int:
        """How many records were read and have no durable outcome yet."""
        return len(self._open)

    @property
    def watermark(self) -> int:
        """The offset that may be committed."""
        return next(iter(self._open), self.position)

    @property
    def oldest_ms(self) -> int:
        """Timestamp of the first unsettled record; 0 if there is none."""
        return next((timestamp_ms for _, timestamp_ms in self._open.values()), 0)

    @property
    def metadata(self) -> str:
        """The settled runs above the watermark. Where they don't fit, the first ones; the rest would be sent again."""
        text = self._runs()
        if len(text) <= METADATA_MAX_CHARACTERS:
            return text
        return text[:METADATA_MAX_CHARACTERS].rpartition(".")[0]

    @property
    def scattered(self) -> bool:
        """Read no more for now: the runs would outgrow the commit's metadata."""
        return len(self._runs()) > INTAKE_MAX_CHARACTERS

    def _runs(self) -> str:
        opened = [index for index, _ in self._open.values()]
        at = opened[0] if opened else self._read
        runs: list[int] = []
        for begin, end in self._settled(opened):
            runs += (begin - at, end - begin)
            at = end
        return _VERSION + ".".join(map(str, runs)) if runs else ""

    def _settled(self, opened: list[int]) -> Iterator[tuple[int, int]]:
        """Settled stretches above the watermark, by index: between the open ones, and those known but not read yet."""
        for one, other in pairwise((*opened, self._read)):
            if other > one + 1:
                yield one + 1, other
        for begin, end in self._known:
            if end > self._read:
                yield max(begin, self._read), end

    def __repr__(self) -> str:
        return f"<Progress {self.watermark}: {len(self._open)} unsettled>"


def _settled_runs(metadata: str) -> Iterator[tuple[int, int]]:
    """Begin and end of each settled stretch, in records from the watermark."""
    if not metadata.startswith(_VERSION):
        return
    numbers = metadata.removeprefix(_VERSION).split(".")
    if not all(number.isascii() and number.isdecimal() and len(number) <= _DIGITS_MAX for number in numbers):
        return
    at = 0
    for unsettled, settled in zip(numbers[::2], numbers[1::2], strict=False):
        begin = at + int(unsettled)
        at = begin + int(settled)
        yield begin, at
