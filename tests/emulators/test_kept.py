"""What an emulator holds after dedupe: by the platform's keys, each with a window of its own."""

import json

from consumer.emulators.contract import Event, Key
from consumer.emulators.kept import Kept

HOUR_MS = 3_600_000


def event(event_id: str, *keys: Key, value: int = 100) -> Event:
    """A purchase that is known by these keys."""
    raw = json.dumps({"id": event_id, "value": value}).encode()
    return Event("Purchase", event_id, "purchase", raw, value, "USD", keys)


def by_id(event_id: str) -> Key:
    """For two days."""
    return Key(f"id {event_id}", 48 * HOUR_MS)


def by_order(order_id: str) -> Key:
    """For an hour."""
    return Key(f"order {order_id}", HOUR_MS)


def ids(kept: Kept) -> list[str]:
    """Of the events after dedupe."""
    return [json.loads(line)["event_id"] for line in kept.deduped()]


def test_any_key_within_its_own_window_makes_two_events_one() -> None:
    """Another id within the hour is the same order; after it only the id tells, and after two days nothing."""
    kept = Kept(100)
    kept.keep([event("a", by_id("a"), by_order("1"))], "server", 0)
    kept.keep([event("b", by_id("b"), by_order("1"))], "server", HOUR_MS)
    assert ids(kept) == ["a"]
    kept.keep([event("c", by_id("c"), by_order("1"))], "server", HOUR_MS + 1)
    assert ids(kept) == ["a", "c"]
    kept.keep([event("a", by_id("a"))], "pixel", 48 * HOUR_MS)
    assert ids(kept) == ["a", "c"]
    kept.keep([event("a", by_id("a"))], "server", 48 * HOUR_MS + 1)
    assert ids(kept) == ["a", "c", "a"]


def test_a_window_begins_with_the_first_however_it_was_known_again() -> None:
    """An event that folded in by one key lends its others to the first, and no more time."""
    kept = Kept(100)
    kept.keep([event("a", by_order("1"))], "server", 0)
    kept.keep([event("b", by_id("b"), by_order("1"))], "pixel", HOUR_MS)
    kept.keep([event("b", by_id("b"))], "server", 48 * HOUR_MS)
    assert ids(kept) == ["a"]
    kept.keep([event("b", by_id("b"))], "server", 48 * HOUR_MS + 1)
    assert ids(kept) == ["a", "b"]


def test_without_keys_no_event_is_another() -> None:
    """Even if all else is the same."""
    kept = Kept(100)
    kept.keep([event("a"), event("a")], "server", 0)
    assert kept.stats(1, 0).after_dedupe == 2


def test_the_first_or_the_last_tells_the_money() -> None:
    """As the platform has it; sources and time of receipt stay the first's."""
    for last_wins, value in ((False, 100), (True, 70)):
        kept = Kept(100, last_wins=last_wins)
        kept.keep([event("a", by_id("a"))], "pixel", 1)
        kept.keep([event("a", by_id("a"), value=70)], "server", 2)
        (line,) = map(json.loads, kept.deduped())
        assert (line["value_minor"], line["event"]["value"]) == (value, value)
        assert (line["received_at_ms"], line["sources"]) == (1, ["pixel", "server"])
        assert kept.stats(2, 0).money == {"USD": value}
