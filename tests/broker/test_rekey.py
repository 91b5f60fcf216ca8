"""A shop that keys its orders by their own id: rekey writes them on by checkout id, exactly once, whatever happens."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from random import Random
from typing import Self

import pytest
from confluent_kafka import TopicPartition
from msgspec.structs import replace

from consumer.demo.publish import Publisher
from consumer.emulators.registry import RegistryThread
from consumer.emulators.shop import Published, Topic, Truth
from consumer.errors import CapiError, ConfigurationError, SchemaUnavailable
from consumer.ingest import DecodedHead, Ingest
from consumer.kafka.topics import LETTER_MAX_BYTES, Alter, Topics, TopicSpec, specs
from consumer.model import Record
from consumer.rekey.loop import RekeyLoop
from tests.broker.role_process import STEPS
from tests.broker.shopfloor import OPEN, Process, ShopFloor, Told, wait_for, whole
from tests.guarantees import EachEndingTold, EachOnce, MovedOnce, OneEndingEach, OneLetterEach

SEED = 90_210
KILLS = 16
OPEN_MIN = 5
RECORDS_A_LIFE = 60
CHUNK_RECORDS = 10
ENRICH_KILLED_EVERY = 4
BY_ORDER = {"orders_keyed_by_checkout": False}
BRIEF = {"session_timeout_s": 2, "transaction_timeout_s": 5}


def keyed_by_order(told: Iterable[Told]) -> Iterator[Told]:
    """The same traffic of a shop whose orders, and their tombstones, have their own id as the key."""
    order_ids: dict[str | None, str] = {}
    for each in told:
        if not isinstance(each, Published) or each.topic is not Topic.ORDERS or each.key is None:
            yield each
            continue
        if each.value is not None:
            order_ids[each.key] = str(each.value["order_id"])
        yield replace(each, key=order_ids.get(each.key, each.key))


def traffic(orders: int) -> list[Told]:
    """Of that shop, with its seed told so that a failure can be repeated."""
    print(f"seed {SEED}")  # noqa: T201 (so that a failure can be repeated)
    return list(keyed_by_order(whole(SEED, orders)))


def await_both_drained(floor: ShopFloor, rekey: Process, *enrich: Process) -> None:
    """All orders are rekeyed, and what that gave is enriched."""
    floor.await_rekeyed(rekey)
    floor.await_drained(*enrich)


def check_moved(floor: ShopFloor) -> None:
    """What rekey wrote is what the shop did, each record once."""
    moved = MovedOnce()
    moved.read((key, value) for key, value, _ in floor.records("orders"))
    assert len(moved) > 0
    for number in range(floor.partitions):
        values = floor._partition(f"{floor.prefix}.orders-by-checkout", number)
        moved.written(number, (value for _, value, _ in values))
    assert list(moved.violations()) == []


def check_converted(floor: ShopFloor, told: list[Told]) -> None:
    """The oracle's conversions and letters, and the endings, each once, as a reader of committed records sees them."""
    once, letters, ended = EachOnce(), OneLetterEach(), EachEndingTold()
    once.truth(each for each in told if isinstance(each, Truth))
    letters.published(each for each in told if isinstance(each, Published))
    conversions = floor.conversions()
    once.out(conversion.event_id for conversion in conversions)
    letters.out(headers for _, _, headers in floor.letters())
    ended.read(floor.places("orders-by-checkout"))
    ended.out(floor.endings())
    assert [*once.violations(), *letters.violations(), *ended.violations()] == []
    alone = {conversion.checkout_id for conversion in conversions if conversion.order_only}
    assert alone & met(told) == set()


def met(told: list[Told]) -> set[str]:
    """Checkouts whose first step was published before any order of theirs: such an order joins."""
    first: dict[str, Topic] = {}
    for each in told:
        if isinstance(each, Published) and each.value is not None and not each.damage:
            first.setdefault(str(each.value["checkout_id"]), each.topic)
    first.pop("", None)
    return {checkout_id for checkout_id, topic in first.items() if topic is Topic.CHECKOUTS}


def life(process: Process, publisher: Publisher, told: list[Told], rng: Random) -> str:
    """Give rekey work and kill it, in a step that was chosen; the step in which it died."""
    list(publisher.publish(told[: len(told) // 2]))
    process.await_ready()
    step = rng.choice(STEPS[1:-1])
    process.catch(step, lambda: list(publisher.publish(told[len(told) // 2 :])))
    return process.kill()


@pytest.mark.timeout(600)
def test_killed_again_and_again_each_conversion_comes_once(open_floor: Callable[..., ShopFloor]) -> None:
    """Kill -9 of rekey in the middle of its transactions, and of enrich: the oracle's conversions, each once."""
    told, rng, died = traffic(orders=250), Random(SEED), Counter[str]()
    # So long that a killed process's transaction must be ended by its successor, not by the cluster.
    floor = open_floor(topics=BY_ORDER, kafka={"transaction_timeout_s": 600})
    left, publisher, enrich = iter(told), floor.publisher(), floor.start()
    try:
        for number in range(KILLS):
            with floor.start_rekey() as rekey:
                died[life(rekey, publisher, list(islice(left, RECORDS_A_LIFE)), rng)] += 1
            if number % ENRICH_KILLED_EVERY == ENRICH_KILLED_EVERY - 1:
                enrich.kill()
                enrich = floor.start()
        list(publisher.publish(left))
        with floor.start_rekey() as rekey:
            await_both_drained(floor, rekey, enrich)
            rekey.stop()
        enrich.stop()
    finally:
        enrich.__exit__()
        publisher.close()
    print(dict(died))  # noqa: T201 (how many kills hit which step)
    assert sum(died[step] for step in OPEN) >= OPEN_MIN, died
    check_moved(floor)
    check_converted(floor, told)


def assigned(*processes: Process) -> list[int]:
    """The partitions that they hold, with those held twice told twice."""
    held = (process.status["assignment"] for process in processes if process.is_alive())
    return sorted(chain.from_iterable(held))


class Scaling:
    """Traffic that goes on while processes come and go."""

    def __init__(self, floor: ShopFloor, told: list[Told]) -> None:
        self._publisher = floor.publisher()
        self._partitions = list(range(floor.partitions))
        self._left = iter(told)

    def until_shared(self, *processes: Process) -> Self:
        """Publish until each of them holds some of the partitions, and together all; a little more then."""

        def shared() -> bool:
            list(self._publisher.publish(islice(self._left, CHUNK_RECORDS)))
            each_has_some = all(process.status["assignment"] for process in processes)
            return each_has_some and assigned(*processes) == self._partitions

        wait_for(f"{len(processes)} share the partitions", shared, every_s=0.1)
        list(self._publisher.publish(islice(self._left, 5 * CHUNK_RECORDS)))
        return self

    def rest(self) -> int:
        """Publish what is left; how many records that were."""
        left = list(self._left)
        list(self._publisher.publish(left))
        self._publisher.close()
        return len(left)


def one_three_one(scaling: Scaling, start: Callable[[str], Process]) -> Iterator[Process]:
    """One process, two more, and the first alone again; gives all of them, those that were stopped at the end first."""
    with start("one") as one:
        scaling.until_shared(one)
        with start("two") as two, start("three") as three:
            scaling.until_shared(one, two, three)
            two.stop()
            three.kill()
            scaling.until_shared(one)
            yield from (two, three)
        assert scaling.rest() > 0, "there was too little traffic to scale under"
        yield one


@pytest.mark.timeout(600)
def test_scaling_enrich_loses_and_doubles_nothing(open_floor: Callable[..., ShopFloor]) -> None:
    """One process, three, and one again, under load: the oracle's conversions, and one ending a record."""
    told, ended = traffic(orders=600), OneEndingEach()
    floor = open_floor(partitions=6, topics=BY_ORDER, kafka=BRIEF)
    with floor.start_rekey() as rekey:
        for process in one_three_one(Scaling(floor, told), floor.start):
            if process.folder.name == "one":
                await_both_drained(floor, rekey, process)
                process.stop()
            ended.out(process.endings)
        rekey.stop()
    check_converted(floor, told)
    assert len(ended) > 0
    assert list(ended.violations()) == []


@pytest.mark.timeout(600)
def test_scaling_rekey_loses_and_doubles_nothing(open_floor: Callable[..., ShopFloor]) -> None:
    """One process, three, and one again, under load: every record is written on once, in order."""
    told = traffic(orders=600)
    floor = open_floor(partitions=6, topics=BY_ORDER, kafka=BRIEF)
    for process in one_three_one(Scaling(floor, told), floor.start_rekey):
        if process.folder.name == "rekey-one":
            floor.await_rekeyed(process)
            process.stop()
    check_moved(floor)


@pytest.mark.parametrize("step", ["produced", "positions_sent"])
def test_thawed_rekey_writes_nothing_a_second_time(open_floor: Callable[..., ShopFloor], step: str) -> None:
    """What it had begun when another took its partitions over doesn't count, and what it has left is not lost."""
    told = traffic(orders=120)
    floor = open_floor(topics=BY_ORDER, kafka=BRIEF)
    with floor.start_rekey("frozen") as frozen:
        frozen.await_ready(floor.partitions)
        frozen.catch(step, lambda: floor.publish(told[: len(told) // 2]))
        frozen.freeze()
        frozen.let_go()
        with floor.start_rekey("heir") as heir:
            heir.await_ready(floor.partitions)
            floor.await_rekeyed(heir)
            frozen.thaw()
            Scaling(floor, told[len(told) // 2 :]).until_shared(frozen, heir).rest()
            floor.await_rekeyed(frozen, heir)
            tally = frozen.stop()["tally"]
            heir.stop()
    assert tally["aborted"] + tally["fenced"] > 0
    check_moved(floor)


def test_rewind_to_zero_makes_no_new_conversion(open_floor: Callable[..., ShopFloor]) -> None:
    """All orders are rekeyed a second time, and enrich knows them for what they are."""
    told = traffic(orders=120)
    floor = open_floor(topics=BY_ORDER, kafka=BRIEF)
    floor.publish(each for each in told if not getattr(each, "damage", ""))
    orders = [TopicPartition(floor.settings.topics.orders, number) for number in range(floor.partitions)]
    with floor.start() as enrich:
        for round_ in (1, 2):
            with floor.start_rekey() as rekey:
                await_both_drained(floor, rekey, enrich)
                rekey.stop()
            if round_ == 1:
                before = len(floor.conversions())
                floor.rewind_group("rekey", orders)
        enrich.stop()
    assert sum(1 for _ in floor.records("orders-by-checkout")) == 2 * sum(1 for _ in floor.records("orders"))
    assert len(floor.conversions()) == before > 0


class Inside:
    """A rekey loop of this process; a context manager that stops it and raises what ended it before."""

    def __init__(self, floor: ShopFloor, read_head: Callable[[Record], DecodedHead | None]) -> None:
        self.loop = RekeyLoop(floor.settings_of("inside")[0], read_head)
        self._stop = threading.Event()
        self._error: CapiError | None = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self.loop.run(self._stop)
        except CapiError as error:
            self._error = error

    def await_rekeyed(self, records: int) -> None:
        """Wait until so many records have been written on, or made a letter."""

        def done() -> bool:
            if self._error is not None:
                raise self._error
            tally = self.loop.tally.snapshot()
            return sum(tally.rekeyed.values()) + sum(tally.letters.values()) >= records

        wait_for("rekeyed", done, 60)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), repr(self.loop)


def order_bytes(floor: ShopFloor, **wishes: object) -> bytes:
    """An order as the shop writes it, with these fields of its own."""
    orders = (told for told in whole(SEED, 40) if isinstance(told, Published) and told.topic is Topic.ORDERS)
    of, fields = next((order, order.value) for order in orders if order.value and not order.damage)
    value = Publisher(floor.settings, floor.schemas)._value(replace(of, value={**fields, **wishes}))
    assert value is not None
    return value


def test_bytes_headers_and_places_are_as_said(open_floor: Callable[..., ShopFloor]) -> None:
    """Value and headers stay as they are; the key is the checkout's, the order's, or its own where nothing is known."""
    floor = open_floor(topics=BY_ORDER)
    topic, headers = floor.settings.topics.orders, (("traceparent", b"00-1"), ("x", b"1"), ("x", b"2"))
    bought = order_bytes(floor, order_id="o1", checkout_id="c1")
    phoned = order_bytes(floor, order_id="o2", checkout_id="")
    records = [
        (topic, bought, b"o1"),
        (topic, phoned, b"o2"),
        (topic, b"\xff\xfe garbage", b"o3"),
        (topic, b"garbage", None),
        (topic, None, b"o4"),
        (topic, None, None),
        (topic, order_bytes(floor, order_id="", checkout_id="c5"), b"o5"),
    ]
    floor.write_all(records, partition=2, headers=headers)
    with Inside(floor, Ingest(floor.schemas.schema).order_head) as inside:
        inside.await_rekeyed(len(records))
    assert inside.loop.tally.snapshot().rekeyed == {"checkout": 1, "order": 1, "own": 5}
    keys = [b"c1", b"order:o2", b"o3", None, b"o4", None, b"o5"]
    found = list(floor.records("orders-by-checkout"))
    expected = {(key, value) for key, (_, value, _) in zip(keys, records, strict=True)}
    assert {(key, value) for key, value, _ in found} == expected
    assert len(found) == len(records)
    assert {tuple(of.items()) for _, _, of in found} == {(("traceparent", "00-1"), ("x", "2"))}
    without_key = [
        value for key, value, _ in floor._partition(f"{floor.prefix}.orders-by-checkout", 2) if key is None
    ]
    assert without_key == [b"garbage", None]


@pytest.fixture
def narrow(bootstrap: str, stand_in: RegistryThread, prefix: str, tmp_path: Path) -> Callable[..., ShopFloor]:
    """Opens a shop whose topics have other sizes or counts than is usual."""

    def make(sizes: Mapping[str, int], partitions: Mapping[str, int]) -> ShopFloor:
        floor = ShopFloor(bootstrap, stand_in.url, prefix, tmp_path, partitions=2, topics=BY_ORDER)
        made = []
        for spec in specs(floor.settings, floor.partitions, shop=True):
            name = spec.name.removeprefix(f"{prefix}.")
            size = {"max.message.bytes": str(sizes[name])} if name in sizes else {}
            made.append(TopicSpec(spec.name, partitions.get(name, spec.partitions), {**spec.config, **size}))
        Topics(floor.settings.kafka).apply(made, 1)
        return floor

    return make


def test_what_the_topic_does_not_take_is_a_letter(narrow: Callable[..., ShopFloor]) -> None:
    """A record that is too large costs one letter, with its coordinates, and holds nothing up."""
    floor = narrow({"orders": 20_000, "orders-by-checkout": 20_000}, {"orders": 1})
    topic, bought = floor.settings.topics.orders, order_bytes(floor, order_id="o1", checkout_id="c1")
    # The shop's producer compressed it, so that its own topic took it.
    (too_large, _) = floor.write_all([(topic, b"\xff" * 50_000, b"o0"), (topic, bought, b"o1")])
    with Inside(floor, Ingest(floor.schemas.schema).order_head) as inside:
        inside.await_rekeyed(2)
    assert [(key, value) for key, value, _ in floor.records("orders-by-checkout")] == [(b"c1", bought)]
    ((key, value, headers),) = floor.letters()
    assert (key, value) == (b"o0", b"\xff" * 50_000)
    assert headers["dlq.reason"] == "too_large"
    assert headers["__connect.errors.offset"] == str(too_large.offset)
    assert inside.loop.tally.snapshot().letters == {"too_large": 1}


@pytest.mark.parametrize(
    ("sizes", "partitions", "told"),
    [
        ({"orders": 9_000_000}, {}, "max.message.bytes to 9000000 or more"),
        ({}, {"orders-by-checkout": 3}, "they must have equally many"),
    ],
)
def test_topics_that_would_lose_orders_are_refused(
    narrow: Callable[..., ShopFloor], sizes: Mapping[str, int], partitions: Mapping[str, int], told: str
) -> None:
    """A topic that takes less than the shop's, or counts its partitions otherwise, is told before anything moves."""
    floor = narrow(sizes, partitions)
    with pytest.raises(ConfigurationError, match=told):
        RekeyLoop(floor.settings, Ingest(floor.schemas.schema).order_head).run(threading.Event())


def test_nothing_to_rekey_is_refused(open_floor: Callable[..., ShopFloor]) -> None:
    """A shop whose orders are keyed by checkout id is told so, by the setting's name."""
    floor = open_floor()
    with pytest.raises(ConfigurationError, match=r"topics\.orders_keyed_by_checkout"):
        RekeyLoop(floor.settings, Ingest(floor.schemas.schema).order_head).run(threading.Event())


def test_what_is_refused_now_is_tried_again_from_where_it_was(open_floor: Callable[..., ShopFloor]) -> None:
    """While the topic takes nothing, transactions are aborted and rewound; afterwards each record is there once."""
    floor = open_floor(topics=BY_ORDER, kafka=BRIEF)
    topics, topic = Topics(floor.settings.kafka), floor.settings.topics.orders
    name, size = floor.settings.topics.orders_by_checkout, "max.message.bytes"
    orders = [order_bytes(floor, order_id=f"o{number}", checkout_id=f"c{number}") for number in range(6)]
    with Inside(floor, Ingest(floor.schemas.schema).order_head) as inside:
        floor.write_all((topic, value, b"o") for value in orders[:2])
        inside.await_rekeyed(2)
        topics._do(Alter(name, {}, {size: "100"}), 1)
        floor.write_all((topic, value, b"o") for value in orders[2:])
        wait_for("aborted", lambda: inside.loop.tally.aborted > 1)
        topics._do(Alter(name, {}, {size: str(LETTER_MAX_BYTES)}), 1)
        inside.await_rekeyed(len(orders))
    check_moved(floor)


def test_a_schema_that_cannot_be_asked_for_holds_its_partition_alone(
    open_floor: Callable[..., ShopFloor],
) -> None:
    """Others go on meanwhile; once the registry answers, the partition's records follow in their order."""
    floor, registry_is_away = open_floor(topics=BY_ORDER), threading.Event()
    registry_is_away.set()
    ingest, topic = Ingest(floor.schemas.schema), floor.settings.topics.orders

    def read_head(record: Record) -> DecodedHead | None:
        if record.partition == 0 and record.offset > 0 and registry_is_away.is_set():
            raise SchemaUnavailable(7)
        return ingest.order_head(record)

    held = [order_bytes(floor, order_id=f"o{number}", checkout_id="c0") for number in range(4)]
    others = [order_bytes(floor, order_id=f"p{number}", checkout_id="c1") for number in range(3)]
    floor.write_all((topic, value, b"o") for value in held)
    with Inside(floor, read_head) as inside:
        inside.await_rekeyed(1)
        floor.write_all(((topic, value, b"p") for value in others), partition=1)
        inside.await_rekeyed(1 + len(others))
        assert {value for _, value, _ in floor.records("orders-by-checkout")} == {held[0], *others}
        registry_is_away.clear()
        inside.await_rekeyed(len(held) + len(others))
    moved = [value for key, value, _ in floor.records("orders-by-checkout") if key == b"c0"]
    assert moved == held
