"""When to try again what failed as a whole."""

FIRST_S = 0.05
MAX_S = 5.0


class Backoff:
    """The first failure is tried again at once, further ones ever later, as long as nothing succeeds."""

    def __init__(self) -> None:
        self.failures = 0
        self._not_before_s = float("-inf")

    def failed(self, now_s: float) -> None:
        """Wait a little longer than the last time."""
        self.failures += 1
        wait_s = min(MAX_S, FIRST_S * 2.0**self.failures) if self.failures > 1 else 0.0
        self._not_before_s = now_s + wait_s

    def succeeded(self) -> None:
        """Forget all failures."""
        self.failures = 0

    def is_over(self, now_s: float) -> bool:
        """Whether it is time."""
        return now_s >= self._not_before_s

    def __repr__(self) -> str:
        return f"<Backoff: {self.failures} failures>"
