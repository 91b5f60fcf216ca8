"""Time as the events tell it, per pair of sister partitions."""

from typing import Literal, TypeAlias

from msgspec import Struct

Side: TypeAlias = Literal["orders", "checkouts"]


class StreamTime(Struct, array_like=True):
    """The greatest event time of each side, and the horizon: up to where entries may have expired.

    The horizon never goes back, and what is older than it by the dedupe window is filtered before its entry is
    looked for. So an entry that is gone can't let its event pass a second time.
    """

    orders_ms: int = 0
    checkouts_ms: int = 0
    horizon_ms: int = 0

    def observe(self, side: Side, event_ms: int, now_ms: int) -> None:
        """Move one side on; a time beyond now moves nothing."""
        if event_ms > now_ms:
            return
        if side == "orders":
            self.orders_ms = max(self.orders_ms, event_ms)
        else:
            self.checkouts_ms = max(self.checkouts_ms, event_ms)

    def of(self, side: Side) -> int:
        """Stream time of one side, never behind the horizon."""
        return max(self.orders_ms if side == "orders" else self.checkouts_ms, self.horizon_ms)

    def advance(self, *, orders_ended: bool, checkouts_ended: bool, idle_ms: int) -> None:
        """Move the horizon to the lesser of the two sides.

        A side at its end holds nothing back. Where both are, time goes on at the clock's pace from where the events
        left it (`idle_ms` since then), so that shops of the past and of today are treated alike.
        """
        if orders_ended and checkouts_ended:
            latest_ms = max(self.orders_ms, self.checkouts_ms)
            reached_ms = latest_ms + idle_ms if latest_ms else 0
        elif orders_ended:
            reached_ms = self.checkouts_ms
        elif checkouts_ended:
            reached_ms = self.orders_ms
        else:
            reached_ms = min(self.orders_ms, self.checkouts_ms)
        self.horizon_ms = max(self.horizon_ms, reached_ms)
