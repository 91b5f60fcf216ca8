"""One partition's state in RocksDB, with the checkpoint that says how much of the changelog is in it.

The write-ahead log is off: the changelog is the log. Puts and checkpoint are written as one batch, so that after a
kill both fall back together to the last flush, and the changelog is read on from there.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

from msgspec import Struct, msgpack
from rocksdict import BlockBasedOptions, Cache, Options, Rdict, WriteBatch, WriteBufferManager, WriteOptions

from consumer.errors import StateUnusable

CACHE_BYTES = 128 << 20
"""Filled as it is needed. The indexes and filters of eleven million entries have to stay in it: with half of it a read
took 33 to 53 µs instead of 18."""
WRITE_BUFFERS_BYTES = 128 << 20
WRITE_BUFFER_BYTES = 16 << 20
CHECKPOINT_KEY = b"\x00checkpoint"
"""Sorts before every state key; never in the changelog."""
UNUSABLE = ("LOCK", "Permission denied", "No space left", "Read-only file system", "Too many open files")
"""Parts of RocksDB's status texts that are about the folder, not about what is in it."""
DAMAGED = "DAMAGED"
"""A file that tells the next opening that something in the folder could not be read."""

_cache = Cache(CACHE_BYTES)
_write_buffers = WriteBufferManager(WRITE_BUFFERS_BYTES, allow_stall=False)


class Checkpoint(Struct, frozen=True, array_like=True):
    """The next changelog offset to apply, and a time before which nothing behind it was appended."""

    offset: int
    at_ms: int


class Store:
    """RocksDB in a folder of its own. Used by one thread at a time.

    Damage shows when a block is read, which may be late: every method then raises StateUnusable, and the next opening
    moves the folder aside.
    """

    def __init__(self, folder: Path) -> None:
        """Open or make it; a corrupt one is moved aside. Raises StateUnusable."""
        self._folder = folder
        self._write_options = _without_log()
        self.moved_aside = False
        self._db = self._open()
        self._checkpoint = self._read_checkpoint()

    def _open(self) -> Rdict:
        if (self._folder / DAMAGED).exists():
            self.moved_aside = True
            _move_aside(self._folder)
        try:
            return _rdict(self._folder)
        except Exception as error:  # noqa: BLE001 (rocksdict raises nothing narrower)
            if any(part in str(error) for part in UNUSABLE):
                message = f"state in {self._folder} can't be opened: {error}; one process at a time, with space, may"
                raise StateUnusable(message) from None
            self.moved_aside = True
            _move_aside(self._folder)
            return _rdict(self._folder)

    def _read_checkpoint(self) -> Checkpoint | None:
        found = self._db.get(CHECKPOINT_KEY)
        return msgpack.decode(found, type=Checkpoint) if found is not None else None

    @property
    def checkpoint(self) -> Checkpoint | None:
        """How far the changelog has been applied; None for an empty store."""
        return self._checkpoint

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, None if there is none."""
        try:
            found: bytes | None = self._db.get(key)
        except Exception as error:  # noqa: BLE001 (rocksdict raises nothing narrower)
            raise self._unusable(error) from None
        return found

    def write(self, changes: Mapping[bytes, bytes | None], checkpoint: Checkpoint) -> None:
        """Apply changes (None deletes) and set the checkpoint, all or nothing."""
        self.apply(changes.items(), checkpoint)

    def apply(self, changes: Iterable[tuple[bytes, bytes | None]], checkpoint: Checkpoint) -> None:
        """As `write`, of pairs in which a key may come again: the last one counts."""
        batch = WriteBatch(raw_mode=True)
        put, delete = batch.put, batch.delete
        for key, value in changes:
            if value is None:
                delete(key)
            else:
                put(key, value)
        put(CHECKPOINT_KEY, msgpack.encode(checkpoint))
        try:
            self._db.write(batch, self._write_options)
        except Exception as error:  # noqa: BLE001 (as above)
            raise self._unusable(error) from None
        self._checkpoint = checkpoint

    def scan(self, start: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Up to `limit` keys after `start`, in order, with their values."""
        return list(islice(self._rows(max(start, CHECKPOINT_KEY) + b"\x00"), limit))

    def under(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """All keys that begin with `prefix`, in order, with their values."""
        return takewhile(lambda row: row[0].startswith(prefix), self._rows(prefix))

    def rows(self) -> Iterator[tuple[bytes, bytes]]:
        """All keys, in order, with their values."""
        return self._rows(CHECKPOINT_KEY + b"\x00")

    def _rows(self, first: bytes) -> Iterator[tuple[bytes, bytes]]:
        rows = self._db.iter()
        rows.seek(first)
        while rows.valid():
            yield rows.key(), rows.value()
            rows.next()
        try:
            rows.status()  # damage ends the rows as their end does
        except Exception as error:  # noqa: BLE001 (as above)
            raise self._unusable(error) from None

    def _unusable(self, error: Exception) -> StateUnusable:
        if "Corruption" not in str(error):
            return StateUnusable(f"state in {self._folder} can't be used: {error}")
        (self._folder / DAMAGED).touch()
        return StateUnusable(
            f"state in {self._folder} is damaged ({error}); start again, and it is rebuilt from the changelog"
        )

    def wipe(self) -> None:
        """Forget everything: the changelog is to be read from its start."""
        self._db.close()
        shutil.rmtree(self._folder)
        self._db = _rdict(self._folder)
        self._checkpoint = None

    def flush(self) -> None:
        """Begin to put what is in memory on disk, so that less of the changelog is read after a kill."""
        self._db.flush(wait=False)

    def close(self) -> None:
        """Flush, wait for it, and let go of the folder."""
        self._db.flush(wait=True)
        self._db.close()

    def __repr__(self) -> str:
        at = self._checkpoint.offset if self._checkpoint else "empty"
        return f"<Store {self._folder.name}: {at}>"


def _without_log() -> WriteOptions:
    options: Any = WriteOptions()
    options.disable_wal = True  # the library's stub calls it a method
    written: WriteOptions = options
    return written


def _rdict(folder: Path) -> Rdict:
    folder.mkdir(parents=True, exist_ok=True)
    return Rdict(str(folder), _options())


def _options() -> Options:
    """Small memtables under one bound for the process, and one cache for all stores."""
    table = BlockBasedOptions()
    table.set_block_cache(_cache)
    table.set_bloom_filter(10, block_based=False)
    table.set_cache_index_and_filter_blocks(v=True)
    options = Options(raw_mode=True)
    options.create_if_missing(create_if_missing=True)
    options.set_block_based_table_factory(table)
    options.set_write_buffer_size(WRITE_BUFFER_BYTES)
    options.set_write_buffer_manager(_write_buffers)
    options.set_keep_log_file_num(2)
    options.set_max_open_files(256)
    return options


def _move_aside(folder: Path) -> None:
    number = 1
    while (aside := folder.with_name(f"{folder.name}.corrupt-{number}")).exists():
        number += 1
    folder.rename(aside)
