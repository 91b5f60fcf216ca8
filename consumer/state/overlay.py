"""What an open transaction has changed, over what is stored."""

from collections.abc import Mapping
from typing import Protocol


class View(Protocol):
    """State as a plan sees it: its own writes at once, nobody else's."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, None if there is none."""
        ...

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value of a key."""
        ...

    def delete(self, key: bytes) -> None:
        """Forget a key."""
        ...


class Readable(Protocol):
    """What is stored."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, None if there is none."""
        ...


class Overlay:
    """A `View` that keeps its changes to itself until they are committed."""

    __slots__ = ("_changes", "_stored")

    def __init__(self, stored: Readable) -> None:
        self._stored = stored
        self._changes: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, changed or stored."""
        if key in self._changes:
            return self._changes[key]
        return self._stored.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value of a key, here alone."""
        self._changes[key] = value

    def delete(self, key: bytes) -> None:
        """Forget a key, here alone."""
        self._changes[key] = None

    @property
    def changes(self) -> Mapping[bytes, bytes | None]:
        """Key to its new value, None for deleted: each key once, as it stands at last."""
        return self._changes

    def clear(self) -> None:
        """Forget the changes: they are stored, or were given up."""
        self._changes = {}

    def __repr__(self) -> str:
        return f"<Overlay: {len(self._changes)} changes>"
