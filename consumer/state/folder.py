"""The folder of a process's stores: one process at a time, one cluster for life."""

import fcntl
import os
import time
from pathlib import Path

from msgspec import DecodeError, Struct, ValidationError, json

from consumer.errors import StateUnusable
from consumer.state.store import Store

LOCK_WAIT_S = 8.0
LOCK_RETRY_S = 0.2


class Owner(Struct, frozen=True):
    """Whose state a folder holds. State of another owner would join and dedupe what it never saw."""

    cluster: str
    prefix: str
    partitions: int


class StateFolder:
    """The stores of one process, one folder a partition."""

    def __init__(self, folder: Path, owner: Owner, *, lock_wait_s: float = LOCK_WAIT_S) -> None:
        """Lock it, waiting for a dying predecessor, and check whose it is. Raises StateUnusable."""
        self._folder = folder
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

    def store(self, partition: int) -> Store:
        """Open one partition's store. Raises StateUnusable."""
        return Store(self._folder / f"{partition:04d}")

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
                message = (
                    f"another process uses state.dir {folder}; stop it, or give this one a folder of its own"
                )
                raise StateUnusable(message) from None
            time.sleep(LOCK_RETRY_S)
        else:
            return


def _check(path: Path, owner: Owner) -> None:
    try:
        found = json.decode(path.read_bytes(), type=Owner)
    except FileNotFoundError:
        _record(path, owner)
        return
    except (DecodeError, ValidationError, OSError) as error:
        message = f"{path} can't be read ({error}); move the folder aside, its state is rebuilt from Kafka"
        raise StateUnusable(message) from None
    if found != owner:
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
