"""What waits to be sent: fresh deliveries, groups that go again, and those whose time has not come.

The nearest deadline goes first. Fresh deliveries are put together by number, bytes and linger; a group is
sent as it is.
"""

import heapq
from itertools import count

from consumer.deliver.delivery import Delivery, Group, Now, Waiting

FRAME_BYTES = 1_024
"""What a request's body has around its events, generously."""


def halves(group: Group) -> tuple[Group, Group]:
    """Two groups of the same failures; the first has the odd one."""
    middle = (len(group.deliveries) + 1) // 2
    return parted(group, group.deliveries[:middle]), parted(group, group.deliveries[middle:])


def parted(group: Group, deliveries: list[Delivery]) -> Group:
    """Some of a group, with its history."""
    return Group(
        deliveries,
        failures=group.failures,
        accepted_then=group.accepted_then,
        suspect=group.suspect,
        hinted=group.hinted,
    )


def _ours(group: Group) -> Group | None:
    """The group without what is lost; None if nothing is left."""
    kept = [delivery for delivery in group.deliveries if not delivery.progress.lost]
    return parted(group, kept) if kept else None


class Queue:
    """All that is not under way. `len` counts deliveries."""

    def __init__(self, events_max: int, bytes_max: int, linger_s: float) -> None:
        self._events_max = events_max
        self._bytes_max = bytes_max - FRAME_BYTES
        self._linger_s = linger_s
        self._number = count()
        self._fresh: list[tuple[int, int, Delivery]] = []
        self._fresh_since_s = 0.0
        self._held: list[tuple[int, int, Delivery]] = []
        self._ready: list[tuple[int, int, Group]] = []
        self._waiting: list[tuple[float, int, Group]] = []
        self._length = 0

    def add(self, delivery: Delivery, not_before_ms: int, now: Now) -> None:
        """Take a delivery in; it is held until its time (epoch ms) has come."""
        self._length += 1
        if not_before_ms > now.ms:
            heapq.heappush(self._held, (not_before_ms, next(self._number), delivery))
        else:
            self._push(delivery, now)

    def _push(self, delivery: Delivery, now: Now) -> None:
        if not self._fresh:
            self._fresh_since_s = now.s
        heapq.heappush(self._fresh, (delivery.deadline_ms, next(self._number), delivery))

    def put(self, group: Group) -> None:
        """Take a group in, to be sent as soon as can be."""
        self._length += len(group.deliveries)
        heapq.heappush(self._ready, (group.deadline_ms, next(self._number), group))

    def wait(self, group: Group, until_s: float) -> None:
        """Take a group in, to be sent from `until_s` (monotonic) on."""
        self._length += len(group.deliveries)
        heapq.heappush(self._waiting, (until_s, next(self._number), group))

    def take(self, now: Now) -> Group | None:
        """The next group. None if none is ready."""
        self._ripen(now)
        full = self._full(now)
        if self._ready and not (full and self._fresh[0][0] < self._ready[0][0]):
            group = heapq.heappop(self._ready)[2]
        elif full:
            group = Group(self._batch(self._events_max, now))
        else:
            return None
        self._length -= len(group.deliveries)
        return group

    def take_probe(self, now: Now, events_max: int) -> Group | None:
        """A few to try the platform with, of those that failed least: an event at fault would tell nothing of it."""
        self._ripen(now)
        if self._fresh:
            group = Group(self._batch(events_max, now))
        elif self._ready:
            calmest = min(self._ready, key=lambda entry: (entry[2].failures, entry[:2]))
            self._ready.remove(calmest)
            heapq.heapify(self._ready)
            group = calmest[2]
        else:
            return None
        self._length -= len(group.deliveries)
        if len(group.deliveries) > events_max:
            self.put(parted(group, group.deliveries[events_max:]))
            group = parted(group, group.deliveries[:events_max])
        return group

    def _ripen(self, now: Now) -> None:
        """Move what was due since to where it can be taken."""
        while self._held and self._held[0][0] <= now.ms:
            self._push(heapq.heappop(self._held)[2], now)
        while self._waiting and self._waiting[0][0] <= now.s:
            group = heapq.heappop(self._waiting)[2]
            heapq.heappush(self._ready, (group.deadline_ms, next(self._number), group))

    def _full(self, now: Now) -> bool:
        """Fresh deliveries make a batch: they are enough, or waited long enough."""
        if not self._fresh:
            return False
        return len(self._fresh) >= self._events_max or now.s >= self._fresh_since_s + self._linger_s

    def _batch(self, most: int, now: Now) -> list[Delivery]:
        batch: list[Delivery] = []
        left = self._bytes_max
        while self._fresh and len(batch) < most:
            size = len(self._fresh[0][2].event) + 1
            if batch and size > left:
                break
            left -= size
            batch.append(heapq.heappop(self._fresh)[2])
        self._fresh_since_s = now.s
        return batch

    def drop_lost(self) -> None:
        """Forget the deliveries of partitions that are another's now."""
        self._fresh = [entry for entry in self._fresh if not entry[2].progress.lost]
        self._held = [entry for entry in self._held if not entry[2].progress.lost]
        self._ready = [
            (kept.deadline_ms, number, kept) for _, number, group in self._ready if (kept := _ours(group))
        ]
        self._waiting = [
            (until_s, number, kept) for until_s, number, group in self._waiting if (kept := _ours(group))
        ]
        heapq.heapify(self._fresh)
        heapq.heapify(self._held)
        heapq.heapify(self._ready)
        heapq.heapify(self._waiting)
        grouped = [group for _, _, group in self._ready] + [group for _, _, group in self._waiting]
        self._length = len(self._fresh) + len(self._held) + sum(len(group.deliveries) for group in grouped)

    def wait_s(self, now: Now) -> Waiting | None:
        """Seconds until something is ready by time alone; None if nothing is here."""
        waits = []
        if self._ready:
            return 0.0
        if self._fresh:
            waits.append(self._fresh_since_s + self._linger_s - now.s)
        if self._held:
            waits.append((self._held[0][0] - now.ms) / 1000)
        if self._waiting:
            waits.append(self._waiting[0][0] - now.s)
        return max(0.0, min(waits)) if waits else None

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return (
            f"<Queue: {len(self._fresh)} fresh, {len(self._held)} held, "
            f"{len(self._ready)} groups ready, {len(self._waiting)} waiting>"
        )
