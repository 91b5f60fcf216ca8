"""What the ledger tells people and metrics."""

from collections.abc import Mapping, Sequence

from msgspec import Struct


class Account(Struct, frozen=True):
    """What became of one destination's conversions. `in_flight` holds what is `put_aside`, too.

    `first_missing` names some of those missing, `topic:partition:offset`. `other` are of an outcome that this build
    doesn't know.
    """

    destination: str
    owed: int
    delivered: int = 0
    skipped: int = 0
    rejected: int = 0
    expired: int = 0
    unknown: int = 0
    other: int = 0
    in_flight: int = 0
    put_aside: int = 0
    missing: int = 0
    first_missing: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Nothing is missing, and all adds up."""
        return self.missing == 0 and self.owed == self.ended + self.in_flight

    @property
    def ended(self) -> int:
        """Those that have an outcome."""
        return self.delivered + self.skipped + self.rejected + self.expired + self.unknown + self.other


class LedgerSnapshot(Struct, frozen=True):
    """The accounts as last judged, how many partitions are read, and by topic the offsets still to be read."""

    accounts: Sequence[Account] = ()
    partitions: int = 0
    lag: Mapping[str, int] = {}
