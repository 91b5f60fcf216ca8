"""Letters, counted: those that failed for the same cause are one group."""

from collections.abc import Iterator

from msgspec import Struct

from consumer.deadletter.read import Read
from consumer.model import Origin

HOUR_MS = 3_600_000


class Cause(Struct, frozen=True, order=True):
    """What letters of a group share. `hour_ms` is when their hour began, 0 if hours don't matter."""

    reason: str
    fault: str
    destination: str
    code: str
    schema_id: int
    hour_ms: int = 0


class Group(Struct, frozen=True):
    """How many letters have this cause, when the first and the last of them were written, and the last one's place."""

    cause: Cause
    letters: int
    first_ms: int
    last_ms: int
    example: Origin


class _Seen:
    __slots__ = ("example", "first_ms", "last_ms", "letters")

    def __init__(self, letter: Read) -> None:
        self.letters = 0
        self.first_ms = self.last_ms = letter.timestamp_ms
        self.example = letter.at


class Groups:
    """Counts letters as they come, in any order."""

    def __init__(self, *, by_hour: bool = False) -> None:
        self._by_hour = by_hour
        self._seen: dict[Cause, _Seen] = {}

    def add(self, letter: Read) -> None:
        """Count one."""
        at_ms = letter.timestamp_ms
        cause = Cause(
            letter.reason,
            letter.fault,
            letter.destination,
            letter.code,
            letter.schema_id,
            at_ms - at_ms % HOUR_MS if self._by_hour else 0,
        )
        seen = self._seen.get(cause)
        if seen is None:
            seen = self._seen[cause] = _Seen(letter)
        seen.letters += 1
        seen.first_ms = min(seen.first_ms, at_ms)
        if at_ms >= seen.last_ms:
            seen.last_ms, seen.example = at_ms, letter.at

    def __iter__(self) -> Iterator[Group]:
        """The groups: the latest hour first, in it the largest group."""
        made = (
            Group(cause, seen.letters, seen.first_ms, seen.last_ms, seen.example)
            for cause, seen in self._seen.items()
        )
        return iter(sorted(made, key=lambda group: (-group.cause.hour_ms, -group.letters, group.cause)))

    def __repr__(self) -> str:
        return f"<Groups: {len(self._seen)} of {sum(seen.letters for seen in self._seen.values())} letters>"
