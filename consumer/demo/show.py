"""The report as people read it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from consumer.demo.conservation import SIDES, violations
from consumer.demo.facts import Counts, Destined, Enriched, Facts
from consumer.demo.report import latency
from consumer.emulators.oracle import Sum
from consumer.model import Ending, Outcome
from consumer.money import exponent

WIDTH_MIN = 80
WIDTH_PIPED = 150
"""Of a file or a pipe, which has none of its own."""
_MONEY_WIDTH = 17
_LABEL_WIDTH = 43
_CAUSES = {
    "too_old": "older than the dedupe window: filtered",
    "unreadable": "damaged, or of unknown schema: a letter",
    "no_currency": "no currency: a letter",
    "bad_money": "a negative total: a letter",
    "bad_time": "an impossible or future date: a letter",
    "no_identifiers": "nobody to match it with: rejected, a letter",
    "consent_denied": "consent denied: skipped",
    "consent_missing": "nobody asked for consent: skipped",
    "not_taken": "the platform takes none of these",
}
_ENDINGS = {
    Ending.CONVERSION: "became a conversion",
    Ending.CONFLICT: "same event id, other content: the first one counts",
    Ending.DUPLICATE: "told already",
    Ending.REREAD: "read again after a rewind",
    Ending.FILTERED: "nothing for the platforms",
    Ending.CONTEXT: "a step of a checkout, kept to be joined",
    Ending.TOMBSTONE: "empty: the shop deleted it",
    Ending.LETTER: "unusable: a dead letter, reason in its headers",
}


def wide(console: Console) -> int:
    """How wide the report may be."""
    return max(WIDTH_MIN, console.width) if console.is_terminal else WIDTH_PIPED


def show(facts: Facts, width: int) -> RenderableType:
    """All of it, from what was read to whether it holds."""
    return Group(*_parts(facts, width))


def _parts(facts: Facts, width: int) -> Iterator[RenderableType]:
    run = facts.run
    yield Text.assemble(
        ("\nWhat came of the shop's traffic", "bold"),
        f"   {run.orders:,} orders, seed {run.seed}, {run.broker}, {run.took_s:.0f} s\n",
    )
    yield _endings(facts.enriched)
    yield from _reasons(facts)
    yield Text()
    if facts.destinations:
        yield _destinations(facts.destinations)
    for name, destined in facts.destinations.items():
        yield Text()
        yield from _proof(name, destined, width)
    yield _verdict(facts)


def _endings(enriched: Enriched) -> Table:
    table = _table("Every input record, and its one ending")
    table.add_column("")
    for side in SIDES:
        table.add_column(side, justify="right")
    table.add_column("")
    for ending, means in _ENDINGS.items():
        counts = [enriched.endings.get((side, ending.value), 0) for side in SIDES]
        if any(counts):
            table.add_row(ending.value, *map(_count, counts), Text(means, "dim"))
    ended = [sum(n for (of, _), n in enriched.endings.items() if of == side) for side in SIDES]
    table.add_section()
    table.add_row("with an ending", *map(_count, ended))
    table.add_row("read", *(_count(enriched.read.get(side, 0)) for side in SIDES))
    return table


def _reasons(facts: Facts) -> Iterator[Text]:
    enriched = facts.enriched
    alone = (
        f"{enriched.order_only:,} purchases: phone orders, and those whose checkout did not come within "
        f"{facts.run.wait_s} s (the demo's join.wait_s; 60 by default)"
    )
    lines = (
        ("filtered", _listed(enriched.filtered)),
        ("letters", _listed(enriched.letters)),
        ("conversions", _listed(enriched.conversions)),
        ("without a checkout", alone),
    )
    for name, told in lines:
        yield Text.assemble((f"  {name}: ", "bold"), told)


def _destinations(destinations: Mapping[str, Destined]) -> Table:
    table = _table("Every conversion, and its one outcome at each destination: by the receipts in Kafka")
    table.add_column("")
    for name in destinations:
        table.add_column(name, justify="right")
    for label, cells in _accounts(list(destinations.values())):
        table.add_row(label, *cells)
        if label in {"conversions owed", "missing"}:
            table.add_section()
    return table


def _accounts(of: list[Destined]) -> Iterator[tuple[str, list[str]]]:
    """Rows, a cell for each destination."""
    accounts = [each.deliveries for each in of]
    yield "conversions owed", [_count(each.owed) for each in accounts]
    for outcome in Outcome:
        if outcome is not Outcome.SKIPPED:
            yield f"- {outcome}", [_count(each.outcomes.get(outcome.value, 0)) for each in accounts]
    for reason in sorted({reason for each in accounts for reason in each.skipped}):
        yield f"- skipped: {reason}", [_count(each.skipped.get(reason, 0)) for each in accounts]
    yield "in flight", [_count(each.in_flight) for each in accounts]
    yield "missing", [_count(each.missing) for each in accounts]
    took = [latency(each.counted.latency_counts) for each in of]
    yield "requests", [_count(sum(each.counted.requests.values())) for each in of]
    yield "a request's p50 / p99, ms", [f"{each.p50:.0f} / {each.p99:.0f}" for each in took]


def _proof(name: str, of: Destined, width: int) -> Iterator[RenderableType]:
    """Line by line, in as many tables as the currencies need."""
    wanted = of.wanted
    currencies = sorted(wanted.paid.money.keys() | of.held.purchases.money.keys())
    room = max(1, (width - _LABEL_WIDTH - 12) // _MONEY_WIDTH)
    for at in range(0, max(1, len(currencies)), room):
        yield _proof_of(name, of, currencies[at : at + room], first=at == 0)


def _proof_of(name: str, of: Destined, currencies: list[str], *, first: bool) -> Table:
    wanted, held = of.wanted, of.held.purchases
    table = _table(f"Proof at {name}: purchases, by the shop's own truth" if first else None)
    table.add_column("", width=_LABEL_WIDTH)
    table.add_column("count", justify="right", width=7)
    for currency in currencies:
        table.add_column(currency, justify="right", width=_MONEY_WIDTH - 2)

    def row(label: str | Text, worth: Sum, style: str = "") -> None:
        amounts = (_money(worth.money.get(currency, 0), currency) for currency in currencies)
        table.add_row(label, _count(worth.count), *amounts, style=style)

    row("paid orders", wanted.paid)
    for cause, worth in sorted(wanted.excluded.items(), key=lambda each: -each[1].count):
        row(f"- {_CAUSES.get(cause, cause)}", worth)
    table.add_section()
    row("= must have arrived", wanted.eligible)
    row(f"what {of.platform} holds after dedupe", held, "bold")
    table.add_section()
    same = wanted.eligible.count == held.count and _same(wanted.eligible.money, held.money)
    row("difference", _minus(wanted.eligible, held), "green" if same else "bold red")
    return table


def _minus(wanted: Sum, held: Sum) -> Sum:
    currencies = wanted.money.keys() | held.money.keys()
    money = {each: held.money.get(each, 0) - wanted.money.get(each, 0) for each in currencies}
    return Sum(held.count - wanted.count, money)


def _same(one: Counts, other: Counts) -> bool:
    return all(one.get(each, 0) == other.get(each, 0) for each in one.keys() | other.keys())


def _verdict(facts: Facts) -> RenderableType:
    told = [_told(name, each) for name, each in facts.destinations.items()]
    found = list(violations(facts))
    if not found:
        holds = (
            "It adds up: nothing lost, nothing twice. Counters, topics, receipts, platforms and truth agree."
        )
        return Group(*told, Text(holds, "bold green"))
    head = Text(f"It does not add up, in {len(found)} ways:", "bold red")
    return Group(*told, head, *(Text(f"  {sentence}", "red") for sentence in found))


def _told(name: str, of: Destined) -> Text:
    """How much the pixel and the server told, and what is left of it."""
    server, pixel = of.stats.server, of.stats.pixel
    left = Counter({event: count.after_dedupe for event, count in of.stats.events.items()})
    return Text(
        f"{name} got {server:,} events from the server and {pixel:,} from the browser's pixel, {left.total():,} after "
        f"dedupe by event id: {_listed(left)}.\n"
    )


def _table(title: str | None) -> Table:
    return Table(
        title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0), pad_edge=False
    )


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in _most_first(counts))


def _most_first(counts: Mapping[str, int]) -> Iterable[tuple[str, int]]:
    return sorted(((name, n) for name, n in counts.items() if n), key=lambda each: (-each[1], each[0]))


def _count(number: int) -> str:
    return f"{number:,}"


def _money(minor: int, currency: str) -> str:
    """Minor units in the currency's own, with all its digits.

    >>> _money(123456, "USD"), _money(123456, "JPY"), _money(-123456, "KWD")
    ('1,234.56', '123,456', '-123.456')
    """
    digits = exponent(currency) or 0
    whole, rest = divmod(abs(minor), 10**digits)
    sign = "-" if minor < 0 else ""
    return f"{sign}{whole:,}" + (f".{rest:0{digits}}" if digits else "")
