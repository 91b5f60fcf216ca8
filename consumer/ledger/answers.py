"""The ledger's answers over HTTP: `/v1/why` and `/v1/conservation`."""

from collections.abc import Mapping
from typing import TypeAlias

import duckdb
import msgspec
from msgspec import Struct, structs

from consumer.ledger.loop import LedgerLoop
from consumer.ledger.story import By, Story, tell

Answered: TypeAlias = tuple[int, bytes]
"""HTTP status and JSON."""
KINDS: tuple[By, ...] = ("order", "checkout", "event", "email")
OK, BAD_REQUEST, UNAVAILABLE = 200, 400, 503


class Problem(Struct, frozen=True):
    """Why there is no answer."""

    error: str


def _problem(status: int, error: str) -> Answered:
    return status, msgspec.json.encode(Problem(error))


class Answers:
    """Answers from the file of a running ledger; on any thread."""

    def __init__(self, loop: LedgerLoop, prefix: str) -> None:
        self._loop = loop
        self._prefix = prefix

    def why(self, query: Mapping[str, str]) -> Answered:
        """The story of one order, checkout or event; or of an e-mail, by the SHA-256 of its form `email`."""
        asked = [(kind, query[kind]) for kind in KINDS if query.get(kind)]
        if len(asked) != 1 or len(query) != 1:
            return _problem(BAD_REQUEST, "ask for one of order, checkout, event or email, and nothing else")
        ((by, value),) = asked
        story = self._story(by, value)
        if story is None:
            return _problem(UNAVAILABLE, "the ledger is being opened or rebuilt; ask again soon")
        return OK, msgspec.json.encode(story)

    def _story(self, by: By, value: str) -> Story | None:
        store, judged = self._loop.store, self._loop.judged
        if store is None:
            return None
        bounds = {each.destination: each for each in judged.hearing.bounds} if judged is not None else None
        try:
            cursor = store.cursor()
            try:
                return tell(cursor, self._prefix, by, value, bounds)
            finally:
                cursor.close()
        except duckdb.Error:
            return None

    def conservation(self, _: Mapping[str, str]) -> Answered:
        """The accounts of all destinations, as last judged."""
        judged = self._loop.judged
        if judged is None:
            return _problem(UNAVAILABLE, "nothing is judged yet: the ledger is still reading; ask again soon")
        accounts = [{**structs.asdict(each), "holds": each.holds} for each in judged.accounts]
        told = {
            "at_ms": judged.at_ms,
            "holds": all(each.holds for each in judged.accounts),
            "destinations": accounts,
            "not_judged": dict(judged.hearing.not_judged),
        }
        return OK, msgspec.json.encode(told)

    def __repr__(self) -> str:
        return f"<Answers of {self._loop!r}>"
