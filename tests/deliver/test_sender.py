"""The sender, in its thread and over real sockets, against Meta's emulator."""

import json
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from random import Random
from typing import Any

import msgspec
import pytest
import structlog

from consumer.clock import SystemClock
from consumer.deliver.delivery import Delivery, Done, Ended, LaneRules
from consumer.deliver.intent import Commit, Intents
from consumer.deliver.lane import Lane
from consumer.deliver.sender import Sender
from consumer.deliver.senders import Senders
from consumer.deliver.settle import Progress
from consumer.deliver.tally import DestinationTally
from consumer.emulators.platforms import EmulatorThread
from consumer.model import Conversion, EventName, Record
from consumer.platforms import PLATFORMS
from consumer.platforms.contract import Account, Reply, Secret

META = PLATFORMS["meta"]
PIXEL = "1234567890"
RIGHT, NEW = "right", "new"
WAIT_S = 60.0
REQUEST_TIMEOUT_S = 10.0


class Desk:
    """A sender and its emulator. `ended` is what was handed over so far."""

    def __init__(
        self,
        senders: Senders,
        meta: EmulatorThread,
        *,
        told_first: bool = False,
        **rules: Any,  # noqa: ANN401 (a rule's value)
    ) -> None:
        self._meta = meta
        self.clock = SystemClock()
        self.tally = DestinationTally("meta-us", "meta")
        self.progress = Progress(0)
        self.given = 0
        self.ended: dict[str, str] = {}
        self.intents = Intents() if told_first else None
        self._handed: SimpleQueue[list[Done]] = SimpleQueue()
        told = {
            "limits": META.limits,
            "batch_max_events": 50,
            "linger_s": 0.01,
            "concurrency_max_requests": 8,
            "resends": frozenset(EventName),
            **rules,
        }
        lane = Lane("meta-us", LaneRules(**told), Random(1))
        self.sender, self.running = senders.begin(
            lambda http: Sender(
                *(lane, META, self.account(RIGHT), http, self.clock, self.tally),
                request_timeout_s=REQUEST_TIMEOUT_S,
                intents=self.intents,
            )
        )
        self.sender.begin(self._handed.put)

    def account(self, token: str) -> Account:
        """The pixel, with this token."""
        return Account(self._meta.urls["meta"], PIXEL, Secret(token))

    def add(self, count: int, progress: Progress | None = None) -> list[str]:
        """Give so many purchases to the sender; their ids."""
        made = [self._delivery(progress or self.progress) for _ in range(count)]
        self.sender.add_soon([(each, 0) for each in made])
        return [each.conversion.event_id for each in made]

    def _delivery(self, progress: Progress) -> Delivery:
        now_ms = self.clock.now_ms()
        event_id = f"purchase:{self.given}"
        conversion = Conversion(
            *(event_id, "purchase", now_ms, "EUR", 1999, now_ms),
            order_id=event_id,
            identity={"email": "a" * 64},
        )
        event = META.event(conversion, Account(META.base_url, PIXEL, Secret(RIGHT)))
        assert isinstance(event, bytes)
        record = Record("capi.conversions", 0, self.given, now_ms, b"key", b"value")
        progress.read(record.offset, now_ms)
        self.given += 1
        return Delivery(record, conversion, progress, record.offset, event, now_ms + 86_400_000)

    def until(self, holds: Callable[[], bool], commit: Commit = lambda _: True) -> None:
        """Take what is handed over until this holds, and serve intents meanwhile."""
        end_s = time.monotonic() + WAIT_S
        while not holds():
            assert time.monotonic() < end_s, f"{self.sender!r}: {len(self.ended)} ended"
            if self.intents is not None:
                self.intents.serve(commit)
            try:
                handed = self._handed.get(timeout=0.02)
            except Empty:
                continue
            for each in handed:
                assert isinstance(each, Ended)
                assert each.conversion is not None
                assert each.conversion.event_id not in self.ended
                self.ended[each.conversion.event_id] = each.outcome.value
                each.progress.settle(each.record.offset)

    def fault(self, **told: object) -> None:
        """Tell the emulator to fail."""
        self._ask("/_emulator/faults", json.dumps(told).encode())

    def unfault(self) -> None:
        """No more faults."""
        self._ask("/_emulator/faults", method="DELETE")

    def accepted(self) -> list[str]:
        """The ids that the emulator took, each as often as it did."""
        return [json.loads(line)["event_id"] for line in self._ask("/_emulator/accepted").splitlines()]

    def _ask(self, path: str, body: bytes | None = None, method: str | None = None) -> bytes:
        asked = urllib.request.Request(self._meta.urls["meta"] + path, body, method=method)
        with urllib.request.urlopen(asked, timeout=WAIT_S) as reply:
            told: bytes = reply.read()
            return told

    def renew(self, token: str) -> None:
        """Make this the right token, and let the sender use it."""
        self._meta.emulators["meta"].set_token(token)
        self.sender.renew(self.account(token))

    def stop(self) -> None:
        """Stop, and wait for the last reply."""
        self.sender.stop()
        self.running.result(WAIT_S)
        assert self.sender.finished.is_set()


@pytest.fixture
def open_desk() -> Iterator[Callable[..., Desk]]:
    """Makes senders at an emulator of their own, and stops them."""
    desks: list[Desk] = []
    with (
        EmulatorThread(["meta"], tokens={"meta": RIGHT}, accounts={"meta": [PIXEL]}) as meta,
        Senders(SystemClock()) as senders,
    ):

        def make(*, told_first: bool = False, **rules: object) -> Desk:
            desks.append(Desk(senders, meta, told_first=told_first, **rules))
            return desks[-1]

        yield make
        for desk in desks:
            if not desk.running.done():
                desk.stop()


def test_events_arrive_once_and_are_counted(open_desk: Callable[..., Desk]) -> None:
    """What is given is delivered, in batches, and the counters say so."""
    desk = open_desk()
    ids = desk.add(500)
    desk.until(lambda: len(desk.ended) == 500)
    assert desk.ended == dict.fromkeys(ids, "delivered")
    assert sorted(desk.accepted()) == sorted(ids)
    assert desk.tally.requests == {"Accepted": 10}
    assert sum(desk.tally.latency_counts) == 10
    assert (desk.tally.breaker, desk.tally.queued, desk.tally.park_reason) == ("closed", 0, "")
    assert desk.tally.unknown_codes == {}


@pytest.mark.parametrize("named", [True, False])
def test_poison_costs_one_letter(open_desk: Callable[..., Desk], named: bool) -> None:  # noqa: FBT001 (parametrised)
    """Over the wire too, whether Meta's reply names the culprit or not."""
    desk = open_desk(batch_max_events=500)
    desk.fault(kind="poison", event_ids=["purchase:77"], named=named)
    ids = desk.add(500)
    desk.until(lambda: len(desk.ended) == 500)
    assert [each for each in ids if desk.ended[each] != "delivered"] == ["purchase:77"]
    assert desk.ended["purchase:77"] == "rejected"
    assert sum(desk.tally.requests.values()) <= (3 if named else 1 + 2 * 9)


def test_expired_token_parks_and_a_new_one_resumes(open_desk: Callable[..., Desk]) -> None:
    """One alert, no outcome; with the new token all are delivered, and the log says so."""
    with structlog.testing.capture_logs() as lines:
        desk = open_desk()
        desk.fault(kind="expired_token")
        desk.add(200)
        desk.until(lambda: bool(desk.tally.park_reason) and desk.tally.queued == 200)
        assert desk.ended == {}
        desk.renew(NEW)
        desk.until(lambda: len(desk.ended) == 200)
    assert set(desk.ended.values()) == {"delivered"}
    assert desk.tally.park_reason == ""
    assert [line["event"] for line in lines] == ["destination_parked", "destination_resumed"]
    assert not any(value in {RIGHT, NEW} for line in lines for value in map(str, line.values()))


def test_reset_after_the_body_is_sent_again(open_desk: Callable[..., Desk]) -> None:
    """The platform may have it: it is sent again with the same id, and counted as such."""
    desk = open_desk()
    desk.fault(kind="reset", after_body=True, count=1)
    ids = desk.add(10)
    desk.until(lambda: len(desk.ended) == 10)
    assert sorted(desk.accepted()) == sorted(ids * 2)
    assert desk.tally.resent == 10
    assert desk.tally.requests == {"Unconfirmed": 1, "Accepted": 1}
    assert desk.tally.unknown_codes == {}


def test_reset_after_the_body_is_a_letter_where_that_is_wanted(open_desk: Callable[..., Desk]) -> None:
    """Where counting twice is worse than not knowing, it isn't sent again."""
    desk = open_desk(resends=frozenset())
    desk.fault(kind="reset", after_body=True, count=1)
    ids = desk.add(10)
    desk.until(lambda: len(desk.ended) == 10)
    assert desk.ended == dict.fromkeys(ids, "unknown")
    assert sorted(desk.accepted()) == sorted(ids)


def test_code_that_the_platforms_file_does_not_know_is_counted(open_desk: Callable[..., Desk]) -> None:
    """A new code shows itself in the counters; what the network did is no code of the platform."""
    desk = open_desk()
    desk.fault(kind="html", status=418, count=1)
    desk.fault(kind="reset", count=1)
    desk.add(1)
    desk.until(lambda: len(desk.ended) == 1)
    assert desk.tally.unknown_codes == {"http_418": 1}
    assert desk.tally.requests == {"Transient": 1, "Unconfirmed": 1, "Accepted": 1}


def test_stop_waits_for_replies_and_begins_nothing(open_desk: Callable[..., Desk]) -> None:
    """What is under way ends with its outcome; what is queued stays unsent."""
    desk = open_desk(concurrency_max_requests=1, batch_max_events=10)
    desk.fault(kind="slow", delay_s=0.3, count=1)
    desk.add(100)
    desk.until(lambda: bool(desk.sender.lane.under_way()))
    desk.stop()
    desk.until(lambda: len(desk.ended) == 10)
    assert len(desk.accepted()) == 10
    assert desk.sender.lane.queued == 90


def test_nothing_begins_for_what_leaves_once_that_was_heard(open_desk: Callable[..., Desk]) -> None:
    """After `sync`, the requests under way are all that a leaving partition still has at the platform."""
    desk = open_desk(batch_max_events=10)
    leaving = Progress(0)
    desk.fault(kind="slow", delay_s=0.2, count=8)
    theirs = desk.add(300, leaving)
    ours = desk.add(100)
    desk.until(lambda: bool(desk.sender.lane.under_way()))
    leaving.leaving = True
    assert desk.sender.sync(WAIT_S)
    groups = desk.sender.lane.under_way()
    begun = {each.conversion.event_id for group in groups for each in group.deliveries} | set(desk.ended)
    desk.until(lambda: set(ours) <= desk.ended.keys() and not desk.sender.lane.under_way())
    leaving.lost = True
    desk.sender.forget_lost()
    desk.until(lambda: desk.tally.queued == 0)
    assert set(desk.accepted()) <= begun | set(ours)
    assert set(theirs) - set(desk.accepted())


def test_forgetting_empties_a_parked_senders_queue(open_desk: Callable[..., Desk]) -> None:
    """A parked destination keeps nothing of partitions that are another's."""
    desk = open_desk()
    desk.fault(kind="expired_token")
    desk.add(200)
    desk.until(lambda: bool(desk.tally.park_reason) and desk.tally.queued == 200)
    desk.progress.lost = True
    desk.sender.forget_lost()
    desk.until(lambda: desk.tally.queued == 0)


def test_bug_in_a_platforms_file_ends_the_sender_loudly(open_desk: Callable[..., Desk]) -> None:
    """What judges may not raise; if it does, nothing is settled, and whoever runs the sender hears of it."""

    def broken(_: Reply) -> None:
        raise ZeroDivisionError

    desk = open_desk()
    desk.sender._platform = msgspec.structs.replace(META, judge=broken)
    desk.add(1)
    running: Future[None] = desk.running
    desk.until(running.done)
    assert isinstance(running.exception(0), ExceptionGroup)
    assert desk.sender.finished.is_set()
    assert desk.ended == {}


def test_nothing_is_sent_before_its_intent_is_committed(open_desk: Callable[..., Desk]) -> None:
    """Each request is told of first; once all have their outcome, nothing is intended."""
    desk = open_desk(told_first=True, resends=frozenset())
    ids = desk.add(200)
    told: list[tuple[int, str]] = []

    def commit(of: Collection[Progress]) -> bool:
        assert set(of) == {desk.progress}
        again = Progress(desk.progress.watermark, desk.progress.metadata)
        intended = [at for at in range(again.position, 200) if again.read(at, 0) == "intended"]
        told.extend((len(desk.accepted()), f"purchase:{at}") for at in intended)
        return True

    desk.until(lambda: len(desk.ended) == 200, commit)
    assert desk.ended == dict.fromkeys(ids, "delivered")
    assert sorted(desk.accepted()) == sorted(ids)
    assert {each for _, each in told} == set(ids)
    for place, event_id in enumerate(desk.accepted()):
        assert min(taken for taken, each in told if each == event_id) <= place
    assert (desk.progress.watermark, desk.progress.metadata) == (200, "")


def test_what_cannot_be_told_is_not_sent(open_desk: Callable[..., Desk]) -> None:
    """While no commit works nothing is posted, and nothing is held against the platform or the events."""
    desk = open_desk(told_first=True, resends=frozenset())
    ids = desk.add(50)
    tries: list[str] = []

    def refuse(_: Collection[Progress]) -> bool:
        tries.append(desk.progress.metadata)
        return False

    desk.until(lambda: len(tries) == 2, refuse)
    assert tries == ["2:0.50;", "2:0.50;"]
    assert desk.progress.metadata == ""
    assert desk.accepted() == []
    desk.until(lambda: len(desk.ended) == 50)
    assert desk.ended == dict.fromkeys(ids, "delivered")
    assert desk.tally.requests == {"Accepted": 1}


@pytest.mark.parametrize(
    "fault", [{"kind": "status", "status": 503}, {"kind": "429"}, {"kind": "expired_token"}]
)
def test_what_came_back_is_no_longer_intended(open_desk: Callable[..., Desk], fault: dict[str, Any]) -> None:
    """Events that the platform refused for now are known not to count: a crash then leaves nothing unknown."""
    desk = open_desk(told_first=True, resends=frozenset())
    desk.fault(**fault)
    ids = desk.add(10)
    desk.until(lambda: desk.tally.requests.total() > 0 and desk.tally.queued == 10)
    desk.until(lambda: desk.progress.metadata == "")
    assert desk.ended == {}
    assert desk.accepted() == []
    desk.unfault()
    desk.renew(NEW)
    desk.until(lambda: len(desk.ended) == 10)
    assert sorted(desk.accepted()) == sorted(ids)


def test_what_has_no_reply_stays_intended_until_it_settles(open_desk: Callable[..., Desk]) -> None:
    """As long as nobody knows if it counts, the text beside the commit says so."""
    desk = open_desk(told_first=True, resends=frozenset())
    desk.fault(kind="hang", delay_s=0.5, after_body=True, count=1)
    ids = desk.add(10)
    desk.until(lambda: len(desk.accepted()) == 10)
    assert (desk.ended, desk.progress.metadata) == ({}, "2:0.10;")
    desk.until(lambda: len(desk.ended) == 10)
    assert desk.ended == dict.fromkeys(ids, "unknown")
    assert (desk.progress.watermark, desk.progress.metadata) == (10, "")


def test_intent_of_what_goes_elsewhere_is_refused(open_desk: Callable[..., Desk]) -> None:
    """A request that waits for its intent while its partition leaves is not sent; one with others goes without it."""
    desk = open_desk(told_first=True, resends=frozenset())
    leaving = Progress(0)
    ours = desk.add(5)
    desk.add(5, leaving)
    end_s = time.monotonic() + WAIT_S
    while sum(len(group.deliveries) for group in desk.sender.lane.under_way()) < 10:
        assert time.monotonic() < end_s
        time.sleep(0.01)
    leaving.leaving = True
    desk.until(lambda: len(desk.ended) == 5)
    assert sorted(desk.accepted()) == sorted(ours)
    assert leaving.metadata == ""


def test_commit_that_raises_lets_nothing_be_sent(open_desk: Callable[..., Desk]) -> None:
    """Whatever breaks the pump, whoever asked is answered, and nothing was sent that no commit tells of."""
    desk = open_desk(told_first=True, resends=frozenset())
    desk.add(5)
    with pytest.raises(ZeroDivisionError):
        desk.until(lambda: False, broken_commit)
    desk.stop()
    assert desk.accepted() == []
    assert desk.sender.lane.queued == 5


def broken_commit(_: Collection[Progress]) -> bool:
    """Can't."""
    raise ZeroDivisionError


def test_sender_needs_a_taker(open_desk: Callable[..., Desk]) -> None:
    """Outcomes that nobody takes are never dropped."""
    desk = open_desk()
    desk.sender.begin(broken_taker)
    desk.add(1)
    desk.until(desk.running.done)
    assert desk.running.exception(0) is not None


def broken_taker(_: list[Done]) -> None:
    """Can't take anything."""
    raise ValueError("full")
