"""Secrets of every platform, sought in all that the product writes, says and answers, whatever goes wrong.

Every kind of them: in a query, bare in a header, as a key that signs, as a client's secret, as a token that is had for
it. Platforms refuse, throttle, hang, reset, send the request back in their answer, and take the secret no more.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from consumer.emulators.contract import random_token
from consumer.emulators.platforms import STAND_INS
from consumer.emulators.registry import RegistryThread
from consumer.platforms import PLATFORMS
from tests.broker.dispatch import Dispatch, Emulated, Process, conversion, refund
from tests.canaries import Listener, Search, Wire, requests

NAMES = tuple(STAND_INS)
GRANTED = tuple(name for name in NAMES if PLATFORMS[name].grant is not None)
PUBLIC = frozenset({"type", "project_id", "private_key_id", "client_email", "client_id", "token_uri"})
"""What a token file holds beside secrets."""
FAULTS: tuple[tuple[str, Mapping[str, object]], ...] = (
    ("status", {"status": 500}),
    ("429", {"retry_after_s": 1}),
    ("html", {}),
    ("reset", {}),
    ("reset", {"after_body": True}),
    ("hang", {}),
    ("status", {"status": 400}),
    ("expired_token", {}),
)
ECHOES = (
    b"HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n",
    b"no HTTP: ",
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: ",
)


def secrets_of(name: str, credentials: str) -> Iterator[tuple[str, str]]:
    """What of a token file must not get out, each with a name. Of a key in lines, each line is a secret."""
    if credentials[0] != "{":
        yield f"{name} token", credentials
        return
    for key, text in json.loads(credentials).items():
        lines = [line for line in text.splitlines() if line[0] != "-"]
        for number, line in enumerate(lines) if key not in PUBLIC else ():
            yield (f"{name} {key} {number}" if len(lines) > 1 else f"{name} {key}"), line


def spoiled(credentials: str) -> str:
    """The same secrets in a file that is of no use."""
    return credentials.replace("}", "") if credentials[0] == "{" else f"{credentials}-spoiled"


class Place:
    """One destination a platform, each behind a wire of its own."""

    def __init__(self, dispatch: Dispatch, running: ExitStack, search: Search) -> None:
        self.emulated = {name: running.enter_context(Emulated(name, secret=_secret(name))) for name in NAMES}
        self.wires = {name: Wire(at.url) for name, at in self.emulated.items()}
        self.credentials = {name: at.credentials(self.wires[name].url) for name, at in self.emulated.items()}
        self._dispatch = dispatch
        self._search = search
        self._written = 0
        for name, wire in self.wires.items():
            after_s = 3600 if name == "ga4" else 0  # so that refunds are put aside, too
            dispatch.destination(name, wire, name, request_timeout_s=2, refund_after_s=after_s)
            dispatch.put_token(name, self.credentials[name])
        dispatch.make_topics()

    def open(self, running: ExitStack) -> None:
        """Let what is sent go through the wires."""
        for wire in self.wires.values():
            running.enter_context(wire.open())

    def fail(self) -> None:
        """Everything that can go wrong with a platform does, once; and one order is refused, whatever it is called."""
        for at in self.emulated.values():
            for kind, more in FAULTS:
                at.fault(kind, count=1, **more)
            at.fault("poison", event_ids=("3", "purchase:3", "refund:3:1"))

    def write(self, orders: int) -> None:
        """Write so many purchases, and their refunds."""
        numbers = range(self._written, self._written + orders)
        self._written += orders
        self._dispatch.write([conversion(number) for number in numbers])
        self._dispatch.write([refund(number) for number in numbers])

    def await_settled(self, process: Process) -> None:
        """Wait until all has its outcome, or is put aside."""
        self._dispatch.await_settled(*NAMES, processes=[process])

    def ask(self, process: Process, when: str) -> None:
        """Look at all that it answers."""
        for path in ("/health/live", "/health/ready", "/health/status", "/metrics"):
            self._search(f"http {path} {when}", process.get(path)[1])

    def command(self, *words: str, log: str) -> None:
        """Look at what a command prints."""
        file = self._dispatch.file("shown")
        with self._dispatch.run(*words, "--config", str(file), log=log) as process:
            process.end()
            assert process.text
            self._search(f"command {log}", process.text.encode())

    def look_at_wires(self) -> dict[str, str]:
        """Look at what went to the platforms; the tokens that were had on the way, each with a name."""
        had: dict[str, str] = {}
        for name, wire in self.wires.items():
            for sent in wire.sent:
                for head, body in requests(bytes(sent)):
                    form = parse_qs(body.decode(errors="replace")) if b"grant_type=" in body else {}
                    self._search(f"{name} head", head)
                    self._search(f"{name} token request" if form else f"{name} body", body)
                    if name in GRANTED and (told := re.search(rb"(?i)\r\nauthorization: bearer (\S+)", head)):
                        had[f"{name} access token {told[1][-8:].hex()}"] = told[1].decode()
                    for assertion in form.get("assertion", ()):
                        had[f"{name} assertion {assertion[-8:]}"] = assertion
        return had

    def look_at_topics_and_files(self) -> None:
        """Every topic of the prefix, and every file but those that hold the secrets."""
        for name in self._dispatch.topics:
            for record in self._dispatch.records(name, "read_uncommitted"):
                parts = (record.key or b"", record.value or b"", repr(record.headers).encode())
                self._search(f"topic {name}", b"\n".join(parts))
        folder = self._dispatch.folder
        for path in folder.rglob("*"):
            if path.is_file() and path.suffix != ".token":
                self._search(f"file {path.relative_to(folder)}", path.read_bytes())


def _secret(name: str) -> str:
    stand_in = STAND_INS[name]
    return f"canary+/{name}/Token=7f3a" if stand_in.secret is random_token else stand_in.secret()


@pytest.mark.timeout(600)
def test_secrets_are_found_only_where_their_platform_wants_them(
    bootstrap: str, prefix: str, tmp_path: Path
) -> None:
    """In its requests' heads, or in a request for a token, and nowhere else; a key that signs not even there."""
    listener, search = Listener(), Search({})
    with RegistryThread() as registry, listener.listening(), ExitStack() as running:
        telemetry = {"otlp_endpoint": listener.url, "log_level": "debug"}
        dispatch = Dispatch(bootstrap, registry.url, prefix, tmp_path, 1, telemetry=telemetry)
        place = Place(dispatch, running, search)
        through(place, dispatch)
        had = place.look_at_wires()
        place.look_at_topics_and_files()
    for path, body in listener.kept:
        search(f"collector {path}", body)
    letters = {name for name in NAMES if dispatch.letters(name)}

    secrets = dict(pair for name, text in place.credentials.items() for pair in secrets_of(name, text))
    search.also({**secrets, **had})
    looked_at = {"topic receipts", "topic later", "file one.log", "http /metrics parked", "command doctor"}
    assert {"collector /v1/traces", "collector /v1/metrics", *looked_at} <= search.places
    assert letters >= {"meta", "tiktok", "snapchat", "x", "google", "amazon"}
    astray = {canary: where for canary in search.found if (where := search.found[canary] - allowed(canary))}
    assert astray == {}
    unsent = {canary for canary in {**secrets, **had} if not search.found[canary]}  # the search proves itself
    assert {canary.split()[1] for canary in unsent} <= {"private_key"}
    assert {canary.split()[0] for canary in had} == set(GRANTED)


def allowed(canary: str) -> set[str]:
    """Where its platform wants it."""
    name, kind, *_ = canary.split()
    if kind in {"token", "access", "developer_token"}:
        return {f"{name} head"}
    return set() if kind == "private_key" else {f"{name} token request"}


def through(place: Place, dispatch: Dispatch) -> None:
    """Everything goes wrong, one thing after the other, and is mended."""
    with ExitStack() as wires:
        place.open(wires)
        place.fail()
        place.write(20)
        with dispatch.run("run", "--config", str(dispatch.file("one")), log="one") as process:
            place.await_settled(process)
            place.ask(process, "running")
            for wire in place.wires.values():
                wire.echoes[:] = ECHOES
            place.write(20)
            process.await_that("all echoed", lambda: not any(wire.echoes for wire in place.wires.values()))
            place.await_settled(process)
            for name, text in place.credentials.items():
                dispatch.put_token(name, spoiled(text))
            for name in NAMES:
                process.await_line("token_changed", destination=name)
            place.write(5)
            for name in GRANTED:
                process.await_line("destination_parked", destination=name, code="key_file")
            place.ask(process, "parked")
            place.command("config", "check", log="check-spoiled")
            place.command("doctor", log="doctor-spoiled")
            for name, text in place.credentials.items():
                dispatch.put_token(name, text)
            place.await_settled(process)
            for name in NAMES:
                place.command("preview", "--destination", name, log=f"preview-{name}")
            for words in (("config", "show"), ("config", "check"), ("doctor",)):
                place.command(*words, log=words[-1])
            wires.close()
            place.write(5)
            process.await_that("nobody is there", lambda: away(process))
            process.stop()


def away(process: Process) -> bool:
    """Whether a destination has found nobody at its platform's address."""
    return any(
        process.metric(f'capi_breaker_state{{destination="{name}",state="closed"}}') == 0 for name in NAMES
    )
