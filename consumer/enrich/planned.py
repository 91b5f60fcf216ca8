"""What a plan can say about a record: the endings, and waiting, which has its ending later."""

from collections.abc import Sequence
from typing import TypeAlias

from msgspec import Struct

from consumer.model import Conversion, Ending


class Converted(Struct, frozen=True, gc=False):
    """A conversion to write, under the key of its join, encoded. Also how the wait of an order ends."""

    conversion: Conversion
    key: bytes
    payload: bytes


class Also(Struct, frozen=True, gc=False):
    """One more conversion of the record whose ending the conversion before it is."""

    converted: Converted


class Waits(Struct, frozen=True, gc=False):
    """The order waits for its checkout, in state."""


class Repeated(Struct, frozen=True, gc=False):
    """The event is known already: a duplicate, a conflict or a reread.

    `odd` says what is odd about its id, in `dedupe`'s words; empty if nothing is.
    """

    ending: Ending
    odd: str = ""


class Filtered(Struct, frozen=True, gc=False):
    """Nothing for the platforms; `reason` is from a closed set."""

    reason: str


class Kept(Struct, frozen=True, gc=False):
    """A checkout's step that only left its context."""


class Empty(Struct, frozen=True, gc=False):
    """A tombstone."""


class Refused(Struct, frozen=True, gc=False):
    """A letter: `reason` from the closed list of `deadletter/letter.py`; the message names no customer's data."""

    reason: str
    message: str


_ENDINGS = list(Ending)
Planned: TypeAlias = Converted | Also | Waits | Repeated | Filtered | Kept | Empty | Refused


def ending_of(planned: Planned) -> tuple[Ending, str] | None:
    """The ending and its reason ("" if it needs none); None for what waits, and for one more of a record."""
    found: tuple[Ending, str] | None
    match planned:
        case Converted():
            found = Ending.CONVERSION, ""
        case Waits() | Also():
            found = None
        case Repeated(ending, _):
            found = ending, ""
        case Filtered(reason):
            found = Ending.FILTERED, reason
        case Kept():
            found = Ending.CONTEXT, ""
        case Empty():
            found = Ending.TOMBSTONE, ""
        case Refused(reason):
            found = Ending.LETTER, reason
    return found


def first_of(planned: Sequence[Planned]) -> Planned:
    """The ending of a record that told of several events, none of which is a conversion: of several, the first."""
    return min(planned, key=_place)


def _place(planned: Planned) -> int:
    found = ending_of(planned)
    return _ENDINGS.index(found[0]) if found is not None else len(_ENDINGS)
