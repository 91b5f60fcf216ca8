"""What was discarded is named in the audit topic, and known again from there."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import json
from msgspec.structs import replace

from consumer.deadletter.audit import (
    DISCARD,
    LETTERS_MAX,
    SKEW_MS,
    Deed,
    Discarded,
    Entry,
    Named,
    entries,
    named,
    runs,
)
from consumer.deadletter.read import Read
from consumer.model import Origin, Record, TopicPartition
from tests.deadletter.test_filters import LETTER, NOW_MS

DEED = Deed(DISCARD, "anna", NOW_MS, ("reason=rejected",), "test orders")
AT = TopicPartition("capi.dlq.meta", 0)


def letter(offset: int, partition: int = 0, timestamp_ms: int = NOW_MS - 1) -> Read:
    """A letter at that place."""
    return replace(LETTER, at=Origin("capi.dlq.meta", partition, offset), timestamp_ms=timestamp_ms)


def stored(told: Sequence[Entry], timestamp_ms: int = NOW_MS) -> list[Record]:
    """The records of the audit topic that these make."""
    return [
        Record("capi.audit", 0, number, timestamp_ms, entry.command.encode(), json.encode(entry))
        for number, entry in enumerate(told)
    ]


def test_a_deed_is_told_in_full() -> None:
    """Who, when, what was asked for and why; how many letters of each reason, and where they are."""
    discarded = [named(letter(7)), named(letter(8)), named(letter(3, 1)), Named(AT, 1, "expired")]
    (entry,) = entries(DEED, discarded)
    assert json.decode(json.encode(entry)) == {
        "command": "dlq discard",
        "by": "anna",
        "at_ms": NOW_MS,
        "filter": ["reason=rejected"],
        "reason": "test orders",
        "counts": {"expired": 1, "rejected": 3},
        "letters": {"capi.dlq.meta:0": [[1, 1], [7, 8]], "capi.dlq.meta:1": [[3, 3]]},
        "part": 1,
        "parts": 1,
    }


def test_many_letters_are_told_in_parts_that_fit() -> None:
    """Far apart in the log, they are named by records that any topic takes."""
    many = [Named(AT, 10**12 + 2 * number, "rejected") for number in range(2 * LETTERS_MAX + 1)]
    parts = entries(DEED, many)
    assert [(each.part, each.parts, each.counts["rejected"]) for each in parts] == [
        (1, 3, LETTERS_MAX),
        (2, 3, LETTERS_MAX),
        (3, 3, 1),
    ]
    assert max(len(json.encode(each)) for each in parts) < 500_000
    known = Discarded(stored(parts))
    assert all(known.holds(letter(10**12 + 2 * number)) for number in range(2 * LETTERS_MAX + 1))
    assert not known.holds(letter(10**12 + 1))


@settings(deadline=None, derandomize=True)
@given(st.lists(st.sets(st.integers(0, 40)), max_size=5))
def test_what_was_named_is_known_and_nothing_else(deeds: list[set[int]]) -> None:
    """However the discards overlap."""
    told = [entry for some in deeds for entry in entries(DEED, [named(letter(at)) for at in some])]
    known = Discarded(stored(told))
    gone = set().union(*deeds)
    assert {at for at in range(41) if known.holds(letter(at))} == gone
    assert not any(known.holds(letter(at, partition=1)) for at in range(41))
    assert list(runs(sorted(gone))) == [] or sum(
        last - first + 1 for first, last in runs(sorted(gone))
    ) == len(gone)


def test_a_letter_of_a_topic_made_anew_is_another() -> None:
    """The same offset, written after the discard: nobody has discarded it. Clocks that differ a little do no harm."""
    known = Discarded(stored(entries(DEED, [named(letter(7))])))
    assert known.holds(letter(7, timestamp_ms=NOW_MS + SKEW_MS))
    assert not known.holds(letter(7, timestamp_ms=NOW_MS + SKEW_MS + 1))


def test_what_is_no_discard_is_passed_over() -> None:
    """Other commands, tombstones, another build's and somebody else's records."""
    (entry,) = entries(replace(DEED, command="dlq replay"), [named(letter(7))])
    odd = replace(entry, command=DISCARD, letters={"capi.dlq.meta:x": ((7, 7),)})
    wrong = [b"", b"{}", b"[1]", b"\xff", b'{"letters": {"capi.dlq.meta:0": [[1]]}}', None]
    records = stored([entry, odd]) + [
        Record("capi.audit", 0, 1, NOW_MS, DISCARD.encode(), value) for value in wrong
    ]
    assert not Discarded(records).holds(letter(7))
    assert not Discarded([Record("capi.audit", 0, 1, NOW_MS, None, b"{}")]).holds(letter(7))
