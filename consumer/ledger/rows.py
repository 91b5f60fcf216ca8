"""A record of one of our topics becomes a row, or nothing where it is none of ours.

Endings, receipts and letters are what this product wrote; anyone else's records in these topics are counted and left.
"""

from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from consumer.codec import Decoder, load_schema
from consumer.deadletter import read as deadletter
from consumer.errors import RecordError, SchemaUnavailable
from consumer.ledger.tables import ConversionRow, EndingRow, LaterRow, LetterRow, ReceiptRow, Row
from consumer.model import Conversion, OrderEnding, Receipt, Record

Told = TypeVar("Told", Conversion, Receipt, OrderEnding)

_DESTINATION = "capi.destination"
_ORIGIN = "capi.origin"
_NOT_BEFORE = "capi.not_before_ms"
_ATTEMPTS = "capi.attempts"


class Rows:
    """Makes rows; `foreign` counts, by topic, the records that are none."""

    def __init__(self, prefix: str, schema_by_id: Callable[[int], str]) -> None:
        self.foreign: Counter[str] = Counter()
        self._conversions = f"{prefix}.conversions"
        self._letters = f"{prefix}.dlq."
        self._conversion = Decoder(Conversion, load_schema("conversion"), schema_by_id)
        self._receipt = Decoder(Receipt, load_schema("receipt"), schema_by_id)
        self._ending = Decoder(OrderEnding, load_schema("ending"), schema_by_id)
        self._makers: dict[str, Callable[[Record], Row | None]] = {
            self._conversions: self._of_conversion,
            f"{prefix}.receipts": self._of_receipt,
            f"{prefix}.endings": self._of_ending,
            f"{prefix}.later": self._of_later,
        }

    def of(self, record: Record) -> Row | None:
        """The row of a record; None for a foreign one. Raises SchemaUnavailable: ask again later."""
        make = self._makers.get(record.topic)
        row = make(record) if make is not None else self._of_letter(record)
        if row is None:
            self.foreign[record.topic] += 1
        return row

    def _of_conversion(self, record: Record) -> ConversionRow:
        """Always a row: what can't be read is owed an outcome as well."""
        at = record.partition, record.offset, record.timestamp_ms
        told = _decoded(self._conversion, record)
        if told is None:
            return ConversionRow(*at)
        return ConversionRow(
            *at,
            event_id=told.event_id,
            event=told.event_name,
            event_time_ms=told.event_time,
            order_id=told.order_id,
            checkout_id=told.checkout_id,
            value_minor=told.value_minor,
            currency=told.currency,
            order_only=told.order_only,
            email=told.identity.get("email", ""),
            origin_topic=told.origin_topic,
            origin_partition=told.origin_partition,
            origin_offset=told.origin_offset,
        )

    def _of_receipt(self, record: Record) -> ReceiptRow | None:
        told = _decoded(self._receipt, record)
        if told is None or told.conversion_topic != self._conversions:
            return None
        return ReceiptRow(
            at_partition=record.partition,
            at_offset=record.offset,
            at_ms=record.timestamp_ms,
            of_partition=told.conversion_partition,
            of_offset=told.conversion_offset,
            destination=told.destination,
            platform=told.platform,
            outcome=told.outcome,
            reason=told.reason,
            code=told.code,
            http_status=told.http_status,
            attempts=told.attempts,
            replay_id=told.replay_id,
            late=told.late,
            first_attempt_at_ms=told.first_attempt_at_ms,
            settled_at_ms=told.settled_at_ms,
        )

    def _of_ending(self, record: Record) -> EndingRow | None:
        told = _decoded(self._ending, record)
        if told is None:
            return None
        return EndingRow(
            at_partition=record.partition,
            at_offset=record.offset,
            at_ms=record.timestamp_ms,
            of_topic=told.topic,
            of_partition=told.partition,
            of_offset=told.offset,
            order_id=told.order_id,
            checkout_id=told.checkout_id,
            ending=told.ending,
            reason=told.reason,
            event_ids=told.event_ids,
            value_minor=told.value_minor,
            currency=told.currency,
            paid=told.paid,
        )

    def _of_later(self, record: Record) -> LaterRow | None:
        told = {name: value.decode("utf-8", "replace") for name, value in record.headers}
        topic, _, offset = told.get(_ORIGIN, "").rpartition(":")
        topic, _, partition = topic.rpartition(":")
        try:
            at = int(partition), int(offset)
            due_ms, attempts = int(told.get(_NOT_BEFORE, "0")), int(told.get(_ATTEMPTS, "0"))
        except ValueError:
            return None
        if topic != self._conversions or not told.get(_DESTINATION):
            return None
        place = record.partition, record.offset, record.timestamp_ms
        return LaterRow(*place, *at, told[_DESTINATION], due_ms, attempts)

    def _of_letter(self, record: Record) -> LetterRow | None:
        told = deadletter.read(record) if record.topic.startswith(self._letters) else None
        if told is None:
            return None
        return LetterRow(
            at_topic=record.topic,
            at_partition=record.partition,
            at_offset=record.offset,
            at_ms=record.timestamp_ms,
            of_topic=told.of.topic,
            of_partition=told.of.partition,
            of_offset=told.of.offset,
            stage=told.stage,
            reason=told.reason,
            fault=told.fault,
            message=told.message,
            destination=told.destination,
            code=told.code,
            http_status=told.http_status,
            attempts=told.attempts,
            event_id=told.event_id,
        )

    def __repr__(self) -> str:
        return f"<Rows: {self.foreign.total()} foreign>"


def _decoded(decode: Decoder[Told], record: Record) -> Told | None:
    """What the record says; None if it can't be read. Raises SchemaUnavailable."""
    try:
        return decode(record.value or b"")
    except SchemaUnavailable:
        raise
    except RecordError:
        return None
