"""Stretches behave as the sets of places that they stand for."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.deliver.runs import Runs, above, holds, joined, read_back, without, written

PLACES = st.sets(st.integers(0, 40))


def of(places: set[int]) -> Runs:
    """The stretches of these places."""
    return joined([], places)


def places_of(runs: Runs) -> set[int]:
    """The places of these stretches, which must be sorted and apart."""
    ends = [place for run in runs for place in run]
    assert ends == sorted(set(ends))
    return {place for begin, end in runs for place in range(begin, end)}


@settings(deadline=None, derandomize=True)
@given(PLACES, PLACES, st.integers(0, 40))
def test_runs_are_sets_of_places(one: set[int], other: set[int], least: int) -> None:
    """Joining, taking away, cutting and asking give what they give for sets."""
    assert places_of(of(one)) == one
    assert places_of(joined(of(one), other)) == one | other
    assert places_of(without(of(one), other)) == one - other
    assert places_of(above(of(one), least)) == {place for place in one if place >= least}
    assert [place for place in range(42) if holds(of(one), place)] == sorted(one)


@settings(deadline=None, derandomize=True)
@given(PLACES, st.integers(0, 40))
def test_text_gives_the_runs_back(places: set[int], at: int) -> None:
    """What is written from a place on is read as so far from 0; cut off anywhere, it gives the first stretches."""
    runs = above(of(places), at)
    text = written(runs, at)
    moved = [(begin - at, end - at) for begin, end in runs]
    assert read_back(text) == moved
    for end in (index for index, letter in enumerate(text) if letter == "."):
        back = read_back(text[:end])
        assert back == moved[: len(back)]


@pytest.mark.parametrize("text", ["", "1.", "1.x", "-1.2", "1.٣", "1,2", "3", "1." + "9" * 5_000])
def test_foreign_text_has_no_runs(text: str) -> None:
    """A text in another form stands for no place."""
    assert read_back(text) == []
