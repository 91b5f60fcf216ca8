"""What a role's process measures of itself, and how it waits for the product to begin."""

import re
import resource
import time
from collections.abc import Callable
from pathlib import Path

from consumer.app import App
from consumer.errors import Unreachable

START_TIMEOUT_S = 60.0


class Meter:
    """CPU time of this process, all threads, and the clock's, from its making on."""

    def __init__(self) -> None:
        self._cpu_s, self._clock_s = time.process_time(), time.monotonic()

    @property
    def cpu_s(self) -> float:
        """CPU seconds so far."""
        return time.process_time() - self._cpu_s

    @property
    def clock_s(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self._clock_s


def rss_mb() -> float:
    """The most memory that this process ever had; elsewhere than on Linux its parent's counts, too, until the exec."""
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        return int(found[1]) / 1024 if found else 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def await_begun(app: App, begun: Callable[[], object]) -> None:
    """Wait until it has begun. Raises what ended it, or Unreachable if it takes too long."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while not begun():
        if app.failure is not None:
            raise app.failure
        if time.monotonic() > deadline_s:
            raise Unreachable(f"{app!r} did not begin in {START_TIMEOUT_S:.0f} s")
        time.sleep(0.001)
