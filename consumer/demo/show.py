"""The report as people read it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from consumer.demo.conservation import SIDES, violations
from consumer.demo.coverage import coverage
from consumer.demo.facts import Destined, Enriched, Facts
from consumer.demo.proof import agreement, lined, proof
from consumer.demo.report import latency
from consumer.emulators.oracle import disagreements
from consumer.model import Ending, Outcome

WIDTH_MIN = 80
WIDTH_PIPED = 150
"""Of a file or a pipe, which has none of its own."""
WIDE_ENOUGH = 130
HALF_OF_THEM = 6
"""Columns of the destinations' table that 80 characters have room for."""
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


def heading(text: str) -> Text:
    """Above a table."""
    return Text(f"\n{text}", "bold")


def show(facts: Facts, width: int) -> RenderableType:
    """All of it, from what was read to whether it holds."""
    return Group(*_parts(facts, width))


def _parts(facts: Facts, width: int) -> Iterator[RenderableType]:
    run = facts.run
    yield Text.assemble(
        ("\nWhat came of the shop's traffic: ", "bold"),
        f"{run.orders:,} orders, seed {run.seed}, {run.broker}, {run.took_s:.0f} s",
    )
    yield heading("Every input record, and its one ending")
    yield _endings(facts.enriched)
    yield from _reasons(facts)
    yield heading("Every conversion, and its one outcome at each destination: by the receipts in Kafka")
    yield from _destinations(facts.destinations, width)
    yield from _skipped(facts.destinations)
    yield heading("How well purchases can be matched: a score of 0 to 10, and shares by identifier")
    yield from coverage(facts.destinations, width)
    if len(facts.destinations) > 1:
        yield heading("What each platform must hold by the shop's own truth, and what it holds")
        yield agreement(facts.destinations)
    for name, destined in facts.destinations.items():
        if name == _first(facts.destinations) or any(disagreements(name, destined.wanted, destined.held)):
            yield heading(f"Proof at {name}: purchases, by the shop's own truth")
            yield from proof(destined, width)
    yield _verdict(facts)


def _first(destinations: Mapping[str, Destined]) -> str:
    """Whose proof is shown in full: all are in the JSON report."""
    return "meta" if "meta" in destinations else next(iter(destinations), "")


def _endings(enriched: Enriched) -> Table:
    table = lined()
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
        ("event ids to look at", _odd_ids(enriched)),
    )
    for name, told in lines:
        yield Text.assemble((f"  {name}: ", "bold"), told)


def _odd_ids(enriched: Enriched) -> str:
    """What is odd about event ids: not by the rule, on several orders, or the second of an order."""
    told = (
        f"{kind} {count:,} (such as {enriched.odd_id_examples.get(kind, 'unknown')})"
        for kind, count in sorted(enriched.odd_ids.items())
    )
    return ", ".join(told) or "none"


def _destinations(destinations: Mapping[str, Destined], width: int) -> Iterator[Table]:
    """A row a destination; two tables where one would be too wide."""
    ends = [outcome for outcome in Outcome if outcome is not Outcome.SKIPPED]
    labels = ("owed", *map(str, ends), "skipped", "in flight", "missing", "requests", "p50 ms", "p99 ms")
    rows: dict[str, tuple[str, ...]] = {}
    for name, of in destinations.items():
        account, took = of.deliveries, latency(of.counted.latency_counts)
        ended = [account.outcomes.get(outcome.value, 0) for outcome in (*ends, Outcome.SKIPPED)]
        rest = (account.in_flight, account.missing, sum(of.counted.requests.values()))
        counts = map(_count, (account.owed, *ended, *rest))
        rows[name] = (*counts, f"{took.p50:.0f}", f"{took.p99:.0f}")
    room = len(labels) if width >= WIDE_ENOUGH else HALF_OF_THEM
    for at in range(0, len(labels), room):
        table = lined()
        table.add_column("", no_wrap=True)
        for label in labels[at : at + room]:
            table.add_column(label, justify="right")
        for name, cells in rows.items():
            table.add_row(name, *cells[at : at + room])
        yield table


def _skipped(destinations: Mapping[str, Destined]) -> Iterator[Text]:
    """Why conversions were skipped, and where."""
    for reason in sorted({reason for of in destinations.values() for reason in of.deliveries.skipped}):
        counts = {name: of.deliveries.skipped.get(reason, 0) for name, of in destinations.items()}
        yield Text.assemble((f"  skipped, {reason}: ", "bold"), _listed(counts))


def _verdict(facts: Facts) -> RenderableType:
    few = facts.destinations.items() if len(facts.destinations) == 1 else ()
    told = [_told(name, each) for name, each in few]
    found = list(violations(facts))
    if not found:
        holds = (
            "It adds up: nothing lost, nothing twice. Counters, topics, receipts, platforms and truth agree."
        )
        return Group(*told, Text(holds, "bold green"))
    head = Text(f"It does not add up; {len(found)} to be explained:", "bold red")
    return Group(*told, head, *(Text(f"  {sentence}", "red") for sentence in found))


def _told(name: str, of: Destined) -> Text:
    """How much the pixel and the server told, and what is left of it."""
    server, pixel = of.stats.server, of.stats.pixel
    left = Counter({event: count.after_dedupe for event, count in of.stats.events.items()})
    return Text(
        f"\n{name} got {server:,} events from the server and {pixel:,} from the browser's pixel, "
        f"{left.total():,} after dedupe by event id: {_listed(left)}.\n"
    )


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in _most_first(counts))


def _most_first(counts: Mapping[str, int]) -> Iterable[tuple[str, int]]:
    return sorted(((name, n) for name, n in counts.items() if n), key=lambda each: (-each[1], each[0]))


def _count(number: int) -> str:
    return f"{number:,}"
