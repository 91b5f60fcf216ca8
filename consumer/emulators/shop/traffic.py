"""All of it together: visits over time, their records in the order of publishing, and the truth of each."""

import heapq
from collections.abc import Iterator, Mapping
from random import Random
from typing import TypeAlias

from msgspec import Struct, field

from consumer.emulators.shop.fate import fate, known
from consumer.emulators.shop.funnel import MINUTE_MS, STEPS, US, Visit, steps, visit
from consumer.emulators.shop.journeys import KINDS, Kind
from consumer.emulators.shop.records import SALES, Damage, Known, PixelFire, Published, Taker, Topic, Truth
from consumer.emulators.shop.visit import EXPONENTS, Said, alike, allowed

Told: TypeAlias = Published | PixelFire | Truth
STEP_EVENTS = {"STARTED": "begin_checkout", "PAYMENT": "add_payment_info"}
SETTLED_MS = 100 * MINUTE_MS
"""The last visit begins this long before now, so that nothing of it lies in the future."""


class Plan(Struct, frozen=True):
    """How much traffic, of what time, for which platforms. Visits begin over `span_ms`; all lies before now.

    `pixel_rate` is the share of eligible events that the browser's pixel sent as well.
    """

    seed: int
    orders: int
    now_ms: int
    platforms: Mapping[str, Taker] = field(default_factory=lambda: {"meta": SALES})
    span_ms: int = 6 * 60 * MINUTE_MS
    pixel_rate: float = 0.6


def traffic(plan: Plan) -> Iterator[Told]:
    """Records in the order of publishing; a visit's truth and pixel events come before its first record."""
    waiting: list[tuple[int, int, Published]] = []
    place = 0
    first_ms = plan.now_ms - SETTLED_MS - plan.span_ms
    for number, kind in enumerate(kinds(plan)):
        rng = Random(f"{plan.seed}:{number}")
        started_ms = first_ms + plan.span_ms * number // plan.orders
        while waiting and waiting[0][0] <= started_ms:
            yield heapq.heappop(waiting)[2]
        for of, records, told_of in _visits(plan, rng, number, started_ms, kind):
            yield from _truths(plan, of, records, told_of)
            for record in records:
                place += 1
                heapq.heappush(waiting, (record.published_ms, place, record))
    while waiting:
        yield heapq.heappop(waiting)[2]


def kinds(plan: Plan) -> list[str]:
    """A kind for each order, shuffled: by the rates, but at least one of each as far as there are orders."""
    wanted = [name for name, kind in KINDS.items() if kind.rate]
    more = [name for name in wanted for _ in range(round(KINDS[name].rate * plan.orders) - 1)]
    chosen = [*wanted, *more][: plan.orders]
    chosen += ["plain"] * (plan.orders - len(chosen))
    Random(f"{plan.seed}:kinds").shuffle(chosen)
    return chosen


def _visits(
    plan: Plan, rng: Random, number: int, started_ms: int, name: str
) -> Iterator[tuple[Visit, list[Published], Kind | None]]:
    """The order's own visit, and those around it that came to nothing: they have records, but no kind."""
    kind = KINDS[name]
    buyer = kind.change(
        visit(rng, f"{plan.seed}-{number:06}", started_ms, US if kind.country == "US" else None)
    )
    yield buyer, kind.tell(buyer), kind
    for place in range(rng.choices((0, 1, 2), (5, 3, 2))[0]):
        gone = visit(rng, f"{plan.seed}-{number:06}-{place}", started_ms + rng.randrange(MINUTE_MS))
        yield gone, steps(gone, until=rng.choice(STEPS[:-1])), None


def _truths(
    plan: Plan, of: Visit, records: list[Published], kind: Kind | None
) -> Iterator[Truth | PixelFire]:
    """The events of a visit, each once: its two steps that count, if they can be read, and its purchase."""
    for step, said in _steps(records).items():
        if step in STEP_EVENTS:
            yield from _told(plan, of, "", known(of, STEP_EVENTS[step], said))
    if kind is not None:
        yield from _told(plan, of, kind.cause, known(of, "purchase", of.said, alone=kind.alone))
        back = fate(kind.cause, known(of, "refund", of.said, alone=kind.alone), plan.platforms)
        for refund_id, amount_minor in given_back(records).items():
            yield Truth(
                order_id=of.order_id,
                checkout_id=of.checkout_id,
                event_id=f"refund:{of.order_id}:{refund_id}",
                event="refund",
                value_minor=amount_minor,
                currency=of.cart.currency,
                eligible=back.eligible,
                cause=back.cause,
                causes=back.causes,
            )


def given_back(records: list[Published]) -> Mapping[str, int]:
    """What of a paid order was given back, by the refund's id: `cancel` is the rest, at a cancellation."""
    amounts: dict[str, int] = {}
    for value in (record.value for record in records if record.topic is Topic.ORDERS):
        if value is None or not value["paid_at"]:
            continue
        refunds = value["refunds"]
        for refund in refunds if isinstance(refunds, list) else []:
            amounts.setdefault(refund["refund_id"], refund["amount_minor"])
        if value["status"] == "CANCELLED" and "cancel" not in amounts:
            amounts["cancel"] = int(str(value["grand_total_minor"])) - sum(amounts.values())
    return amounts


def _steps(records: list[Published]) -> Mapping[str, Said]:
    """The steps that can be read, and the visitor's answer that came with each."""
    told: dict[str, Said] = {}
    for record in records:
        if record.topic is Topic.CHECKOUTS and record.value is not None and record.damage is Damage.NONE:
            said = record.value["consent"]
            told.setdefault(
                str(record.value["step"]), said if isinstance(said, dict) else alike("UNSPECIFIED")
            )
    return told


def _told(plan: Plan, of: Visit, cause: str, has: Known) -> Iterator[Truth | PixelFire]:
    """One event's truth, and its pixel event if a browser was there and sent one."""
    event, ends = has.event, fate(cause, has, plan.platforms)
    event_id = of.event_id if event == "purchase" and of.event_id else f"{event}:{_subject(of, event)}"
    yield Truth(
        order_id=of.order_id if event == "purchase" else "",
        checkout_id=of.checkout_id,
        event_id=event_id,
        event=event,
        value_minor=of.cart.grand_total_minor,
        currency=of.cart.currency,
        eligible=ends.eligible,
        cause=ends.cause,
        causes=ends.causes,
    )
    # Chance is drawn whichever platforms there are, so that the same seed makes the same records for all.
    allowing = not cause and of.browser and "GRANTED" in has.consent.values()
    if allowing and of.rng.random() < plan.pixel_rate and any(ends.eligible.values()):
        yield PixelFire(
            event=event,
            event_id=event_id,
            at_ms=of.paid_ms if event == "purchase" else of.steps_ms[STEPS.index(_step_of(event))],
            currency=of.cart.currency,
            value_minor=of.cart.grand_total_minor,
            exponent=EXPONENTS[of.cart.currency],
            order_id=of.order_id if event == "purchase" else "",
            page_url=str(of.browser["page_url"]),
            browser=allowed(of.browser, has.consent),
            platforms=frozenset(name for name, arrives in ends.eligible.items() if arrives),
        )


def _subject(of: Visit, event: str) -> str:
    return of.order_id if event == "purchase" else of.checkout_id


def _step_of(event: str) -> str:
    return next(step for step, name in STEP_EVENTS.items() if name == event)
