"""One platform's stand-in as an HTTP server: its own paths, and those under `/_emulator` for whoever watches it."""

import asyncio
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from math import ceil

import msgspec
from aiohttp import web
from msgspec import Struct
from msgspec.structs import replace

from consumer.emulators.contract import Access, Asked, Refused, StandIn, Taken
from consumer.emulators.faults import Fault, draw, late, read_fault, wait_s
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
JSON = {"Content-Type": "application/json"}
_RST_ON_CLOSE = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # struct linger: on, 0 s


class Logged(Struct, frozen=True):
    """One request. `status` is 0 where no reply was sent; `events` counts those in the body."""

    at_ms: int
    status: int
    events: int
    event_ids: tuple[str, ...]
    fault: str


class _Told(Struct, frozen=True):
    """A reply, None if there is to be none, and whether it counts as a refusal."""

    reply: web.Response | None
    rejected: bool


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
        self._access = Access(
            token, frozenset(accounts or {platform.account}), platform.actions, platform.options
        )
        self._now_ms = now_ms
        self._latency_s = latency_ms / 1000
        self._kept = Kept(events_max, last_wins=platform.last_wins)
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
        self._access = replace(self._access, token=new)
        self._tell(fault for fault in self._faults if fault.kind != "expired_token")

    def _tell(self, faults: Iterable[Fault]) -> None:
        """From now on these are the faults."""
        self._faults = tuple(faults)
        self._access = replace(self._access, late=late(self._faults))

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
        told = await self._meet(asked, ids, fault)
        reply = told.reply
        self._rejected += told.rejected
        status = 0 if reply is None else reply.status
        self._log.append(Logged(self._now_ms(), status, len(ids), ids, fault.kind if fault else ""))
        await asyncio.sleep(self._latency_s)
        if reply is None:
            if fault is not None and fault.kind == "hang":
                await asyncio.sleep(wait_s(fault))
            return _reset(request)
        return reply

    async def _meet(self, asked: Asked, ids: Sequence[str], fault: Fault | None) -> _Told:
        """The reply to a request that meets a fault, or none."""
        if fault is None:
            return self._take(asked)
        if fault.kind == "slow":
            return await self._slowly(asked, fault)
        if fault.kind == "poison":
            return self._poisoned(asked, ids, fault)
        if fault.after_body:
            self._take(asked)
        match fault.kind:
            case "hang" | "reset":
                return _Told(None, rejected=True)
            case "html":
                status = fault.status or 502
                page = web.Response(status=status, body=PAGE, content_type="text/html")
                return _Told(page, status >= NO_SUCCESS)
            case _:
                refused = self._platform.failure(fault, ids)
                return _Told(_fail(refused, fault), _rejects(refused))

    def _poisoned(self, asked: Asked, ids: Sequence[str], fault: Fault) -> _Told:
        """The platform takes what is right of it, if it does so at all; what is wrong anyway is told first."""
        at_ms = self._now_ms()
        if self._platform.partial is not None:
            return self._keep(self._platform.partial(fault, asked, self._access, at_ms), at_ms)
        answer = self._platform.check(asked, self._access, at_ms)
        refused = answer if isinstance(answer, Refused) else self._platform.failure(fault, ids)
        return _Told(_response(refused), _rejects(refused))

    async def _slowly(self, asked: Asked, fault: Fault) -> _Told:
        told = self._take(asked) if fault.after_body else None
        await asyncio.sleep(wait_s(fault))
        return told or self._take(asked)

    def _take(self, asked: Asked) -> _Told:
        at_ms = self._now_ms()
        return self._keep(self._platform.check(asked, self._access, at_ms), at_ms)

    def _keep(self, answer: Taken | Refused, at_ms: int) -> _Told:
        if isinstance(answer, Taken):
            try:
                self._kept.keep(answer.events, "server", at_ms)
            except Full as full:
                return _Told(web.Response(status=507, text=str(full)), rejected=True)
        return _Told(_response(answer), _rejects(answer))

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
        self._tell((*self._faults, fault))
        return _json(msgspec.json.encode(self._faults))

    async def _clear_faults(self, _: web.Request) -> web.Response:
        self._tell(())
        return web.Response(status=204)

    async def _clear(self, _: web.Request) -> web.Response:
        self._tell(())
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
            return web.Response(status=status, body=body, headers={**JSON, **headers})


def _rejects(answer: Taken | Refused) -> bool:
    return answer.status >= NO_SUCCESS or (isinstance(answer, Refused) and answer.is_refusal)


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
