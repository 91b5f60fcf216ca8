"""What is known of a request after the network did what it does: against raw servers on loopback."""

import asyncio
import logging
import socket
import zlib
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest
import uvloop

from consumer.clock import SystemClock
from consumer.deliver.http import BODY_MAX_BYTES, Answer, Http, NoReply, NotSent
from consumer.platforms.contract import Reply, Request, Secret

Serve: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
TOKEN = "made-up-token"  # noqa: S105 (it opens nothing)
BODY = b'{"data":[]}'
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
GENEROUS_S = 30.0
SHORT_S = 0.3


class Server:
    """A server of bytes. `heard` is each request, whole; `connections` counts them."""

    def __init__(self, serve: Serve) -> None:
        self.heard: list[bytes] = []
        self.connections = 0
        self._serve = serve

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read requests to the end of their bodies, and let `serve` do something about each."""
        self.connections += 1
        try:
            while not reader.at_eof():
                head = await reader.readuntil(b"\r\n\r\n")
                self.heard.append(head + await reader.readexactly(len(BODY)))
                await self._serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def posted(
    serve: Serve, *, timeout_s: float = GENEROUS_S, times: int = 1, host: str = "127.0.0.1"
) -> tuple[list[Answer], Server]:
    """Post so many times to a server that does this; what came of it."""

    async def run() -> tuple[list[Answer], Server]:
        heard = Server(serve)
        server = await asyncio.start_server(heard.accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with Http(SystemClock()) as http:
            answers = [await http.send(request(port, host), timeout_s) for _ in range(times)]
        server.close()
        return answers, heard

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


def request(port: int, host: str = "127.0.0.1") -> Request:
    """A small request with a token, to loopback."""
    headers: dict[str, str | Secret] = {
        "Content-Type": "application/json",
        "Authorization": Secret(TOKEN).bearer,
    }
    return Request(f"http://{host}:{port}/v25.0/1/events", headers, BODY)


def reset(writer: asyncio.StreamWriter) -> None:
    """End the connection with a reset instead of an end."""
    writer.transport.abort()


async def answer_ok(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reply as a platform does."""
    writer.write(OK)
    await writer.drain()


async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Say nothing until the other side gives up."""
    await reader.read()


async def reset_after_body(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the body, then reset."""
    reset(writer)


async def reset_within_reply(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Begin a reply, then end."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    writer.close()


async def garbage(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reply with what is not HTTP."""
    writer.write(b"\x00\x01 no HTTP at all\r\n\r\n")
    await writer.drain()
    writer.close()


async def endless_head(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reply with a header that is larger than anyone takes."""
    writer.write(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n")
    await writer.drain()
    writer.close()


def test_reply_is_told_with_its_body_and_headers() -> None:
    """A reply comes back whole, its header names in lower case; connections are used again."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\nContent-Length: 3\r\n\r\nno!")
        await writer.drain()

    answers, server = posted(serve, times=3)
    for answer in answers:
        assert isinstance(answer, Reply)
        assert (answer.status, answer.body, answer.headers["retry-after"]) == (429, b"no!", "7")
    assert server.connections == 1


def test_refused_connection_is_not_sent() -> None:
    """Where nobody listens, no byte left: it is safe to send again."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    async def run() -> Answer:
        async with Http(SystemClock()) as http:
            return await http.send(request(port), GENEROUS_S)

    assert asyncio.run(run()) == NotSent("connection")


def test_unknown_host_is_not_sent() -> None:
    """A name that doesn't resolve can't have heard of the request."""

    async def run() -> Answer:
        async with Http(SystemClock()) as http:
            return await http.send(Request("http://platform.invalid/x", {}, BODY), GENEROUS_S)

    assert asyncio.run(run()) == NotSent("connection")


def test_failed_handshake_is_not_sent() -> None:
    """Without TLS between both, nothing of the request left."""

    async def run() -> tuple[Answer, int]:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with Http(SystemClock()) as http:
            answer = await http.send(Request(f"https://127.0.0.1:{port}/x", {}, BODY), GENEROUS_S)
        server.close()
        return answer, port

    answer, _ = asyncio.run(run())
    assert answer == NotSent("connection")


@pytest.mark.parametrize(
    ("serve", "code", "timeout_s"),
    [
        (reset_after_body, "connection", GENEROUS_S),
        (reset_within_reply, "connection", GENEROUS_S),
        (garbage, "connection", GENEROUS_S),
        (endless_head, "connection", GENEROUS_S),
        (hang, "timeout", SHORT_S),
    ],
)
def test_what_left_and_has_no_reply_may_count(serve: Serve, code: str, timeout_s: float) -> None:
    """Once the body left, nobody knows, and it is never sent again by the client itself."""
    answers, server = posted(serve, timeout_s=timeout_s)
    assert answers == [NoReply(code)]
    assert len(server.heard) == 1


def test_stale_connection_is_not_used_to_send_twice() -> None:
    """A kept connection that the other side ends with the next request gives no second sending of it."""
    replies = [OK]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if replies:
            writer.write(replies.pop())
            await writer.drain()
        else:
            await reset_after_body(reader, writer)

    answers, server = posted(serve, times=2)
    assert isinstance(answers[0], Reply)
    assert answers[1] == NoReply("connection")
    assert len(server.heard) == 2


@pytest.mark.parametrize("encoding", ["", "deflate"])
def test_large_body_is_cut(encoding: str) -> None:
    """Of an endless reply as much is kept as anyone needs to judge it, whatever it was packed to."""
    plain = b"x" * (3 * BODY_MAX_BYTES)
    body = zlib.compress(plain) if encoding else plain
    coding = f"Content-Encoding: {encoding}\r\n".encode() if encoding else b""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 500 No\r\n" + coding + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()

    answers, _ = posted(serve, times=2)
    for answer in answers:
        assert isinstance(answer, Reply)
        assert (answer.status, len(answer.body)) == (500, BODY_MAX_BYTES)


def test_redirects_are_replies() -> None:
    """A redirect is not followed: a token never goes where someone else points."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 307 Go\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    answers, server = posted(serve)
    assert isinstance(answers[0], Reply)
    assert (answers[0].status, len(server.heard)) == (307, 1)


def test_cookies_are_not_kept() -> None:
    """One destination's cookies never reach another."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: who=me\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    _, server = posted(serve, times=2, host="localhost")
    assert len(server.heard) == 2
    assert not any(b"cookie" in heard.lower() for heard in server.heard)


@pytest.mark.parametrize("serve", [answer_ok, reset_after_body, garbage])
def test_token_is_in_its_header_and_nowhere_else(
    serve: Serve, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """The token goes out once, in the header; no repr, log line or error has it."""
    caplog.set_level(logging.DEBUG)
    answers, server = posted(serve)
    (heard,) = server.heard
    assert heard.count(TOKEN.encode()) == 1
    assert f"Authorization: Bearer {TOKEN}\r\n".encode() in heard
    printed = capfd.readouterr()
    told = f"{answers} {request(1)!r} {request(1).headers} {caplog.text} {printed.out} {printed.err}"
    assert TOKEN not in told
    assert "****" in told
