"""Records settle in any order, the watermark moves in order, and a restart sends nothing that has its outcome."""

from collections.abc import Iterable
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.deliver.settle import INTAKE_MAX_CHARACTERS, METADATA_MAX_CHARACTERS, Progress


class Life(NamedTuple):
    """Offsets of a partition with gaps; how many of them a process reads, and which of those it settles, in order."""

    offsets: list[int]
    read: int
    settled: list[int]


@st.composite
def lives(draw: st.DrawFn) -> Life:
    """One process's life on a partition."""
    gaps = draw(st.lists(st.integers(1, 5), min_size=1, max_size=60))
    offsets = [sum(gaps[: index + 1]) for index in range(len(gaps))]
    read = draw(st.integers(0, len(offsets)))
    settled = draw(st.lists(st.sampled_from(offsets[:read]), unique=True)) if read else []
    return Life(offsets, read, draw(st.permutations(settled)))


def pick(settled: Iterable[int], fresh: list[int], chosen: list[bool]) -> set[int]:
    """What is settled after some of the fresh ones were."""
    return {*settled, *(offset for offset, one in zip(fresh, chosen, strict=False) if one)}


def read_on(progress: Progress, offsets: list[int]) -> list[int]:
    """Read on from the progress's position; what is not known to be settled."""
    return [offset for offset in offsets if offset >= progress.position and progress.read(offset, offset)]


@settings(deadline=None, derandomize=True)
@given(lives())
def test_watermark_is_the_first_unsettled_record(life: Life) -> None:
    """Whatever the order of settling, all below the watermark is settled and the record at it is not."""
    progress = Progress(0)
    assert read_on(progress, life.offsets[: life.read]) == life.offsets[: life.read]
    unsettled = life.offsets[: life.read]
    for offset in life.settled:
        progress.settle(offset)
        unsettled.remove(offset)
        position = life.offsets[life.read - 1] + 1
        assert progress.watermark == (unsettled[0] if unsettled else position)
        assert progress.oldest_ms == (unsettled[0] if unsettled else 0)
        assert progress.unsettled == len(unsettled)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(lives(), st.lists(st.booleans(), max_size=60), st.integers(0, 60), st.integers(0, 60))
def test_restarts_skip_exactly_what_is_settled(
    life: Life, chosen: list[bool], read_second: int, read_third: int
) -> None:
    """Two restarts, the second perhaps before all was read again, re-send what is unsettled and nothing else."""
    first = Progress(0)
    read_on(first, life.offsets[: life.read])
    for offset in life.settled:
        first.settle(offset)
    settled = set(life.settled)

    second = Progress(first.watermark, first.metadata)
    seen = life.offsets[: max(read_second, 0)]
    fresh = read_on(second, seen)
    assert fresh == [each for each in seen if each >= first.watermark and each not in settled]
    settled = pick(settled, fresh, chosen)
    for offset in set(fresh) & settled:
        second.settle(offset)

    third = Progress(second.watermark, second.metadata)
    seen = life.offsets[:read_third]
    assert read_on(third, seen) == [each for each in seen if each >= second.watermark and each not in settled]
    assert all(each in settled for each in life.offsets if each < second.watermark)


def test_restart_within_a_settled_stretch_keeps_it() -> None:
    """A process that ends in the middle of what it need not send leaves word of the rest, whatever it settled."""
    first = Progress(0)
    read_on(first, list(range(10)))
    for offset in range(2, 9):
        first.settle(offset)
    for settles in ([], [0], [0, 1]):
        second = Progress(first.watermark, first.metadata)
        assert read_on(second, list(range(5))) == [0, 1]
        for offset in settles:
            second.settle(offset)
        third = Progress(second.watermark, second.metadata)
        assert read_on(third, list(range(12))) == [each for each in (0, 1, 9, 10, 11) if each not in settles]


def test_nothing_is_written_beside_a_commit_without_holes() -> None:
    """Before the first record, and when all is settled, the metadata is empty."""
    progress = Progress(7)
    assert (progress.watermark, progress.metadata) == (7, "")
    progress.read(9, 1)
    progress.settle(9)
    assert (progress.watermark, progress.metadata) == (10, "")


def test_settling_twice_is_a_bug() -> None:
    """A record that settles twice is told at once, since its outcome was written twice."""
    progress = Progress(0)
    progress.read(0, 1)
    progress.settle(0)
    with pytest.raises(KeyError):
        progress.settle(0)


def test_end_of_partition_moves_the_watermark_over_what_is_no_record() -> None:
    """Markers of transactions at the end leave no lag, but never hide an unsettled record."""
    progress = Progress(0)
    progress.read(0, 1)
    progress.end(3)
    assert progress.watermark == 0
    progress.settle(0)
    assert progress.watermark == 3


@given(st.integers(500, 4_000), st.integers(2, 7))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_cut_metadata_claims_no_unsettled_record(count: int, every: int) -> None:
    """Where the settled stretches don't fit, some are sent again, but none that is unsettled is skipped."""
    progress = Progress(0)
    for offset in range(count):
        progress.read(offset, offset)
    settled = {offset for offset in range(count) if offset % every}
    for offset in settled:
        progress.settle(offset)
    assert len(progress.metadata) <= METADATA_MAX_CHARACTERS
    assert progress.scattered == (len(progress._runs()) > INTAKE_MAX_CHARACTERS)
    again = Progress(progress.watermark, progress.metadata)
    fresh = read_on(again, list(range(count)))
    assert set(range(0, count, every)) <= set(fresh)
    assert len(fresh) < count
    if not progress.scattered:
        assert set(fresh) == set(range(0, count, every))


@settings(deadline=None, derandomize=True)
@given(st.one_of(st.text(max_size=50), st.text("1:.0 -٣", max_size=20).map("1:".__add__)))
def test_foreign_metadata_is_harmless(text: str) -> None:
    """What someone else wrote beside the commit neither fails nor moves the watermark by itself."""
    progress = Progress(5, text)
    assert progress.watermark == 5
    assert len(progress.metadata) <= METADATA_MAX_CHARACTERS
    read_on(progress, [5, 6, 7])
    assert progress.position == 8


@pytest.mark.parametrize(
    "text", ["tidb:1.2", "1:", "1:3", "1:1,2", "1:-1.5", "1:1.٣", "2:0.9", "1:1." + "9" * 5_000]
)
def test_metadata_that_is_not_ours_settles_nothing(text: str) -> None:
    """A text in another form says nothing about any record, however long its numbers are."""
    assert read_on(Progress(0, text), [0, 1, 2]) == [0, 1, 2]
