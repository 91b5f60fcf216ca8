"""How fast a lane may go: how many requests at once, how many a second, and whether any at all."""

from typing import Literal, TypeAlias

from consumer.deliver.retry import Chance

BreakerState: TypeAlias = Literal["closed", "open", "half_open"]

BREAK_AFTER_FAILURES = 5
OPEN_MIN_S = 1.0
OPEN_MAX_S = 60.0
BEGIN_REQUESTS = 4.0
LATENCY_RISE = 3.0
_SMOOTH = 0.1


class Concurrency:
    """Requests under way at once: one more after a round of successes, half as many after trouble.

    Requests that take much longer than they used to are trouble too: a queue builds up at the other side.
    """

    def __init__(self, most: int) -> None:
        self._most = float(most)
        self._limit = min(BEGIN_REQUESTS, self._most)
        self._cut_at_s = -1.0
        self._usual_s = 0.0
        self._recent_s = 0.0

    @property
    def limit(self) -> int:
        """How many may be under way."""
        return max(1, int(self._limit))

    def succeeded(self, began_s: float, now_s: float, under_way: int) -> None:
        """A request passed; `under_way` counts it."""
        took_s = now_s - began_s
        self._recent_s += _SMOOTH * (took_s - self._recent_s) if self._recent_s else took_s
        self._usual_s = (
            min(self._recent_s, self._usual_s + 0.01 * (self._recent_s - self._usual_s))
            if self._usual_s
            else took_s
        )
        if self._recent_s > LATENCY_RISE * self._usual_s:
            self._cut(began_s, now_s, min(BEGIN_REQUESTS, self._limit))
        elif under_way >= self.limit:
            self._limit = min(self._most, self._limit + 1.0 / self._limit)

    def failed(self, began_s: float, now_s: float) -> None:
        """A request failed or was throttled."""
        self._cut(began_s, now_s, 1.0)

    def _cut(self, began_s: float, now_s: float, least: float) -> None:
        """Halve it. Requests that began before the last cut tell nothing new."""
        if began_s >= self._cut_at_s:
            self._limit = max(least, self._limit / 2.0)
            self._cut_at_s = now_s
            self._recent_s = 0.0

    def __repr__(self) -> str:
        return f"<Concurrency {self.limit} of {self._most:.0f}>"


class Bucket:
    """Tokens that refill with time: the platform's own limit of requests, or events, a second. None limits nothing."""

    def __init__(self, rate_per_s: float | None) -> None:
        self._rate = rate_per_s
        self._share = 1.0
        self._tokens = 1.0
        self._at_s = 0.0

    def share(self, part: float) -> None:
        """Take only this part (0 to 1) of the rate: others have the rest."""
        self._share = max(part, 0.001)

    def wait_s(self, now_s: float) -> float:
        """Seconds until a request may go; 0 for now."""
        if self._rate is None:
            return 0.0
        rate = self._rate * self._share
        self._tokens = min(max(1.0, rate), self._tokens + (now_s - self._at_s) * rate)
        self._at_s = now_s
        return 0.0 if self._tokens >= 1.0 else (1.0 - self._tokens) / rate

    def take(self, tokens: int = 1) -> None:
        """One request goes, or so many events: what they overdraw is waited for before the next."""
        self._tokens -= tokens


class Breaker:
    """Opens after failures in a row, then lets a single request through now and then until one passes."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._failures = 0
        self._openings = 0
        self._until_s = 0.0
        self.state: BreakerState = "closed"

    def wait_s(self, now_s: float, under_way: int) -> float | None:
        """Seconds until a request may go: 0 for now, None while the one that tries is under way."""
        if self.state == "closed":
            return 0.0
        if now_s < self._until_s:
            return self._until_s - now_s
        self.state = "half_open"
        return None if under_way else 0.0

    def succeeded(self) -> None:
        """The platform answered as one that is well."""
        self._failures = self._openings = 0
        self.state = "closed"

    def failed(self, now_s: float) -> None:
        """The platform did not answer, or not as one that is well."""
        self._failures += 1
        if self.state == "open" or (self.state == "closed" and self._failures < BREAK_AFTER_FAILURES):
            return
        most_s = min(OPEN_MAX_S, OPEN_MIN_S * 2.0**self._openings)
        self._openings = min(self._openings + 1, 16)
        self._until_s = now_s + self._chance.uniform(most_s / 2, most_s)
        self.state = "open"

    def __repr__(self) -> str:
        return f"<Breaker {self.state}: {self._failures} failures>"
