"""The proof, as people read it: paid orders minus each named cause are what the platform holds, line by line."""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct
from rich import box
from rich.table import Table

from consumer.demo.facts import Destined
from consumer.emulators.oracle import Sum
from consumer.money import exponent

_CAUSES = {
    "too_old": "before the dedupe window: filtered",
    "unreadable": "damaged or unknown schema: a letter",
    "no_currency": "no currency: a letter",
    "bad_money": "a negative total: a letter",
    "bad_time": "impossible or future date: a letter",
    "no_identifiers": "nobody to match: rejected, a letter",
    "no_client_id": "no Google Analytics cookie: rejected, a letter",
    "no_public_ip": "opted out of sale without a public IP address: rejected, a letter",
    "sale_opt_out": "opted out of sale, which can't be told there: skipped",
    "no_country": "no country: rejected, a letter",
    "consent_denied": "consent denied: skipped",
    "consent_missing": "nobody asked for consent: skipped",
    "not_taken": "the platform takes none of these",
}
"""The causes of the shop's truth, and how such an order ends."""
_PADDING = 3
"""Of each column, its line of the box included."""
_COUNT_WIDTH = 7 + _PADDING


class Row(Struct, frozen=True):
    """A line. `kind` is paid, cause, must, holds or differs."""

    kind: str
    label: str
    worth: Sum


def rows(of: Destined) -> Iterator[Row]:
    """The lines, the most frequent cause first."""
    wanted, held = of.wanted, of.held.purchases
    yield Row("paid", "paid orders", wanted.paid)
    for cause, worth in sorted(wanted.excluded.items(), key=lambda each: (-each[1].count, each[0])):
        yield Row("cause", f"- {_CAUSES.get(cause, cause)}", worth)
    yield Row("must", "= must have arrived", wanted.eligible)
    yield Row("holds", f"what {of.platform} holds after dedupe", held)
    yield Row("differs", "difference", minus(held, wanted.eligible))


def agreement(destinations: Mapping[str, Destined]) -> Table:
    """A row a destination: purchases and refunds, in how many currencies their money is off, and who told events."""
    table = lined()
    table.add_column("", no_wrap=True)
    for label in ("due", "held", "money off", "refunds due", "held"):
        table.add_column(label, justify="right")
    for label in ("server", "pixel", "deduped"):
        table.add_column(label, justify="right", style="dim")
    for name, of in destinations.items():
        wanted, held = of.wanted, of.held
        off = len(minus(held.purchases, wanted.eligible).money) + len(
            minus(held.refunds, wanted.refunds).money
        )
        counts = (
            *(wanted.eligible.count, held.purchases.count, off, wanted.refunds.count, held.refunds.count),
            *(of.stats.server, of.stats.pixel, sum(each.after_dedupe for each in of.stats.events.values())),
        )
        agrees = not off and counts[0] == counts[1] and counts[3] == counts[4]
        table.add_row(name, *(f"{count:,}" for count in counts), style="" if agrees else "bold red")
    return table


def minus(one: Sum, other: Sum) -> Sum:
    """What is between them, zeros left out."""
    currencies = one.money.keys() | other.money.keys()
    money = {each: one.money.get(each, 0) - other.money.get(each, 0) for each in currencies}
    return Sum(one.count - other.count, {each: amount for each, amount in money.items() if amount})


def proof(of: Destined, width: int) -> Iterator[Table]:
    """As many tables as the currencies need at this width."""
    lines = list(rows(of))
    currencies = sorted(of.wanted.paid.money.keys() | of.held.purchases.money.keys())
    label_width = max(len(line.label) for line in lines) + _PADDING
    amount_width = max(
        (len(money(line.worth.money.get(each, 0), each)) for line in lines for each in currencies), default=1
    )
    room = max(1, (width - label_width - _COUNT_WIDTH - _PADDING) // (amount_width + _PADDING))
    for at in range(0, max(1, len(currencies)), room):
        yield _table(lines, currencies[at : at + room], amount_width)


def _table(lines: Sequence[Row], currencies: Sequence[str], amount_width: int) -> Table:
    table = lined()
    table.add_column("", no_wrap=True)
    table.add_column("count", justify="right", no_wrap=True)
    for currency in currencies:
        table.add_column(currency, justify="right", min_width=amount_width, no_wrap=True)
    causes = [place for place, line in enumerate(lines) if line.kind == "cause"]
    for place, line in enumerate(lines):
        amounts = [money(line.worth.money.get(each, 0), each) for each in currencies]
        ends = line.kind == "holds" or place == max(causes, default=0)
        table.add_row(line.label, f"{line.worth.count:,}", *amounts, style=_style(line), end_section=ends)
    return table


def _style(line: Row) -> str:
    if line.kind == "differs":
        return "bold red" if line.worth.count or line.worth.money else "green"
    return "bold" if line.kind in {"must", "holds"} else ""


def lined() -> Table:
    """A table of the report."""
    return Table(box=box.HORIZONTALS)


def money(minor: int, currency: str) -> str:
    """Minor units in the currency's own, with all its digits.

    >>> money(123456, "USD"), money(123456, "JPY"), money(-123456, "KWD")
    ('1,234.56', '123,456', '-123.456')
    """
    digits = exponent(currency) or 0
    whole, rest = divmod(abs(minor), 10**digits)
    sign = "-" if minor < 0 else ""
    return f"{sign}{whole:,}" + (f".{rest:0{digits}}" if digits else "")
