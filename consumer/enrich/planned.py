"""What a plan can say about a record: the endings, each with its reason, and waiting, which has its ending later."""

from collections.abc import Sequence
from typing import ClassVar, TypeAlias

from msgspec import Struct

from consumer.model import Conversion, Ending, OrderHead, Record


class Converted(Struct, frozen=True, gc=False):
    """A conversion to write, under the key of its join, encoded. Also how the wait of an order ends."""

    conversion: Conversion
    key: bytes
    payload: bytes
    ending: ClassVar[Ending] = Ending.CONVERSION
    reason: ClassVar[str] = ""


class Also(Struct, frozen=True, gc=False):
    """One more conversion of the record whose ending the conversion before it is."""

    converted: Converted
    ending: ClassVar[None] = None
    reason: ClassVar[str] = ""


class Waits(Struct, frozen=True, gc=False):
    """The order waits for its checkout, in state."""

    ending: ClassVar[None] = None
    reason: ClassVar[str] = ""


class Repeated(Struct, frozen=True, gc=False):
    """The event is known already, by its id: a duplicate, a conflict or a reread.

    `odd` says what is odd about the id, in `dedupe`'s words; empty if nothing is. What repeats several events has all
    their ids.
    """

    ending: Ending
    event_ids: tuple[str, ...]
    odd: str = ""
    reason: ClassVar[str] = ""


class Filtered(Struct, frozen=True, gc=False):
    """Nothing for the platforms; `reason` is from a closed set."""

    reason: str
    ending: ClassVar[Ending] = Ending.FILTERED


class Kept(Struct, frozen=True, gc=False):
    """A checkout's step that only left its context."""

    ending: ClassVar[Ending] = Ending.CONTEXT
    reason: ClassVar[str] = ""


class Empty(Struct, frozen=True, gc=False):
    """A tombstone."""

    ending: ClassVar[Ending] = Ending.TOMBSTONE
    reason: ClassVar[str] = ""


class Refused(Struct, frozen=True, gc=False):
    """A letter: `reason` from the closed list of `deadletter/letter.py`; the message names no customer's data."""

    reason: str
    message: str
    ending: ClassVar[Ending] = Ending.LETTER


_ENDINGS = list(Ending)
Planned: TypeAlias = Converted | Also | Waits | Repeated | Filtered | Kept | Empty | Refused


class Happened(Struct, frozen=True, gc=False):
    """What became of a record. `record` is None where time alone ended the wait of an order.

    `head` is the record's, if it is an order that could be read.
    """

    record: Record | None
    planned: Planned
    head: OrderHead | None = None


def ending_of(planned: Planned) -> tuple[Ending, str] | None:
    """The ending and its reason ("" if it needs none); None for what waits, and for one more of a record."""
    return None if planned.ending is None else (planned.ending, planned.reason)


def first_of(planned: Sequence[Planned]) -> Planned:
    """The ending of a record that told of several events, none of which is a conversion: of several, the first."""
    first = min(planned, key=_place)
    if not isinstance(first, Repeated):
        return first
    known = tuple(event_id for each in planned if isinstance(each, Repeated) for event_id in each.event_ids)
    return Repeated(first.ending, known, first.odd)


def _place(planned: Planned) -> int:
    found = ending_of(planned)
    return _ENDINGS.index(found[0]) if found is not None else len(_ENDINGS)
