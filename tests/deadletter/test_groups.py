"""Groups: letters of one cause, counted."""

from msgspec.structs import replace

from consumer.deadletter.groups import HOUR_MS, Cause, Group, Groups
from consumer.model import Origin
from tests.deadletter.test_filters import LETTER, NOW_MS


def test_letters_of_one_cause_are_one_group() -> None:
    """The largest first, with its first and last time, and the last letter as the example, in whatever order."""
    groups = Groups()
    for offset, after_ms in ((0, 5), (1, 9), (2, 7)):
        groups.add(replace(LETTER, at=Origin("capi.dlq.meta", 0, offset), timestamp_ms=NOW_MS + after_ms))
    groups.add(replace(LETTER, code="190"))
    rejected = Cause("rejected", "platform", "meta-us", "100/33", 7)
    assert list(groups) == [
        Group(rejected, 3, NOW_MS + 5, NOW_MS + 9, Origin("capi.dlq.meta", 0, 1)),
        Group(replace(rejected, code="190"), 1, LETTER.timestamp_ms, LETTER.timestamp_ms, LETTER.at),
    ]
    assert repr(groups) == "<Groups: 2 of 4 letters>"


def test_hours_part_them_if_asked_for() -> None:
    """The latest hour comes first, however few."""
    groups = Groups(by_hour=True)
    for after_ms in (0, HOUR_MS - 1, HOUR_MS):
        groups.add(replace(LETTER, timestamp_ms=NOW_MS + after_ms))
    assert [(each.cause.hour_ms, each.letters) for each in groups] == [(NOW_MS + HOUR_MS, 1), (NOW_MS, 2)]
