"""The folder of a process's stores: one process at a time, one cluster for life."""

import fcntl
import os
import shutil
import time
from pathlib import Path
from typing import Self

from msgspec import DecodeError, Struct, ValidationError, json

from consumer.errors import StateUnusable
from consumer.state.store import Store

LOCK_WAIT_S = 8.0
LOCK_RETRY_S = 0.2
PID_MAX_BYTES = 20


class Owner(Struct, frozen=True):
    """Whose state a folder holds. State of another owner would join and dedupe what it never saw."""

    cluster: str
    prefix: str
    partitions: int


class StateHeld(StateUnusable):
    """Another process has the folder."""


class StateFolder:
    """The stores of one process, one folder a partition, named by its number; beside it those moved aside."""

    def __init__(self, folder: Path, owner: Owner, *, lock_wait_s: float = LOCK_WAIT_S) -> None:
        """Lock it, waiting for a dying predecessor, and check whose it is. Raises StateUnusable."""
        self._folder = folder
        self.owner = owner
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            message = f"state.dir {folder} can't be written ({error.strerror}); give a folder that this user may write"
            raise StateUnusable(message) from None
        try:
            _take(self._lock, folder, lock_wait_s)
            _check(folder / "owner.json", owner)
        except StateUnusable:
            os.close(self._lock)
            raise

    @classmethod
    def existing(cls, folder: Path, prefix: str) -> Self:
        """What is there already, without asking the cluster whose it is. Raises StateUnusable, StateHeld at once."""
        owner = _recorded(folder / "owner.json")
        if owner is None:
            raise StateUnusable(f"state.dir {folder} holds no state; `capi state restore` brings it there")
        if owner.prefix != prefix:
            raise StateUnusable(f"state.dir {folder} belongs to {owner}, not to topics.prefix {prefix}")
        return cls(folder, owner, lock_wait_s=0.0)

    @property
    def partitions(self) -> list[int]:
        """Partitions that have a store here."""
        return sorted(int(path.name) for path in self._folder.iterdir() if path.name.isdigit())

    def store(self, partition: int) -> Store:
        """Open one partition's store. Raises StateUnusable."""
        return Store(self._path(partition))

    def scratch(self) -> Path:
        """An empty place for a store that doesn't last."""
        path = self._folder / "scratch"
        shutil.rmtree(path, ignore_errors=True)
        return path

    def parts(self, partition: int) -> list[Path]:
        """A partition's store, and what was moved aside of it."""
        return [path for path in sorted(self._folder.glob(f"{partition:04d}*")) if path.is_dir()]

    def drop(self, partition: int) -> None:
        """Remove a partition's store, which must be closed, and what was moved aside of it. Raises StateUnusable."""
        for path in self.parts(partition):
            try:
                shutil.rmtree(path)
            except OSError as error:
                raise StateUnusable(f"{path} can't be removed ({error.strerror})") from None

    def _path(self, partition: int) -> Path:
        return self._folder / f"{partition:04d}"

    def close(self) -> None:
        """Let another process have it; its stores must be closed by then."""
        os.close(self._lock)

    def __repr__(self) -> str:
        return f"<StateFolder {self._folder}>"


def _take(lock: int, folder: Path, wait_s: float) -> None:
    deadline_s = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > deadline_s:
                holder = os.pread(lock, PID_MAX_BYTES, 0).decode(errors="replace") or "unknown"
                message = (
                    f"another process uses state.dir {folder}; stop it, or give this one a folder of its own "
                    f"(its process id is {holder})"
                )
                raise StateHeld(message) from None
            time.sleep(LOCK_RETRY_S)
        else:
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
            return


def _recorded(path: Path) -> Owner | None:
    try:
        return json.decode(path.read_bytes(), type=Owner)
    except FileNotFoundError:
        return None
    except (DecodeError, ValidationError, OSError) as error:
        message = f"{path} can't be read ({error}); move the folder aside, its state is rebuilt from Kafka"
        raise StateUnusable(message) from None


def _check(path: Path, owner: Owner) -> None:
    found = _recorded(path)
    if found is None:
        _record(path, owner)
    elif found != owner:
        message = (
            f"state.dir {path.parent} belongs to {found}, not to {owner}; give a folder of its own to each"
        )
        raise StateUnusable(message)


def _record(path: Path, owner: Owner) -> None:
    try:
        draft = path.with_suffix(".new")
        draft.write_bytes(json.encode(owner))
        draft.rename(path)
    except OSError as error:
        message = f"state.dir {path.parent} can't be written ({error.strerror})"
        raise StateUnusable(message) from None
