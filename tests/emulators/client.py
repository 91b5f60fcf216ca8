"""How a test asks an emulator over HTTP, and the time that it tells it."""

import http.client
import json
from collections.abc import Mapping
from urllib.parse import urlsplit

NOW_MS = 1_795_000_000_000


class Clock:
    """Told, not running."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        """Epoch milliseconds."""
        return self.now_ms


class Asking:
    """One request a connection. Answers are status and body."""

    def __init__(self, url: str) -> None:
        self._netloc = urlsplit(url).netloc

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Exactly this request."""
        connection = http.client.HTTPConnection(self._netloc, timeout=20)
        try:
            connection.request(method, path, body, dict(headers or {}))
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def tell(self, what: str, told: object) -> int:
        """A pixel event or a fault; the status."""
        return self.ask("POST", f"/_emulator/{what}", json.dumps(told).encode())[0]

    def lines(self, what: str) -> list[dict[str, object]]:
        """A list of the emulator's."""
        return [json.loads(line) for line in self.ask("GET", f"/_emulator/{what}")[1].splitlines()]

    def stats(self) -> dict[str, object]:
        """The sums."""
        found = json.loads(self.ask("GET", "/_emulator/stats")[1])
        assert isinstance(found, dict)
        return found
