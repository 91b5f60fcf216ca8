"""Records that come again: letters of ingest, sent back to be planned as if they had just been read where they stood.

Whoever sends one back keeps key and value untouched, writes it to the same partition number (its state is there), and
names the place that it came from in a header.
"""

from collections.abc import Collection

import msgspec

from consumer.errors import RecordError
from consumer.model import Record

ORIGIN = "capi.origin"
"""`topic:partition:offset` of the record that became a letter."""


def as_original(record: Record, inputs: Collection[str]) -> Record | RecordError:
    """The record as it stood in one of the `inputs`, or why that can't be told.

    >>> again = Record("capi.ingest-replay", 1, 7, 0, None, b"v", ((ORIGIN, b"orders:1:42"),))
    >>> as_original(again, {"orders"}).origin
    Origin(topic='orders', partition=1, offset=42)
    """
    told = next((value for name, value in record.headers if name == ORIGIN), b"")
    topic, _, place = told.decode(errors="replace").partition(":")
    partition, _, offset = place.partition(":")
    if topic not in inputs or not (_is_number(partition) and _is_number(offset)):
        return RecordError("misdirected", f"the header {ORIGIN} names no record of enrich's inputs")
    if int(partition) != record.partition:
        return RecordError("misdirected", f"it came from partition {partition}, and its state is there")
    return msgspec.structs.replace(record, topic=topic, offset=int(offset))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()
