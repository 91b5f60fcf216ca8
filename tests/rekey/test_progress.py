"""How far a partition has come: never beyond a record that was not moved."""

from consumer.errors import SchemaUnavailable
from consumer.ingest.rekey import Rekeyed
from consumer.model import Record
from consumer.rekey.move import Move
from consumer.rekey.progress import SCHEMA_RETRY_S, Progress


def record(offset: int) -> Record:
    """The record at this offset."""
    return Record("orders", 0, offset, 0, b"key", b"value")


def decide(of: Record) -> Move:
    """Everything goes by its own key."""
    return Move(of, Rekeyed("own", of.key), fits=True)


def offsets(moves: list[Move]) -> list[int]:
    """Which were moved."""
    return [move.record.offset for move in moves]


def test_all_that_was_read_is_moved_in_order() -> None:
    """Offsets have gaps, and the position is behind the last record, or the end where that is further."""
    progress = Progress(3)
    for offset in (3, 4, 9):
        progress.add(record(offset))
    assert offsets(progress.moves(decide, 0.0)) == [3, 4, 9]
    assert (progress.position, progress.committed, len(progress)) == (10, 3, 0)
    progress.end(12)
    assert (progress.moves(decide, 0.0), progress.position) == ([], 12)


def test_a_missing_schema_holds_all_that_is_behind_it() -> None:
    """The end that was seen meanwhile doesn't count, and the registry is not asked again at once."""
    progress, asked = Progress(0), []

    def without_schema(of: Record) -> Move:
        asked.append(of.offset)
        if of.offset == 1:
            raise SchemaUnavailable(7)
        return decide(of)

    for offset in range(3):
        progress.add(record(offset))
    progress.end(3)
    assert offsets(progress.moves(without_schema, 10.0)) == [0]
    assert (progress.position, repr(progress)) == (1, "<Progress: 2 waiting, next 1>")
    assert progress.unavailable is not None
    assert progress.moves(without_schema, 10.0 + SCHEMA_RETRY_S / 2) == []
    assert asked == [0, 1]
    assert offsets(progress.moves(decide, 10.0 + SCHEMA_RETRY_S)) == [1, 2]
    assert progress.position == 3
