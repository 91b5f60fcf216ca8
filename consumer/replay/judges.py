"""What a destination says to a letter now, and what ingest says: does it come to something else this time."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from msgspec import Struct

from consumer.deadletter.letter import RECORD_OVERHEAD_BYTES
from consumer.deadletter.read import Read
from consumer.deliver.route import Expire, Refuse, Send, Skip, Wants, route
from consumer.deliver.worth import valued
from consumer.errors import RecordError
from consumer.ingest.decode import Ingest
from consumer.ingest.rekey import rekey
from consumer.model import Conversion, Origin, Record
from consumer.platforms.contract import Platform, Unfit
from consumer.replay.plan import Going, headers_of

REPLAY_ID_BYTES = 64

Originals: TypeAlias = Mapping[Origin, Record]
"""The records behind letters that are cut, of those that are still there."""


class Target(Struct, frozen=True):
    """A topic to which letters go. `max_bytes` is of one record."""

    topic: str
    partitions: int
    max_bytes: int


class LaneJudge:
    """One destination's. Pure but for schemas: raises SchemaUnavailable while one can't be asked."""

    def __init__(
        self,
        platform: Platform,
        wants: Wants,
        decode: Callable[[bytes], Conversion],
        conversions: str,
        target: Target,
        originals: Originals,
        now_ms: int,
    ) -> None:
        """`conversions` is the topic that lanes read; `target` the one to which it goes."""
        self._platform = platform
        self._wants = wants
        self._decode = decode
        self._conversions = conversions
        self._target = target
        self._originals = originals
        self._now_ms = now_ms

    def __call__(self, letter: Read) -> Going | str:
        """The record for its lane, or why it stays."""
        if letter.of.topic != self._conversions or letter.of.partition >= self._target.partitions:
            return "elsewhere"
        record = whole(letter, self._originals)
        if record is None:
            return "truncated"
        try:
            told = valued(self._decode(record.value or b""), self._wants.value)
        except RecordError:
            return "unreadable"
        return self._problem(told) or fitting(
            Going(letter, self._target.topic, letter.of.partition, record.key, record.value), self._target
        )

    def _problem(self, told: Conversion) -> str:
        """Why it would not be sent; "" if it would."""
        match route(told, self._platform, self._wants, 0, self._now_ms):
            case Skip(reason):
                return reason
            case Expire():
                return "too_old"
            case Refuse():
                return "condition"
            case Send():
                event = self._platform.event(told, self._wants.account)
                return "incomplete" if isinstance(event, Unfit) else ""

    def __repr__(self) -> str:
        return f"<LaneJudge {self._platform.name}>"


class Inputs(Struct, frozen=True):
    """What enrich reads. `shop_orders` is the shop's own topic where rekey stands between; "" if nothing does."""

    orders: str
    checkouts: str
    shop_orders: str = ""


class IngestJudge:
    """Of records that ingest could not use. Raises SchemaUnavailable while a schema can't be asked."""

    def __init__(
        self,
        ingest: Ingest,
        inputs: Inputs,
        replay: Target,
        rekeyed: Target,
        originals: Originals,
    ) -> None:
        """`rekeyed` is where rekey writes: a mended order may have another key than it lies under."""
        self._ingest = ingest
        self._inputs = inputs
        self._replay = replay
        self._rekeyed = rekeyed
        self._originals = originals

    def __call__(self, letter: Read) -> Going | str:
        """The record for enrich, or why it stays."""
        inputs = self._inputs
        if letter.of.topic not in {inputs.orders, inputs.checkouts, inputs.shop_orders} - {""}:
            return "elsewhere"
        record = whole(letter, self._originals)
        if record is None:
            return "truncated"
        try:
            self._read(record)
        except RecordError:
            return "unreadable"
        if inputs.shop_orders and record.topic != inputs.checkouts:
            to = rekey(record, self._ingest.order_head, self._rekeyed.partitions)
            if record.topic == inputs.shop_orders or to.key != record.key:
                return fitting(
                    Going(letter, self._rekeyed.topic, to.partition, to.key, record.value), self._rekeyed
                )
        if record.partition >= self._replay.partitions:
            return "elsewhere"
        return fitting(
            Going(letter, self._replay.topic, record.partition, record.key, record.value), self._replay
        )

    def _read(self, record: Record) -> None:
        """Read it as enrich would. Raises RecordError, SchemaUnavailable."""
        if record.topic == self._inputs.checkouts:
            self._ingest.checkout(record)
        elif (head := self._ingest.order_head(record)) is not None:
            self._ingest.order(record, head)

    def __repr__(self) -> str:
        return f"<IngestJudge {self._inputs.orders}, {self._inputs.checkouts}>"


def whole(letter: Read, originals: Originals) -> Record | None:
    """The record that became the letter; None if the letter is cut and the record gone."""
    if letter.truncated:
        return originals.get(letter.of)
    at = letter.of
    return Record(at.topic, at.partition, at.offset, letter.timestamp_ms, letter.key, letter.value)


def fitting(going: Going, target: Target) -> Going | str:
    """What goes, if its topic takes records of that size."""
    headers = sum(len(name) + len(value) for name, value in headers_of(going, " " * REPLAY_ID_BYTES))
    size = len(going.key or b"") + len(going.value or b"") + headers
    return going if size <= target.max_bytes - RECORD_OVERHEAD_BYTES else "too_large"
