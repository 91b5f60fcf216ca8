"""Which letters are meant: words such as `reason=rejected since=24h`, and what they say of a letter.

reason, fault, stage         as in the letter's headers
code                         the platform's code
destination, platform        as the settings name them
schema                       the registry's id of the value's schema
event, order                 an event id; the id of an order, for which the values are decoded
since, until                 when it was written: 90s, 30m, 24h or 7d ago, or an RFC 3339 time; until is not in it

Of one name any of its words will do, and every name must hold.
"""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from consumer.deadletter.read import Read
from consumer.deadletter.reasons import FAULTS, REASONS, STAGES
from consumer.errors import ConfigurationError

_AGO = re.compile(r"([0-9]{1,9})([smhd])")
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_NUMBER = re.compile(r"[0-9]{1,10}")
_TIMES = ("since", "until")
_FIELDS = {
    "reason": "reason",
    "fault": "fault",
    "stage": "stage",
    "code": "code",
    "destination": "destination",
    "platform": "platform",
    "schema": "schema_id",
    "event": "event_id",
}
"""A filter's name, and the letter's field that it looks at."""
NAMES = (*_FIELDS, "order", *_TIMES)
ALWAYS_MS = 2**62


class BadFilter(ValueError):
    """A word is no filter. The text says what is wrong and what is known."""


class Filter(Struct, frozen=True):
    """What letters must be: `wanted` is by field of `Read`. What is empty doesn't matter; `until_ms` is not in it."""

    wanted: Mapping[str, frozenset[str | int]] = {}
    orders: frozenset[str] = frozenset()
    since_ms: int = 0
    until_ms: int = ALWAYS_MS

    def holds(self, letter: Read) -> bool:
        """Whether the letter is meant, by what stands in its headers: orders are for whoever can decode it."""
        return self.since_ms <= letter.timestamp_ms < self.until_ms and all(
            getattr(letter, field) in values for field, values in self.wanted.items()
        )

    @property
    def words(self) -> tuple[str, ...]:
        """The filter as words that say the same at any time."""
        return tuple(self._words())

    def _words(self) -> Iterator[str]:
        for name, field in _FIELDS.items():
            yield from (f"{name}={value}" for value in sorted(map(str, self.wanted.get(field, ()))))
        yield from (f"order={order}" for order in sorted(self.orders))
        if self.since_ms:
            yield f"since={rfc3339(self.since_ms)}"
        if self.until_ms != ALWAYS_MS:
            yield f"until={rfc3339(self.until_ms)}"


EVERY = Filter()


class Known(Struct, frozen=True):
    """What a filter may ask for, as far as that is a list."""

    destinations: Collection[str]
    platforms: Collection[str]


def parse(words: Sequence[str], known: Known, now_ms: int) -> Filter:
    """The filter that the words say. Raises BadFilter, and ConfigurationError for a destination that isn't there."""
    wanted: dict[str, set[str | int]] = {}
    orders: set[str] = set()
    times = {"since": 0, "until": ALWAYS_MS}
    for word in words:
        name, is_pair, value = word.partition("=")
        if not is_pair or not value:
            raise BadFilter(f"{word!r} is no filter; write name=value, of {', '.join(NAMES)}")
        _check_one_of(name, NAMES, "a filter")
        if name in _TIMES:
            times[name] = moment_ms(value, now_ms)
        elif name == "order":
            orders.add(value)
        else:
            wanted.setdefault(_FIELDS[name], set()).add(_value(name, value, known))
    if times["until"] <= times["since"]:
        raise BadFilter("until must be later than since")
    fields = {field: frozenset(values) for field, values in wanted.items()}
    return Filter(fields, frozenset(orders), times["since"], times["until"])


def _value(name: str, value: str, known: Known) -> str | int:
    if name == "schema":
        if not _NUMBER.fullmatch(value):
            raise BadFilter(f"schema={value}: a schema's id is a number")
        return int(value)
    lists: Mapping[str, Collection[str]] = {
        "reason": REASONS,
        "fault": FAULTS,
        "stage": STAGES,
        "platform": known.platforms,
    }
    if name in lists:
        _check_one_of(value, lists[name], f"a {name}")
    if name == "destination" and value not in known.destinations:
        problem = (
            f"destination={value}: the settings have no such destination; {_near(value, known.destinations)}"
        )
        raise ConfigurationError(problem)
    return value


def _check_one_of(value: str, known: Collection[str], what: str) -> None:
    if value not in known:
        raise BadFilter(f"{value!r} is not {what}; {_near(value, known)}")


def _near(value: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(value, list(known), n=1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known) or 'none'}"


def moment_ms(text: str, now_ms: int) -> int:
    """A time, or how long ago one was, in epoch milliseconds. Raises BadFilter.

    >>> moment_ms("30m", 1_800_000), moment_ms("1970-01-01T00:01:00Z", 0)
    (0, 60000)
    """
    if found := _AGO.fullmatch(text):
        return now_ms - int(found[1]) * _UNIT_MS[found[2]]
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise BadFilter(f"{text!r} is no time; write 90s, 30m, 24h, 7d or 2026-11-27T00:00:00Z")
    return int(at.timestamp() * 1000)


def rfc3339(at_ms: int) -> str:
    """Epoch milliseconds as people and programs read them.

    >>> rfc3339(1_795_737_600_120)
    '2026-11-27T00:00:00.120Z'
    """
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
