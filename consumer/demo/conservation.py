"""Whether the books balance: a sentence for each thing that doesn't add up, or that two of them tell differently.

Three tell of the same run: the pipeline's counters, the topics read back, and the emulators; the shop's truth is the
judge of what must have arrived.
"""

from collections import Counter
from collections.abc import Iterator

from consumer.demo.facts import Destined, Facts
from consumer.emulators.oracle import adds_up, disagreements
from consumer.model import Ending, Outcome

SIDES = ("orders", "checkouts")
_LETTERED = (Outcome.REJECTED, Outcome.EXPIRED, Outcome.UNKNOWN)


def violations(facts: Facts) -> Iterator[str]:
    """All of them; none if nothing is lost, nothing counts twice and all agree."""
    if facts.run.quiet:
        yield f"the run was given up before all was done: {facts.run.quiet}"
    for side in SIDES:
        yield from _input(facts, side)
    yield from _endings(facts)
    yield from _conversions(facts)
    yield from _letters(facts)
    for name, destined in facts.destinations.items():
        yield from _deliveries(name, destined, sum(facts.stored.conversions.values()))
        yield from adds_up(destined.wanted)
        yield from disagreements(name, destined.wanted, destined.held)


def _input(facts: Facts, side: str) -> Iterator[str]:
    """Published, stored, read and ended must be as many."""
    published, stored = facts.published.get(side, 0), facts.stored.inputs.get(side, 0)
    read = facts.enriched.read.get(side, 0)
    endings = sum(count for (of, _), count in facts.enriched.endings.items() if of == side)
    if published != stored:
        yield f"{side}: the shop published {published} records, the topic holds {stored}"
    if stored != read:
        yield f"{side}: the topic holds {stored} records, enrich read {read}"
    if read != endings:
        yield f"{side}: enrich read {read} records, {endings} have an ending"


def _endings(facts: Facts) -> Iterator[str]:
    """How orders ended, as counted and as told."""
    for ending in Ending:
        counted = facts.enriched.endings.get(("orders", ending.value), 0)
        there = facts.stored.endings.get(ending.value, 0)
        if counted != there:
            yield f"{ending}: enrich counted {counted} orders, the topic of endings tells of {there}"


def _conversions(facts: Facts) -> Iterator[str]:
    stored, counted = facts.stored.conversions, facts.enriched.conversions
    for event in sorted(stored.keys() | counted.keys()):
        there, told = stored.get(event, 0), counted.get(event, 0)
        if there != told:
            yield f"{event}: enrich counted {told} conversions, their topic holds {there}"
    ended = _ended(facts, Ending.CONVERSION)
    if ended != sum(stored.values()):
        yield f"{ended} records ended as a conversion, the topic holds {sum(stored.values())}"
    if facts.enriched.order_only != facts.stored.order_only:
        yield f"order_only: enrich counted {facts.enriched.order_only}, the topic holds {facts.stored.order_only}"


def _letters(facts: Facts) -> Iterator[str]:
    must = Counter({"ingest": _ended(facts, Ending.LETTER)})
    for destined in facts.destinations.values():
        must[destined.platform] += sum(destined.deliveries.outcomes.get(outcome, 0) for outcome in _LETTERED)
    for topic, count in must.items():
        if count != facts.stored.letters.get(topic, 0):
            yield f"letters: {count} are due in dlq.{topic}, {facts.stored.letters.get(topic, 0)} are there"


def _ended(facts: Facts, ending: Ending) -> int:
    return sum(count for (_, each), count in facts.enriched.endings.items() if each == ending)


def _deliveries(name: str, of: Destined, conversions: int) -> Iterator[str]:
    account = of.deliveries
    ended = sum(account.outcomes.values())
    if account.owed != conversions:
        yield f"{name}: {account.owed} are owed, the topic holds {conversions} conversions"
    if account.owed != ended + account.in_flight + account.missing:
        fates = f"{ended} ended, {account.in_flight} are in flight, {account.missing} missing"
        yield f"{name}: {account.owed} are owed, but {fates}"
    for count, what in (
        (account.missing, "conversions below the committed offset have no receipt"),
        (account.in_flight, "conversions are still in flight"),
        (account.strays, "receipts are of conversions that are not in the topic"),
        (account.repeated, "receipts repeat another, though nothing crashed"),
    ):
        if count:
            yield f"{name}: {count} {what}"
    yield from _counted(name, of)
    delivered, held = sum(account.delivered.values()), of.stats.server - of.stats.server_repeats
    if delivered != held:
        yield f"{name}: receipts say that {delivered} were delivered, the platform got {held} from the server"


def _counted(name: str, of: Destined) -> Iterator[str]:
    """The lane's own counters against the receipts."""
    counted: Counter[str] = Counter()
    for (outcome, _), count in of.counted.outcomes.items():
        counted[outcome] += count
    for outcome in Outcome:
        receipts = of.deliveries.outcomes.get(outcome.value, 0)
        if counted[outcome] != receipts:
            yield f"{name}: the lane counted {counted[outcome]} {outcome}, the receipts say {receipts}"
