"""The made-up shop's records in the shapes of shop platforms, whose schemas and mappings are in `schemas/shops`.

A shape tells the same as the record in our reference fields: what comes of it must be the same, too.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from msgspec import Struct

from consumer.emulators.shop.records import Fields, Topic
from consumer.emulators.shop.shapes import commercetools, debezium, segment, shopify, woocommerce

Told: TypeAlias = Mapping[str, object]
"""A record in JSON's types, of a schema in `schemas/shops`; decimals are text."""


class Shape(Struct, frozen=True):
    """How a platform tells orders and checkouts. `gone` is what it says of a deleted one, if not by a tombstone."""

    order: Callable[[Fields], Told]
    checkout: Callable[[Fields], Told]
    gone: Callable[[str], Told] | None = None

    def told(self, topic: Topic, fields: Fields | None) -> Told | None:
        """A record of either topic; of a deleted one None, if that is a tombstone."""
        if fields is None:
            return self.gone(topic.value) if self.gone is not None else None
        return self.order(fields) if topic is Topic.ORDERS else self.checkout(fields)


SHAPES: Mapping[str, Shape] = {
    "shopify": Shape(shopify.order, shopify.checkout),
    "woocommerce": Shape(woocommerce.order, woocommerce.checkout),
    "commercetools": Shape(commercetools.order, commercetools.checkout),
    "segment": Shape(segment.order, segment.checkout),
    "debezium": Shape(debezium.order, debezium.checkout, debezium.gone),
}
