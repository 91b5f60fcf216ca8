"""How well purchases can be matched at each destination, as people read it."""

from collections.abc import Mapping

from rich.table import Table

from consumer.demo.facts import Destined
from consumer.demo.proof import lined
from consumer.demo.report import matched
from consumer.model import EventName


def coverage(destinations: Mapping[str, Destined]) -> Table:
    """A row a destination: its purchases' mean score, and how many of them tell each identifier that it takes."""
    table = lined()
    table.add_column("", no_wrap=True)
    table.add_column("score", justify="right")
    table.add_column("purchases that tell")
    for name, of in destinations.items():
        if counted := of.counted.match.get(EventName.PURCHASE):
            made = matched(counted)
            shares = (f"{identifier} {share:.0%}" for identifier, share in made.identifiers.items())
            table.add_row(name, f"{made.score:.1f}", ", ".join(shares))
    return table
