"""Time, as an argument: what decides is told the time, only loops ask for it."""

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for stamps, monotonic time for durations."""

    def now_ms(self) -> int:
        """Epoch milliseconds, UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that never go back; only differences mean anything."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now_ms(self) -> int:
        """Epoch milliseconds, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds since some start."""
        return time.monotonic()
