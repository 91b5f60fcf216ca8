"""A record of conversions becomes a delivery that can be sent, or ends before that."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from consumer.deliver.delivery import Delivery, Done, Ended
from consumer.deliver.later import NO_HISTORY, Deferred, History
from consumer.deliver.route import Expire, Refuse, Send, Skip, Wants, route
from consumer.deliver.settle import Progress
from consumer.deliver.tally import MatchTally
from consumer.deliver.worth import valued
from consumer.errors import RecordError
from consumer.model import Conversion, Outcome, Record
from consumer.platforms.contract import Platform, Unfit

Decode: TypeAlias = Callable[[bytes], Conversion]
"""Raises RecordError, and SchemaUnavailable if the record must wait."""


DEFER_FROM_MS = 60_000
"""A delivery whose time is further ahead is put aside: until then it would hold the watermark."""


class Ready(NamedTuple):
    """A delivery, and the time (epoch ms) before which it can't be sent."""

    delivery: Delivery
    not_before_ms: int


class Place(NamedTuple):
    """Where a record was read, and what was done about it before, if it was put aside."""

    progress: Progress
    offset: int
    history: History = NO_HISTORY
    not_before_ms: int = 0


class Intake:
    """Decodes, routes and builds for one destination."""

    def __init__(
        self, decode: Decode, platform: Platform, wants: Wants, started_ms: int, match: MatchTally
    ) -> None:
        """`started_ms` is when the destination began; `match` counts what is built."""
        self._decode = decode
        self._platform = platform
        self._wants = wants
        self._started_ms = started_ms
        self._match = match

    @property
    def takes_refunds(self) -> bool:
        """Whether the order of a purchase and its refund matters."""
        return "refund" in self._platform.events and "refund" in self._wants.events

    def decode(self, record: Record) -> Conversion | RecordError:
        """What the record tells, or why it can't be read. Raises SchemaUnavailable."""
        if record.value is None:
            return RecordError("unreadable", "the record has no value")
        try:
            return valued(self._decode(record.value), self._wants.value)
        except RecordError as error:
            return error

    def take(self, record: Record, told: Conversion | RecordError, place: Place, now_ms: int) -> Ready | Done:
        """What is to be done about a record that `decode` has read."""
        if isinstance(told, RecordError):
            return _refused(record, None, place, "unreadable", told.reason, str(told))
        match route(told, self._platform, self._wants, self._started_ms, now_ms):
            case Skip(reason):
                return _ended(record, told, place, Outcome.SKIPPED, reason)
            case Expire():
                why = "the platform's window closed before it was sent"
                return _ended(record, told, place, Outcome.EXPIRED, "expired", letter="expired", why=why)
            case Refuse(why):
                return _refused(record, told, place, "condition", "when", why)
            case Send() as way:
                return self._sent(record, told, place, way, now_ms)

    def _sent(self, record: Record, told: Conversion, place: Place, way: Send, now_ms: int) -> Ready | Done:
        not_before_ms = max(way.not_before_ms, place.not_before_ms)
        if not_before_ms > now_ms + DEFER_FROM_MS:
            return put_aside(record, told, place, not_before_ms)
        event = self._platform.event(told, self._wants.account)
        if isinstance(event, Unfit) and self._wants.skips_incomplete:
            return _ended(record, told, place, Outcome.SKIPPED, event.code)
        if isinstance(event, Unfit):
            return _refused(record, told, place, "incomplete", event.code, event.why)
        self._match.built(told.event_name, event, self._platform.identifiers)
        return Ready(_delivery(record, told, place, event, way.deadline_ms), not_before_ms)

    def left_in_flight(self, record: Record, told: Conversion | RecordError, place: Place) -> Ended:
        """How a record ends that a process before was about to send, or had sent, when it ended itself."""
        conversion = told if isinstance(told, Conversion) else None
        why = "a crash left it in flight"
        return _ended(record, conversion, place, Outcome.UNKNOWN, "unknown", letter="unknown", why=why)

    def __repr__(self) -> str:
        return f"<Intake {self._platform.name}: {', '.join(sorted(self._wants.events))}>"


def put_aside(record: Record, told: Conversion, place: Place, not_before_ms: int) -> Deferred:
    """Its time is still to come."""
    return Deferred(record, told, place.progress, place.offset, not_before_ms, place.history)


def _delivery(record: Record, told: Conversion, place: Place, event: bytes, deadline_ms: int) -> Delivery:
    history = place.history
    return Delivery(
        *(record, told, place.progress, place.offset, event, deadline_ms),
        alone=history.alone,
        attempts=history.attempts,
        first_attempt_at_ms=history.first_attempt_at_ms,
        replay_id=history.replay_id,
    )


def _ended(
    record: Record,
    told: Conversion | None,
    place: Place,
    outcome: Outcome,
    reason: str,
    *,
    code: str = "",
    letter: str = "",
    why: str = "",
) -> Ended:
    return Ended(
        *(record, told, place.progress, place.offset, outcome, reason, code),
        attempts=place.history.attempts,
        first_attempt_at_ms=place.history.first_attempt_at_ms,
        replay_id=place.history.replay_id,
        letter=letter,
        why=why,
    )


def _refused(
    record: Record, told: Conversion | None, place: Place, reason: str, code: str, why: str
) -> Ended:
    return _ended(record, told, place, Outcome.REJECTED, reason, code=code, letter=reason, why=why)
