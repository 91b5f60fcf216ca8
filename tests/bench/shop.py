"""A shop's traffic as bytes, in the shape of a real shop's: orders of 779 bytes on average.

The emulated shop tells short orders. Here each line of a cart comes in two variants, and bears the ids and texts of a
real catalogue, in orders and checkouts alike.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from consumer.clock import SystemClock
from consumer.codec import Encoder, load_schema
from consumer.emulators.shop import Damage, Plan, Published, Topic, traffic

RECORDS_AN_ORDER = 9.2
"""What the emulated shop tells of one order, checkouts that came to nothing included."""
UPDATE_AFTER_MS = 1_000


class Ids(Struct, frozen=True):
    """Ids of the schemas that the values are framed with."""

    orders: int
    checkouts: int


class Message(Struct, frozen=True):
    """A record to publish."""

    topic: Topic
    key: bytes | None
    value: bytes | None
    at_ms: int


class Shop:
    """Traffic of one seed. `messages` are in the order of publishing; `updates` of paid orders change nothing."""

    def __init__(self, seed: int, records: int, ids: Ids) -> None:
        self._encoders: Mapping[Topic, Encoder[Mapping[str, object]]] = {
            Topic.ORDERS: Encoder(load_schema("order"), ids.orders),
            Topic.CHECKOUTS: Encoder(load_schema("checkout"), ids.checkouts),
        }
        orders = max(30, round(records / RECORDS_AN_ORDER))
        told = traffic(Plan(seed=seed, orders=orders, now_ms=SystemClock().now_ms()))
        self._published = [shaped(one) for one in told if isinstance(one, Published)][:records]
        self.messages = [self._message(one) for one in self._published]

    def updates(self, count: int) -> Iterator[Message]:
        """Paid orders told again, each a second later than the last time."""
        paid = list(_paid(self._published))
        for number in range(count):
            order, value = paid[number % len(paid)]
            at_ms = order.at_ms + UPDATE_AFTER_MS * (1 + number // len(paid))
            yield Message(
                order.topic,
                _key(order),
                self._encoders[Topic.ORDERS]({**value, "updated_at": at_ms}),
                at_ms,
            )

    @property
    def order_bytes(self) -> float:
        """Mean size of an order's value."""
        sizes = [len(one.value or b"") for one in self.messages if one.topic is Topic.ORDERS]
        return sum(sizes) / max(1, len(sizes))

    def _message(self, one: Published) -> Message:
        value = None if one.value is None else self._encoders[one.topic](one.value)
        if one.damage is not Damage.NONE and value is not None:
            value = value[: len(value) // 2]
        return Message(one.topic, _key(one), value, one.at_ms)


def shaped(one: Published) -> Published:
    """The same record with a cart as a real catalogue has it."""
    if one.value is None or not isinstance(items := one.value.get("items"), list):
        return one
    lines = [line for item in items for line in _lines(item)]
    return Published(
        one.topic, one.key, {**one.value, "items": lines}, one.at_ms, one.published_ms, one.damage
    )


def _lines(item: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for place, colour in enumerate(("Midnight Blue", "Sand")):
        yield {
            **item,
            "sku": f"gid://shop/ProductVariant/{place}{item['sku']}",
            "name": f"{item['name']}, Spring Collection",
            "category": f"All Products > {item['category']} > New Arrivals",
            "variant": f"{colour} / {item['variant'] or 'One Size'}",
        }


def _paid(published: Iterable[Published]) -> Iterator[tuple[Published, Mapping[str, object]]]:
    """The first paid record of each order that can be read."""
    seen = set()
    for one in published:
        value = one.value
        if one.topic is not Topic.ORDERS or value is None or one.damage is not Damage.NONE:
            continue
        if value.get("status") == "PAID" and value.get("order_id") not in seen:
            seen.add(value.get("order_id"))
            yield one, value


def _key(one: Published) -> bytes | None:
    return None if one.key is None else one.key.encode()
