"""The report as people read it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from consumer.demo.conservation import SIDES, violations
from consumer.demo.facts import Destined, Enriched, Facts
from consumer.demo.proof import lined, proof
from consumer.demo.report import latency
from consumer.model import Ending, Outcome

WIDTH_MIN = 80
WIDTH_PIPED = 150
"""Of a file or a pipe, which has none of its own."""
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
    yield _destinations(facts.destinations)
    for name, destined in facts.destinations.items():
        yield heading(f"Proof at {name}: purchases, by the shop's own truth")
        yield from proof(destined, width)
    yield _verdict(facts)


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


def _destinations(destinations: Mapping[str, Destined]) -> Table:
    table = lined()
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


def _verdict(facts: Facts) -> RenderableType:
    told = [_told(name, each) for name, each in facts.destinations.items()]
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
