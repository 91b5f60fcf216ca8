"""A record of conversions becomes a delivery that can be sent, or ends before that."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from consumer.deliver.delivery import Delivery, Ended
from consumer.deliver.route import Expire, Refuse, Send, Skip, Wants, route
from consumer.deliver.settle import Progress
from consumer.deliver.worth import valued
from consumer.errors import RecordError
from consumer.model import Conversion, Outcome, Record
from consumer.platforms.contract import Platform, Unfit

Decode: TypeAlias = Callable[[bytes], Conversion]
"""Raises RecordError, and SchemaUnavailable if the record must wait."""


class Ready(NamedTuple):
    """A delivery, and the time (epoch ms) before which it can't be sent."""

    delivery: Delivery
    not_before_ms: int


class Intake:
    """Decodes, routes and builds for one destination."""

    def __init__(self, decode: Decode, platform: Platform, wants: Wants, started_ms: int) -> None:
        """`started_ms` is when the destination began."""
        self._decode = decode
        self._platform = platform
        self._wants = wants
        self._started_ms = started_ms

    def decode(self, record: Record) -> Conversion | RecordError:
        """What the record tells, or why it can't be read. Raises SchemaUnavailable."""
        if record.value is None:
            return RecordError("unreadable", "the record has no value")
        try:
            return self._decode(record.value)
        except RecordError as error:
            return error

    def take(
        self, record: Record, told: Conversion | RecordError, progress: Progress, now_ms: int
    ) -> Ready | Ended:
        """What is to be done about a record that `decode` has read."""
        if isinstance(told, RecordError):
            return _refused(record, None, progress, "unreadable", told.reason, str(told))
        return self._routed(record, valued(told, self._wants.value), progress, now_ms)

    def _routed(self, record: Record, told: Conversion, progress: Progress, now_ms: int) -> Ready | Ended:
        way = route(told, self._platform, self._wants, self._started_ms, now_ms)
        match way:
            case Skip(reason):
                return Ended(record, told, progress, Outcome.SKIPPED, reason=reason)
            case Expire():
                why = "the platform's window closed before it was read"
                return Ended(record, told, progress, Outcome.EXPIRED, "expired", letter="expired", why=why)
            case Refuse(why):
                return _refused(record, told, progress, "condition", "when", why)
            case Send(not_before_ms, deadline_ms):
                event = self._platform.event(told, self._wants.account)
                if isinstance(event, Unfit):
                    return _refused(record, told, progress, "incomplete", event.code, event.why)
                return Ready(Delivery(record, told, progress, event, deadline_ms), not_before_ms)

    def left_in_flight(self, record: Record, told: Conversion | RecordError, progress: Progress) -> Ended:
        """How a record ends that a process before was about to send, or had sent, when it ended itself."""
        conversion = told if isinstance(told, Conversion) else None
        why = "a crash left it in flight"
        return Ended(record, conversion, progress, Outcome.UNKNOWN, "unknown", letter="unknown", why=why)

    def __repr__(self) -> str:
        return f"<Intake {self._platform.name}: {', '.join(sorted(self._wants.events))}>"


def _refused(
    record: Record, told: Conversion | None, progress: Progress, reason: str, code: str, why: str
) -> Ended:
    return Ended(record, told, progress, Outcome.REJECTED, reason, code=code, letter=reason, why=why)
