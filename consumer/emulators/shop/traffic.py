"""All of it together: visits over time, their records in the order of publishing, and the truth of each."""

import heapq
from collections.abc import Iterator, Mapping
from random import Random
from typing import TypeAlias

from msgspec import Struct

from consumer.emulators.shop.funnel import MINUTE_MS, STEPS, US, Visit, steps, visit
from consumer.emulators.shop.journeys import KINDS, Kind
from consumer.emulators.shop.records import Damage, PixelFire, Published, Topic, Truth
from consumer.emulators.shop.visit import EXPONENTS

Told: TypeAlias = Published | PixelFire | Truth
STEP_EVENTS = {"STARTED": "begin_checkout", "PAYMENT": "add_payment_info"}
CONSENT_CAUSES = {"GRANTED": "", "DENIED": "consent_denied", "UNSPECIFIED": "consent_missing"}
SETTLED_MS = 100 * MINUTE_MS
"""The last visit begins this long before now, so that nothing of it lies in the future."""


class Plan(Struct, frozen=True):
    """How much traffic, of what time, for which platforms. Visits begin over `span_ms`; all lies before now.

    `pixel_rate` is the share of eligible events that the browser's pixel sent as well; `refunds_taken_by` are those
    of the platforms that take refunds.
    """

    seed: int
    orders: int
    now_ms: int
    platforms: tuple[str, ...] = ("meta",)
    span_ms: int = 6 * 60 * MINUTE_MS
    pixel_rate: float = 0.6
    refunds_taken_by: frozenset[str] = frozenset()


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
    steps_told = dict.fromkeys(_step(record) for record in records)
    for step, ads in filter(None, steps_told):
        if step in STEP_EVENTS:
            yield from _told(plan, of, STEP_EVENTS[step], CONSENT_CAUSES[ads])
    if kind is not None:
        yield from _told(plan, of, "purchase", kind.cause)
        for refund_id, amount_minor in given_back(records).items():
            yield Truth(
                order_id=of.order_id,
                checkout_id=of.checkout_id,
                event_id=f"refund:{of.order_id}:{refund_id}",
                event="refund",
                value_minor=amount_minor,
                currency=of.cart.currency,
                eligible={name: not kind.cause and name in plan.refunds_taken_by for name in plan.platforms},
                cause=kind.cause,
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


def _step(record: Published) -> tuple[str, str] | None:
    """Which step a record tells, and the visitor's answer about advertising; None if it can't be read."""
    if record.topic is not Topic.CHECKOUTS or record.value is None or record.damage is not Damage.NONE:
        return None
    said = record.value["consent"]
    return str(record.value["step"]), str(said["ads"]) if isinstance(said, dict) else "UNSPECIFIED"


def _told(plan: Plan, of: Visit, event: str, cause: str) -> Iterator[Truth | PixelFire]:
    """One event's truth, and its pixel event if a browser was there and sent one."""
    event_id = of.event_id if event == "purchase" and of.event_id else f"{event}:{_subject(of, event)}"
    yield Truth(
        order_id=of.order_id if event == "purchase" else "",
        checkout_id=of.checkout_id,
        event_id=event_id,
        event=event,
        value_minor=of.cart.grand_total_minor,
        currency=of.cart.currency,
        eligible=dict.fromkeys(plan.platforms, not cause),
        cause=cause,
    )
    if not cause and of.browser and of.rng.random() < plan.pixel_rate:
        yield PixelFire(
            event=event,
            event_id=event_id,
            at_ms=of.paid_ms if event == "purchase" else of.steps_ms[STEPS.index(_step_of(event))],
            currency=of.cart.currency,
            value_minor=of.cart.grand_total_minor,
            exponent=EXPONENTS[of.cart.currency],
            order_id=of.order_id if event == "purchase" else "",
            page_url=str(of.browser["page_url"]),
            fbp=str(of.browser.get("fbp", "")),
            fbc=str(of.browser.get("fbc", "")),
        )


def _subject(of: Visit, event: str) -> str:
    return of.order_id if event == "purchase" else of.checkout_id


def _step_of(event: str) -> str:
    return next(step for step, name in STEP_EVENTS.items() if name == event)
