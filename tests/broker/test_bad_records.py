"""What no shop should publish: each has a named ending with a clear reason, and the stream goes on."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import TypeAlias

import pytest
from msgspec import Struct, json

from consumer.codec import Encoder, frame, load_schema
from consumer.emulators.registry import RegistryThread
from consumer.kafka.topics import Topics, TopicSpec
from consumer.model import OrderEnding, Origin
from tests.broker.inside import Inside, LeapingClock
from tests.broker.shopfloor import Record, ShopFloor

MB = 1_000_000
DAY_MS = 86_400_000
YEAR_2099_MS = 4_070_908_800_000
RNG = Random(5)
Fields: TypeAlias = Mapping[str, object]


class Case(Struct, frozen=True):
    """A record, what must become of it, and what its letter must say. `key` None publishes without one."""

    name: str
    topic: str
    value: bytes | None
    ending: str
    reason: str = ""
    says: str = ""
    key: bytes | None = b"key"


class Shop:
    """Makes records of this moment, by the schemas that a registry gave ids to."""

    def __init__(self, floor: ShopFloor) -> None:
        self._floor = floor
        self.now_ms = int(time.time() * 1000)
        topics = floor.settings.topics
        self._order = self._encoder(f"{topics.orders}-value", load_schema("order"))
        self._checkout = self._encoder(f"{topics.checkouts}-value", load_schema("checkout"))

    def _encoder(self, subject: str, schema: str) -> Encoder[Fields]:
        return Encoder(schema, self._floor.schemas.register(subject, schema))

    def order(self, order_id: str, **changes: object) -> bytes:
        """A paid order without a checkout, but for the changes."""
        at_ms = self.now_ms - 60_000
        usual = {"order_id": order_id, "status": "PAID", "updated_at": at_ms, "created_at": at_ms}
        return self._order(
            {**usual, "paid_at": at_ms, "currency": "EUR", "grand_total_minor": 1999, **changes}
        )

    def step(self, checkout_id: str, **changes: object) -> bytes:
        """A begun checkout, but for the changes."""
        usual = {"checkout_id": checkout_id, "step": "STARTED", "updated_at": self.now_ms - 60_000}
        return self._checkout({**usual, "currency": "EUR", "grand_total_minor": 1999, **changes})

    def as_other(self, field: str, schema_of: Callable[[dict[str, object]], object | None]) -> bytes:
        """An order by a schema of which one field is another, or missing."""
        schema = json.decode(load_schema("order"))
        schema["fields"] = [
            changed
            for each in schema["fields"]
            if (changed := schema_of(each) if each["name"] == field else each) is not None
        ]
        text = json.encode(schema).decode()
        whole: dict[str, object] = {"order_id": "x", "status": "PAID", "grand_total_minor": 1}
        whole |= {"updated_at": self.now_ms, "created_at": self.now_ms, field: 7}
        named = {each["name"] for each in schema["fields"]}
        encode = self._encoder(f"{self._floor.prefix}.other-{field}", text)
        return encode({name: value for name, value in whole.items() if name in named})

    def as_text(self) -> bytes:
        """A record by a schema that is no record's."""
        return frame(self._floor.schemas.register(f"{self._floor.prefix}.text", '"string"'), b"\x02a")


def noise(size_bytes: int) -> bytes:
    """What doesn't compress."""
    return RNG.randbytes(size_bytes)


def letters_noise(size_bytes: int) -> str:
    """The same as text."""
    return noise(size_bytes // 2).hex()


def cases(shop: Shop) -> Iterator[Case]:
    """All of them. Of each topic they are read in this order."""

    def order(name: str, ending: str, reason: str = "", says: str = "", **changes: object) -> Case:
        return Case(name, "orders", shop.order(name, **changes), ending, reason, says)

    def step(name: str, ending: str, reason: str = "", says: str = "", **changes: object) -> Case:
        return Case(name, "checkouts", shop.step(name, **changes), ending, reason, says)

    for topic, whole in (("orders", shop.order("cut")), ("checkouts", shop.step("cut"))):
        made = f"{topic}-"
        yield Case(
            made + "garbage", topic, b"\xff\xfe\xfd" * 20, "letter", "undecodable", "the first byte is 255"
        )
        yield Case(made + "empty", topic, b"", "letter", "undecodable", "0 bytes are too few")
        yield Case(made + "id-zero", topic, frame(0, b"x"), "letter", "undecodable", "0 is no schema id")
        yield Case(made + "cut-off", topic, whole[: len(whole) // 2], "letter", "undecodable", "schema")
        yield Case(made + "too-long", topic, whole + b"\0\0", "letter", "undecodable", "2 bytes follow")
        yield Case(made + "no-avro", topic, shop.as_text(), "letter", "undecodable", "not a record")
        yield Case(made + "tombstone", topic, None, "tombstone")
        yield Case(made + "nothing", topic, None, "tombstone", key=None)
        yield Case(made + "5-mb-garbage", topic, b"\x07" + noise(5 * MB), "letter", "undecodable", "byte")
    yield Case(
        "lacks-total",
        "orders",
        shop.as_other("grand_total_minor", lambda _: None),
        "letter",
        "missing_field",
        "grand_total_minor",
    )
    yield Case(
        "number-as-status",
        "orders",
        shop.as_other("status", lambda field: {**field, "type": "int"}),
        "letter",
        "bad_type",
        "status",
    )
    yield Case("keyless", "orders", shop.order("keyless"), "conversion", key=None)
    yield Case("keyless-step", "checkouts", shop.step("keyless-step"), "conversion", key=None)
    yield Case("no-order-id", "orders", shop.order(""), "letter", "no_order_id", "order_id is empty")
    yield order("negative", "letter", "bad_money", "grand_total_minor", grand_total_minor=-1)
    yield order("absurd", "letter", "bad_money", "grand_total_minor", grand_total_minor=10**16)
    yield order("negative-tax", "letter", "bad_money", "tax", tax_minor=-5)
    item = {"sku": "s", "quantity": 1, "price_minor": 1}
    yield order("negative-item", "letter", "bad_money", "price_minor", items=[{**item, "price_minor": -1}])
    yield order("none-of-it", "letter", "bad_quantity", "quantity", items=[{**item, "quantity": 0}])
    yield order("no-currency", "letter", "no_currency", "ISO 4217", currency="")
    yield order("odd-currency", "letter", "no_currency", "ISO 4217", currency="XQQ")
    yield order("year-0", "letter", "bad_time", "updated_at", updated_at=0)
    yield order("year-318857", "letter", "bad_time", "created_at", created_at=10**16)
    yield order("paid-before-time", "letter", "bad_time", "paid_at", paid_at=-1)
    yield order("paid-at-no-time", "letter", "no_paid_at", "without paid_at", paid_at=0)
    yield order("paid-in-2099", "letter", "future_time", "future", paid_at=YEAR_2099_MS)
    yield order("updated-in-2099", "conversion", updated_at=YEAR_2099_MS)
    yield order("six-days-old", "conversion", updated_at=shop.now_ms, paid_at=shop.now_ms - 6 * DAY_MS)
    yield order("eight-days-old", "filtered", "too_old", paid_at=shop.now_ms - 8 * DAY_MS)
    yield order("5-mb", "letter", "too_large", "larger", items=[{**item, "name": letters_noise(5 * MB)}])
    yield Case("no-checkout-id", "checkouts", shop.step(""), "letter", "no_checkout_id", "is empty")
    yield step("step-negative", "letter", "bad_money", "grand_total_minor", grand_total_minor=-1)
    yield step("step-no-currency", "filtered", "no_currency", currency="")
    yield step("step-year-0", "letter", "bad_time", "updated_at", updated_at=0)
    yield step("step-2099", "letter", "future_time", "future", updated_at=YEAR_2099_MS)
    yield step("step-six-days-old", "conversion", updated_at=shop.now_ms - 6 * DAY_MS)
    yield step("step-5-mb", "letter", "too_large", "context", browser={"user_agent": letters_noise(5 * MB)})
    yield step("step-unheard-of", "context", step="UPSELL")
    yield Case("9-mb", "orders", b"\x07" + noise(9 * MB), "letter", "undecodable", "byte")
    yield order("good", "conversion")
    yield step("good-step", "conversion")


class Run(Struct, frozen=True):
    """What was published, and what came of it."""

    cases: Mapping[str, Case]
    origins: Mapping[str, Origin]
    ended: Mapping[Origin, tuple[str, str]]
    letters: Mapping[str, Record]
    conversions: int
    endings: Sequence[tuple[bytes | None, OrderEnding]]


@pytest.fixture(scope="module")
def run(bootstrap: str, stand_in: RegistryThread, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All cases, one after the other in one partition, and what came of each."""
    folder = tmp_path_factory.mktemp("bad")
    floor = ShopFloor(bootstrap, stand_in.url, f"bad{time.time_ns()}", folder, partitions=1)
    names = {"orders": floor.settings.topics.orders, "checkouts": floor.settings.topics.checkouts}
    large = {"max.message.bytes": str(12 * MB)}
    Topics(floor.settings.kafka).apply([TopicSpec(name, 1, large) for name in names.values()], 1)
    floor.make_topics()
    made = {case.name: case for case in cases(Shop(floor))}
    written = floor.write_all((names[case.topic], case.value, case.key) for case in made.values())
    origins = dict(zip(made, written, strict=True))
    with Inside(floor) as inside:
        inside.await_ended({at: name for name, at in origins.items()})
    letters = {}
    for letter in floor.letters():
        headers = letter[2]
        at = tuple(headers[f"__connect.errors.{part}"] for part in ("topic", "partition", "offset"))
        assert ":".join(at) not in letters
        letters[":".join(at)] = letter
    keys = [key for key, _, _ in floor.records("endings")]
    endings = list(zip(keys, floor.endings(), strict=True))
    return Run(made, origins, dict(inside.witness.ended), letters, len(floor.conversions()), endings)


def test_each_bad_record_ends_as_it_must(run: Run) -> None:
    """Every record has the ending and the reason that its fault calls for, and no other."""
    for name, case in run.cases.items():
        assert run.ended[run.origins[name]] == (case.ending, case.reason), name
    assert run.conversions == sum(case.ending == "conversion" for case in run.cases.values())


def test_each_letter_tells_what_and_where_and_keeps_the_bytes(run: Run) -> None:
    """One letter a refused record: its own key and bytes, its coordinates, the reason, whose fault, in words."""
    refused = {name: case for name, case in run.cases.items() if case.ending == "letter"}
    assert len(run.letters) == len(refused)
    for name, case in refused.items():
        key, value, headers = run.letters[str(run.origins[name])]
        assert (headers["dlq.reason"], headers["dlq.fault"]) == (case.reason, "shop"), name
        assert case.says in headers["__connect.errors.exception.message"], (name, headers)
        assert (headers["__connect.errors.stage"], headers["dlq.schema"]) == ("ingest", "1")
        assert int(headers["dlq.first.at"]) > 0
        assert key == case.key
        if name != "9-mb":
            assert value == case.value, name
            assert "dlq.truncated" not in headers


def test_each_ending_of_an_order_is_told_and_no_other(run: Run) -> None:
    """Once, with its reason, under the order's id where that could be read, else under the record's own key."""
    told = {Origin(each.topic, each.partition, each.offset): (key, each) for key, each in run.endings}
    orders = {run.origins[name]: case for name, case in run.cases.items() if case.topic == "orders"}
    assert told.keys() == orders.keys()
    assert len(run.endings) == len(orders)
    for at, case in orders.items():
        key, each = told[at]
        assert (each.ending, each.reason) == (case.ending, case.reason), case.name
        assert key == (each.order_id.encode() or case.key), case.name
        assert each.event_ids == ((f"purchase:{case.name}",) if case.ending == "conversion" else ()), (
            case.name
        )
    known = {each.order_id: each for _, each in run.endings}
    assert known.keys() >= {"good", "no-currency", "5-mb", "eight-days-old", "negative-tax"}
    assert (known["good"].value_minor, known["good"].currency, known["good"].paid) == (1999, "EUR", True)
    assert (known["odd-currency"].value_minor, known["odd-currency"].currency) == (0, "")
    assert not known["paid-at-no-time"].paid


def test_letter_of_record_larger_than_any_letter_is_cut(run: Run) -> None:
    """The topic of letters takes 8 MB: of more, the beginning is kept, with the sizes that there were."""
    _, value, headers = run.letters[str(run.origins["9-mb"])]
    whole = run.cases["9-mb"].value or b""
    assert headers["dlq.truncated"] == f"key=3 value={len(whole)}"
    assert value
    assert 8 * MB < len(value) < len(whole)
    assert whole.startswith(value)


def test_schema_unknown_to_a_working_registry_is_a_letter_after_half_a_minute(
    open_floor: Callable[..., ShopFloor],
) -> None:
    """Till then its partition waits, the other one does not; then there is a letter, and the stream goes on."""
    floor, clock = open_floor(partitions=2), LeapingClock()
    shop, orders = Shop(floor), floor.settings.topics.orders
    unknown = floor.write(orders, b"\0" + (1_999_999_999).to_bytes(4, "big") + b"body", b"key")
    behind = floor.write(orders, shop.order("behind"), b"key")
    beside = floor.write(orders, shop.order("beside"), b"key", partition=1)
    with Inside(floor, clock) as inside:
        inside.await_ended({beside: "beside"})
        time.sleep(2.5)  # it is asked again, and again not known
        assert not {unknown, behind} & inside.witness.ended.keys()
        clock.ahead_s = 31
        inside.await_ended({unknown: "unknown", behind: "behind"})
        assert inside.witness.ended[unknown] == ("letter", "unknown_schema")
        assert inside.witness.ended[behind] == ("conversion", "")
    ((_, _, headers),) = floor.letters()
    assert headers["dlq.payload.schema.id"] == "1999999999"
    assert "does not know schema id 1999999999" in headers["__connect.errors.exception.message"]


def test_partition_waits_for_a_registry_that_is_down_and_goes_on(
    bootstrap: str, prefix: str, tmp_path: Path
) -> None:
    """A schema that can't be asked for is no fault of the record: no letter, however long, and nothing is lost."""
    with RegistryThread() as first:
        floor = ShopFloor(bootstrap, first.url, prefix, tmp_path, partitions=2)
        floor.make_topics()
        shop, orders = Shop(floor), floor.settings.topics.orders
        late = shop.order("late")
        # Enrich keeps its schemas elsewhere than the shop does, and hasn't seen this one.
        clock = LeapingClock()
        inside = Inside(elsewhere(floor, "own"), clock)
        port = int(first.url.rpartition(":")[2])
    waits = floor.write(orders, late, b"key")
    tombstone = floor.write(orders, None, b"key", partition=1)
    with inside:
        inside.await_ended({tombstone: "tombstone"})
        for _ in range(3):
            clock.ahead_s += 60
            time.sleep(1)
        assert waits not in inside.witness.ended
        with RegistryThread(port) as again:
            assert again.url == first.url
            Shop(elsewhere(floor, "again"))  # the same schemas, in the same order, get the same ids
            inside.await_ended({waits: "late"})
        assert inside.witness.ended[waits] == ("conversion", "")
    assert floor.letters() == []


def elsewhere(floor: ShopFloor, name: str) -> ShopFloor:
    """The same topics seen from another folder, with a cache of schemas that is empty."""
    settings = floor.settings
    folder = floor.folder / name
    folder.mkdir()
    return ShopFloor(
        settings.kafka.bootstrap_servers, settings.registry.url, floor.prefix, folder, floor.partitions
    )
