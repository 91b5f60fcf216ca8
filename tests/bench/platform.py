"""A platform that takes everything: `python -m tests.bench.platform LATENCY_MS` prints its address and serves.

It reads a request's length and answers as Meta does when all is well. The strict emulator checks each field of each
event, which would be what a measurement of deliver waits for.
"""

import asyncio
import re
import sys

import uvloop

BODY = b'{"events_received":1,"messages":[],"fbtrace_id":"bench"}'
REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
LIMIT_BYTES = 1 << 20


async def serve(latency_ms: float) -> None:
    """Listen on a free port until killed."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                found = LENGTH.search(head)
                await reader.readexactly(int(found[1]) if found else 0)
                if latency_ms:
                    await asyncio.sleep(latency_ms / 1000)
                writer.write(REPLY)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=LIMIT_BYTES, backlog=1024)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(float(sys.argv[1])))
