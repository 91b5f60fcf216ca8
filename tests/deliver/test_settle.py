"""Records settle in any order, the watermark moves in order, and a restart sends nothing that has its outcome."""

from collections.abc import Collection, Iterable
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.deliver.settle import (
    INTAKE_MAX_CHARACTERS,
    INTENT_MAX_CHARACTERS,
    METADATA_MAX_CHARACTERS,
    Progress,
    Seen,
)


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
    return [
        offset for offset in offsets if offset >= progress.position and progress.read(offset, offset) == "new"
    ]


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
    assert progress.scattered == (len(progress._text()) > INTAKE_MAX_CHARACTERS)
    again = Progress(progress.watermark, progress.metadata)
    fresh = read_on(again, list(range(count)))
    assert set(range(0, count, every)) <= set(fresh)
    assert len(fresh) < count
    if not progress.scattered:
        assert set(fresh) == set(range(0, count, every))


@settings(deadline=None, derandomize=True)
@given(st.one_of(st.text(max_size=50), st.text("12:;.0 -٣", max_size=20).map("2:".__add__)))
def test_foreign_metadata_is_harmless(text: str) -> None:
    """What someone else wrote beside the commit neither fails nor moves the watermark by itself."""
    progress = Progress(5, text)
    assert progress.watermark == 5
    assert len(progress.metadata) <= METADATA_MAX_CHARACTERS
    read_on(progress, [5, 6, 7])
    assert progress.position == 8


@pytest.mark.parametrize(
    "text",
    *(["tidb:1.2", "1:", "1:3", "1:1,2", "1:-1.5", "1:1.٣", "1:0.9;0.9", "3:0.9", "1:1." + "9" * 5_000],),
)
def test_metadata_that_is_not_ours_settles_nothing(text: str) -> None:
    """A text in another form says nothing about any record, however long its numbers are."""
    assert read_on(Progress(0, text), [0, 1, 2]) == [0, 1, 2]


class Destined:
    """A partition whose records are sent; `knows` is what a process that goes on must be told of each."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.progress = Progress(0)
        self.knows: dict[int, Seen] = dict.fromkeys(range(count), "new")

    def read(self, count: int) -> None:
        """Read on; what is told of each record must be what is known."""
        for offset in range(self.progress.position, min(self.count, self.progress.position + count)):
            assert self.progress.read(offset, offset) == self.knows[offset]

    def that(self, seen: Seen) -> list[int]:
        """The records so far read of which this is known."""
        return [offset for offset in range(self.progress.position) if self.knows[offset] == seen]

    def settle(self, offsets: Iterable[int]) -> None:
        """These have their outcome."""
        for offset in offsets:
            self.progress.settle(offset)
            self.knows[offset] = "settled"

    def intend(self, offsets: Collection[int]) -> list[int]:
        """These are about to be sent; those that may be."""
        going = self.progress.intend(offsets)
        self.knows.update(dict.fromkeys(going, "intended"))
        return going

    def withdraw(self, offsets: Collection[int]) -> None:
        """These don't count."""
        self.progress.withdraw(offsets)
        self.knows.update(dict.fromkeys(offsets, "new"))

    def restart(self) -> None:
        """Another process goes on with what the last commit says."""
        self.progress = Progress(self.progress.watermark, self.progress.metadata)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_restarts_tell_settled_intended_and_new_apart(seed: int) -> None:
    """Whatever is sent, settled and withdrawn, and whenever a process ends, the next one knows what was what."""
    chance, at = Random(seed), Destined(60)
    for _ in range(40):
        kind = chance.choice(["read", "read", "intend", "intend", "settle", "skip", "withdraw", "restart"])
        new, intended = at.that("new"), at.that("intended")
        if kind == "read":
            at.read(chance.randint(1, 15))
        elif kind == "intend":
            chosen = chance.sample(new, min(len(new), 6))
            assert at.intend(chosen) == sorted(chosen)
        elif kind == "settle":
            at.settle(chance.sample(intended, min(len(intended), 4)))
        elif kind == "skip":
            at.settle(chance.sample(new, min(len(new), 2)))
        elif kind == "withdraw":
            at.withdraw(chance.sample(intended, min(len(intended), 3)))
        else:
            at.restart()
    at.read(60)


def test_intent_is_told_beside_the_commit_and_goes_with_the_watermark() -> None:
    """The text says what is intended, then what is settled; a commit is due when intent changes, and all ends empty."""
    progress = Progress(0)
    for offset in range(6):
        progress.read(offset, offset)
    assert progress.intend([4, 1, 2]) == [1, 2, 4]
    progress.settle(2)
    assert (progress.metadata, progress.intents) == ("2:1.2.1.1;2.1", 1)
    progress.withdraw([1])
    assert (progress.metadata, progress.intents) == ("2:2.1.1.1;2.1", 2)
    for offset in (0, 1, 3):
        progress.settle(offset)
    assert (progress.watermark, progress.metadata) == (4, "2:0.1;")
    progress.settle(4)
    assert (progress.watermark, progress.metadata) == (5, "")


@pytest.mark.parametrize("seed", range(4))
def test_what_a_commit_cannot_tell_of_is_not_sent_yet(seed: int) -> None:
    """However scattered, what was sent is never new after a restart, and in the end everything was sent."""
    print(f"seed {seed}")  # noqa: T201 (so that a failure can be repeated)
    chance, at = Random(seed), Destined(2_000)
    at.read(2_000)
    at.settle(chance.sample(range(2_000), seed * 200))
    waited = 0
    for turn in range(2_000):
        unsent, under_way = at.that("new"), at.that("intended")
        if not unsent and not under_way:
            break
        asked = chance.sample(unsent, min(len(unsent), 200))
        waited += len(asked) - len(at.intend(asked))
        assert len(at.progress.metadata) <= METADATA_MAX_CHARACTERS
        if turn % 4 == 0:
            again = Progress(at.progress.watermark, at.progress.metadata)
            seen = {offset: again.read(offset, 0) for offset in range(again.position, 2_000)}
            assert not [each for each in at.that("intended") if seen[each] != "intended"]
            assert not [each for each in at.that("new") if seen[each] != "new"]
        at.settle(chance.sample(under_way, len(under_way) * 2 // 3 + bool(under_way)))
    assert at.progress.watermark == 2_000
    assert waited


def test_record_at_the_watermark_may_always_be_sent() -> None:
    """However much is intended already: the one that everything waits for makes room, and waits for nothing."""
    at = Destined(4_000)
    at.read(4_000)
    places = iter(range(3, 4_000, 4))
    while at.intend([next(places)]):
        pass
    assert at.intend([1]) == []
    assert at.intend([0, 1]) == [0]
    at.settle([0])
    assert at.intend([1]) == [1]
    at.settle([1])
    assert len(at.progress.metadata) <= INTENT_MAX_CHARACTERS + 10


def test_what_was_sent_stays_known_where_its_settling_does_not_fit() -> None:
    """Where the settled runs are cut off, what was sent is at worst taken for intended, so it is not sent again."""
    at = Destined(4_000)
    at.read(4_000)
    assert at.intend(range(1, 4_000)) == list(range(1, 4_000))
    at.settle(range(2, 4_000, 2))
    assert at.progress.scattered
    again = Progress(at.progress.watermark, at.progress.metadata)
    seen = [again.read(offset, 0) for offset in range(4_000)]
    assert seen[0] == "new"
    assert set(seen[1::2]) == {"intended"}
    assert set(seen[2::2]) == {"settled", "intended"}


def test_holes_that_do_not_fit_stay_intended() -> None:
    """What is withdrawn in too many places for a commit to tell of is unknown after a crash, and may be sent."""
    at = Destined(4_000)
    at.read(4_000)
    at.intend(range(4_000))
    at.progress.withdraw(range(0, 4_000, 2))
    assert (at.progress.metadata, at.progress.intents) == ("2:0.4000;", 1)
    assert at.intend([0, 2]) == [0, 2]
