"""The law: what a destination is owed is what became of it, and nothing is missing.

owed = delivered + skipped + rejected + expired + unknown + in flight, and `missing` apart: conversions below the
committed offset that have no receipt and don't lie in `later`. Who judges takes the committed offsets first, and reads
all topics to where they end after that: whatever was settled by then is then in the file.
"""

from collections.abc import Mapping
from typing import TypeAlias

import duckdb
from msgspec import Struct

from consumer.ledger.tally import Account
from consumer.model import Outcome

NAMED_MAX = 20
Offsets: TypeAlias = Mapping[int, int]
"""By partition."""
LATE_FIRST = 10
_RANKS = {outcome.value: rank for rank, outcome in enumerate(Outcome)}
_OTHER = len(_RANKS)
_WORDS = " ".join(f"WHEN '{word}' THEN {rank}" for word, rank in _RANKS.items())
RANK = f"CASE WHEN late THEN 0 ELSE {LATE_FIRST} END + CASE outcome {_WORDS} ELSE {_OTHER} END"
"""The lowest is the receipt that counts: what a platform found later wins, else the order of precedence."""


class Bounds(Struct, frozen=True):
    """Where a destination's group began and has come to, in conversions, and has come to in `later`.

    A partition that is not in `committed` or `later` was not begun.
    """

    destination: str
    start: Offsets
    committed: Offsets
    later: Offsets


_FATES = f"""
WITH bounds AS (
    SELECT unnest(?::BIGINT[]) AS partition, unnest(?::BIGINT[]) AS start, unnest(?::BIGINT[]) AS committed
), read AS (
    SELECT unnest(?::BIGINT[]) AS at_partition, unnest(?::BIGINT[]) AS next
), owed AS (
    SELECT at_partition AS p, at_offset AS o, at_offset < committed AS settled
    FROM conversions JOIN bounds ON at_partition = partition AND at_offset >= start
), firsts AS (
    SELECT of_partition AS p, of_offset AS o, min({RANK}) AS rank FROM receipts WHERE destination = ? GROUP BY ALL
), held AS (
    SELECT DISTINCT of_partition AS p, of_offset AS o FROM later LEFT JOIN read USING (at_partition)
    WHERE destination = ? AND at_offset >= coalesce(next, 0)
), fates AS (
    SELECT p, o, CASE
        WHEN rank IS NOT NULL THEN rank % {LATE_FIRST}
        WHEN held.p IS NOT NULL THEN -1
        WHEN settled THEN -3 ELSE -2 END AS fate
    FROM owed LEFT JOIN firsts USING (p, o) LEFT JOIN held USING (p, o)
)
"""  # noqa: S608 (made of constants)
_COUNTED = f"{_FATES} SELECT fate, count(*) FROM fates GROUP BY fate"  # noqa: S608 (made of constants)
_MISSING = f"{_FATES} SELECT p, o FROM fates WHERE fate = -3 ORDER BY p, o LIMIT {NAMED_MAX}"  # noqa: S608 (the same)


def account(cursor: duckdb.DuckDBPyConnection, bounds: Bounds, conversions: str) -> Account:
    """Settle the account of one destination; `conversions` is the topic's name. Raises duckdb.Error."""
    partitions, read = sorted(bounds.start), sorted(bounds.later)
    asked = [
        partitions,
        [bounds.start[each] for each in partitions],
        [bounds.committed.get(each, 0) for each in partitions],
        read,
        [bounds.later[each] for each in read],
        bounds.destination,
        bounds.destination,
    ]
    fates = dict(cursor.execute(_COUNTED, asked).fetchall())
    aside, missing = fates.get(-1, 0), fates.get(-3, 0)
    named = cursor.execute(_MISSING, asked).fetchall() if missing else []
    return Account(
        bounds.destination,
        owed=sum(fates.values()),
        **{word: fates.get(rank, 0) for word, rank in _RANKS.items()},
        other=fates.get(_OTHER, 0),
        in_flight=fates.get(-2, 0) + aside,
        put_aside=aside,
        missing=missing,
        first_missing=tuple(f"{conversions}:{partition}:{offset}" for partition, offset in named),
    )
