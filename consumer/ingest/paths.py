"""Paths into a shop's records, as a mapping writes them.

customer.email                    fields of records, and keys of maps; a key with other characters: meta["a.b"]
line_items[0].sku                 one element of an array; [-1] is the last
notes[name=fbclid].value          the first element whose name is fbclid
transactions[*].amount            all elements: for lists, and for money, which adds up
transactions[*status=success]     all whose status is success
$.currency                        from the record's root, within a list's rules or an envelope
"""

import re
from collections.abc import Iterator
from typing import TypeAlias

from msgspec import Struct

_TOKEN = re.compile(
    r"""(?P<dot>\.)?(?P<name>[^.\[\]"=\s]+)
      | \[(?P<at>-?\d{1,6})\]
      | \["(?P<key>[^"]*)"\]
      | \[(?P<all>\*)?(?:(?P<field>[^.\[\]"=*\s]+)=(?P<value>[^\]]*))?\]""",
    re.VERBOSE,
)


class Named(Struct, frozen=True):
    """A record's field, or a map's key."""

    name: str


class At(Struct, frozen=True):
    """One element of an array."""

    place: int


class First(Struct, frozen=True):
    """The first element of an array whose field has this value."""

    name: str
    value: str


class All(Struct, frozen=True):
    """All elements of an array, or those whose field has this value."""

    name: str = ""
    value: str = ""


Step: TypeAlias = Named | At | First | All


class Path(Struct, frozen=True):
    """A path, parsed. `text` is as it was written."""

    text: str
    steps: tuple[Step, ...]
    from_root: bool = False

    def __str__(self) -> str:
        return self.text


def parse_path(text: str) -> Path:
    """The path that a text says. Raises ValueError with a sentence.

    >>> parse_path("a.b[0]").steps
    (Named(name='a'), Named(name='b'), At(place=0))
    >>> parse_path("$.notes[name=x].value").steps
    (Named(name='notes'), First(name='name', value='x'), Named(name='value'))
    """
    from_root = text.startswith("$.")
    steps = tuple(_steps(text, 2 if from_root else 0))
    if not steps:
        message = "a path is empty"
        raise ValueError(message)
    return Path(text, steps, from_root)


def _steps(text: str, start: int) -> Iterator[Step]:
    at = start
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or found.group() == "[]" or (found["name"] and bool(found["dot"]) != (at > start)):
            raise ValueError(f"{text!r} is no path: see its character {at + 1}")
        yield _step(found)
        at = found.end()


def _step(found: re.Match[str]) -> Step:
    if found["name"] is not None:
        return Named(found["name"])
    if found["key"] is not None:
        return Named(found["key"])
    if found["at"] is not None:
        return At(int(found["at"]))
    if found["all"]:
        return All(found["field"] or "", found["value"] or "")
    return First(found["field"], found["value"])
