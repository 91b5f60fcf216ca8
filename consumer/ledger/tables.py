"""The rows of the ledger's tables. Each table is one of these structs: its columns are the fields, in their order.

A row stands where its record stands: `at_partition`, `at_offset`, and `at_ms`, the record's timestamp. `of_partition`
and `of_offset` say which conversion it is about. Nothing here tells who a customer is but the hash of an e-mail, which
is there to be asked for.
"""

from collections.abc import Mapping
from typing import TypeAlias, get_type_hints

from msgspec import Struct

VERSION = 1
"""Of the tables. A file of another version is made anew from the topics."""


class ConversionRow(Struct, frozen=True, gc=False):
    """A conversion; of one that can't be read there is only the place, which is owed all the same."""

    at_partition: int
    at_offset: int
    at_ms: int
    event_id: str = ""
    event: str = ""
    event_time_ms: int = 0
    order_id: str = ""
    checkout_id: str = ""
    value_minor: int = 0
    currency: str = ""
    order_only: bool = False
    email: str = ""
    origin_topic: str = ""
    origin_partition: int = -1
    origin_offset: int = -1


class ReceiptRow(Struct, frozen=True, gc=False):
    """How a delivery ended."""

    at_partition: int
    at_offset: int
    at_ms: int
    of_partition: int
    of_offset: int
    destination: str
    platform: str
    outcome: str
    reason: str
    code: str
    http_status: int
    attempts: int
    replay_id: str
    late: bool
    first_attempt_at_ms: int
    settled_at_ms: int


class EndingRow(Struct, frozen=True, gc=False):
    """What became of a record of an order in enrich; `of_topic` is the shop's."""

    at_partition: int
    at_offset: int
    at_ms: int
    of_topic: str
    of_partition: int
    of_offset: int
    order_id: str
    checkout_id: str
    ending: str
    reason: str
    event_ids: tuple[str, ...]
    value_minor: int
    currency: str
    paid: bool


class LaterRow(Struct, frozen=True, gc=False):
    """A delivery that was put aside."""

    at_partition: int
    at_offset: int
    at_ms: int
    of_partition: int
    of_offset: int
    destination: str
    not_before_ms: int
    attempts: int


class LetterRow(Struct, frozen=True, gc=False):
    """The headers of a letter."""

    at_topic: str
    at_partition: int
    at_offset: int
    at_ms: int
    of_topic: str
    of_partition: int
    of_offset: int
    stage: str
    reason: str
    fault: str
    message: str
    destination: str
    code: str
    http_status: int
    attempts: int
    event_id: str


Row: TypeAlias = ConversionRow | ReceiptRow | EndingRow | LaterRow | LetterRow

TABLES: Mapping[str, type[Row]] = {
    "conversions": ConversionRow,
    "receipts": ReceiptRow,
    "endings": EndingRow,
    "later": LaterRow,
    "letters": LetterRow,
}
NAME_OF: Mapping[type[Row], str] = {kind: name for name, kind in TABLES.items()}

_TYPES: Mapping[object, str] = {
    int: "BIGINT",
    str: "VARCHAR",
    bool: "BOOLEAN",
    tuple[str, ...]: "VARCHAR[]",
}


def columns(kind: type[Row]) -> dict[str, str]:
    """Column to its SQL type.

    >>> columns(LaterRow)["destination"]
    'VARCHAR'
    """
    return {name: _TYPES[hint] for name, hint in get_type_hints(kind).items()}


def definitions() -> list[str]:
    """The statements that make the tables of an empty file."""
    made = [f"CREATE TABLE {name} ({_listed(columns(kind))})" for name, kind in TABLES.items()]
    return [
        *made,
        "CREATE TABLE offsets (topic VARCHAR, at_partition BIGINT, next_offset BIGINT, UNIQUE (topic, at_partition))",
        "CREATE TABLE meta (version BIGINT, prefix VARCHAR, swept_day BIGINT)",
    ]


def _listed(of: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in of.items())
