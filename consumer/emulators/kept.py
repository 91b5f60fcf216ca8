"""What an emulator holds: each event as received, and the same after dedupe.

The first of equal events is kept; those that follow within a key's window from its receipt fold into it, whether they
come from the server or from the pixel.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from consumer.emulators.contract import Event, Means

Source: TypeAlias = Literal["server", "pixel"]


class Full(Exception):
    """No room for these events."""


class Received(Struct, frozen=True):
    """One event, when and whence."""

    event: Event
    source: Source
    at_ms: int


class First(Struct):
    """An event after dedupe, and the sources that told it, in order of receipt."""

    received: Received
    sources: list[Source]


class Count(Struct):
    """Of one event name."""

    server: int = 0
    pixel: int = 0
    after_dedupe: int = 0


class Stats(Struct, frozen=True):
    """The sums. `server` and `pixel` count all events; `after_dedupe` and `money` (minor units) purchases.

    `server_repeats` counts server events that the server had told already.
    """

    server: int
    pixel: int
    after_dedupe: int
    money: dict[str, int]
    refunds: int
    refunds_money: dict[str, int]
    requests: int
    rejected_requests: int
    events: dict[str, Count]
    server_repeats: int


class Kept:
    """The events of one emulator, `events_max` at most, from server and pixel together.

    If `last_wins`, what folds into an event tells its money from then on.
    """

    def __init__(self, events_max: int, *, last_wins: bool = False) -> None:
        self._events_max = events_max
        self._last_wins = last_wins
        self._received: list[Received] = []
        self._firsts: list[First] = []
        self._latest: dict[str, First] = {}
        self._repeats = 0

    def __len__(self) -> int:
        return len(self._received)

    def __repr__(self) -> str:
        return f"<Kept {len(self)} events, {len(self._firsts)} after dedupe>"

    def keep(self, events: Sequence[Event], source: Source, at_ms: int) -> None:
        """Keep all of them. Raises Full, and keeps none then."""
        if len(self) + len(events) > self._events_max:
            raise Full(
                f"{len(self)} events are kept, and {self._events_max} is the most; DELETE /_emulator forgets"
            )
        for event in events:
            received = Received(event, source, at_ms)
            self._received.append(received)
            self._fold(received)

    def forget(self) -> None:
        """Hold nothing, as at the start."""
        self._received.clear()
        self._firsts.clear()
        self._latest.clear()
        self._repeats = 0

    def told(self, source: Source) -> Iterator[bytes]:
        """A line of JSON for each event of a source: its own fields, and `received_at_ms`."""
        for received in self._received:
            if received.source == source:
                yield b'{"received_at_ms":%d,' % received.at_ms + _line(received.event.raw)[1:]

    def deduped(self) -> Iterator[bytes]:
        """A line of JSON for each event after dedupe: what it is, who told it, and `event`, as received."""
        for first in self._firsts:
            event = first.received.event
            yield msgspec.json.encode(
                {
                    "event_name": event.name,
                    "event_id": event.event_id,
                    "means": event.means,
                    "value_minor": event.value_minor,
                    "currency": event.currency,
                    "sources": first.sources,
                    "received_at_ms": first.received.at_ms,
                    "event": msgspec.Raw(_line(event.raw)),
                }
            )

    def stats(self, requests: int, rejected_requests: int) -> Stats:
        """The sums over all that is kept."""
        counts = _counts(self._received, self._firsts)
        purchases, refunds = self._that("purchase"), self._that("refund")
        return Stats(
            server=sum(count.server for count in counts.values()),
            pixel=sum(count.pixel for count in counts.values()),
            after_dedupe=len(purchases),
            money=_money(purchases),
            refunds=len(refunds),
            refunds_money=_money(refunds),
            requests=requests,
            rejected_requests=rejected_requests,
            events=counts,
            server_repeats=self._repeats,
        )

    def _fold(self, received: Received) -> None:
        first = self._same(received)
        if first is None:
            first = First(received, [received.source])
            self._firsts.append(first)
        else:
            self._add(received, first)
        for key in received.event.keys:
            self._latest[key.value] = first

    def _same(self, received: Received) -> First | None:
        """The earlier event that this one is, by the first of its keys that tells."""
        for key in received.event.keys:
            first = self._latest.get(key.value)
            if first is not None and received.at_ms - first.received.at_ms <= key.window_ms:
                return first
        return None

    def _add(self, received: Received, first: First) -> None:
        if self._last_wins:
            first.received = replace(first.received, event=_overwritten(first.received.event, received.event))
        if received.source not in first.sources:
            first.sources.append(received.source)
        elif received.source == "server":
            self._repeats += 1

    def _that(self, means: Means) -> list[Event]:
        return [first.received.event for first in self._firsts if first.received.event.means == means]


def _overwritten(first: Event, later: Event) -> Event:
    return replace(first, value_minor=later.value_minor, currency=later.currency, raw=later.raw)


def _counts(received: Iterable[Received], firsts: Iterable[First]) -> dict[str, Count]:
    counts: dict[str, Count] = {}
    for one in received:
        count = counts.setdefault(one.event.name, Count())
        if one.source == "server":
            count.server += 1
        else:
            count.pixel += 1
    for first in firsts:
        counts[first.received.event.name].after_dedupe += 1
    return counts


def _money(events: Iterable[Event]) -> dict[str, int]:
    money: Counter[str] = Counter()
    for event in events:
        if event.value_minor is not None:
            money[event.currency] += event.value_minor
    return dict(money)


def _line(raw: bytes) -> bytes:
    """JSON without line breaks between its tokens."""
    return msgspec.json.format(raw, indent=-1) if b"\n" in raw or raw[:1] != b"{" else raw
