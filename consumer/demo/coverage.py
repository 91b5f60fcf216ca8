"""How well purchases can be matched at each destination, as people read it."""

from collections.abc import Iterator, Mapping
from typing import get_args

from rich.table import Table

from consumer.demo.facts import Destined
from consumer.demo.proof import lined
from consumer.demo.report import Match, matched
from consumer.model import EventName
from consumer.platforms.contract import Identifier

IDENTIFIER_CHARACTERS = 16
DESTINATION_CHARACTERS = 12


def coverage(destinations: Mapping[str, Destined], width: int) -> Iterator[Table]:
    """A column a destination: its purchases' mean score, and how many of them tell each identifier that it takes.

    As many tables as the width asks for.
    """
    found = {name: of.counted.match.get(EventName.PURCHASE) for name, of in destinations.items()}
    columns = [(name, matched(of)) for name, of in found.items() if of]
    room = max(1, (width - IDENTIFIER_CHARACTERS) // DESTINATION_CHARACTERS)
    for at in range(0, len(columns), room):
        yield _table(dict(columns[at : at + room]))


def _table(columns: Mapping[str, Match]) -> Table:
    table = lined()
    table.add_column("", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right")
    table.add_row("score", *(f"{of.score:.1f}" for of in columns.values()))
    table.add_section()
    for identifier in get_args(Identifier):
        shares = [of.identifiers.get(identifier) for of in columns.values()]
        if any(share is not None for share in shares):
            table.add_row(identifier, *("" if share is None else f"{share:.0%}" for share in shares))
    return table
