"""What can happen to an order on its way into Kafka: each kind with its share, and why it may not count.

A kind is a function from a visit to its records. Kinds that need another visitor (no consent, hashed address)
first change the visit. What is not listed here goes as it should: `plain`.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from consumer.emulators.shop.funnel import (
    DAY_MS,
    MINUTE_MS,
    SECOND_MS,
    Visit,
    bought,
    checkout,
    later,
    order,
    orders,
    steps,
)
from consumer.emulators.shop.records import Damage, Published, Topic
from consumer.emulators.shop.visit import alike

Tell: TypeAlias = Callable[[Visit], list[Published]]
Change: TypeAlias = Callable[[Visit], Visit]
COOKIES = frozenset({"fbp", "ga_client_id", "ga_session_id"})
YEAR_2099_MS = 4_070_908_800_000
YEAR_318857_MS = 10**16


class Kind(Struct, frozen=True):
    """A kind of journey.

    `cause` is why its purchase must not arrive, empty if it must; what the visitor said to the banner comes on top.
    `alone` are those whose purchase is known without its checkout.
    """

    rate: float
    tell: Tell
    cause: str = ""
    change: Change = lambda of: of
    country: str = ""
    alone: bool = False


def republished(of: Visit) -> list[Published]:
    """The shop's producer sent some records twice, byte for byte."""
    told = bought(of)
    again = of.rng.sample(told, 3)
    return [
        *told,
        *(replace(one, published_ms=one.published_ms + of.rng.randint(1, 120) * SECOND_MS) for one in again),
    ]


def touched(of: Visit) -> list[Published]:
    """Updates that change nothing but `updated_at`."""
    times = [of.paid_ms + minute * MINUTE_MS for minute in (1, 3, 9)]
    return [*bought(of), *(order(of, "PAID", at_ms) for at_ms in times)]


def readdressed(of: Visit) -> list[Published]:
    """The parcel goes elsewhere: an update, but no other purchase."""
    elsewhere = {**of.buyer.address(), "street": "Parcel Station 12"}
    return [*bought(of), order(of, "PAID", of.paid_ms + 4 * MINUTE_MS, shipping_address=elsewhere)]


def repriced(of: Visit) -> list[Published]:
    """After payment the same order is told with another amount: the first one counts."""
    other = of.cart.grand_total_minor + 100
    return [*bought(of), order(of, "PAID", of.paid_ms + 5 * MINUTE_MS, grand_total_minor=other)]


def early_order(of: Visit) -> list[Published]:
    """The order overtakes its checkout, by a second or two."""
    return [*later(steps(of), of.paid_ms + of.rng.randint(300, 1500)), *orders(of)]


def late_checkout(of: Visit) -> list[Published]:
    """The checkout comes when nobody waits for it any more."""
    return [*later(steps(of), of.paid_ms + of.rng.randint(2, 4) * MINUTE_MS), *orders(of)]


def lost_checkout(of: Visit) -> list[Published]:
    """The order names a checkout that never appears."""
    return orders(of)


def weeks_later(of: Visit) -> list[Published]:
    """An order paid three weeks ago is updated today."""
    paid_ms = of.paid_ms - 21 * DAY_MS
    return [order(of, "PAID", of.paid_ms, paid_at=paid_ms, created_at=paid_ms - MINUTE_MS)]


def never_paid(of: Visit) -> list[Published]:
    """Placed, and that was it."""
    return [*steps(of), order(of, "PENDING", of.placed_ms)]


def cancelled(of: Visit) -> list[Published]:
    """Placed, and cancelled before it was paid."""
    return [*never_paid(of), order(of, "CANCELLED", of.placed_ms + 10 * MINUTE_MS)]


def cancelled_after(of: Visit) -> list[Published]:
    """Paid, and cancelled later: it was a purchase all the same."""
    cancellation = order(of, "CANCELLED", of.paid_ms + 30 * MINUTE_MS, paid_at=of.paid_ms)
    return [*steps(of), order(of, "PENDING", of.placed_ms), order(of, "PAID", of.paid_ms), cancellation]


def refunded(of: Visit) -> list[Published]:
    """All of it was given back, half an hour later."""
    return _given_back(of, ("REFUNDED", (of.cart.grand_total_minor,)))


def refunded_in_part(of: Visit) -> list[Published]:
    """A part was given back, then another; the shop tells all refunds so far with each update."""
    part = of.cart.grand_total_minor // 4
    return _given_back(of, ("PARTIALLY_REFUNDED", (part,)), ("PARTIALLY_REFUNDED", (part, part)))


def refunded_then_cancelled(of: Visit) -> list[Published]:
    """A part was given back; then the order was cancelled, and with it the rest."""
    part = of.cart.grand_total_minor // 4
    return _given_back(of, ("PAID", (part,)), ("CANCELLED", (part,)))


def _given_back(of: Visit, *states: tuple[str, tuple[int, ...]]) -> list[Published]:
    told = [*steps(of), order(of, "PENDING", of.placed_ms), order(of, "PAID", of.paid_ms)]
    for place, (status, amounts) in enumerate(states):
        refunds = [
            {
                "refund_id": f"{of.order_id}-r{number}",
                "at": of.paid_ms + (20 + 10 * number) * MINUTE_MS,
                "amount_minor": amount,
                "items": [],
            }
            for number, amount in enumerate(amounts)
        ]
        at_ms = of.paid_ms + (30 + 10 * place) * MINUTE_MS
        told.append(order(of, status, at_ms, refunds=refunds, paid_at=of.paid_ms))
    return told


def keyless(of: Visit) -> list[Published]:
    """Records without a key land anywhere. None of these decides anything."""
    first, second, *rest = never_paid(of)
    return [first, replace(second, key=None), *rest[:-1], replace(rest[-1], key=None)]


def deleted(of: Visit) -> list[Published]:
    """The customer asked for erasure: tombstones in both topics."""
    at_ms = of.paid_ms + 65 * MINUTE_MS
    return [*bought(of), *(Published(topic, of.checkout_id, None, at_ms, at_ms) for topic in Topic)]


def late_consent(of: Visit) -> list[Published]:
    """The banner was answered after the first step."""
    return [checkout(of, "STARTED", said=alike("UNSPECIFIED")), *steps(of)[1:], *orders(of)]


def damaged(damage: Damage) -> Tell:
    """The one record that says that the order was paid can't be read."""

    def tell(of: Visit) -> list[Published]:
        paid = replace(order(of, "PAID", of.paid_ms), damage=damage)
        return [*steps(of), order(of, "PENDING", of.placed_ms), paid]

    return tell


def damaged_step(of: Visit) -> list[Published]:
    """A step that decides nothing can't be read."""
    first, second, *rest = bought(of)
    return [first, replace(second, damage=Damage.TRUNCATED), *rest]


def odd_orders(**changes: object) -> Tell:
    """Every record of the order says something absurd."""
    return lambda of: [*steps(of), *orders(of, **changes)]


def negative(of: Visit) -> list[Published]:
    """The order's total is below zero."""
    return [*steps(of), *orders(of, grand_total_minor=-of.cart.grand_total_minor)]


def odd_times(at_ms: int, paid_ms: int) -> Tell:
    """The order's times are impossible; Kafka's own timestamp is not, or the broker would refuse it."""

    def tell(of: Visit) -> list[Published]:
        paid = order(of, "PAID", of.paid_ms, updated_at=at_ms, created_at=at_ms, paid_at=paid_ms)
        return [*steps(of), order(of, "PENDING", of.placed_ms), paid]

    return tell


def anonymous(of: Visit) -> list[Published]:
    """Nothing is known of the buyer but the country."""
    nobody: dict[str, object] = {"customer": {}, "billing_address": {}}
    return orders(of, **nobody, shipping_address={"country": of.buyer.country.code})


def without_checkout(of: Visit) -> Visit:
    """By phone, or over the counter."""
    return replace(of, checkout_id="", browser={})


def without_cookies(of: Visit) -> Visit:
    """A browser that keeps none: whether the order meets its checkout or not, it is known no better."""
    kept = {name: fact for name, fact in of.browser.items() if name not in COOKIES}
    return replace(of, browser=kept)


def with_own_event_id(of: Visit) -> Visit:
    """The shop chose the pixel's event id for itself."""
    return replace(of, event_id=f"px-{of.rng.randrange(16**16):016x}")


def with_hashed_email(of: Visit) -> Visit:
    """The shop hands over a SHA-256 in place of the address."""
    return of.with_buyer(email=sha256(of.buyer.email.strip().lower().encode()).hexdigest())


def with_spaced_email(of: Visit) -> Visit:
    """The address was typed with spaces around it."""
    return of.with_buyer(email=f"  {of.buyer.email} ")


def saying(answer: str, **to: str) -> Change:
    """The visitor's answer to the banner, for all purposes but those with an answer of their own."""
    return lambda of: replace(of, said={**alike(answer), **to})


def opting_out(of: Visit) -> Visit:
    """Allowed, but not to be sold or shared."""
    return replace(of, sale_opt_out=True)


KINDS: dict[str, Kind] = {
    "republished": Kind(0.05, republished),
    "touched": Kind(0.04, touched),
    "readdressed": Kind(0.02, readdressed),
    "repriced": Kind(0.01, repriced),
    "early_order": Kind(0.04, early_order),
    "late_checkout": Kind(0.01, late_checkout, change=without_cookies, alone=True),
    "lost_checkout": Kind(0.02, lost_checkout, alone=True),
    "no_checkout": Kind(0.03, orders, change=without_checkout, alone=True),
    "own_event_id": Kind(0.02, bought, change=with_own_event_id),
    "weeks_later": Kind(0.02, weeks_later, "too_old"),
    "never_paid": Kind(0.04, never_paid, "not_paid"),
    "cancelled": Kind(0.02, cancelled, "not_paid"),
    "cancelled_after": Kind(0.01, cancelled_after),
    "refunded": Kind(0.02, refunded),
    "refunded_in_part": Kind(0.02, refunded_in_part),
    "refunded_then_cancelled": Kind(0.005, refunded_then_cancelled),
    "keyless": Kind(0.005, keyless, "not_paid"),
    "deleted": Kind(0.005, deleted),
    "garbage": Kind(0.003, damaged(Damage.GARBAGE), "unreadable"),
    "truncated": Kind(0.003, damaged(Damage.TRUNCATED), "unreadable"),
    "unknown_schema": Kind(0.0001, damaged(Damage.UNKNOWN_SCHEMA), "unreadable"),
    "damaged_step": Kind(0.005, damaged_step),
    "no_currency": Kind(0.01, odd_orders(currency=""), "no_currency"),
    "negative": Kind(0.004, negative, "bad_money"),
    "impossible_time": Kind(0.003, odd_times(YEAR_318857_MS, -1), "bad_time"),
    "year_2099": Kind(0.003, odd_times(YEAR_2099_MS, YEAR_2099_MS), "bad_time"),
    "hashed_email": Kind(0.02, bought, change=with_hashed_email),
    "spaced_email": Kind(0.01, bought, change=with_spaced_email),
    "anonymous": Kind(0.01, anonymous, "no_identifiers", change=without_checkout, alone=True),
    "late_consent": Kind(0.02, late_consent),
    "consent_denied": Kind(0.07, bought, change=saying("DENIED")),
    "consent_silent": Kind(0.04, bought, change=saying("UNSPECIFIED")),
    "sale_opt_out": Kind(0.04, bought, change=opting_out, country="US"),
    "analytics_only": Kind(0.02, bought, change=saying("DENIED", analytics="GRANTED")),
    "plain": Kind(0.0, bought),
}
"""`unknown_schema` is rare on purpose: a registry is asked again after half a minute to be believed."""
