"""A platform's emulator, asked and told over HTTP, as a browser's pixel and someone who looks at it would."""

from collections.abc import Sequence
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from consumer.emulators.contract import StandIn
from consumer.emulators.kept import Stats
from consumer.emulators.oracle import Held, Sum
from consumer.emulators.shop import PixelFire
from consumer.errors import Unreachable

TIMEOUT_S = 30.0
JSON = {"Content-Type": "application/json"}


class Deduped(Struct, frozen=True):
    """An event after dedupe; `means` is our name of it."""

    means: str
    event_id: str


class Emulated:
    """One emulator. Each call takes a connection of its own, so any thread may ask."""

    def __init__(self, stand_in: StandIn, url: str) -> None:
        self._stand_in = stand_in
        self._address = urlsplit(url).netloc

    def fire(self, fired: Sequence[PixelFire]) -> None:
        """Send what the shop's pixel sent, in the pixel's own fields. Raises Unreachable."""
        if fired:
            self._ask("POST", "/_emulator/pixel", b"[" + b",".join(map(self._stand_in.fire, fired)) + b"]")

    def stats(self) -> Stats:
        """The sums of what it holds. Raises Unreachable."""
        return msgspec.json.decode(self._ask("GET", "/_emulator/stats"), type=Stats)

    def held(self, stats: Stats) -> Held:
        """What it holds after dedupe, by our names of events. Raises Unreachable."""
        events: dict[str, set[str]] = {}
        for line in self._ask("GET", "/_emulator/deduped").splitlines():
            event = msgspec.json.decode(line, type=Deduped)
            events.setdefault(event.means, set()).add(event.event_id)
        return Held(
            {name: frozenset(ids) for name, ids in events.items()},
            Sum(stats.after_dedupe, stats.money),
            Sum(stats.refunds, stats.refunds_money),
        )

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        connection = HTTPConnection(self._address, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, body, JSON if body is not None else {})
            reply = connection.getresponse()
            told = reply.read()
        except (OSError, HTTPException) as error:
            message = f"the emulator of {self._stand_in.name} does not answer ({type(error).__name__})"
            raise Unreachable(message) from None
        finally:
            connection.close()
        if reply.status != HTTPStatus.OK:
            message = f"the emulator of {self._stand_in.name} refuses {path} with status {reply.status}: {told[:200]!r}"
            raise Unreachable(message)
        return told

    def __repr__(self) -> str:
        return f"<Emulated {self._stand_in.name} at {self._address}>"
