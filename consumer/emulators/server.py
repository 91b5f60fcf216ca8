"""One platform's stand-in as an HTTP server: its own paths, and those under `/_emulator` for whoever watches it."""

import asyncio
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from math import ceil

import msgspec
from aiohttp import web
from msgspec import Struct

from consumer.emulators.contract import Access, Asked, Refused, StandIn, Taken
from consumer.emulators.faults import Fault, draw, read_fault, wait_s
from consumer.emulators.kept import Full, Kept

BODY_MAX_BYTES = 32 * 1024 * 1024
EVENTS_MAX = 200_000
REQUESTS_MAX = 20_000
FAULTS_MAX = 1_000
STOP_TIMEOUT_S = 0.2
PAGE = (
    b"<!DOCTYPE html><html><head><title>Error</title></head><body><h1>Something went wrong</h1></body></html>"
)
NO_SUCCESS = 300
_RST_ON_CLOSE = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # struct linger: on, 0 s


class Logged(Struct, frozen=True):
    """One request. `status` is 0 where no reply was sent; `events` counts those in the body."""

    at_ms: int
    status: int
    events: int
    event_ids: tuple[str, ...]
    fault: str


class Emulator:
    """Serves one platform until `stop`. Holds `events_max` events, and the last of its requests.

    `latency_ms` is waited before each reply, after the events are kept. `now_ms` tells epoch milliseconds.
    """

    def __init__(
        self,
        platform: StandIn,
        *,
        token: str,
        now_ms: Callable[[], int],
        accounts: Collection[str] = (),
        latency_ms: float = 0,
        events_max: int = EVENTS_MAX,
    ) -> None:
        self._platform = platform
        self._access = Access(token, frozenset(accounts or {platform.account}))
        self._now_ms = now_ms
        self._latency_s = latency_ms / 1000
        self._kept = Kept(events_max)
        self._log: deque[Logged] = deque(maxlen=REQUESTS_MAX)
        self._asked = self._rejected = 0
        self._faults: tuple[Fault, ...] = ()
        self._runner: web.AppRunner | None = None
        self.url = ""

    def __repr__(self) -> str:
        return f"<Emulator {self._platform.name} at {self.url or 'no address'}: {self._kept}, {self._asked} requests>"

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> None:
        """Listen; `url` is the base address then, without a slash. Raises OSError if the port is taken."""
        # A client that hangs up ends its request: what waits here then is never kept.
        runner = web.AppRunner(
            self._app(), access_log=None, handler_cancellation=True, shutdown_timeout=STOP_TIMEOUT_S
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        self.url = f"http://{host}:{runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Close the port and all connections; requests under way get a fifth of a second."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def set_token(self, new: str) -> None:
        """From now on only this token is right; a token that was told to be expired is replaced with it."""
        self._access = Access(new, self._access.accounts)
        self._faults = tuple(fault for fault in self._faults if fault.kind != "expired_token")

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=BODY_MAX_BYTES)
        app.router.add_get("/_emulator/accepted", _shows(lambda: self._kept.told("server")))
        app.router.add_get("/_emulator/pixel", _shows(lambda: self._kept.told("pixel")))
        app.router.add_get("/_emulator/deduped", _shows(self._kept.deduped))
        app.router.add_get("/_emulator/requests", _shows(lambda: map(msgspec.json.encode, self._log)))
        app.router.add_get("/_emulator/stats", self._stats)
        app.router.add_post("/_emulator/pixel", self._take_pixel)
        app.router.add_post("/_emulator/faults", self._add_fault)
        app.router.add_delete("/_emulator/faults", self._clear_faults)
        app.router.add_delete("/_emulator", self._clear)
        app.router.add_route("*", "/{path:(?!_emulator).*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        asked = await _asked(request)
        ids = self._platform.event_ids(asked.body)
        drawn = draw(self._faults, ids)
        self._faults, fault = drawn.left, drawn.fault
        self._asked += 1
        reply = await self._meet(asked, ids, fault)
        self._rejected += reply is None or reply.status >= NO_SUCCESS
        status = 0 if reply is None else reply.status
        self._log.append(Logged(self._now_ms(), status, len(ids), ids, fault.kind if fault else ""))
        await asyncio.sleep(self._latency_s)
        if reply is None:
            if fault is not None and fault.kind == "hang":
                await asyncio.sleep(wait_s(fault))
            return _reset(request)
        return reply

    async def _meet(self, asked: Asked, ids: Sequence[str], fault: Fault | None) -> web.Response | None:
        """The reply to a request that meets a fault, or none; None if there is to be no reply."""
        if fault is None:
            return self._take(asked)
        if fault.kind == "slow":
            return await self._slowly(asked, fault)
        if fault.kind == "poison":
            answer = self._platform.check(asked, self._access, self._now_ms())
            return _response(answer if isinstance(answer, Refused) else self._platform.failure(fault, ids))
        if fault.after_body:
            self._take(asked)
        match fault.kind:
            case "hang" | "reset":
                return None
            case "html":
                return web.Response(status=fault.status or 502, body=PAGE, content_type="text/html")
            case "status" | "429" | "expired_token":
                return _fail(self._platform.failure(fault, ids), fault)

    async def _slowly(self, asked: Asked, fault: Fault) -> web.Response:
        reply = self._take(asked) if fault.after_body else None
        await asyncio.sleep(wait_s(fault))
        return reply or self._take(asked)

    def _take(self, asked: Asked) -> web.Response:
        at_ms = self._now_ms()
        answer = self._platform.check(asked, self._access, at_ms)
        if isinstance(answer, Taken):
            try:
                self._kept.keep(answer.events, "server", at_ms)
            except Full as full:
                return web.Response(status=507, text=str(full))
        return _response(answer)

    async def _stats(self, _: web.Request) -> web.Response:
        return _json(msgspec.json.encode(self._kept.stats(self._asked, self._rejected)))

    async def _take_pixel(self, request: web.Request) -> web.Response:
        try:
            events = self._platform.pixel(await request.read())
            self._kept.keep(events, "pixel", self._now_ms())
        except ValueError as error:
            return web.Response(status=400, text=str(error))
        except Full as full:
            return web.Response(status=507, text=str(full))
        return _json(msgspec.json.encode({"kept": len(events)}))

    async def _add_fault(self, request: web.Request) -> web.Response:
        try:
            fault = read_fault(await request.read())
        except ValueError as error:
            return web.Response(status=400, text=str(error))
        if len(self._faults) >= FAULTS_MAX:
            return web.Response(
                status=507, text=f"{FAULTS_MAX} faults wait already; DELETE /_emulator/faults forgets"
            )
        self._faults = (*self._faults, fault)
        return _json(msgspec.json.encode(self._faults))

    async def _clear_faults(self, _: web.Request) -> web.Response:
        self._faults = ()
        return web.Response(status=204)

    async def _clear(self, _: web.Request) -> web.Response:
        self._faults = ()
        self._kept.forget()
        self._log.clear()
        self._asked = self._rejected = 0
        return web.Response(status=204)


async def _asked(request: web.Request) -> Asked:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Asked(request.method, request.path, dict(request.query), headers, await request.read())


def _shows(lines: Callable[[], Iterable[bytes]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Lines of JSON, each ended by a newline."""

    async def show(_: web.Request) -> web.Response:
        return web.Response(
            body=b"".join(line + b"\n" for line in lines()), content_type="application/x-ndjson"
        )

    return show


def _response(answer: Taken | Refused) -> web.Response:
    match answer:
        case Taken(_, body, status):
            return _json(body, status)
        case Refused(status, body, headers):
            return web.Response(status=status, body=body, headers=headers, content_type="application/json")


def _fail(refused: Refused, fault: Fault) -> web.Response:
    response = _response(refused)
    if fault.retry_after_s is not None and refused.status in (429, 503):
        response.headers["Retry-After"] = str(ceil(fault.retry_after_s))
    return response


def _json(body: bytes, status: int = 200) -> web.Response:
    return web.Response(status=status, body=body, content_type="application/json")


def _reset(request: web.Request) -> web.Response:
    """End the connection with a reset, not with an orderly close. What is returned reaches nobody."""
    transport = request.transport
    if transport is not None:
        of = transport.get_extra_info("socket")
        with socket.fromfd(of.fileno(), of.family, of.type) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
        transport.abort()
    return web.Response(status=500)
