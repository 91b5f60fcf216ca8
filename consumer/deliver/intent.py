"""What is about to be sent, told to Kafka first: only where not knowing is better than sending twice.

A sender asks before it posts, and posts what it may; the pump commits what was asked, and answers. So a crash with
requests under way leaves word of them. What came back from the platform without an outcome is withdrawn, and the next
commit says so; a crash before that makes of it, needlessly, an unknown.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TypeAlias

from msgspec import Struct

from consumer.deliver.delivery import Delivery
from consumer.deliver.settle import Progress

Deliveries: TypeAlias = list[Delivery]
Commit: TypeAlias = Callable[[Collection[Progress]], bool]
"""Commits these now; whether it could."""


class _Asked(Struct, frozen=True):
    deliveries: Deliveries
    answer: "Future[Deliveries]"


class _Withdrawn(Struct, frozen=True):
    deliveries: Deliveries


class Intents:
    """Between one sender and its pump."""

    def __init__(self) -> None:
        self._said: SimpleQueue[_Asked | _Withdrawn] = SimpleQueue()

    async def ask(self, deliveries: Deliveries) -> Deliveries:
        """Those that may be sent: their intent is committed. Waits for `serve`; called in the sender's loop."""
        answer: Future[Deliveries] = Future()
        self._said.put(_Asked(deliveries, answer))
        return await asyncio.wrap_future(answer)

    def withdraw(self, deliveries: Deliveries) -> None:
        """These, that might be sent, are known not to count."""
        self._said.put(_Withdrawn(deliveries))

    def serve(self, commit: Commit) -> None:
        """Do what was said so far; called in the pump's thread. All who asked are answered, even if `commit` raises."""
        going = []
        for said in self._take():
            if isinstance(said, _Withdrawn):
                _withdraw(said.deliveries)
            elif said.answer.set_running_or_notify_cancel():
                going.append((said.answer, _intend(said.deliveries)))
        told = False
        try:
            told = bool(going) and commit({each.progress for _, intended in going for each in intended})
        finally:
            for answer, intended in going:
                if not told:
                    _withdraw(intended)
                answer.set_result(intended if told else [])

    def _take(self) -> Iterator[_Asked | _Withdrawn]:
        try:
            while True:
                yield self._said.get_nowait()
        except Empty:
            return

    def __repr__(self) -> str:
        return f"<Intents: {self._said.qsize()} unheard>"


def _intend(deliveries: Deliveries) -> Deliveries:
    """Those that a commit can tell of. A partition that leaves, or is lost, has no request begun for it."""
    ours = [each for each in deliveries if not each.progress.lost and not each.progress.leaving]
    chosen = {
        (progress, offset)
        for progress, offsets in _parted(ours).items()
        for offset in progress.intend(offsets)
    }
    return [each for each in ours if (each.progress, each.place) in chosen]


def _withdraw(deliveries: Deliveries) -> None:
    for progress, offsets in _parted(deliveries).items():
        progress.withdraw(offsets)


def _parted(deliveries: Deliveries) -> dict[Progress, list[int]]:
    """Offsets, by partition."""
    parted: dict[Progress, list[int]] = {}
    for each in deliveries:
        parted.setdefault(each.progress, []).append(each.place)
    return parted
