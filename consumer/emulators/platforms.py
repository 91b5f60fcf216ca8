"""The platforms that have an emulator, and emulators in a thread for whoever has no event loop."""

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from threading import Thread
from types import TracebackType
from typing import Self

import consumer.emulators
from consumer.emulators.contract import StandIn
from consumer.emulators.server import EVENTS_MAX, Emulator


def _found() -> Iterator[StandIn]:
    """Modules beside this one that have a `STAND_IN`."""
    for module in iter_modules(consumer.emulators.__path__, "consumer.emulators."):
        if not module.ispkg and module.name != __name__:
            stand_in = getattr(import_module(module.name), "STAND_IN", None)
            if isinstance(stand_in, StandIn):
                yield stand_in


STAND_INS: dict[str, StandIn] = {stand_in.name: stand_in for stand_in in _found()}
START_TIMEOUT_S = 30.0


def emulator(
    platform: str,
    *,
    token: str,
    now_ms: Callable[[], int],
    accounts: Collection[str] = (),
    latency_ms: float = 0,
    events_max: int = EVENTS_MAX,
) -> Emulator:
    """A platform's emulator, not started yet. No accounts: the demo's one. Raises KeyError for a platform unknown."""
    return Emulator(
        STAND_INS[platform],
        token=token,
        now_ms=now_ms,
        accounts=accounts,
        latency_ms=latency_ms,
        events_max=events_max,
    )


def destination(platform: str, token_file: Path, url: str) -> dict[str, object]:
    """The settings of a destination that lead to a platform's emulator."""
    stand_in = STAND_INS[platform]
    more = {"actions": dict(stand_in.actions), "options": dict(stand_in.options)}
    return {
        "name": platform,
        "platform": platform,
        "account": stand_in.account,
        "token_file": str(token_file),
        "base_url": url,
        **{name: each for name, each in more.items() if each},
    }


def wall_ms() -> int:
    """Epoch milliseconds."""
    return time.time_ns() // 1_000_000


class EmulatorThread:
    """Emulators of several platforms in one thread with its own event loop, from `with` until its end.

    `urls`, `emulators` and `credentials` are by platform. `tokens` are the secrets of those that shall not make their
    own; `credentials` is what a client needs, from the start on. `ports` name those that are fixed.
    """

    def __init__(
        self,
        platforms: Iterable[str],
        *,
        tokens: Mapping[str, str] | None = None,
        accounts: Mapping[str, Collection[str]] | None = None,
        ports: Mapping[str, int] | None = None,
        now_ms: Callable[[], int] = wall_ms,
        latency_ms: float = 0,
        events_max: int = EVENTS_MAX,
    ) -> None:
        self._ports = ports or {}
        names = list(platforms)
        self._secrets = {name: (tokens or {}).get(name) or STAND_INS[name].secret() for name in names}
        self.urls: dict[str, str] = {}
        self.credentials: dict[str, str] = {}
        self.emulators = {
            name: emulator(
                name,
                token=self._secrets[name],
                now_ms=now_ms,
                accounts=(accounts or {}).get(name, ()),
                latency_ms=latency_ms,
                events_max=events_max,
            )
            for name in names
        }
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="emulators", daemon=True)

    def __repr__(self) -> str:
        return f"<EmulatorThread: {', '.join(map(repr, self.emulators.values()))}>"

    def __enter__(self) -> Self:
        """Start all. Raises OSError if a port is taken."""
        self._thread.start()
        try:
            for name, each in self.emulators.items():
                self._run(each.start(self._ports.get(name, 0)))
                self.urls[name] = each.url
                self.credentials[name] = STAND_INS[name].credentials(self._secrets[name], each.url)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all and end the thread."""
        self._end()

    def _end(self) -> None:
        for each in self.emulators.values():
            self._run(each.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, step: Coroutine[object, object, None]) -> None:
        asyncio.run_coroutine_threadsafe(step, self._loop).result(START_TIMEOUT_S)
