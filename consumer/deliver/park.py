"""A lane that is parked: a set-up fault stops it, and a probe now and then finds out when that is mended."""

from consumer.deliver.delivery import Group, Now, Waiting
from consumer.platforms.contract import SetupFault, Throttled, Transient, Unconfirmed, Verdict

PROBE_MIN_S = 5.0
PROBE_MAX_S = 300.0


class Park:
    """`fault` is what parked the lane, None while it isn't. Probes are groups marked as such."""

    def __init__(self) -> None:
        self.fault: SetupFault | None = None
        self._probe_at_s = 0.0
        self._probes = 0
        self._renewed_at_s = 0.0

    def wait_s(self, now: Now) -> Waiting:
        """Seconds until the next probe; 0 or less for now."""
        return self._probe_at_s - now.s

    def heard(self, group: Group, verdict: Verdict, now: Now) -> None:
        """Park on a set-up fault; go on once a probe was answered as by a platform that knows us."""
        match verdict:
            case SetupFault() if self.fault is None:
                self.fault, self._probes = verdict, 0
                self._probe_at_s = now.s + PROBE_MIN_S
            case SetupFault() | Throttled() | Transient() | Unconfirmed():
                if group.probe and group.began_s >= self._renewed_at_s:
                    self._probes += 1
                    self._probe_at_s = now.s + min(PROBE_MAX_S, PROBE_MIN_S * 2.0 ** min(self._probes, 30))
            case _:
                if group.probe:
                    self.fault = None
        group.probe = False

    def renewed(self, now: Now) -> None:
        """Someone did something about it: probe at once; what a probe from before says counts no more."""
        self._probe_at_s = self._renewed_at_s = now.s
        self._probes = 0

    def __repr__(self) -> str:
        return f"<Park: {self.fault.code if self.fault is not None else 'open'}>"
