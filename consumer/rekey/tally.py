"""What rekey counts, in plain integers. Only what was committed is counted."""

from collections import Counter

from msgspec import Struct

from consumer.ingest.rekey import KEYED_BY


class RekeySnapshot(Struct, frozen=True):
    """The counts at one moment, since the process began; the last three are of this moment."""

    topic: str
    rekeyed: dict[str, int]
    letters: dict[str, int]
    transactions: int
    aborted: int
    fenced: int
    partitions: int
    last_commit_ms: int
    lag: int


class RekeyTally:
    """Counters of one loop: written by its thread, read by any. `rekeyed` is by what made the key."""

    def __init__(self, topic: str) -> None:
        """`topic` is the one read."""
        self.topic = topic
        self.rekeyed: Counter[str] = Counter(dict.fromkeys(KEYED_BY, 0))
        self.letters: Counter[str] = Counter()
        self.transactions = 0
        self.aborted = 0
        self.fenced = 0
        self.partitions = 0
        self.last_commit_ms = 0
        self.lag = 0

    def snapshot(self) -> RekeySnapshot:
        """A copy to export; may be taken from any thread."""
        return RekeySnapshot(
            topic=self.topic,
            rekeyed=dict(self.rekeyed),
            letters=dict(self.letters),
            transactions=self.transactions,
            aborted=self.aborted,
            fenced=self.fenced,
            partitions=self.partitions,
            last_commit_ms=self.last_commit_ms,
            lag=self.lag,
        )

    def __repr__(self) -> str:
        return f"<RekeyTally: {self.rekeyed.total()} rekeyed, {self.letters.total()} letters>"
