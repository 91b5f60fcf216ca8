"""What must hold of a whole run, as objects that see all that went in and all that came out, and judge at the end.

Each gives sentences about what is wrong; none if the guarantee was kept.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from consumer.emulators.shop import Published, Truth
from consumer.model import OrderEnding, Origin, Outcome, Receipt

NAMED_MAX = 5
CONVERTED_CAUSES = frozenset({"", "consent_denied", "consent_missing", "no_identifiers"})
"""Causes for which a platform gets nothing although there is a conversion: it is the lane that skips it."""


class EachOnce:
    """Every event that counts becomes one conversion; nothing else does."""

    def __init__(self) -> None:
        self._must: dict[str, str] = {}
        self._are: Counter[str] = Counter()

    def truth(self, truths: Iterable[Truth]) -> None:
        """See what must come of the shop's records."""
        for truth in truths:
            if truth.cause in CONVERTED_CAUSES:
                self._must[truth.event_id] = truth.event

    def out(self, event_ids: Iterable[str]) -> None:
        """See conversions as a reader of committed records does."""
        self._are.update(event_ids)

    def __len__(self) -> int:
        return len(self._must)

    def violations(self) -> Iterator[str]:
        """What is wrong."""
        if missing := self._must.keys() - self._are.keys():
            yield f"{len(missing)} of {len(self._must)} never came: {_named(missing)}"
        if extra := self._are.keys() - self._must.keys():
            yield f"{len(extra)} should not be there: {_named(extra)}"
        if twice := [event_id for event_id, count in self._are.items() if count > 1]:
            yield f"{len(twice)} came more than once: {_named(twice)}"

    def __repr__(self) -> str:
        return f"<EachOnce: {len(self._must)} events, {self._are.total()} conversions>"


class OneLetterEach:
    """Every record that can't be used has one letter; no other record has."""

    def __init__(self) -> None:
        self._damaged = 0
        self._letters: Counter[tuple[str, str, str]] = Counter()
        self._reasons: Counter[str] = Counter()

    def published(self, records: Iterable[Published]) -> None:
        """See what the shop published: damaged bytes must be letters."""
        self._damaged += sum(1 for record in records if record.damage)

    def out(self, headers: Iterable[Mapping[str, str]]) -> None:
        """See the headers of letters."""
        for each in headers:
            self._letters[
                each["__connect.errors.topic"],
                each["__connect.errors.partition"],
                each["__connect.errors.offset"],
            ] += 1
            self._reasons[each["dlq.reason"]] += 1

    def violations(self) -> Iterator[str]:
        """What is wrong."""
        if twice := [at for at, count in self._letters.items() if count > 1]:
            yield f"{len(twice)} records have several letters: {_named(':'.join(at) for at in twice)}"
        if self._reasons["undecodable"] != self._damaged:
            yield f"{self._damaged} damaged records, {self._reasons['undecodable']} letters about damage"

    def __repr__(self) -> str:
        return f"<OneLetterEach: {self._damaged} damaged, {self._letters.total()} letters>"


class OneEndingEach:
    """No record has two endings, however many lives the work took: one planned again would be a reread."""

    def __init__(self) -> None:
        self._ended: Counter[str] = Counter()

    def out(self, endings: Iterable[str]) -> None:
        """See where the records stand (topic:partition:offset) whose endings were counted."""
        self._ended.update(endings)

    def __len__(self) -> int:
        return len(self._ended)

    def violations(self) -> Iterator[str]:
        """What is wrong."""
        if twice := [at for at, count in self._ended.items() if count > 1]:
            yield f"{len(twice)} records have several endings: {_named(twice)}"

    def __repr__(self) -> str:
        return f"<OneEndingEach: {len(self)} records>"


class EachEndingTold:
    """Every order's record has one ending in the topic of endings, however many lives the work took."""

    def __init__(self) -> None:
        self._read: set[Origin] = set()
        self._told: Counter[Origin] = Counter()

    def read(self, places: Iterable[Origin]) -> None:
        """See where the orders' records stand."""
        self._read.update(places)

    def out(self, endings: Iterable[OrderEnding]) -> None:
        """See endings as a reader of committed records does."""
        self._told.update(Origin(each.topic, each.partition, each.offset) for each in endings)

    def violations(self) -> Iterator[str]:
        """What is wrong."""
        if missing := self._read - self._told.keys():
            yield f"{len(missing)} of {len(self._read)} have no ending: {_named(map(str, missing))}"
        if extra := self._told.keys() - self._read:
            yield f"{len(extra)} endings are of no record: {_named(map(str, extra))}"
        if twice := [at for at, count in self._told.items() if count > 1]:
            yield f"{len(twice)} have more than one: {_named(map(str, twice))}"

    def __repr__(self) -> str:
        return f"<EachEndingTold: {len(self._read)} records, {self._told.total()} endings>"


class MovedOnce:
    """A topic holds another one's records, each once, and those of one key in one partition in their order."""

    def __init__(self) -> None:
        self._read: Counter[bytes | None] = Counter()
        self._written: Counter[bytes | None] = Counter()
        self._source: dict[bytes, list[bytes]] = {}
        self._target: dict[tuple[bytes, int], list[bytes]] = {}
        self._key_of: dict[bytes, bytes] = {}

    def read(self, records: Iterable[tuple[bytes | None, bytes | None]]) -> None:
        """See keys and values of the first topic, in order; to be called before `written`."""
        for key, value in records:
            self._read[value] += 1
            if key is not None and value is not None:
                self._source.setdefault(key, []).append(value)
                self._key_of[value] = key

    def written(self, partition: int, values: Iterable[bytes | None]) -> None:
        """See the values of a partition of the second topic, in order."""
        for value in values:
            self._written[value] += 1
            key = self._key_of.get(value) if value is not None else None
            if key is not None and value is not None:
                self._target.setdefault((key, partition), []).append(value)

    def __len__(self) -> int:
        return self._read.total()

    def violations(self) -> Iterator[str]:
        """What is wrong."""
        if missing := self._read - self._written:
            yield f"{missing.total()} of {self._read.total()} records never came"
        if extra := self._written - self._read:
            yield f"{extra.total()} records came that should not be there"
        if turned := [key for (key, _), values in self._target.items() if not self._in_order(key, values)]:
            yield f"{len(turned)} keys' records are not in their order: {_named(map(repr, turned))}"

    def _in_order(self, key: bytes, values: Iterable[bytes]) -> bool:
        left = iter(self._source[key])
        return all(value in left for value in values)

    def __repr__(self) -> str:
        return f"<MovedOnce: {self._read.total()} read, {self._written.total()} written>"


class Conservation:
    """Every record read has one ending; those that wait have none yet."""

    def __init__(self) -> None:
        self._published: Counter[str] = Counter()
        self._read: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()
        self._waiting = 0

    def published(self, written: Mapping[str, int]) -> None:
        """See how many records were published, by topic."""
        self._published.update(written)

    def counted(self, read: Mapping[str, int], endings: Mapping[str, int], waiting: int) -> None:
        """See what a process counted from its start, with empty state, to its end. Endings are `topic ending`."""
        self._read.update(read)
        for name, count in endings.items():
            self._ended[name.partition(" ")[0]] += count
        self._waiting += waiting

    def violations(self) -> Iterator[str]:
        """What is wrong."""
        for topic, count in self._published.items():
            if self._read[topic] != count:
                yield f"{topic}: {count} published, {self._read[topic]} read"
        for topic, count in self._read.items():
            ended = self._ended[topic]
            if not ended <= count <= ended + self._waiting:
                yield f"{topic}: {count} read, {ended} ended, {self._waiting} wait"
        if self._read.total() != self._ended.total() + self._waiting:
            yield f"{self._read.total()} read, {self._ended.total()} ended, {self._waiting} wait"

    def __repr__(self) -> str:
        return f"<Conservation: {self._published.total()} published, {self._ended.total()} ended>"


class SameState:
    """The stores hold what the changelog says, key by key."""

    def __init__(self) -> None:
        self._logged: dict[int, dict[bytes, bytes]] = {}
        self._stored: dict[int, dict[bytes, bytes]] = {}

    def logged(self, partition: int, records: Iterable[tuple[bytes, bytes | None]]) -> None:
        """See a partition of the changelog, in order: the last value wins, None removes."""
        state = self._logged.setdefault(partition, {})
        for key, value in records:
            if value is None:
                state.pop(key, None)
            else:
                state[key] = value

    def stored(self, partition: int, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """See a store whole."""
        self._stored[partition] = dict(rows)

    def __len__(self) -> int:
        return sum(len(state) for state in self._logged.values())

    def violations(self) -> Iterator[str]:
        """What is wrong."""
        for partition in sorted(self._logged.keys() | self._stored.keys()):
            logged, stored = self._logged.get(partition, {}), self._stored.get(partition, {})
            if lacking := logged.keys() - stored.keys():
                yield f"partition {partition}: the store lacks {len(lacking)} keys: {_named(map(repr, lacking))}"
            if extra := stored.keys() - logged.keys():
                yield f"partition {partition}: the store has {len(extra)} keys more: {_named(map(repr, extra))}"
            if other := [key for key in logged.keys() & stored.keys() if logged[key] != stored[key]]:
                yield f"partition {partition}: {len(other)} keys have other values: {_named(map(repr, other))}"

    def __repr__(self) -> str:
        return f"<SameState: {len(self)} keys in {len(self._logged)} partitions>"


def _named(names: Iterable[str]) -> str:
    some = sorted(names)
    return ", ".join(some[:NAMED_MAX]) + (", …" if len(some) > NAMED_MAX else "")


class OneOutcomeEach:
    """Every conversion has an outcome at a destination: a late receipt, else the readers' first, counts."""

    def __init__(self, destination: str) -> None:
        self._destination = destination
        self._owed: dict[tuple[int, int], str] = {}
        self._receipts: dict[tuple[int, int], list[Receipt]] = {}

    def owed(self, written: Mapping[tuple[int, int], str]) -> None:
        """See conversions: (partition, offset) to the event id."""
        self._owed.update(written)

    def receipts(self, receipts: Iterable[Receipt]) -> None:
        """See receipts, of other destinations as well."""
        for receipt in receipts:
            if receipt.destination == self._destination:
                at = (receipt.conversion_partition, receipt.conversion_offset)
                self._receipts.setdefault(at, []).append(receipt)

    @property
    def outcomes(self) -> Counter[str]:
        """How many conversions have which outcome."""
        order = [outcome.value for outcome in Outcome]
        return Counter(
            min(of, key=lambda each: (not each.late, order.index(each.outcome))).outcome
            for at, of in self._receipts.items()
            if at in self._owed
        )

    def violations(self) -> Iterator[str]:
        """What is wrong."""
        if missing := self._owed.keys() - self._receipts.keys():
            yield f"{len(missing)} of {len(self._owed)} have no receipt: {_named(map(str, missing))}"
        if extra := self._receipts.keys() - self._owed.keys():
            yield f"{len(extra)} receipts are of nothing that was owed: {_named(map(str, extra))}"
        if foreign := [
            at for at, of in self._receipts.items() if any(each.event_id != self._owed.get(at) for each in of)
        ]:
            yield f"{len(foreign)} receipts bear another's event id: {_named(map(str, foreign))}"

    def __repr__(self) -> str:
        return f"<OneOutcomeEach {self._destination}: {len(self._owed)} owed, {len(self._receipts)} ended>"


class Resent:
    """After a crash only that is sent again which the platform had taken and no commit told of."""

    def __init__(self) -> None:
        self._seen: list[str] = []
        self._open: set[str] = set()
        self._repeats: list[tuple[int, int]] = []
        self._wrong: list[str] = []

    def killed(
        self,
        written: Mapping[tuple[int, int], str],
        committed: Mapping[int, tuple[int, str]],
        accepted: Sequence[str],
    ) -> None:
        """See what is committed (offset and metadata, by partition) and all that the platform ever took, in order."""
        self._judge(accepted)
        self._open = set(accepted) - set(_settled(written, committed))

    def ended(self, accepted: Sequence[str]) -> None:
        """See all that the platform ever took, once more."""
        self._judge(accepted)

    def _judge(self, accepted: Sequence[str]) -> None:
        before, since = set(self._seen), accepted[len(self._seen) :]
        again = [event_id for event_id in since if event_id in before]
        if unasked := set(again) - self._open:
            self._wrong.append(f"{len(unasked)} were sent again though they were settled: {_named(unasked)}")
        if twice := [event_id for event_id, count in Counter(since).items() if count > 1]:
            self._wrong.append(f"{len(twice)} were sent twice by one process: {_named(twice)}")
        self._repeats.append((len(again), len(self._open)))
        self._seen = list(accepted)

    @property
    def repeats(self) -> list[tuple[int, int]]:
        """For each process how many it sent again, and how many it could not know of."""
        return self._repeats

    def violations(self) -> Iterator[str]:
        """What is wrong."""
        yield from self._wrong

    def __repr__(self) -> str:
        return f"<Resent: {self._repeats}>"


def _settled(
    written: Mapping[tuple[int, int], str], committed: Mapping[int, tuple[int, str]]
) -> Iterator[str]:
    """Event ids below the committed offset, and in the runs beside it (`1:`, then open and settled by turns)."""
    for partition, (offset, metadata) in committed.items():
        offsets = sorted(at for of, at in written if of == partition)
        yield from (written[partition, at] for at in offsets if at < offset)
        above = iter([at for at in offsets if at >= offset])
        for place, length in enumerate(metadata.removeprefix("1:").split(".") if metadata else ()):
            run = [written[partition, at] for at in islice(above, int(length))]
            yield from run if place % 2 else ()
