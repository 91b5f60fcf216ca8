"""How long to wait before the next attempt: exponential, with full jitter, so that retries spread out."""

from typing import Protocol

BASE_S = 0.5
TOGETHER_MAX_S = 60.0
"""The most that a batch waits: the platform's own trouble, which may end any time."""
ALONE_AFTER_FAILURES = 6
"""An event that failed so often in a row while others passed is put aside."""


class Chance(Protocol):
    """A source of chance, such as random.Random."""

    def uniform(self, a: float, b: float, /) -> float:
        """A number between both."""
        ...


def wait_s(failures: int, most_s: float, chance: Chance) -> float:
    """Seconds before the attempt after this many failures in a row (1 or more)."""
    return chance.uniform(0.0, min(most_s, BASE_S * 2.0 ** min(failures, 30)))
