"""What a letter's value tells, decoded by the schema that wrote it, and masked."""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from consumer.avro import Mismatch, Reader, Schema, compile_reader
from consumer.codec import BODY_AT, check_end, parse_schema, unframe
from consumer.codec import read as read_avro
from consumer.contracts import newest
from consumer.deadletter.masked import HIDDEN, masked
from consumer.deadletter.read import Read
from consumer.errors import RecordError, SchemaUnavailable, Undecodable
from consumer.forms import KIND_OF
from consumer.ingest.decode import references
from consumer.ingest.harmless import OF_CONVERSIONS, ways_of
from consumer.ingest.rules import Mappings
from consumer.ingest.targets import Group, targets
from consumer.settings import TopicSettings

CONVERSION = "conversion"
_IDS = ("order_id", "checkout_id")
_MAPS = ("identity", "click_ids")


class Told(Struct, frozen=True):
    """What it tells. `kind` is order, checkout or conversion; `key` is the record's, if it is an id that is shown.

    `note` says what a reader must know of how it was decoded.
    """

    kind: str
    schema_id: int
    fields: object
    key: str
    note: str = ""


class Unread(Struct, frozen=True):
    """It can't be decoded, and why. The text holds nothing of the value."""

    why: str


class _Decoded(Struct, frozen=True):
    kind: str
    schema_id: int
    writer: Schema
    value: Any
    note: str


class _Kept(Struct, frozen=True):
    """A writer's schema, and its reader."""

    writer: Schema
    reader: Reader
    note: str = ""


class Contents:
    """Decodes letters of one prefix, a schema compiled once.

    `by_id` gives a writer's schema and raises SchemaUnavailable or UnknownSchema; an id that it can't give is not asked
    for again.
    """

    def __init__(self, topics: TopicSettings, mappings: Mappings, by_id: Callable[[int], str]) -> None:
        self._kinds = {
            topics.orders: "order",
            topics.orders_by_checkout: "order",
            topics.checkouts: "checkout",
            f"{topics.prefix}.conversions": CONVERSION,
        }
        self._by_id = by_id
        of_conversions = parse_schema(newest(CONVERSION))
        self._ways = {
            CONVERSION: ways_of(of_conversions, harmless=OF_CONVERSIONS),
            **{kind: ways_of(reference, mappings.get(kind)) for kind, reference in references().items()},
        }
        self._kept: dict[tuple[str, int], _Kept | Unread] = {}

    def told(self, letter: Read) -> Told | Unread:
        """What may be seen of its value."""
        decoded = self._decoded(letter)
        if isinstance(decoded, Unread):
            return decoded
        ways = self._ways[decoded.kind]
        fields = masked(decoded.value, ways.shown(decoded.value), decoded.writer)
        if decoded.kind == CONVERSION and isinstance(fields, dict):
            fields.update(_forms(decoded.value))
        ids = {str(value) for name in _IDS for value in ways.values(decoded.value, name)}
        key = (letter.key or b"").decode(errors="replace")
        is_id = key in ids or key.removeprefix("order:") in ids
        return Told(decoded.kind, decoded.schema_id, fields, key if is_id else HIDDEN, decoded.note)

    def tells_of(self, letter: Read, orders: frozenset[str]) -> bool:
        """Whether it is of one of these orders, by their ids."""
        if any(_is_event_of(letter.event_id, order) for order in orders):
            return True
        value = letter.value or b""
        if self._kinds.get(letter.of.topic) == CONVERSION and not any(
            each.encode() in value for each in orders
        ):
            return False
        decoded = self._decoded(letter)
        return not isinstance(decoded, Unread) and any(
            str(found) in orders for found in self._ways[decoded.kind].values(decoded.value, "order_id")
        )

    def _decoded(self, letter: Read) -> _Decoded | Unread:
        kind, value = self._kinds.get(letter.of.topic), letter.value
        if value is None:
            return Unread("there is no value")
        if letter.truncated:
            return Unread(f"the letter is cut; the record had {letter.truncated} bytes")
        if kind is None:
            return Unread(f"the settings don't say what {letter.of.topic} holds")
        try:
            schema_id = unframe(value)
            kept = self._schema(kind, schema_id)
            if isinstance(kept, Unread):
                return kept
            decoded, end = read_avro(kept.reader, value, schema_id, BODY_AT)
            check_end(value, end, schema_id)
        except RecordError as error:
            return Unread(str(error))
        return _Decoded(kind, schema_id, kept.writer, decoded, kept.note)

    def _schema(self, kind: str, schema_id: int) -> _Kept | Unread:
        if (kept := self._kept.get((kind, schema_id))) is None:
            kept = self._kept[kind, schema_id] = self._found(kind, schema_id)
        return kept

    def _found(self, kind: str, schema_id: int) -> _Kept | Unread:
        note = ""
        try:
            text = self._by_id(schema_id)
        except SchemaUnavailable:
            if kind != CONVERSION:
                return Unread(
                    f"schema {schema_id} can't be had: the registry doesn't answer, or doesn't know it"
                )
            text, note = (
                newest(CONVERSION),
                f"by our newest schema: the registry does not give schema {schema_id}",
            )
        except RecordError as error:
            return Unread(str(error))
        try:
            writer = parse_schema(text)
            return _Kept(writer, compile_reader(writer), note)
        except (Undecodable, Mismatch) as error:
            return Unread(f"schema {schema_id}: {error}")

    def __repr__(self) -> str:
        return f"<Contents: {len(self._kept)} schemas>"


def _is_event_of(event_id: str, order: str) -> bool:
    return event_id == f"purchase:{order}" or event_id.startswith(f"refund:{order}:")


def _forms(conversion: Mapping[str, Any]) -> Mapping[str, object]:
    """Which identifiers and click ids there are, without what they are."""
    known = {*KIND_OF, *_browser()}
    return {
        name: {key: HIDDEN for key in conversion[name] if key in known}
        for name in _MAPS
        if conversion.get(name)
    }


def _browser() -> tuple[str, ...]:
    """Names of click ids and cookies."""
    browser = targets(references()["checkout"])["browser"]
    return tuple(browser.fields) if isinstance(browser, Group) else ()
