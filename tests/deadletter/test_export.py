"""Files of letters: every line one letter, and a file only once it is whole."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import duckdb
import pytest
from msgspec.structs import replace

from consumer.deadletter.contents import Told, Unread
from consumer.deadletter.export import COLUMNS, Line, line, ndjson, parquet
from consumer.errors import ConfigurationError
from tests.deadletter.test_filters import LETTER

TOLD = Told("conversion", 7, {"order_id": "1001", "items": [{"sku": "a"}], "ip": "****"}, "c-1")
Write = Callable[[Iterable[Line], Path], int]
LINES = [
    line(LETTER, TOLD, discarded=False),
    line(replace(LETTER, message='a "quoted", = + text\\'), Unread("it is cut"), discarded=True),
]


def test_a_line_tells_the_letter_and_what_may_be_seen_of_its_value(tmp_path: Path) -> None:
    """Headers in fields, times to be read by people, and no key or value as bytes."""
    file = tmp_path / "letters.ndjson"
    assert ndjson(LINES, file) == 2
    first, second = map(json.loads, file.read_text().splitlines())
    assert first.keys() == COLUMNS.keys()
    assert (first["topic"], first["offset"], first["of_offset"]) == ("capi.dlq.meta", 5, 7)
    assert (first["written_at"], first["first_at"]) == ("2026-11-26T23:00:00.000Z", "")
    assert (first["kind"], first["value"], first["unread"]) == ("conversion", TOLD.fields, "")
    assert (second["kind"], second["value"], second["unread"]) == ("", None, "it is cut")
    assert (first["discarded"], second["discarded"]) == (False, True)


def test_parquet_says_the_same(tmp_path: Path) -> None:
    """Each column with its type; the value as JSON that can be asked."""
    lines, table = tmp_path / "letters.ndjson", tmp_path / "letters 'of' today.parquet"
    ndjson(LINES, lines)
    assert parquet(LINES, table) == 2
    with duckdb.connect() as db:
        found = db.read_parquet(str(table))
        assert found.columns == list(COLUMNS)
        rows = [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
        told = [{**row, "value": None if row["value"] is None else json.loads(row["value"])} for row in rows]
        assert told == [json.loads(each) for each in lines.read_text().splitlines()]
        ids = found.project("value ->> 'order_id'")
        assert ids.fetchall() == [("1001",), (None,)]


def test_no_letters_make_an_empty_file(tmp_path: Path) -> None:
    """With its columns."""
    assert ndjson([], tmp_path / "none.ndjson") == 0
    assert parquet([], tmp_path / "none.parquet") == 0
    with duckdb.connect() as db:
        found = db.read_parquet(str(tmp_path / "none.parquet"))
        assert (found.columns, found.fetchall()) == (list(COLUMNS), [])


@pytest.mark.parametrize("write", [ndjson, parquet])
def test_what_breaks_off_leaves_the_file_that_was_there(tmp_path: Path, write: Write) -> None:
    """And no draft beside it."""
    file = tmp_path / "letters"
    file.write_text("before")

    def broken() -> Iterator[Line]:
        yield LINES[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(broken(), file)
    assert [path.name for path in tmp_path.iterdir()] == ["letters"]
    assert file.read_text() == "before"


@pytest.mark.parametrize("write", [ndjson, parquet])
def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, write: Write) -> None:
    """With what to do."""
    with pytest.raises(ConfigurationError, match="name a file that can be written"):
        write(LINES, tmp_path / "missing" / "letters")
