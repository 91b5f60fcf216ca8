"""Texts that must not get out, and where they are sought: in every spelling and form, and in all that is sent."""

import gzip
import re
import socket
import threading
import unicodedata
from base64 import b64encode, urlsafe_b64encode
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import quote, quote_plus, urlsplit

import msgspec

BASE64_STEP = 3
"""Bytes that four characters of base64 hold: the same text begins at one of three places."""


class Needle(NamedTuple):
    """Bytes to look for; `exact` if the case of letters counts."""

    canary: str
    text: bytes
    exact: bool


def spellings(name: str, text: str) -> set[str]:
    """The text as it is, and as normalising would leave it."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    found = {text, text.strip().lower(), plain, plain.lower(), "".join(filter(str.isalnum, text.lower()))}
    found |= {unicodedata.normalize("NFD", text), unicodedata.normalize("NFC", text)}
    if name == "phone":
        digits = "".join(filter(str.isdigit, text))
        found = {text, digits, digits[2:], f"0{digits[2:]}"}
    if name == "email":
        found |= {
            text.lower().split("@", maxsplit=1)[0],
            text.lower().replace(".", "").split("+", maxsplit=1)[0],
        }
    return found


def forms(text: str) -> Iterator[tuple[bytes, bool]]:
    """Each way in which a text may travel, and whether its letters' case is part of it."""
    raw = text.encode()
    yield raw, False
    yield quote(text, safe="").encode(), False
    yield quote_plus(text).encode(), False
    yield quote(text).encode(), False
    yield msgspec.json.encode(text)[1:-1], False
    yield text.encode("ascii", "backslashreplace"), False
    yield raw.hex().encode(), False
    yield text.encode("utf-16-le"), False
    yield text.encode("utf-16-be"), False
    for encode in (b64encode, urlsafe_b64encode):
        for before in range(BASE64_STEP):
            first = 4 if before else 0
            whole = (before + len(raw)) // BASE64_STEP * 4
            yield encode(b"\0" * before + raw)[first:whole], True


def needles(canaries: Mapping[str, str]) -> list[Needle]:
    """All of all canaries."""
    found = {
        Needle(name, form if exact else form.lower(), exact)
        for name, text in canaries.items()
        for spelling in spellings(name, text)
        for form, exact in forms(spelling)
    }
    return sorted(found)


class Search:
    """Looks for canaries (name to text) in whatever it is shown; `found` is a canary's name to places."""

    def __init__(self, canaries: Mapping[str, str]) -> None:
        self._needles = needles(canaries)
        self._shown: list[tuple[str, bytes]] = []
        self.found: defaultdict[str, set[str]] = defaultdict(set)
        self.places: set[str] = set()

    def __call__(self, place: str, shown: bytes) -> None:
        """Look at these bytes of that place."""
        self.places.add(place)
        self._shown.append((place, shown))
        self._look(place, shown, self._needles)

    def also(self, canaries: Mapping[str, str]) -> None:
        """Look for these, too, in all that it was shown: they were not known before."""
        more = needles(canaries)
        for place, shown in self._shown:
            self._look(place, shown, more)

    def _look(self, place: str, shown: bytes, of: list[Needle]) -> None:
        lower = shown.lower()
        for canary, text, exact in of:
            if text in (shown if exact else lower):
                self.found[canary].add(place)


class Listener:
    """Keeps what a collector is sent."""

    def __init__(self) -> None:
        kept: list[tuple[str, bytes]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                kept.append((self.path, f"{self.headers}".encode() + body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.kept = kept
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def listening(self) -> Iterator[None]:
        """While inside."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


class Wire:
    """Stands between deliver and the platform, and keeps every byte that deliver sends.

    `echoes` are beginnings of answers that it gives itself, one a connection, each with the request behind it.
    """

    def __init__(self, to: str) -> None:
        parts = urlsplit(to)
        self._to = (parts.hostname or "", parts.port or 0)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.sent: list[bytearray] = []
        self.echoes: list[bytes] = []
        self._near: list[socket.socket] = []

    @contextmanager
    def open(self) -> Iterator[None]:
        """While inside; then nobody is there any more."""
        threading.Thread(target=self._accept, daemon=True).start()
        try:
            yield
        finally:
            for each in (self._socket, *self._near):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._socket.accept()
                far = socket.create_connection(self._to)
            except OSError:
                return
            kept = bytearray()
            self.sent.append(kept)
            self._near.append(near)
            threading.Thread(target=self._ask, args=(near, far, kept), daemon=True).start()
            threading.Thread(target=_pass, args=(far, near), daemon=True).start()

    def _ask(self, near: socket.socket, far: socket.socket, kept: bytearray) -> None:
        with _ended(near, far):
            while read := near.recv(65_536):
                kept += read
                if self.echoes:
                    near.sendall(self.echoes.pop(0) + read)
                    return
                far.sendall(read)


def _pass(far: socket.socket, near: socket.socket) -> None:
    with _ended(near, far):
        while read := far.recv(65_536):
            near.sendall(read)


@contextmanager
def _ended(*sockets: socket.socket) -> Iterator[None]:
    """Either side's end is the other's; a reset is passed on as an end."""
    try:
        yield
    except OSError:
        pass
    finally:
        for each in sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def requests(sent: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Head and body of each request of a connection; the last one may be cut off."""
    while sent:
        head, _, rest = sent.partition(b"\r\n\r\n")
        told = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        length = int(told[1]) if told else 0
        yield head, rest[:length]
        sent = rest[length:]
