"""Letters in a file for other tools: a JSON object a line, or Parquet. What may not be seen isn't in it either.

A file is there once it is whole: until then it grows beside its place.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec

from consumer.deadletter.contents import Told, Unread
from consumer.deadletter.read import Read
from consumer.deadletter.rows import Row, row
from consumer.errors import ConfigurationError

_TYPES = {str: "VARCHAR", int: "BIGINT", bool: "BOOLEAN"}


class Line(Row, frozen=True):
    """A letter and what its value tells: it is of this `kind`, or `unread` says why nobody can tell."""

    kind: str = ""
    value: object = None
    unread: str = ""


COLUMNS = {
    field.name: "JSON" if field.name == "value" else _TYPES[field.type]
    for field in msgspec.structs.fields(Line)
}
"""Of the Parquet file; `value` is JSON text there."""


def line(letter: Read, told: Told | Unread, *, discarded: bool) -> Line:
    """One line of the file."""
    fields = msgspec.structs.asdict(row(letter, discarded=discarded))
    if isinstance(told, Unread):
        return Line(**fields, unread=told.why)
    return Line(**fields, kind=told.kind, value=told.fields)


def write_lines(lines: Iterable[Line], file: IO[bytes]) -> int:
    """Write one JSON object a line; how many there were."""
    encode = msgspec.json.Encoder().encode
    count = 0
    for each in lines:
        file.write(encode(each) + b"\n")
        count += 1
    return count


def ndjson(lines: Iterable[Line], to: Path) -> int:
    """A file of lines; how many letters. Raises ConfigurationError if it can't be written."""

    def written(draft: Path) -> int:
        with draft.open("wb") as file:
            return write_lines(lines, file)

    return _put(to, written)


def parquet(lines: Iterable[Line], to: Path) -> int:
    """A Parquet file; how many letters. Raises ConfigurationError if it can't be written."""
    import duckdb  # noqa: PLC0415 (it is large, and most processes that read letters write no file)

    def written(draft: Path) -> int:
        plain = draft.with_name(f"{draft.name}.json")
        try:
            with plain.open("wb") as file:
                count = write_lines(lines, file)
            with duckdb.connect() as db:
                rows = db.read_json(str(plain), columns=COLUMNS, format="newline_delimited")
                rows.write_parquet(str(draft), compression="zstd")
        finally:
            plain.unlink(missing_ok=True)
        return count

    return _put(to, written)


def _put(to: Path, write: Callable[[Path], int]) -> int:
    """Write a draft beside the place, and put it there."""
    draft = to.with_name(f".{to.name}.draft")
    try:
        count = write(draft)
        draft.replace(to)
    except OSError as error:
        raise ConfigurationError(
            f"{to}: {error.strerror or error}; name a file that can be written"
        ) from None
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
    return count
