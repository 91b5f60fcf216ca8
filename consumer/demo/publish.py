"""The shop's traffic, written to Kafka: what `emulators.shop` tells, encoded and produced."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol, TypeAlias

import msgspec

from consumer.avrojson import as_avro
from consumer.codec import Encoder, load_schema, parse_schema, schemas_dir
from consumer.emulators.shop import Damage, PixelFire, Published, Topic, Truth
from consumer.emulators.shop.records import Fields
from consumer.emulators.shop.shapes import SHAPES
from consumer.errors import ConfigurationError, Unreachable
from consumer.kafka.writer import Writer
from consumer.settings import Settings

Encode: TypeAlias = Callable[[Fields | None], bytes | None]
"""A record's fields, or None for a deleted one, to its value; None is a tombstone."""

UNKNOWN_SCHEMA_ID = 2_000_000_000
"""Far above what a registry gives out."""
FLUSH_TIMEOUT_S = 60.0
POLL_EVERY = 500


class Schemas(Protocol):
    """A registry that takes schemas."""

    def register(self, subject: str, schema_json: str) -> int:
        """The id of the schema under the subject. Raises Unreachable, Refused, ConfigurationError."""
        ...


def write_truth(path: Path, told: Iterable[Truth | PixelFire]) -> int:
    """Write each truth as a line of JSON; how many. Raises ConfigurationError if the file can't be written."""
    lines = 0
    try:
        with path.open("wb") as file:
            for truth in told:
                if isinstance(truth, Truth):
                    file.write(msgspec.json.encode(truth) + b"\n")
                    lines += 1
    except OSError as error:
        message = f"{path}: {error.strerror}; name a file that can be written with --truth"
        raise ConfigurationError(message) from None
    return lines


class Publisher:
    """Writes a shop's records. `written` counts them by topic; `close` ends the client."""

    def __init__(self, settings: Settings, schemas: Schemas, shape: str = "") -> None:
        """Registers the schemas of both topics, those of a platform's shape if one is named.

        Raises Unreachable, Refused.
        """
        self._names = {Topic.ORDERS: settings.topics.orders, Topic.CHECKOUTS: settings.topics.checkouts}
        self._encoders: dict[Topic, Encode] = {
            topic: _encode(schemas, name, topic, shape) for topic, name in self._names.items()
        }
        self._writer = Writer(settings.kafka, client_id="capi-shop")
        self._failed = 0
        self.written: Counter[str] = Counter()

    def publish(self, told: Iterable[Published | Truth | PixelFire]) -> Iterator[Truth | PixelFire]:
        """Write the records in their order and hand on the rest. Raises Unreachable if a record was not taken."""
        for one in told:
            if isinstance(one, Published):
                self._write(one)
            else:
                yield one
        left = self._writer.flush(FLUSH_TIMEOUT_S)
        if left or self._failed:
            message = f"{left + self._failed} of the shop's records were not taken by Kafka"
            raise Unreachable(message)

    def close(self) -> None:
        """End the client's threads; gives up what is still under way."""
        self._writer.close()

    def __repr__(self) -> str:
        return f"<Publisher: {self.written.total()} written>"

    def _write(self, record: Published) -> None:
        self._writer.produce(
            self._names[record.topic],
            self._value(record),
            key=None if record.key is None else record.key.encode(),
            timestamp_ms=record.at_ms,
            on_delivered=self._delivered,
        )
        self.written[record.topic.value] += 1
        if self.written.total() % POLL_EVERY == 0:
            self._writer.poll()

    def _value(self, record: Published) -> bytes | None:
        if record.value is None:
            return self._encoders[record.topic](None)
        whole = self._encoders[record.topic](record.value) or b""
        match record.damage:
            case Damage.NONE:
                return whole
            case Damage.GARBAGE:
                return b"\xff\xfe" + whole[2:40]
            case Damage.TRUNCATED:
                return whole[: len(whole) // 2]
            case Damage.UNKNOWN_SCHEMA:
                return b"\x00" + UNKNOWN_SCHEMA_ID.to_bytes(4, "big") + whole[5:]

    def _delivered(self, offset: int | None) -> None:
        self._failed += offset is None


def _encode(schemas: Schemas, name: str, topic: Topic, shape: str) -> Encode:
    """What writes the records of a topic of this name."""
    kind = "order" if topic is Topic.ORDERS else "checkout"
    text = (
        (schemas_dir() / "shops" / shape / f"{kind}.avsc").read_text(encoding="utf-8")
        if shape
        else load_schema(kind)
    )
    encode: Encoder[Mapping[str, object]] = Encoder(text, schemas.register(f"{name}-value", text))
    if not shape:
        return lambda fields: None if fields is None else encode(fields)
    schema = parse_schema(text)

    def shaped(fields: Fields | None) -> bytes | None:
        told = SHAPES[shape].told(topic, fields)
        return None if told is None else encode(as_avro(schema, told))

    return shaped
