"""A shop's records, made in a line, and a pair's memory to plan them against."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec
import pytest

from consumer.enrich.memory import Memory
from consumer.enrich.plan import Arrival, plan, plan_time
from consumer.enrich.planned import Also, Converted, Planned
from consumer.enrich.rules import Rules
from consumer.ingest.mapping import DecodedHead
from consumer.model import (
    Checkout,
    Consent,
    ConsentState,
    Conversion,
    Item,
    Location,
    Money,
    Order,
    OrderHead,
    Record,
    Refund,
)
from consumer.state.overlay import Overlay

T0_MS = 1_790_000_000_000
DAY_MS = 86_400_000
GRANTED = Consent(
    ads=ConsentState.GRANTED, analytics=ConsentState.GRANTED, personalisation=ConsentState.GRANTED
)
RULES = Rules(
    purchase_states=frozenset({"PAID"}),
    cancelled_states=frozenset({"CANCELLED"}),
    wait_ms=60_000,
    waiting_max_orders=1_000,
    dedupe_window_ms=7 * DAY_MS,
    context_ttl_ms=7 * DAY_MS,
    deny_when_missing=True,
    conversion_max_bytes=100_000,
    state_max_bytes=100_000,
    encode=msgspec.msgpack.encode,
)


@dataclass
class Book:
    """The orders that records stand for, by offset."""

    orders: dict[int, Order] = field(default_factory=dict)

    def order(self, record: Record, _decoded: DecodedHead | None = None) -> Order:
        """The whole order."""
        return self.orders[record.offset]

    def has_refunds(self, record: Record, _decoded: DecodedHead) -> bool:
        """Whether it tells of any refund."""
        return bool(self.orders[record.offset].refunds)


@dataclass
class Shop:
    """One pair of partitions: makes records with rising offsets, and plans them against one memory."""

    rules: Rules = RULES
    stored: dict[bytes, bytes] = field(default_factory=dict)
    now_ms: int = T0_MS + 3_600_000
    offsets: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.memory = Memory(Overlay(self.stored))
        self.book = Book()

    def order(  # noqa: PLR0913 (an order tells as much)
        self,
        order_id: str = "o1",
        checkout_id: str = "c1",
        *,
        status: str = "PAID",
        at_s: float = 100,
        paid_at_ms: int | None = None,
        total: int = 1999,
        currency: str = "EUR",
        identity: Mapping[str, str] | None = None,
        location: Location | None = None,
        consent: Consent = GRANTED,
        items: tuple[Item, ...] = (Item("sku-1", 1, 1999),),
        event_id: str = "",
        refunds: tuple[Refund, ...] = (),
        rest: bytes = b"rest",
    ) -> Arrival:
        """An order record, `at_s` seconds after the shop opened."""
        at_ms = T0_MS + int(at_s * 1000)
        paid_ms = at_ms if paid_at_ms is None else paid_at_ms
        head = OrderHead(
            order_id, checkout_id, status, at_ms, T0_MS, paid_ms, currency, total, event_id, rest
        )
        money = Money(currency=currency, grand_total_minor=total)
        record = self._record("orders", at_ms)
        place = location or Location(country="DE")
        self.book.orders[record.offset] = Order(
            head, "shop", money, items, identity or {}, place, consent, refunds
        )
        return Arrival(record, DecodedHead(head, 0))

    def step(  # noqa: PLR0913 (a step tells as much)
        self,
        step: str = "STARTED",
        checkout_id: str = "c1",
        *,
        at_s: float = 10,
        browser: Mapping[str, str] | None = None,
        identity: Mapping[str, str] | None = None,
        consent: Consent = GRANTED,
        currency: str = "EUR",
        total: int = 1999,
        event_id: str = "",
    ) -> Arrival:
        """A checkout record, `at_s` seconds after the shop opened."""
        at_ms = T0_MS + int(at_s * 1000)
        told = Checkout(
            checkout_id=checkout_id,
            step=step,
            updated_at_ms=at_ms,
            created_at_ms=at_ms,
            event_id=event_id,
            shop="shop",
            money=Money(currency=currency, grand_total_minor=total),
            items=(Item("sku-1", 1, 1999),),
            identity=identity or {},
            location=Location(),
            consent=consent,
            browser=browser or {},
        )
        return Arrival(self._record("checkouts", at_ms), told)

    def _record(self, topic: str, at_ms: int) -> Record:
        offset = self.offsets.get(topic, 0)
        self.offsets[topic] = offset + 1
        return Record(topic, 0, offset, at_ms, b"key", b"value")

    def plan(self, *arrivals: Arrival) -> list[Planned]:
        """What happens when these come one after the other."""
        happened: list[Planned] = []
        for arrival in arrivals:
            happened += plan(arrival, self.memory, self.book, self.now_ms, self.rules)
        return happened

    def wait(self, seconds: float) -> list[Planned]:
        """What happens when so much time goes by, both partitions at their end."""
        self.now_ms += int(seconds * 1000)
        return plan_time(self.memory, self.now_ms, self.rules)


@pytest.fixture
def shop() -> Shop:
    """A shop with the default rules."""
    return Shop()


@pytest.fixture
def open_shop() -> Callable[..., Shop]:
    """Makes a shop with some rules of its own."""

    def make(**rules: object) -> Shop:
        return Shop(rules=msgspec.structs.replace(RULES, **rules))

    return make


@pytest.fixture
def told() -> Callable[[list[Planned]], list[Conversion]]:
    """The conversions among what happened."""
    return lambda planned: [
        (each.converted if isinstance(each, Also) else each).conversion
        for each in planned
        if isinstance(each, Converted | Also)
    ]
