"""The event loop that all senders share: one thread, one set of connections."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Self, TypeVar

import uvloop

from consumer.clock import Clock
from consumer.deliver.http import Http
from consumer.deliver.sender import Sender

START_TIMEOUT_S = 30.0
Told = TypeVar("Told")


class Senders:
    """From `with` to its end, a thread in which senders run. All must have finished before it ends."""

    def __init__(self, clock: Clock) -> None:
        self._http = Http(clock)
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="senders", daemon=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def begin(self, make: Callable[[Http], Sender]) -> "tuple[Sender, Future[None]]":
        """Make a sender in the loop and let it run; the future ends with it, or with what broke it."""
        sender = asyncio.run_coroutine_threadsafe(self._make(make), self._loop).result(START_TIMEOUT_S)
        return sender, asyncio.run_coroutine_threadsafe(sender.run(), self._loop)

    def soon(self, make: Callable[[Http], Coroutine[object, object, Told]]) -> "Future[Told]":
        """Run something in the loop, with its connections; the future is its result."""
        return asyncio.run_coroutine_threadsafe(make(self._http), self._loop)

    async def _make(self, make: Callable[[Http], Sender]) -> Sender:
        return make(self._http)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._http.__aenter__(), self._loop).result(START_TIMEOUT_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._http.__aexit__(None, None, None), self._loop).result(
            START_TIMEOUT_S
        )
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __repr__(self) -> str:
        return f"<Senders: {self._http!r}>"
