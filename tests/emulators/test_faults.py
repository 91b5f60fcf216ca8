"""Failures on demand: which fault a request meets, and what the client sees of each kind, over real sockets."""

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from consumer.emulators.faults import Drawn, Fault, draw, late, read_fault
from consumer.emulators.platforms import EmulatorThread, emulator

NOW_MS = 1_795_000_000_000
RIGHT, NEW = "right", "new"
PATH = "/v26.0/1234567890/events"
Answer = tuple[int, dict[str, str], bytes]


class Client:
    """One request a connection, to one emulator. Answers are status, headers in lower case, body."""

    def __init__(self, url: str) -> None:
        self._netloc = urlsplit(url).netloc

    def ask(
        self, method: str, path: str, body: object = None, *, token: str = RIGHT, wait_s: float = 20
    ) -> Answer:
        """Raises OSError, http.client.HTTPException and TimeoutError as the socket does."""
        connection = http.client.HTTPConnection(self._netloc, timeout=wait_s)
        try:
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            reply = connection.getresponse()
            return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
        finally:
            connection.close()

    def send(self, *ids: str, token: str = RIGHT, wait_s: float = 20) -> Answer:
        """A batch of right purchases."""
        return self.ask("POST", PATH, {"data": [purchase(each) for each in ids]}, token=token, wait_s=wait_s)

    def fault(self, **told: object) -> int:
        """Tell a fault; the status."""
        return self.ask("POST", "/_emulator/faults", told)[0]

    def lines(self, what: str) -> list[dict[str, object]]:
        """A list of the emulator's."""
        return [json.loads(line) for line in self.ask("GET", f"/_emulator/{what}")[2].splitlines()]

    def kept(self) -> list[object]:
        """The ids of accepted events."""
        return [line["event_id"] for line in self.lines("accepted")]


def purchase(event_id: str) -> dict[str, object]:
    """An event that Meta takes."""
    return {
        "event_name": "Purchase",
        "event_time": NOW_MS // 1000 - 60,
        "event_id": event_id,
        "action_source": "system_generated",
        "user_data": {"em": ["a" * 64]},
        "custom_data": {"value": 10.5, "currency": "USD"},
    }


def error(answer: Answer) -> dict[str, object]:
    """Graph's error of a reply."""
    found = json.loads(answer[2])["error"]
    assert isinstance(found, dict)
    return found


@pytest.fixture(name="served")
def _served() -> Iterator[EmulatorThread]:
    with EmulatorThread(["meta"], tokens={"meta": RIGHT}, now_ms=lambda: NOW_MS) as served:
        yield served


@pytest.fixture(name="meta")
def _meta(served: EmulatorThread) -> Client:
    return Client(served.urls["meta"])


def test_faults_are_met_in_the_order_they_were_told_and_used_up() -> None:
    """The first lasts for its count, then the next is met, and one without a count is never used up."""
    faults: tuple[Fault, ...] = (Fault("status", count=2), Fault("reset", count=1), Fault("429"))
    met = []
    for _ in range(5):
        drawn = draw(faults, ["a"])
        faults = drawn.left
        met.append(drawn.fault.kind if drawn.fault else "")
    assert met == ["status", "status", "reset", "429", "429"]
    assert faults == (Fault("429"),)


def test_a_poison_waits_for_its_events() -> None:
    """A batch without a poisoned id meets the next fault, or none, and uses nothing of the poison up."""
    poison = Fault("poison", event_ids=("bad",), count=1)
    assert draw([poison], ["a", "b"]) == draw([poison], ["c"])
    assert draw([poison], ["a"]).left == (poison,)
    assert draw([poison, Fault("reset")], ["a"]).fault == Fault("reset")
    met = draw([poison, Fault("reset")], ["a", "bad"])
    assert (met.fault, met.left) == (poison, (Fault("reset"),))


def test_late_faults_are_not_drawn_but_looked_up() -> None:
    """The last word about an event counts."""
    faults = (
        Fault("late", event_ids=("a", "b"), reason="TOO_OLD"),
        Fault("late", event_ids=("b",), reason="SPAM"),
    )
    assert draw(faults, ["a"]) == Drawn(None, faults)
    assert late(faults) == {"a": "TOO_OLD", "b": "SPAM"}


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        (b"{}", "kind"),
        (b"[]", "no fault"),
        (b'{"kind": "sulk"}', "sulk"),
        (b'{"kind": "status", "state": 500}', "state"),
        (b'{"kind": "status", "status": 99}', "status"),
        (b'{"kind": "status", "count": 0}', "count"),
        (b'{"kind": "429", "retry_after_s": -1}', "retry_after_s"),
        (b'{"kind": "poison"}', "event_ids"),
        (b'{"kind": "reset", "event_ids": ["a"]}', "event_ids"),
        (b'{"kind": "slow"}', "delay_s"),
        (b'{"kind": "late", "reason": "TOO_OLD"}', "event_ids"),
        (b'{"kind": "late", "event_ids": ["a"]}', "reason"),
        (b'{"kind": "late", "event_ids": ["a"], "reason": "TOO_OLD", "count": 1}', "count"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(told: bytes, problem: str) -> None:
    """With a sentence that names the field."""
    with pytest.raises(ValueError, match=problem):
        read_fault(told)


def test_a_status_comes_once_in_the_platforms_own_shape(meta: Client) -> None:
    """A 500 is Graph's code 2 and transient; nothing is kept, and the next request passes."""
    assert meta.fault(kind="status", status=500, count=1) == 200
    answer = meta.send("a")
    assert (answer[0], error(answer)["code"], error(answer)["is_transient"]) == (500, 2, True)
    assert meta.kept() == []
    assert meta.send("a")[0] == 200
    assert meta.kept() == ["a"]


@pytest.mark.parametrize(("status", "code"), [(401, 190), (403, 200), (429, 4), (400, 100), (503, 2)])
def test_each_status_has_graphs_code(meta: Client, status: int, code: int) -> None:
    """A client decides on the code, so it must fit the status."""
    meta.fault(kind="status", status=status)
    answer = meta.send("a")
    assert (answer[0], error(answer)["code"]) == (status, code)


def test_throttling_tells_how_long_to_wait(meta: Client) -> None:
    """Retry-After in seconds, the usage header in minutes, an error code of throttling."""
    meta.fault(kind="429", retry_after_s=90)
    answer = meta.send("a")
    assert (answer[0], answer[1]["retry-after"], error(answer)["code"]) == (429, "90", 80004)
    (uses,) = json.loads(answer[1]["x-business-use-case-usage"]).values()
    assert uses[0]["estimated_time_to_regain_access"] == 2


def test_throttling_may_come_as_400(meta: Client) -> None:
    """As Graph does it: only the code tells, and there is no Retry-After."""
    meta.fault(kind="429", status=400, retry_after_s=60)
    answer = meta.send("a")
    assert (answer[0], error(answer)["code"]) == (400, 80004)
    assert "retry-after" not in answer[1]


@pytest.mark.parametrize(("status", "seen"), [(None, 502), (200, 200)])
def test_html_is_a_page_with_any_status(meta: Client, status: int | None, seen: int) -> None:
    """A proxy's page, even with 200, and nothing is kept."""
    meta.fault(kind="html", status=status)
    answer = meta.send("a")
    assert (answer[0], answer[1]["content-type"]) == (seen, "text/html")
    assert answer[2].startswith(b"<!DOCTYPE html>")
    assert meta.kept() == []


def test_an_expired_token_is_cured_by_a_new_one(served: EmulatorThread, meta: Client) -> None:
    """401 with 190/463 until the token is rotated; then only the new one is right."""
    meta.fault(kind="expired_token")
    for _ in range(2):
        answer = meta.send("a")
        assert (answer[0], error(answer)["code"], error(answer)["error_subcode"]) == (401, 190, 463)
    served.emulators["meta"].set_token(NEW)
    assert meta.send("a", token=RIGHT)[0] == 401
    assert meta.send("a", token=NEW)[0] == 200


@pytest.mark.parametrize(("named", "path"), [(True, "$['data'][1]"), (False, "")])
def test_a_poison_refuses_its_whole_batch(meta: Client, named: bool, path: str) -> None:  # noqa: FBT001 (a parameter)
    """By index or without; batches that lack it pass."""
    meta.fault(kind="poison", event_ids=["bad"], named=named)
    answer = meta.send("a", "bad", "c")
    assert (answer[0], error(answer)["code"], error(answer)["error_subcode"]) == (400, 100, 2804019)
    assert error(answer)["message"] == f"Invalid parameter {path}".strip()
    assert meta.kept() == []
    assert meta.send("a", "c")[0] == 200
    assert meta.send("bad")[0] == 400


@pytest.mark.parametrize(("after_body", "kept"), [(False, []), (True, ["a"])])
@pytest.mark.parametrize("kind", ["reset", "status", "html"])
def test_after_body_keeps_the_events_and_hides_it(
    meta: Client,
    kind: str,
    after_body: bool,  # noqa: FBT001 (a parameter)
    kept: list[str],
) -> None:
    """The client sees the same failure either way."""
    meta.fault(kind=kind, after_body=after_body, count=1)
    if kind == "reset":
        with pytest.raises(ConnectionResetError):
            meta.send("a")
    else:
        assert meta.send("a")[0] >= 500
    assert meta.kept() == kept
    assert meta.lines("requests")[0]["fault"] == kind


@pytest.mark.parametrize(("after_body", "kept"), [(False, []), (True, ["a"])])
def test_a_hang_answers_nobody(meta: Client, after_body: bool, kept: list[str]) -> None:  # noqa: FBT001 (a parameter)
    """The client has to give up; what was kept before stays kept."""
    meta.fault(kind="hang", after_body=after_body, count=1)
    with pytest.raises(TimeoutError):
        meta.send("a", wait_s=0.3)
    assert meta.kept() == kept
    assert (meta.lines("requests")[0]["status"], meta.lines("requests")[0]["fault"]) == (0, "hang")


def test_a_hang_ends_with_a_reset_at_its_bound(meta: Client) -> None:
    """A client without a time limit is not held for ever."""
    meta.fault(kind="hang", delay_s=0.05)
    with pytest.raises(ConnectionResetError):
        meta.send("a")


def test_slow_is_right_but_late(meta: Client) -> None:
    """Another request overtakes one that is slow; in the end both are kept."""
    meta.fault(kind="slow", delay_s=0.5, count=1)
    answers: list[int] = []
    late = threading.Thread(target=lambda: answers.append(meta.send("late")[0]))
    late.start()
    _until(lambda: _asked(meta) == 1)
    assert meta.send("early")[0] == 200
    late.join()
    assert answers == [200]
    assert meta.kept() == ["early", "late"]


def test_slow_keeps_nothing_of_a_client_that_left(meta: Client) -> None:
    """A client that gives up before the delay is over has sent nothing, unless it was kept before."""
    for after_body, event_id in ((False, "a"), (True, "b")):
        meta.fault(kind="slow", delay_s=0.6, after_body=after_body, count=1)
        with pytest.raises(TimeoutError):
            meta.send(event_id, wait_s=0.2)
    meta.fault(kind="slow", delay_s=0.8, count=1)  # outlasts what might still be waiting
    assert meta.send("c")[0] == 200
    assert meta.kept() == ["b", "c"]


def test_deleting_faults_ends_them_and_forgetting_ends_all(meta: Client) -> None:
    """The one leaves what is kept; the other leaves nothing."""
    meta.send("a")
    meta.fault(kind="status")
    assert meta.ask("DELETE", "/_emulator/faults")[0] == 204
    assert meta.send("b")[0] == 200
    assert meta.kept() == ["a", "b"]
    meta.fault(kind="status")
    assert meta.ask("DELETE", "/_emulator")[0] == 204
    assert (meta.kept(), meta.lines("requests"), meta.lines("deduped")) == ([], [], [])
    assert json.loads(meta.ask("GET", "/_emulator/stats")[2])["requests"] == 0
    assert meta.send("a")[0] == 200


def test_an_unknown_fault_is_a_400(meta: Client) -> None:
    """Told over HTTP as in the function, and not taken up."""
    assert meta.fault(kind="sulk") == 400
    assert meta.send("a")[0] == 200


def test_a_platform_without_an_emulator_is_an_error() -> None:
    """Not a silent other one."""
    with pytest.raises(KeyError):
        emulator("orkut", token=RIGHT, now_ms=lambda: NOW_MS)


def test_a_taken_port_is_an_error() -> None:
    """And leaves no thread behind; the emulator that has the port is not disturbed."""
    before = threading.active_count()
    with EmulatorThread(["meta"], tokens={"meta": RIGHT}, now_ms=lambda: NOW_MS) as served:
        port = urlsplit(served.urls["meta"]).port
        assert port is not None
        assert repr(served.emulators["meta"]).startswith("<Emulator meta at http://127.0.0.1:")
        with (
            pytest.raises(OSError, match="in use"),
            EmulatorThread(["meta"], tokens={"meta": RIGHT}, ports={"meta": port}),
        ):
            pass
    assert threading.active_count() == before


def _asked(meta: Client) -> object:
    return json.loads(meta.ask("GET", "/_emulator/stats")[2])["requests"]


def _until(holds: Callable[[], bool]) -> None:
    waited = threading.Event()
    for _ in range(1000):
        if holds():
            return
        waited.wait(0.005)
    raise AssertionError("never held")
