"""What the server does for a platform that is not like Meta: partial answers, own endpoints, refusals with 200."""

import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from consumer.emulators.contract import Access, Asked, Event, Key, Refused, StandIn, Taken
from consumer.emulators.faults import Fault
from consumer.emulators.platforms import STAND_INS, EmulatorThread, destination
from consumer.emulators.shop import PixelFire
from consumer.emulators.shop.records import SALES

SECRET = "toys-own-secret"  # noqa: S105 (it opens nothing)


def check(asked: Asked, access: Access, now_ms: int) -> Taken | Refused:
    """Tokens at /token, what became of events at /status, events everywhere else."""
    del now_ms
    if (asked.method, asked.path) == ("POST", "/token"):
        return Refused(200, b'{"access_token":"t"}', is_refusal=False)
    if (asked.method, asked.path) == ("GET", "/status"):
        told = {"late": access.late, "actions": access.actions, "options": access.options}
        return Refused(200, json.dumps(told).encode(), {"Content-Type": "text/json"}, is_refusal=False)
    if asked.query.get("secret") != access.token:
        return Refused(200, b'{"code":40105}')
    return Taken(tuple(map(_event, event_ids(asked.body))), b"[]", 201)


def partial(fault: Fault, asked: Asked, access: Access, now_ms: int) -> Taken | Refused:
    """All but the poisoned."""
    taken = check(asked, access, now_ms)
    if isinstance(taken, Refused):
        return taken
    good = tuple(event for event in taken.events if event.event_id not in fault.event_ids)
    return Taken(good, b"[]", 207 if good else 422)


def event_ids(body: bytes) -> tuple[str, ...]:
    """A list of them is all that a body has."""
    return tuple(json.loads(body)) if body[:1] == b"[" else ()


def failure(fault: Fault, ids: Sequence[str]) -> Refused:
    """Nothing but the status."""
    del ids
    return Refused(fault.status or 500, b"{}")


def pixel(body: bytes) -> tuple[Event, ...]:
    """As the server's."""
    return tuple(map(_event, event_ids(body)))


def fire(fired: PixelFire) -> bytes:
    """Its id."""
    return json.dumps(fired.event_id).encode()


def _event(event_id: str) -> Event:
    keys = (Key(event_id, 1000),)
    return Event("buy", event_id, "purchase", b'{"id":"%s"}' % event_id.encode(), 100, "USD", keys)


TOY = StandIn(
    name="toy",
    account="toys",
    taker=SALES,
    check=check,
    event_ids=event_ids,
    failure=failure,
    partial=partial,
    pixel=pixel,
    fire=fire,
    actions={"purchase": "7"},
    options={"customer": "42"},
    secret=lambda: SECRET,
    credentials=lambda secret, url: f"{secret} at {url}",
)


class Client:
    """Asks one emulator."""

    def __init__(self, url: str) -> None:
        self._netloc = urlsplit(url).netloc

    def ask(
        self, method: str, path: str, told: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Status and body."""
        connection = http.client.HTTPConnection(self._netloc, timeout=20)
        try:
            body = None if told is None else json.dumps(told)
            connection.request(method, path, body, dict(headers or {}))
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def send(self, *ids: str) -> int:
        """Events; the status."""
        return self.ask("POST", f"/events?secret={SECRET}", ids)[0]

    def kept(self) -> list[str]:
        """The ids of what was taken."""
        return [json.loads(line)["id"] for line in self.ask("GET", "/_emulator/accepted")[1].splitlines()]

    def rejected(self) -> tuple[int, int]:
        """Requests, and those that were refused."""
        stats = json.loads(self.ask("GET", "/_emulator/stats")[1])
        return stats["requests"], stats["rejected_requests"]


@pytest.fixture(name="served")
def _served(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmulatorThread]:
    monkeypatch.setitem(STAND_INS, "toy", TOY)
    with EmulatorThread(["toy"]) as served:
        yield served


@pytest.fixture(name="toy")
def _toy(served: EmulatorThread) -> Client:
    return Client(served.urls["toy"])


def test_a_platforms_credentials_are_made_from_its_secret_and_address(served: EmulatorThread) -> None:
    """Known once it listens; a secret that is told is taken instead."""
    assert served.credentials == {"toy": f"{SECRET} at {served.urls['toy']}"}
    with EmulatorThread(["toy"], tokens={"toy": "told"}) as other:
        assert other.credentials["toy"].startswith("told at http://127.0.0.1:")


def test_metas_credentials_are_its_secret() -> None:
    """And no two are the same."""
    with EmulatorThread(["meta"], tokens={"meta": "told"}) as told, EmulatorThread(["meta"]) as made:
        assert told.credentials == {"meta": "told"}
        assert len(made.credentials["meta"]) > 20


@pytest.mark.usefixtures("served")
def test_settings_name_actions_and_options_where_there_are_some() -> None:
    """As the settings call them."""
    settings = destination("toy", Path("t"), "http://127.0.0.1:1")
    assert (settings["actions"], settings["options"]) == ({"purchase": "7"}, {"customer": "42"})
    assert destination("meta", Path("t"), "http://127.0.0.1:1").keys().isdisjoint({"actions", "options"})


def test_a_token_is_no_refusal_and_an_error_with_200_is_one(toy: Client) -> None:
    """A platform says which; its status alone does not tell."""
    assert toy.ask("POST", "/token", {})[0] == 200
    assert toy.ask("GET", "/status")[0] == 200
    assert toy.send("a") == 201
    assert toy.rejected() == (3, 0)
    assert toy.ask("POST", "/events?secret=wrong", ["b"])[0] == 200
    assert toy.rejected() == (4, 1)
    assert toy.kept() == ["a"]


def test_late_faults_are_told_when_asked_and_met_by_no_request(toy: Client) -> None:
    """Until they are deleted; the events are taken as any others."""
    toy.ask("POST", "/_emulator/faults", {"kind": "late", "event_ids": ["a"], "reason": "TOO_OLD"})
    toy.ask("POST", "/_emulator/faults", {"kind": "status", "status": 503, "count": 1})
    assert toy.send("a") == 503
    assert toy.send("a") == 201
    told = json.loads(toy.ask("GET", "/status")[1])
    assert told == {"late": {"a": "TOO_OLD"}, "actions": {"purchase": "7"}, "options": {"customer": "42"}}
    toy.ask("DELETE", "/_emulator/faults")
    assert json.loads(toy.ask("GET", "/status")[1])["late"] == {}


def test_a_poison_spares_the_others_where_the_platform_does(toy: Client) -> None:
    """207 with the good ones kept, 422 with none; what is wrong with the request itself is told first."""
    toy.ask("POST", "/_emulator/faults", {"kind": "poison", "event_ids": ["bad"]})
    assert toy.send("a", "bad", "c") == 207
    assert toy.kept() == ["a", "c"]
    assert toy.rejected() == (1, 0)
    assert toy.send("bad") == 422
    assert toy.ask("POST", "/events?secret=wrong", ["a", "bad"])[0] == 200
    assert toy.rejected() == (3, 2)
    assert toy.kept() == ["a", "c"]


def test_no_secret_is_told_of_a_request(toy: Client) -> None:
    """Neither one of the query nor one of a header."""
    toy.ask("POST", f"/events?secret={SECRET}", ["a"], {"Authorization": f"Bearer {SECRET}"})
    told = toy.ask("GET", "/_emulator/requests")[1]
    assert json.loads(told)["event_ids"] == ["a"]
    assert SECRET.encode() not in told
