"""Which letters go again, in which order, and why the others stay."""

import msgspec
import pytest

from consumer.deadletter.read import Read
from consumer.errors import SchemaUnavailable
from consumer.model import Origin
from consumer.replay.plan import (
    INGEST,
    NOTHING_TO_DO,
    STAYS,
    Delivery,
    Going,
    Newest,
    Plan,
    Since,
    headers_of,
    plan,
)

META = "meta-us"
ALL = Since(started=frozenset({META, INGEST}))


def letter(offset: int, of: int = 7, **changes: object) -> Read:
    """A letter of deliver, of the conversion at that offset."""
    made = Read(
        at=Origin("capi.dlq.meta", 0, offset),
        timestamp_ms=1_000 + offset,
        of=Origin("capi.conversions", 1, of),
        stage="deliver",
        reason="rejected",
        fault="platform",
        version=1,
        key=b"key",
        value=b"value",
        destination=META,
    )
    return msgspec.structs.replace(made, **changes)


def ingest_letter(offset: int) -> Read:
    """A letter of an order."""
    at, of = Origin("capi.dlq.ingest", 0, offset), Origin("orders", 2, 3)
    return msgspec.structs.replace(letter(offset), at=at, of=of, stage="ingest", destination="")


def goes(letter: Read) -> Going:
    """A destination that takes everything."""
    return Going(letter, "capi.replay", letter.of.partition, letter.key, letter.value)


def planned(*letters: Read, since: Since = ALL, discarded: frozenset[Origin] = frozenset()) -> Plan:
    """The plan for these, of these alone."""
    newest = Newest()
    for each in letters:
        newest.add(each)
    judges = {META: goes, INGEST: goes}
    return plan(letters, newest, lambda each: each.at in discarded, since, judges)


def staying(of: Plan) -> dict[str, dict[str, int]]:
    """Why letters stay, by destination."""
    return {name: dict(reasons) for name, reasons in of.staying.items()}


def test_letters_go_as_their_conversions_stand() -> None:
    """No refund goes before its purchase, whichever letter was written first."""
    made = planned(letter(1, of=9), letter(2, of=4), letter(3, of=6))
    assert [each.letter.of.offset for each in made.going] == [4, 6, 9]
    assert (dict(made.counts), made.staying, made.is_whole) == ({META: 3}, {}, True)


def test_of_several_letters_of_a_delivery_the_newest_counts() -> None:
    """Another destination's letter of the same conversion is another delivery."""
    made = planned(letter(5), letter(2), letter(4))
    assert [each.letter.at.offset for each in made.going] == [5]
    assert staying(made) == {META: {"repeated": 2}}
    newest = Newest()
    for each in (letter(1), letter(2, destination="meta-eu")):
        newest.add(each)
    assert newest.is_newest(letter(1))


@pytest.mark.parametrize(
    ("since", "reason"),
    [
        (
            Since(started=ALL.started, under_way={Delivery(META, Origin("capi.conversions", 1, 7))}),
            "replaying",
        ),
        (
            Since(started=ALL.started, delivered={Delivery(META, Origin("capi.conversions", 1, 7))}),
            "delivered",
        ),
        (Since(started=frozenset({"meta-eu", INGEST})), "not_started"),
    ],
)
def test_a_delivery_that_is_under_way_or_done_stays(since: Since, reason: str) -> None:
    """So does one that nobody would read."""
    made = planned(letter(1), since=since)
    assert (made.going, staying(made)) == ([], {META: {reason: 1}})
    assert made.is_whole is (reason in NOTHING_TO_DO)


def test_another_destinations_delivery_says_nothing() -> None:
    """The same conversion, delivered elsewhere."""
    of = Origin("capi.conversions", 1, 7)
    since = Since(
        started=ALL.started, delivered={Delivery("meta-eu", of)}, under_way={Delivery("meta-eu", of)}
    )
    assert len(planned(letter(1), since=since).going) == 1


def test_what_enrich_has_read_again_stays() -> None:
    """Of the letter that was sent back; a later letter of the same record goes."""
    since = Since(started=ALL.started, read_again={Origin("capi.dlq.ingest", 0, 1)})
    assert staying(planned(ingest_letter(1), since=since)) == {INGEST: {"enriched": 1}}
    again = planned(ingest_letter(1), ingest_letter(2), since=since)
    assert [each.letter.at.offset for each in again.going] == [2]
    assert staying(again) == {INGEST: {"repeated": 1}}


def test_discarded_letters_and_those_of_gone_destinations_stay() -> None:
    """The second is for somebody to look at, the first is not."""
    made = planned(letter(1), letter(2, of=8, destination="old"), discarded=frozenset({letter(1).at}))
    assert (made.going, staying(made)) == ([], {META: {"discarded": 1}, "old": {"no_destination": 1}})
    assert not made.is_whole


def test_a_schema_that_cannot_be_had_holds_its_letter_alone() -> None:
    """The others go."""

    def judge(of: Read) -> Going | str:
        if of.of.offset == 1:
            raise SchemaUnavailable(5)
        return goes(of)

    newest = Newest()
    letters = [letter(1, of=1), letter(2, of=2)]
    for each in letters:
        newest.add(each)
    made = plan(letters, newest, lambda _: False, ALL, {META: judge})
    assert (len(made.going), staying(made)) == (1, {META: {"schema_unavailable": 1}})
    assert set(staying(made)[META]) <= STAYS.keys()


def test_a_record_says_what_it_is_of() -> None:
    """A lane wants its name, enrich the place that the record came from."""
    assert dict(headers_of(goes(letter(1)), "id")) == {
        "capi.destination": b"meta-us",
        "capi.origin": b"capi.conversions:1:7",
        "capi.replay_id": b"id",
        "capi.letter": b"capi.dlq.meta:0:1",
    }
    assert "capi.destination" not in dict(headers_of(goes(ingest_letter(1)), "id"))
