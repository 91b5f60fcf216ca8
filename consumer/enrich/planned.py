"""What a plan can say about a record: the endings, and waiting, which has its ending later."""

from typing import TypeAlias

from msgspec import Struct

from consumer.model import Conversion, Ending


class Converted(Struct, frozen=True, gc=False):
    """A conversion to write, under the key of its join, encoded. Also how the wait of an order ends."""

    conversion: Conversion
    key: bytes
    payload: bytes


class Waits(Struct, frozen=True, gc=False):
    """The order waits for its checkout, in state."""


class Repeated(Struct, frozen=True, gc=False):
    """The event is known already: a duplicate, a conflict or a reread."""

    ending: Ending


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


Planned: TypeAlias = Converted | Waits | Repeated | Filtered | Kept | Empty | Refused


def ending_of(planned: Planned) -> tuple[Ending, str] | None:
    """The ending and its reason ("" if it needs none); None for an order that waits."""
    found: tuple[Ending, str] | None
    match planned:
        case Converted():
            found = Ending.CONVERSION, ""
        case Waits():
            found = None
        case Repeated(ending):
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
