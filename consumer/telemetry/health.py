"""Health over HTTP, on a thread and an event loop of its own: it answers when the roles can't.

`/health/live` asks if the loops turn, `/health/ready` if they may be counted on, `/health/status` what they do.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

import orjson
from aiohttp import web

from consumer.clock import Clock, SystemClock
from consumer.errors import ConfigurationError
from consumer.settings import HttpSettings
from consumer.telemetry import metrics

SILENT_MAX_S = 60.0
"""A loop that gives no sign of life for longer is stuck. Longer than any call that blocks a loop."""
Answer: TypeAlias = Callable[[Mapping[str, str]], tuple[int, bytes]]
"""A role's own page: the query to an HTTP status and JSON. Runs on another thread."""
_NO_STORE = {"Cache-Control": "no-store"}


class Role(Protocol):
    """A loop of the process, looked at from another thread: nothing here may block."""

    @property
    def name(self) -> str:
        """Its name: enrich, or deliver.meta-us."""
        ...

    @property
    def heartbeat_s(self) -> float:
        """Monotonic time of the last sign of life."""
        ...

    @property
    def ready(self) -> bool:
        """It is restored and does its work."""
        ...

    def status(self) -> Mapping[str, object]:
        """Plain values for people: assignment, restore left, lag, lanes, last commit."""
        ...


class HealthServer:
    """Serves health and metrics from `start` to `stop`."""

    def __init__(
        self,
        http: HttpSettings,
        roles: Sequence[Role],
        page: Callable[[], bytes],
        clock: Clock | None = None,
        answers: Mapping[str, Answer] | None = None,
    ) -> None:
        """`page` makes the Prometheus page, `answers` the pages of roles, by path. Nothing listens before `start`."""
        self._http = http
        self._roles = tuple(roles)
        self._page = page
        self._answers = answers or {}
        self._clock = clock or SystemClock()
        self._draining = False
        self._port = 0
        self._loop = asyncio.new_event_loop()
        self._runner = web.AppRunner(self._application(), access_log=None)
        self._thread = threading.Thread(target=self._loop.run_forever, name="health", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on; 0 before `start`."""
        return self._port

    def start(self) -> None:
        """Listen. Raises ConfigurationError if the address is taken or not ours."""
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        except OSError as error:
            self.stop()
            where = f"{self._http.host}:{self._http.port}"
            message = f"http: cannot listen on {where}: {error.strerror}; set http.host and http.port"
            raise ConfigurationError(message) from None

    def drain(self) -> None:
        """Not ready from now on: the process is about to stop."""
        self._draining = True

    def stop(self) -> None:
        """Close the port and end the thread; waits for the answers under way, a few seconds at most."""
        if not self._thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._port = 0

    async def _listen(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, self._http.host, self._http.port).start()
        self._port = int(self._runner.addresses[0][1])

    def _application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/health/live", self._live)
        application.router.add_get("/health/ready", self._ready)
        application.router.add_get("/health/status", self._status)
        application.router.add_get("/metrics", self._metrics)
        for path, answer in self._answers.items():
            application.router.add_get(path, _page_of(answer))
        return application

    async def _live(self, _: web.Request) -> web.Response:
        now_s = self._clock.monotonic_s()
        stuck = [role.name for role in self._roles if now_s - role.heartbeat_s > SILENT_MAX_S]
        return _answer({"live": not stuck, "stuck": stuck}, ok=not stuck)

    async def _ready(self, _: web.Request) -> web.Response:
        missing = [role.name for role in self._roles if not role.ready]
        ready = not missing and not self._draining
        return _answer({"ready": ready, "missing": missing, "draining": self._draining}, ok=ready)

    async def _status(self, _: web.Request) -> web.Response:
        """On another thread, as the page of metrics: should a role block, live still answers."""
        return await asyncio.to_thread(self._told)

    def _told(self) -> web.Response:
        now_s = self._clock.monotonic_s()
        roles = {
            role.name: {"silent_s": round(now_s - role.heartbeat_s, 3), "ready": role.ready, **role.status()}
            for role in self._roles
        }
        return _answer({"draining": self._draining, "roles": roles}, ok=True)

    async def _metrics(self, _: web.Request) -> web.Response:
        page = await asyncio.to_thread(self._page)
        return web.Response(body=page, headers={**_NO_STORE, "Content-Type": metrics.CONTENT_TYPE})

    def __repr__(self) -> str:
        return f"<HealthServer {self._http.host}:{self._port}: {len(self._roles)} roles>"


def _page_of(answer: Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def page(request: web.Request) -> web.Response:
        status, body = await asyncio.to_thread(answer, dict(request.query))
        return web.Response(body=body, status=status, content_type="application/json", headers=_NO_STORE)

    return page


def _answer(body: Mapping[str, object], *, ok: bool) -> web.Response:
    """JSON, 200 or 503."""
    return web.Response(
        body=orjson.dumps(body, default=str, option=orjson.OPT_NON_STR_KEYS),
        status=200 if ok else 503,
        content_type="application/json",
        headers=_NO_STORE,
    )
