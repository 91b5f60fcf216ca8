"""The made-up shop while it is open: its records go to Kafka, its pixel's events to the platforms."""

from collections.abc import Callable, Mapping

from consumer.demo.emulated import Emulated
from consumer.demo.publish import Publisher
from consumer.emulators.oracle import PURCHASE
from consumer.emulators.shop import PixelFire, Plan, Truth, traffic

FIRES_PER_POST = 50


class Shop:
    """One shop. `truths` is what must come of its records; `orders_told` and `fired` count as it goes."""

    def __init__(self, plan: Plan, publisher: Publisher, emulated: Mapping[str, Emulated]) -> None:
        self._plan = plan
        self._publisher = publisher
        self._emulated = emulated
        self.truths: list[Truth] = []
        self.orders_told = 0
        self.fired = 0

    @property
    def orders(self) -> int:
        """Orders in all."""
        return self._plan.orders

    @property
    def published(self) -> dict[str, int]:
        """Records so far, by `orders` and `checkouts`."""
        return dict(self._publisher.written)

    def open(self, closed: Callable[[], bool]) -> None:
        """All of the traffic, as fast as Kafka takes it, or until `closed`. Raises Unreachable."""
        fires: list[PixelFire] = []
        for told in self._publisher.publish(traffic(self._plan)):
            if isinstance(told, Truth):
                self.truths.append(told)
                self.orders_told += told.event == PURCHASE
                if closed():
                    break
                continue
            fires.append(told)
            if len(fires) >= FIRES_PER_POST:
                self._fire(fires)
        self._fire(fires)

    def _fire(self, fires: list[PixelFire]) -> None:
        for name, emulated in self._emulated.items():
            emulated.fire([fired for fired in fires if name in fired.platforms])
        self.fired += len(fires)
        fires.clear()

    def __repr__(self) -> str:
        return f"<Shop: {self.orders_told} of {self.orders} orders told>"
