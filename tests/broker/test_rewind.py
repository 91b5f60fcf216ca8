"""An operator sets the group back to its beginning, with the state kept."""

from collections import Counter
from collections.abc import Callable

from consumer.emulators.shop import Truth
from tests.broker.shopfloor import ShopFloor, whole
from tests.guarantees import Conservation, EachOnce

SEED = 31
REPEATED = {"reread", "duplicate", "conflict", "context", "filtered", "tombstone", "letter"}


def test_rewind_to_zero_makes_no_new_conversion(open_floor: Callable[..., ShopFloor]) -> None:
    """All is read again and each record has an ending again, told as counted; nothing is converted a second time."""
    print(f"seed {SEED}")  # noqa: T201 (so that a failure can be repeated)
    told, once, ended = whole(SEED, orders=200), EachOnce(), Counter[str]()
    floor = open_floor(kafka={"session_timeout_s": 2})
    once.truth(each for each in told if isinstance(each, Truth))
    written = floor.publish(told)
    for round_ in ("first", "again"):
        balance = Conservation()
        balance.published(written)
        with floor.start() as process:
            floor.await_drained(process)
            status = process.stop()
        tally = status["tally"]
        balance.counted(tally["read"], tally["endings"], status["waiting"])
        assert list(balance.violations()) == [], round_
        orders = f"{floor.settings.topics.orders} "
        for name, count in tally["endings"].items():
            if name.startswith(orders):
                ended[name.removeprefix(orders)] += count
        assert Counter(each.ending for each in floor.endings()) == ended, round_
        if round_ == "first":
            floor.rewind()
    assert {ending.split()[1] for ending in tally["endings"]} <= REPEATED
    assert tally["conversions"] == {}
    once.out(conversion.event_id for conversion in floor.conversions())
    assert list(once.violations()) == []
