"""Requests over HTTP: the only place with aiohttp's client.

What matters most is whether a request may have reached the platform. One that never left is safe to send again; one
that left, and has no reply, may count already.
"""

from types import SimpleNamespace
from typing import Self, TypeAlias

import aiohttp
from msgspec import Struct

from consumer.clock import Clock
from consumer.platforms.contract import Reply, Request, Secret

BODY_MAX_BYTES = 1 << 20
CONNECT_TIMEOUT_S = 5.0
KEEPALIVE_S = 30.0


class NotSent(Struct, frozen=True):
    """No byte of it left: the platform can't know of it."""

    code: str


class NoReply(Struct, frozen=True):
    """It was sent, in part at least, and nothing is known of what became of it."""

    code: str


Answer: TypeAlias = Reply | NotSent | NoReply


class Http:
    """Connections to all platforms, kept open between requests. An async context manager."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        tracing = aiohttp.TraceConfig()
        tracing.on_request_headers_sent.append(_note_sent)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=[tracing],
            headers={"User-Agent": "capi-consumer"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, request: Request, timeout_s: float) -> Answer:
        """Send it, once. Never raises for what the other side or the network does."""
        if self._session is None:
            message = "enter the context before sending"
            raise RuntimeError(message)
        noted = SimpleNamespace(sent=False)
        try:
            async with self._session.request(
                request.method,
                request.url,
                params={name: value.reveal() for name, value in request.secret_query.items()},
                data=request.body or None,
                headers={name: _revealed(value) for name, value in request.headers.items()},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S),
                trace_request_ctx=noted,
            ) as response:
                body = await _bounded(response.content)
                headers = {name.lower(): value for name, value in response.headers.items()}
                return Reply(response.status, headers, body, self._clock.now_ms())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            code = "timeout" if isinstance(error, TimeoutError) else "connection"
            return NoReply(code) if noted.sent else NotSent(code)

    def __repr__(self) -> str:
        return f"<Http: {'closed' if self._session is None or self._session.closed else 'open'}>"


async def _note_sent(
    _: aiohttp.ClientSession, context: SimpleNamespace, __: aiohttp.TraceRequestHeadersSentParams
) -> None:
    context.trace_request_ctx.sent = True


def _revealed(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    """As much of the body as anyone needs to judge it."""
    read = bytearray()
    async for chunk in content.iter_chunked(65_536):
        read += chunk
        if len(read) > BODY_MAX_BYTES:
            return bytes(read[:BODY_MAX_BYTES])
    return bytes(read)
