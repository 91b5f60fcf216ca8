"""Filters say which letters are meant, and whoever mistypes one is told the nearest that there is."""

import pytest
from msgspec.structs import replace

from consumer.deadletter.filters import ALWAYS_MS, EVERY, BadFilter, Filter, Known, parse
from consumer.deadletter.read import Read
from consumer.errors import ConfigurationError
from consumer.model import Origin

NOW_MS = 1_795_737_600_000
KNOWN = Known(("meta-us", "meta-eu", "ga4"), ("meta", "ga4", "tiktok"))
LETTER = Read(
    at=Origin("capi.dlq.meta", 0, 5),
    timestamp_ms=NOW_MS - 3_600_000,
    of=Origin("capi.conversions", 2, 7),
    stage="deliver",
    reason="rejected",
    fault="platform",
    version=1,
    key=None,
    value=None,
    destination="meta-us",
    platform="meta",
    code="100/33",
    event_id="purchase:a=b",
    schema_id=7,
)


def parsed(*words: str) -> Filter:
    """The filter of these words."""
    return parse(words, KNOWN, NOW_MS)


@pytest.mark.parametrize(
    ("words", "holds"),
    [
        ((), True),
        (("reason=rejected",), True),
        (("reason=expired",), False),
        (("reason=expired", "reason=rejected"), True),
        (("reason=rejected", "fault=shop"), False),
        (("stage=deliver", "platform=meta", "destination=meta-us", "code=100/33", "schema=7"), True),
        (("schema=8",), False),
        (("event=purchase:a=b",), True),
        (("event=purchase:a",), False),
        (("since=1h",), True),
        (("since=59m",), False),
        (("until=60m",), False),
        (("until=3599s",), True),
        (("since=7d", "until=2026-11-27T00:00:00+01:00"), False),
        (("since=2026-11-26T23:00:00Z", "until=2026-11-27T00:00:00Z"), True),
    ],
)
def test_a_filter_holds_of_what_it_names(*, words: tuple[str, ...], holds: bool) -> None:
    """Any word of a name will do, every name must hold, and `until` is not in it."""
    assert parsed(*words).holds(LETTER) == holds


def test_orders_are_left_to_whoever_can_decode() -> None:
    """What stands in headers alone can't rule an order out."""
    found = parsed("order=1001", "order=1002")
    assert found.orders == {"1001", "1002"}
    assert found.holds(LETTER)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("rejected", "name=value, of reason, fault"),
        ("reason=", "is no filter"),
        ("resaon=rejected", "did you mean reason?"),
        ("colour=red", "known are reason, fault"),
        ("reason=rejectd", "did you mean rejected?"),
        ("fault=theirs", "known are ours, shop, platform, operator"),
        ("platform=metta", "did you mean meta?"),
        ("stage=send", "known are ingest, deliver"),
        ("schema=x", "a number"),
        ("since=yesterday", "write 90s, 30m, 24h, 7d"),
        ("since=2026-11-27T00:00:00", "is no time"),
    ],
)
def test_a_wrong_word_is_told_with_what_is_known(word: str, said: str) -> None:
    """The nearest name, or all of them."""
    with pytest.raises(BadFilter) as caught:
        parsed(word)
    assert said in str(caught.value)


def test_a_destination_that_is_not_there_is_a_matter_of_settings() -> None:
    """It is told with the nearest that the settings have."""
    with pytest.raises(ConfigurationError, match=r"did you mean meta-us\?"):
        parsed("destination=meta-usa")


def test_a_time_that_never_is_is_refused() -> None:
    """`until` before `since` would match nothing, silently."""
    with pytest.raises(BadFilter, match="later than since"):
        parsed("since=1h", "until=2h")


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("reason=bad_money", "reason=bad_time", "code=1", "schema=7", "order=1", "since=1h", "until=30m"),
    ],
)
def test_its_words_say_the_same_at_any_time(words: tuple[str, ...]) -> None:
    """What is kept of a filter doesn't depend on when it was asked."""
    made = parsed(*words)
    assert parse(made.words, KNOWN, NOW_MS + 9_999_999) == made
    assert (made == EVERY) == (not words)


def test_every_letter_is_meant_by_no_words() -> None:
    """Also one whose time nobody knows."""
    assert EVERY.holds(replace(LETTER, timestamp_ms=0))
    assert EVERY.until_ms == ALWAYS_MS
