"""Conversions and endings, written fast, are what the schemas say."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec
from msgspec import json

from consumer.codec import Decoder, Encoder, load_schema, schemas_dir
from consumer.enrich.encoders import encoders
from consumer.model import Conversion, OrderEnding

T = TypeVar("T", bound=msgspec.Struct)
REGISTERED = {"capi.conversions-value": 3, "capi.endings-value": 4}


def rewritten(kind: type[T], name: str, write: Callable[[T], bytes]) -> Iterator[tuple[bytes, bytes]]:
    """The released examples, by the schema alone and by our writer, twice."""
    schema = load_schema(name)
    plain: Encoder[dict[str, object]] = Encoder(schema, REGISTERED[f"capi.{name}s-value"])
    read: Decoder[T] = Decoder(kind, schema, lambda _: schema)
    for path in sorted((schemas_dir() / name / "examples").glob("*.json")) * 2:
        value = plain(json.decode(path.read_bytes(), type=dict[str, object]))
        yield value, write(read(value))


def test_examples_are_written_as_by_the_schema_alone() -> None:
    """Under the ids that the registry gave for the topics' subjects, the first time and again."""
    made = encoders("capi", lambda subject, _: REGISTERED[subject])
    pairs = [
        *rewritten(Conversion, "conversion", made.conversion),
        *rewritten(OrderEnding, "ending", made.ending),
    ]
    assert len(pairs) > 8
    assert [value for value, again in pairs if again != value] == []
