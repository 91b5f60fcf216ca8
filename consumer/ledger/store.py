"""The ledger's file: rows and the offsets behind them, in one transaction, so that each record is one row.

A record below the offset that the file knows is passed over: read twice, it is one row. No table has an index: an
index over each coordinate would take more memory than all else, and a scan of a column is quick enough.

The truth is in the topics. A file that is damaged, of another version or of other topics is moved aside, with a time
stamp, and made anew.
"""

import fcntl
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import msgspec
import structlog

from consumer.errors import StateUnusable
from consumer.ledger.tables import NAME_OF, TABLES, VERSION, Row, columns, definitions
from consumer.model import Record, TopicPartition

FILE = "ledger.duckdb"
DAY_MS = 86_400_000
_BATCH = "batch.ndjson"
_encode_lines = msgspec.json.Encoder().encode_lines


class Store:
    """The open file, and the only one who writes to it. Used by one thread; `cursor` is for any."""

    def __init__(self, folder: Path, prefix: str, memory_max_mb: int) -> None:
        """Open or make it. Raises StateUnusable if another process has it, or if it can't be written."""
        self.file = folder / FILE
        self._batch = folder / _BATCH
        self._prefix = prefix
        self._memory_max_mb = memory_max_mb
        self._log = structlog.get_logger("ledger")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            check_free(self.file)
        except OSError as error:
            message = f"{folder}: {error.strerror}; set ledger.dir to a folder that can be written"
            raise StateUnusable(message) from None
        self._connection = self._opened()
        self._asking = self._connection.cursor()
        self.positions: dict[TopicPartition, int] = self._read_positions()

    def _opened(self) -> duckdb.DuckDBPyConnection:
        if not self.file.exists():
            return self._made()
        try:
            connection = self._connected()
        except duckdb.ConnectionException:
            message = f"{self.file} is open in this process for something else; close that first"
            raise StateUnusable(message) from None
        except duckdb.Error:
            return self._made_anew("damaged")
        try:
            found = connection.execute("SELECT version, prefix FROM meta").fetchall()
            for name in TABLES:
                connection.execute(f"SELECT count(at_ms) FROM {name}")  # noqa: S608 (a name of ours)
        except duckdb.Error:
            found = []
        if found == [(VERSION, self._prefix)]:
            return connection
        connection.close()
        of_ours = bool(found) and found[0][1] == self._prefix
        reason = "damaged" if not found else "version" if of_ours else "prefix"
        return self._made_anew(reason)

    def _connected(self) -> duckdb.DuckDBPyConnection:
        return duckdb.connect(
            str(self.file), config={"memory_limit": f"{self._memory_max_mb}MB", "threads": 2}
        )

    def _made(self) -> duckdb.DuckDBPyConnection:
        connection = self._connected()
        connection.begin()
        for statement in definitions():
            connection.execute(statement)
        connection.execute("INSERT INTO meta VALUES (?, ?, 0)", [VERSION, self._prefix])
        connection.commit()
        return connection

    def _made_anew(self, reason: str) -> duckdb.DuckDBPyConnection:
        """Move the file aside, and what belongs to it."""
        aside = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
        for each in (self.file, Path(f"{self.file}.wal")):
            if each.exists():
                each.rename(f"{each}.{aside}")
        self._log.warning("ledger_rebuilt", reason=reason, path=f"{self.file}.{aside}")
        return self._made()

    def begin_anew(self, reason: str) -> None:
        """Give the file up and make it from the topics' beginnings."""
        self.close()
        self._connection = self._made_anew(reason)
        self._asking = self._connection.cursor()
        self.positions = {}

    def _read_positions(self) -> dict[TopicPartition, int]:
        found = self._connection.execute("SELECT topic, at_partition, next_offset FROM offsets").fetchall()
        return {TopicPartition(topic, partition): offset for topic, partition, offset in found}

    def take(self, records: Sequence[Record], rows: Iterable[Row | None]) -> int:
        """Write the rows of some records, in their order, all or none; how many are new. Raises duckdb.Error."""
        ahead = dict(self.positions)
        by_kind: defaultdict[type[Row], list[Row]] = defaultdict(list)
        for record, row in zip(records, rows, strict=True):
            at = TopicPartition(record.topic, record.partition)
            if record.offset < ahead.get(at, 0):
                continue
            ahead[at] = record.offset + 1
            if row is not None:
                by_kind[type(row)].append(row)
        self._write(by_kind, {at: to for at, to in ahead.items() if self.positions.get(at) != to})
        self.positions = ahead
        return sum(len(some) for some in by_kind.values())

    def _write(self, by_kind: Mapping[type[Row], list[Row]], moved: Mapping[TopicPartition, int]) -> None:
        self._connection.begin()
        try:
            for kind, rows in by_kind.items():
                self._insert(kind, rows)
            for at, offset in moved.items():
                self._connection.execute("INSERT OR REPLACE INTO offsets VALUES (?, ?, ?)", [*at, offset])
            self._connection.commit()
        except BaseException:
            self._connection.rollback()
            raise

    def _insert(self, kind: type[Row], rows: list[Row]) -> None:
        """Through a file: it is a hundred times as fast as a statement a row."""
        self._batch.write_bytes(_encode_lines(rows))
        self._connection.execute(
            f"INSERT INTO {NAME_OF[kind]} SELECT * FROM read_json(?, format = 'newline_delimited', "  # noqa: S608 (a name of ours)
            f"auto_detect = false, columns = {columns(kind)})",
            [str(self._batch)],
        )
        self._batch.unlink()

    def sweep(self, now_ms: int, retention_days: int) -> bool:
        """Delete what is older than the retention, once a day of stream time; whether it was time.

        A receipt goes with its conversion, never before it: without its receipt a conversion would seem lost.
        """
        ((newest_ms, swept),) = self._connection.execute(
            "SELECT (SELECT coalesce(max(at_ms), 0) FROM conversions), swept_day FROM meta"
        ).fetchall()
        stream_ms = min(newest_ms, now_ms)
        if stream_ms // DAY_MS <= swept:
            return False
        self._connection.begin()
        try:
            self._delete_before(stream_ms - retention_days * DAY_MS)
            self._connection.execute("UPDATE meta SET swept_day = ?", [stream_ms // DAY_MS])
            self._connection.commit()
        except BaseException:
            self._connection.rollback()
            raise
        return True

    def _delete_before(self, cutoff_ms: int) -> None:
        """Of each partition of conversions, what lies before the first of the young ones."""
        self._connection.execute(
            "CREATE OR REPLACE TEMP TABLE young AS SELECT at_partition AS partition, "
            "coalesce(min(at_offset) FILTER (at_ms >= ?), max(at_offset) + 1) AS first FROM conversions GROUP BY 1",
            [cutoff_ms],
        )
        for table, prefix in (("conversions", "at"), ("receipts", "of"), ("later", "of")):
            self._connection.execute(
                f"DELETE FROM {table} USING young WHERE {prefix}_partition = young.partition "  # noqa: S608 (names of ours)
                f"AND {prefix}_offset < young.first"
            )
        for table in ("endings", "letters"):
            self._connection.execute(f"DELETE FROM {table} WHERE at_ms < ?", [cutoff_ms])  # noqa: S608 (a name of ours)

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of one's own to what is committed; from any thread. Close it."""
        return self._asking.cursor()

    def close(self) -> None:
        """Write all to the file and release it."""
        self._asking.close()
        self._connection.close()

    def __repr__(self) -> str:
        return f"<Store {self.file}: {len(self.positions)} partitions>"


def check_free(file: Path) -> None:
    """Raise StateUnusable if another process has the file open, OSError if it can't be written."""
    if not file.exists():
        return
    with file.open("r+b") as opened:
        try:
            fcntl.lockf(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"{file} is in use by another process; ask that one over HTTP, or stop it"
            raise StateUnusable(message) from None


def opened_read_only(file: Path) -> duckdb.DuckDBPyConnection:
    """The file, to be asked while no process writes to it. Raises StateUnusable."""
    if not file.exists() or not os.access(file, os.R_OK):
        message = f"there is no ledger at {file}; start one with `capi run --role ledger`, or name one with --ledger"
        raise StateUnusable(message)
    try:
        return duckdb.connect(str(file), read_only=True)
    except duckdb.Error:
        message = f"{file} can't be read: another process has it, or it is damaged; ask the ledger with --ledger URL"
        raise StateUnusable(message) from None
