"""Match quality: what the score makes of identifiers, and what is counted of the events as they are built."""

from itertools import pairwise
from typing import get_args

import hypothesis.strategies as st
from hypothesis import given

from consumer.deliver.match import MOST, WEIGHTS, found, tenths
from consumer.deliver.tally import LOOKED_AT_ALL, LOOKED_AT_ONE_IN, Matched, MatchTally
from consumer.platforms.contract import Identifier

EVERY = list(get_args(Identifier))
MARKERS: dict[Identifier, bytes] = {"email": b'"em":', "phone": b'"ph":', "gender": b'"ge":'}
BOTH, ONE = b'{"em":"h1","ph":"h2"}', b'{"ph":"h2"}'
some = st.sets(st.sampled_from(EVERY))


def test_every_identifier_weighs() -> None:
    """The vocabulary and the weights are one, and the heaviest are first."""
    assert WEIGHTS.keys() == set(EVERY)
    assert all(more >= less > 0 for more, less in pairwise(WEIGHTS.values()))


@given(told=some, more=st.sampled_from(EVERY))
def test_one_more_identifier_raises_the_score(told: set[Identifier], more: Identifier) -> None:
    """It never lowers it, and raises it unless it is there already or the score is at its height."""
    before, after = tenths(told), tenths(told | {more})
    assert 0 <= before <= after <= MOST
    assert before < after or more in told or before == MOST


@given(told=some)
def test_markers_say_what_is_told(told: set[Identifier]) -> None:
    """In the platform's own order, whichever there are."""
    markers: dict[Identifier, bytes] = {name: b'"%s":' % name.encode() for name in EVERY}
    event = b"{%s}" % b",".join(markers[name] + b'"x"' for name in sorted(told))
    assert found(event, markers) == tuple(name for name in EVERY if name in told)


def test_what_is_built_is_counted() -> None:
    """By event, each identifier that the platform takes, also one that no event has."""
    tally = MatchTally()
    for event in (BOTH, BOTH, ONE):
        tally.built("purchase", event, MARKERS)
    tally.built("refund", ONE, MARKERS)
    assert tally.snapshot() == {
        "purchase": Matched(3, {"email": 2, "phone": 3, "gender": 0}, 12.0),
        "refund": Matched(1, {"email": 0, "phone": 1, "gender": 0}, 2.0),
    }
    assert repr(tally) == "<MatchTally: 4 of 4 looked at>"


def test_a_platform_that_matches_by_the_order_has_no_score() -> None:
    """Where no identifier is taken there is nothing to count, rather than a score of 0."""
    tally = MatchTally()
    tally.built("refund", b'{"order_id":"1"}', {})
    assert tally.snapshot() == {}


def test_of_many_events_some_are_looked_at() -> None:
    """The first ones all, then always the same ones; of each event by itself."""
    tally, more = MatchTally(), 80
    for number in range(LOOKED_AT_ALL + more):
        tally.built("purchase", BOTH if number < LOOKED_AT_ALL else ONE, MARKERS)
    tally.built("refund", ONE, MARKERS)
    seen, looked_at = tally.snapshot(), LOOKED_AT_ALL + more // LOOKED_AT_ONE_IN
    assert seen["purchase"].events == seen["purchase"].identifiers["phone"] == looked_at
    assert seen["purchase"].identifiers["email"] == LOOKED_AT_ALL
    assert seen["refund"].events == 1


def test_a_snapshot_stays_as_it_is() -> None:
    """What is counted later is in the next one."""
    tally = MatchTally()
    tally.built("purchase", ONE, MARKERS)
    before = tally.snapshot()
    tally.built("purchase", ONE, MARKERS)
    assert before == {"purchase": Matched(1, {"email": 0, "phone": 1, "gender": 0}, 2.0)}
    assert tally.snapshot()["purchase"].events == 2
