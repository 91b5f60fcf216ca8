"""How far a partition of orders has been rekeyed, and what of it still waits."""

from collections import deque
from collections.abc import Callable

from consumer.errors import SchemaUnavailable
from consumer.model import Record
from consumer.rekey.move import Move

SCHEMA_RETRY_S = 1.0


class Progress:
    """One partition: records read and not yet moved, in their order, and the next offset to move."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.committed = position
        self.unavailable: SchemaUnavailable | None = None
        self._waiting: deque[Record] = deque()
        self._end = -1
        self._blocked_until_s = float("-inf")

    def add(self, record: Record) -> None:
        """Take a record that was read."""
        self._waiting.append(record)

    def end(self, offset: int) -> None:
        """Note that there was nothing behind `offset` when it was reached: markers have offsets, too."""
        self._end = offset

    def moves(self, decide: Callable[[Record], Move], now_s: float) -> list[Move]:
        """Take all that can be moved now: up to a record for which `decide` raises SchemaUnavailable."""
        moves: list[Move] = []
        if now_s < self._blocked_until_s:
            return moves
        try:
            while self._waiting:
                moves.append(decide(self._waiting[0]))
                self.position = self._waiting.popleft().offset + 1
        except SchemaUnavailable as error:
            self._blocked_until_s = now_s + SCHEMA_RETRY_S
            self.unavailable = error
        else:
            self.position = max(self.position, self._end)
        return moves

    def __len__(self) -> int:
        return len(self._waiting)

    def __repr__(self) -> str:
        return f"<Progress: {len(self)} waiting, next {self.position}>"
