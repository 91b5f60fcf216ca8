"""One visitor on the way from the first step of a checkout to a fulfilled order, told as records."""

from collections.abc import Iterable
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from consumer.emulators.shop.people import COUNTRIES, Country, Person, person
from consumer.emulators.shop.records import Fields, Published, Topic
from consumer.emulators.shop.visit import Cart, Said, alike, browser, cart, consent

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
DAY_MS = 24 * 60 * MINUTE_MS
STEPS = ("STARTED", "CONTACT", "SHIPPING", "PAYMENT", "COMPLETED")
US = COUNTRIES[0]


class Visit(Struct, frozen=True):
    """A visitor with a cart; `said` is the answer to the banner, `steps_ms` holds one time a step."""

    rng: Random
    order_id: str
    checkout_id: str
    buyer: Person
    cart: Cart
    browser: Fields
    said: Said
    sale_opt_out: bool
    steps_ms: tuple[int, ...]
    placed_ms: int
    paid_ms: int
    event_id: str = ""

    @property
    def region(self) -> str:
        """The jurisdiction of the visitor's consent."""
        country = self.buyer.country.code
        return (
            f"US-{self.buyer.region}" if country == "US" and len(self.buyer.region) == len("CA") else country
        )

    def with_buyer(self, **changes: object) -> "Visit":
        """The same visit of someone who told other things of themselves."""
        return replace(self, buyer=replace(self.buyer, **changes))


def visit(rng: Random, number: str, started_ms: int, country: Country | None = None) -> Visit:
    """A visitor who allows everything. At most seven minutes pass until the order is paid."""
    buyer = person(rng, number, country)
    steps_ms = [started_ms]
    for least_s, most_s in ((10, 90), (10, 90), (15, 120), (5, 30)):
        steps_ms.append(steps_ms[-1] + rng.randint(least_s * SECOND_MS, most_s * SECOND_MS))
    placed_ms = steps_ms[-1] + rng.randint(100, SECOND_MS)
    return Visit(
        rng=rng,
        order_id=number,
        checkout_id=f"chk-{rng.randrange(16**12):012x}",
        buyer=buyer,
        cart=cart(rng, buyer.country),
        browser=browser(rng, started_ms, buyer.country),
        said=alike("GRANTED"),
        sale_opt_out=False,
        steps_ms=tuple(steps_ms),
        placed_ms=placed_ms,
        paid_ms=placed_ms + rng.randint(SECOND_MS, 20 * SECOND_MS),
    )


def checkout(of: Visit, step: str, *, said: Said | None = None) -> Published:
    """One step; the customer and the address are known from the step on that asks for them."""
    at_ms = of.steps_ms[STEPS.index(step)]
    value: dict[str, object] = {
        "checkout_id": of.checkout_id,
        "step": step,
        "updated_at": at_ms,
        "created_at": of.steps_ms[0],
        "shop": _shop(of),
        **of.cart.fields(),
        "browser": of.browser,
        "consent": consent(said or of.said, of.region, at_ms, sale_opt_out=of.sale_opt_out),
    }
    if step != "STARTED":
        value["customer"] = of.buyer.customer()
    if step in {"SHIPPING", "PAYMENT", "COMPLETED"}:
        value["address"] = of.buyer.address()
    return Published(Topic.CHECKOUTS, of.checkout_id, value, at_ms, at_ms)


def order(of: Visit, status: str, at_ms: int, **changes: object) -> Published:
    """The order as it stood at `at_ms`."""
    paid = status not in {"PENDING", "CANCELLED"}
    value: dict[str, object] = {
        "order_id": of.order_id,
        "checkout_id": of.checkout_id,
        "status": status,
        "updated_at": at_ms,
        "created_at": of.placed_ms,
        "paid_at": of.paid_ms if paid else 0,
        "event_id": of.event_id,
        "shop": _shop(of),
        **of.cart.fields(),
        "customer": of.buyer.customer(),
        "billing_address": of.buyer.address(),
        "shipping_address": of.buyer.address(),
        "consent": consent(of.said, of.region, of.steps_ms[0], sale_opt_out=of.sale_opt_out),
        "refunds": [],
        **changes,
    }
    return Published(Topic.ORDERS, of.checkout_id or f"order:{of.order_id}", value, at_ms, at_ms)


def steps(of: Visit, *, until: str = "COMPLETED") -> list[Published]:
    """The checkout's records, up to a step."""
    return [checkout(of, step) for step in STEPS[: STEPS.index(until) + 1]]


def orders(of: Visit, **changes: object) -> list[Published]:
    """The order's records: pending, paid and, of two in three, fulfilled within the hour."""
    told = [order(of, "PENDING", of.placed_ms, **changes), order(of, "PAID", of.paid_ms, **changes)]
    if of.rng.random() < 2 / 3:
        told.append(
            order(of, "FULFILLED", of.paid_ms + of.rng.randint(20 * MINUTE_MS, 60 * MINUTE_MS), **changes)
        )
    return told


def bought(of: Visit) -> list[Published]:
    """All of it."""
    return [*steps(of), *orders(of)]


def later(records: Iterable[Published], published_ms: int) -> list[Published]:
    """The same records, published together from a given time on, 10 ms apart, in their order."""
    return [replace(record, published_ms=published_ms + 10 * place) for place, record in enumerate(records)]


def _shop(of: Visit) -> str:
    return f"shop-{of.buyer.country.code.lower()}"
