"""A pair's state, typed: contexts, waiting orders, claims, stream time.

Keys begin with one byte of kind. What has expired by the horizon of stream time is absent, stored or not.
"""

import heapq
from collections.abc import Iterable, Iterator

from msgspec import Struct, msgpack

from consumer.enrich.context import Context
from consumer.enrich.dedupe import Claim
from consumer.enrich.streamtime import StreamTime
from consumer.model import Order, Origin
from consumer.state.overlay import View
from consumer.state.value import NEVER_MS, pack, unpack

CONTEXT, WAITING, CLAIM, TIME = b"c", b"w", b"d", b"s"

_encode = msgpack.Encoder().encode
_context = msgpack.Decoder(Context).decode
_claim = msgpack.Decoder(Claim).decode


class Waiting(Struct, frozen=True, gc=False):
    """An order that waits: `since_ms` is its place in stream time, `read_ms` the clock's when it was read.

    Its refunds are those to tell; `purchase` says if the purchase is to be told, too.
    """

    order: Order
    origin: Origin
    since_ms: int
    read_ms: int
    purchase: bool = True


_waiting = msgpack.Decoder(Waiting).decode
_time = msgpack.Decoder(StreamTime).decode


class Memory:
    """State of one pair of sister partitions, as plans read and write it.

    Waiting orders are also indexed in memory: by checkout, by their place in stream time, by when they were read.
    """

    def __init__(self, view: View, waiting: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """`waiting` are the stored keys and values that begin with `WAITING`."""
        self._view = view
        self._by_checkout: dict[str, list[bytes]] = {}
        self._since: list[tuple[int, bytes]] = []
        self._read: list[tuple[int, bytes]] = []
        self._held: set[bytes] = set()
        stored = view.get(TIME)
        self.time = _time(unpack(stored, 0) or b"") if stored is not None else StreamTime()
        self._stored_time = self._packed_time()
        for key, value in waiting:
            self._index(key, _waiting(unpack(value, 0) or b""))

    def context(self, checkout_id: str) -> Context | None:
        """What is known of a checkout."""
        found = self._read_key(CONTEXT + checkout_id.encode())
        return None if found is None else _context(found)

    def claim(self, claim_id: str) -> Claim | None:
        """Who claimed an event id."""
        found = self._read_key(CLAIM + claim_id.encode())
        return None if found is None else _claim(found)

    def _read_key(self, key: bytes) -> bytes | None:
        found = self._view.get(key)
        return None if found is None else unpack(found, self.time.horizon_ms)

    def put_context(self, checkout_id: str, context: Context, expiry_ms: int, max_bytes: int) -> bool:
        """Remember it; False, and nothing is changed, if that would be too large a record."""
        key, payload = CONTEXT + checkout_id.encode(), _encode(context)
        if len(key) + len(payload) > max_bytes:
            return False
        self._view.put(key, pack(expiry_ms, payload))
        return True

    def put_claim(self, claim_id: str, claim: Claim, expiry_ms: int) -> None:
        """Remember that an event id is taken."""
        self._view.put(CLAIM + claim_id.encode(), pack(expiry_ms, _encode(claim)))

    def put_waiting(self, waiting: Waiting, max_bytes: int) -> bool:
        """Let an order wait; False, and nothing is changed, if that would be too large a record."""
        key = WAITING + b"%020d:" % waiting.origin.offset + waiting.order.head.order_id.encode()
        payload = _encode(waiting)
        if len(key) + len(payload) > max_bytes:
            return False
        self._view.put(key, pack(NEVER_MS, payload))
        self._index(key, waiting)
        return True

    def _index(self, key: bytes, waiting: Waiting) -> None:
        self._held.add(key)
        self._by_checkout.setdefault(waiting.order.head.checkout_id, []).append(key)
        heapq.heappush(self._since, (waiting.since_ms, key))
        heapq.heappush(self._read, (waiting.read_ms, key))

    def take_checkout(self, checkout_id: str) -> list[Waiting]:
        """The orders that wait for this checkout; they wait no longer."""
        return [self._take(key) for key in self._by_checkout.get(checkout_id, [])[:]]

    def take_passed(self, since_before_ms: int) -> Iterator[Waiting]:
        """Orders whose place in stream time lies before this; they wait no longer."""
        return self._take_before(self._since, since_before_ms)

    def take_read(self, read_until_ms: int) -> Iterator[Waiting]:
        """Orders read up to this time of the clock; they wait no longer."""
        return self._take_before(self._read, read_until_ms + 1)

    def _take_before(self, heap: list[tuple[int, bytes]], before_ms: int) -> Iterator[Waiting]:
        while heap and heap[0][0] < before_ms:
            yield self._take(heap[0][1])

    def _take(self, key: bytes) -> Waiting:
        """Forget one. Its places in the heaps go once they come up: the heads are always of orders that wait."""
        waiting = _waiting(unpack(self._view.get(key) or b"", 0) or b"")
        self._view.delete(key)
        self._held.discard(key)
        keys = self._by_checkout[waiting.order.head.checkout_id]
        keys.remove(key)
        if not keys:
            del self._by_checkout[waiting.order.head.checkout_id]
        for heap in (self._since, self._read):
            while heap and heap[0][1] not in self._held:
                heapq.heappop(heap)
        return waiting

    @property
    def waiting(self) -> int:
        """How many orders wait."""
        return len(self._held)

    @property
    def oldest_read_ms(self) -> int | None:
        """When the order that waits longest was read; None if none waits."""
        return self._read[0][0] if self._read else None

    def put_time(self) -> None:
        """Remember stream time, if it moved."""
        packed = self._packed_time()
        if packed != self._stored_time:
            self._view.put(TIME, packed)
            self._stored_time = packed

    def _packed_time(self) -> bytes:
        return pack(NEVER_MS, _encode(self.time))

    def __repr__(self) -> str:
        return (
            f"<Memory: {len(self._held)} waiting, stream time {self.time.orders_ms}/{self.time.checkouts_ms}>"
        )
