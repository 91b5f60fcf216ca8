"""Stretches of records: sorted pairs (begin, end) of places in the order of reading, that neither meet nor overlap.

As text they are run-lengths, gap and stretch by turns: from place 3 on, [(4, 6), (9, 10)] is "1.2.3.1".
"""

from bisect import bisect_right
from collections.abc import Iterable
from typing import TypeAlias

Runs: TypeAlias = list[tuple[int, int]]

_DIGITS_MAX = 19


def holds(runs: Runs, place: int) -> bool:
    """Whether a stretch covers this place."""
    at = bisect_right(runs, place, key=lambda run: run[0]) - 1
    return at >= 0 and place < runs[at][1]


def joined(runs: Runs, places: Iterable[int]) -> Runs:
    """These stretches and these places."""
    grown: Runs = []
    for begin, end in sorted([*runs, *((place, place + 1) for place in places)]):
        if grown and begin <= grown[-1][1]:
            grown[-1] = grown[-1][0], max(end, grown[-1][1])
        else:
            grown.append((begin, end))
    return grown


def without(runs: Runs, places: Iterable[int]) -> Runs:
    """These stretches, but not these places."""
    for place in places:
        parts = (
            part for begin, end in runs for part in ((begin, min(end, place)), (max(begin, place + 1), end))
        )
        runs = [(begin, end) for begin, end in parts if begin < end]
    return runs


def above(runs: Runs, least: int) -> Runs:
    """What of these stretches is at this place or behind it."""
    return [(max(begin, least), end) for begin, end in runs if end > least]


def written(runs: Runs, at: int) -> str:
    """As text, from the place `at` on, which no stretch may be before."""
    lengths: list[int] = []
    for begin, end in runs:
        lengths += (begin - at, end - begin)
        at = end
    return ".".join(map(str, lengths))


def read_back(text: str) -> Runs:
    """What `written` wrote, from 0 on; a text cut off between two numbers gives the first stretches, another none."""
    numbers = text.split(".")
    if not all(number.isascii() and number.isdecimal() and len(number) <= _DIGITS_MAX for number in numbers):
        return []
    runs: Runs = []
    at = 0
    for gap, length in zip(numbers[::2], numbers[1::2], strict=False):
        begin = at + int(gap)
        at = begin + int(length)
        if at > begin:
            runs.append((begin, at))
    return runs
