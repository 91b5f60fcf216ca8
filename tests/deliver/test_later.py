"""What is put aside: its headers there and back, when it is looked at, and refunds that keep behind their purchase."""

from random import Random
from typing import Any

import msgspec
import pytest

from consumer.deliver.aside import Aside
from consumer.deliver.delivery import Ended
from consumer.deliver.intake import DEFER_FROM_MS, Intake, Place, Ready
from consumer.deliver.later import HELD_MAX, Deferred, History, Room, Waits, headers_of, returned
from consumer.deliver.route import Wants
from consumer.deliver.settle import Progress
from consumer.deliver.tally import MatchTally
from consumer.model import Conversion, Outcome, Record, TopicPartition
from consumer.platforms import PLATFORMS
from consumer.platforms.contract import Account, Secret

NOW_MS = 1_790_000_000_000
AFTER_MS = 900_000
LATER, REPLAY, AT = "capi.later", "capi.replay", TopicPartition("capi.later", 3)
ACCOUNT = Account("https://p.example", "G-1", Secret("t"))
GA4 = PLATFORMS["ga4"]
EVERY = frozenset({"purchase", "refund", "begin_checkout", "add_payment_info"})


def purchase(number: int = 1, **changes: Any) -> Conversion:  # noqa: ANN401 (a field's value)
    """A purchase that GA4 takes."""
    told = Conversion(
        *(f"purchase:{number}", "purchase", NOW_MS - 5_000, "EUR", 1999, NOW_MS),
        order_id=str(number),
        click_ids={"ga_client_id": "1.2"},
    )
    return msgspec.structs.replace(told, **changes)


def refund(number: int = 1, **changes: Any) -> Conversion:  # noqa: ANN401 (a field's value)
    """Its refund."""
    told = purchase(
        number,
        event_id=f"refund:{number}:1",
        event_name="refund",
        corrects_event_id=f"purchase:{number}",
        corrects_event_time=NOW_MS - 5_000,
        corrects_value_minor=1999,
    )
    return msgspec.structs.replace(told, **changes)


class Side:
    """One partition of conversions and its sister of what is put aside, at one destination."""

    def __init__(self, **wants: Any) -> None:  # noqa: ANN401 (what it wants)
        self.told: dict[int, Conversion] = {}
        self.progress, self.aside_progress = Progress(0), Progress(0)
        intake = Intake(self._decode, GA4, Wants(EVERY, ACCOUNT, **wants), 0, MatchTally())
        self.aside = Aside(intake, "ga4", LATER, AFTER_MS, REPLAY)
        self.aside.assigned([AT])
        self.now_ms = NOW_MS

    def _decode(self, value: bytes) -> Conversion:
        return self.told[int(value)]

    def record(self, told: Conversion) -> Record:
        """The conversion's record."""
        offset = len(self.told)
        self.told[offset] = told
        return Record("capi.conversions", 3, offset, self.now_ms, b"key", b"%d" % offset)

    def read(self, told: Conversion) -> Any:  # noqa: ANN401 (what is to be done)
        """Read one from conversions."""
        record = self.record(told)
        self.progress.read(record.offset, self.now_ms)
        return self.aside.take(record, told, Place(self.progress, record.offset), self.now_ms)

    def put(self, deferred: Deferred, *, destination: str = "ga4") -> None:
        """Write one to the topic of what is put aside, and read it from there."""
        offset = self.aside_progress.position
        record = msgspec.structs.replace(
            deferred.record,
            topic=LATER,
            offset=offset,
            timestamp_ms=self.now_ms,
            headers=headers_of(deferred, destination),
        )
        self.aside_progress.read(offset, self.now_ms)
        self.aside.wait(self.aside.found(record), self.aside_progress, record)

    def free(self) -> list[str]:
        """What need not wait any longer, by what is to be done about it."""
        return [said(each) for each in self.aside.free(self.now_ms)]

    def end(self, ready: Ready, *, outcome: Outcome = Outcome.DELIVERED) -> None:
        """Let the lane end a delivery."""
        of = ready.delivery
        self.aside.done(Ended(of.record, of.conversion, of.progress, of.place, outcome))

    def defer(self, ready: Ready) -> Deferred:
        """Let the lane put a delivery aside."""
        of = ready.delivery
        deferred = Deferred(
            of.record, of.conversion, of.progress, of.place, self.now_ms, History(3, 4, alone=True)
        )
        self.aside.done(deferred)
        return deferred


def said(taken: object) -> str:
    """What is to be done, and about what."""
    match taken:
        case Ready(delivery, _):
            return f"send {delivery.conversion.event_id}"
        case Deferred():
            return f"aside {taken.conversion.event_id}"
        case Ended():
            return f"{taken.outcome} {taken.reason}"
    return str(taken)


def test_there_and_back() -> None:
    """A conversion comes back as it stands in conversions, with what was done about it."""
    record = Record(
        "my:conversions", 3, 17, 5, b"key", b"value", (("traceparent", b"00"), ("capi.origin", b"x"))
    )
    deferred = Deferred(record, purchase(), Progress(0), 17, 99, History(4, 5, alone=True))
    headers = headers_of(deferred, "ga4")
    assert [name for name, _ in headers].count("capi.origin") == 1
    there = Record(LATER, 3, 2, 123, b"key", b"value", headers)
    back = returned(there, "ga4")
    assert back is not None
    assert (back.record.origin, back.record.key, back.record.value) == (record.origin, b"key", b"value")
    assert (back.record.timestamp_ms, back.record.headers) == (123, (("traceparent", b"00"),))
    assert (back.not_before_ms, back.history) == (99, History(4, 5, alone=True))
    assert returned(there, "meta-us") is None


@pytest.mark.parametrize("name", ["capi.origin", "capi.not_before_ms", "capi.attempts", "capi.destination"])
@pytest.mark.parametrize("text", [b"", b"x", b"a:b:c", b"\xff"])
def test_foreign_records_are_nobodys(name: str, text: bytes) -> None:
    """A record with headers that aren't ours is passed over, and never breaks anything."""
    headers = headers_of(Deferred(Record("t", 0, 1, 1, None, b"v"), purchase(), Progress(0), 1, 9), "ga4")
    odd = tuple((key, text if key == name else value) for key, value in headers)
    assert returned(Record(LATER, 0, 0, 1, None, b"v", odd), "ga4") is None
    assert returned(Record(LATER, 0, 0, 1, None, b"v"), "ga4") is None


def test_looked_at_after_its_time() -> None:
    """What is put aside comes back a while later, with its history; another destination's is settled unseen."""
    side = Side()
    ready = side.read(purchase())
    deferred = side.defer(ready)
    side.put(deferred)
    side.put(deferred, destination="other")
    assert (len(side.aside), side.aside_progress.unsettled) == (1, 1)
    side.now_ms += AFTER_MS - 1
    assert side.free() == []
    side.now_ms += 1
    (back,) = side.aside.free(side.now_ms)
    assert isinstance(back, Ready)
    assert (back.delivery.record.topic, back.delivery.record.offset) == ("capi.conversions", 0)
    assert (back.delivery.progress, back.delivery.place) == (side.aside_progress, 0)
    assert (back.delivery.attempts, back.delivery.first_attempt_at_ms, back.delivery.alone) == (3, 4, True)


def test_its_own_time_may_be_later_still() -> None:
    """What isn't due yet when it comes back is put aside again; a window that closed meanwhile ends it."""
    side = Side()
    deferred = msgspec.structs.replace(side.defer(side.read(purchase())), not_before_ms=NOW_MS + 3 * AFTER_MS)
    side.put(deferred)
    side.now_ms += AFTER_MS
    assert side.free() == ["aside purchase:1"]
    side.put(deferred)
    side.now_ms += GA4.limits.age_max_ms
    assert side.free() == ["expired expired"]


def test_incomplete_is_a_letter_or_skipped() -> None:
    """What lacks something that the platform demands ends before a request, as the destination's settings say."""
    for skips, ending in ((False, "rejected incomplete"), (True, "skipped client_id")):
        side = Side(skips_incomplete=skips)
        assert said(side.read(purchase(click_ids={}))) == ending


def test_far_ahead_is_put_aside() -> None:
    """A delivery whose time is more than a minute ahead doesn't hold the watermark; one that is nearer waits here."""
    side = Side(refund_after_ms=7_200_000)
    side.aside.end(AT)
    assert said(side.read(refund())) == "aside refund:1:1"
    assert (
        said(side.read(purchase(event_time=NOW_MS + GA4.limits.future_max_ms + DEFER_FROM_MS)))
        == "send purchase:1"
    )


def test_refund_waits_for_what_is_not_known_yet() -> None:
    """After an assignment a refund goes once all that was put aside in its partition was read."""
    side = Side()
    assert side.read(refund()) is None
    assert said(side.read(purchase(2))) == "send purchase:2"
    assert side.free() == []
    side.aside.end(AT)
    assert side.free() == ["send refund:1:1"]
    assert said(side.read(refund(3))) == "send refund:3:1"


def test_refund_waits_for_its_purchase() -> None:
    """While its purchase is under way a refund waits, and only it."""
    side = Side()
    side.aside.end(AT)
    ready = side.read(purchase())
    assert side.read(refund()) is None
    assert said(side.read(refund(2))) == "send refund:2:1"
    assert side.free() == []
    side.end(ready)
    assert side.free() == ["send refund:1:1"]
    assert said(side.read(refund(1, event_id="refund:1:2"))) == "send refund:1:2"


def test_refund_goes_the_way_of_its_purchase() -> None:
    """If the purchase is put aside, so is its refund; they come back in their order."""
    side = Side()
    side.aside.end(AT)
    ready = side.read(purchase())
    assert side.read(refund()) is None
    side.put(side.defer(ready))
    (behind,) = side.aside.free(side.now_ms)
    assert isinstance(behind, Deferred)
    assert said(behind) == "aside refund:1:1"
    assert said(side.read(refund(1, event_id="refund:1:2"))) == "aside refund:1:2"
    side.put(behind)
    side.now_ms += AFTER_MS
    (again,) = side.aside.free(side.now_ms)
    assert isinstance(again, Ready)
    assert said(again) == "send purchase:1"
    side.end(again)
    assert side.free() == ["send refund:1:1"]


def test_what_is_put_aside_is_so_before_it_is_read_from_there() -> None:
    """Between the decision and the read from the topic a refund is put aside as well; a lost partition forgets it."""
    side = Side()
    side.aside.end(AT)
    deferred = side.defer(side.read(purchase()))
    assert said(side.read(refund())) == "aside refund:1:1"
    side.put(deferred)
    assert said(side.read(refund(1, event_id="refund:1:2"))) == "aside refund:1:2"
    side.now_ms += AFTER_MS
    (again,) = side.aside.free(side.now_ms)
    assert isinstance(again, Ready)
    side.end(again)
    assert said(side.read(refund(1, event_id="refund:1:3"))) == "send refund:1:3"
    far = side.read(purchase(2, event_time=side.now_ms + 10 * DEFER_FROM_MS))
    assert said(far) == "aside purchase:2"
    assert said(side.read(refund(2))) == "aside refund:2:1"
    side.progress.lost = True
    side.aside.lost()
    side.progress = Progress(10)
    assert said(side.read(refund(2))) == "send refund:2:1"


def test_partition_that_goes_holds_nobody() -> None:
    """What was under way for a partition that is another's now keeps no refund waiting here for ever."""
    side = Side()
    side.aside.end(AT)
    side.read(purchase())
    side.progress.lost = True
    side.aside.lost()
    side.progress = Progress(10)
    assert said(side.read(refund())) == "send refund:1:1"
    waiting = Side()
    assert waiting.read(refund()) is None
    waiting.aside.forget([AT])
    assert waiting.free() == ["send refund:1:1"]
    gone = Side()
    gone.put(Deferred(gone.record(purchase()), purchase(), gone.progress, 0, NOW_MS))
    assert gone.read(refund()) is None
    gone.progress.lost = gone.aside_progress.lost = True
    gone.aside.lost()
    gone.aside.forget([AT])
    gone.now_ms += AFTER_MS
    assert (gone.free(), len(gone.aside)) == ([], 0)


def test_room_has_its_limit() -> None:
    """A full room says so, and forgets whom it need not know any more."""
    room, progress = Room(), Progress(0)
    assert not room.full
    headers = headers_of(Deferred(Record("t", 0, 1, NOW_MS, None, b"v"), purchase(), progress, 1, 9), "ga4")
    back = returned(Record(LATER, 0, 0, NOW_MS, None, b"v", headers), "ga4")
    assert back is not None
    for offset in range(HELD_MAX):
        room.put(Waits(back, purchase(offset), progress, offset), AFTER_MS)
    assert room.full
    assert room.holds("purchase:7")
    assert len(list(room.due(NOW_MS + AFTER_MS))) == HELD_MAX
    assert not room.holds("purchase:7")


class Chaos:
    """A lane that puts aside, ends and waits as it likes. `open` counts those without an outcome."""

    def __init__(self, seed: int) -> None:
        self.random, self.side = Random(seed), Side()
        self.side.aside.end(AT)
        self.flying: list[Ready] = []
        self.written: list[Deferred] = []
        self.under_way: set[str] = set()
        self.open = 0

    def read(self, told: Conversion) -> None:
        """Read one from conversions."""
        self.open += 1
        self.hear(self.side.read(told))

    def hear(self, taken: object) -> None:
        """Do what is to be done."""
        match taken:
            case Ready(delivery, _):
                assert delivery.conversion.corrects_event_id not in self.under_way
                if delivery.conversion.event_name == "purchase":
                    self.under_way.add(delivery.conversion.event_id)
                self.flying.append(taken)
            case Deferred():
                self.written.append(taken)
            case Ended(conversion=Conversion(event_id=event_id)):
                self.under_way.discard(event_id)
                self.open -= 1

    def reply(self, *, aside: float) -> None:
        """Let one that flies end, or be put aside with a chance."""
        one = self.flying.pop(self.random.randrange(len(self.flying)))
        if self.random.random() < aside:
            self.written.append(self.side.defer(one))
        else:
            self.under_way.discard(one.delivery.conversion.event_id)
            self.open -= 1
            self.side.end(one)
        self.look()

    def look(self, by_ms: int = 0) -> None:
        """Let time pass, read some of what was put aside, and take what need not wait any longer."""
        self.side.now_ms += by_ms
        for _ in range(self.random.randint(0, len(self.written))):
            self.side.put(self.written.pop(0))
        for each in self.side.aside.free(self.side.now_ms):
            self.hear(each)


@pytest.mark.parametrize("seed", range(60))
def test_no_refund_goes_before_its_purchase(seed: int) -> None:
    """Whatever is put aside or ends, in whatever order: a refund goes after its purchase, and nothing is forgotten."""
    chaos = Chaos(seed)
    for number in range(30):
        for told in (purchase(number), refund(number), refund(number, event_id=f"refund:{number}:2")):
            chaos.read(told)
            while chaos.flying and chaos.random.random() < 0.6:
                chaos.reply(aside=0.4)
            chaos.look(chaos.random.choice([0, AFTER_MS // 2]))
    for _ in range(400):
        while chaos.flying:
            chaos.reply(aside=0.0)
        chaos.look(AFTER_MS)
    assert (chaos.open, len(chaos.side.aside), chaos.flying) == (0, 0, [])
