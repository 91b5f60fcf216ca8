"""A letter of ingest comes back once the mapping is mended, and becomes the conversion that it would have been."""

from collections.abc import Callable

from consumer.emulators.shop import Truth
from consumer.model import Conversion
from tests.broker.shopfloor import Record, ShopFloor, whole
from tests.guarantees import CONVERTED_CAUSES

SEED = 77
AT = "__connect.errors.{}"
BROKEN = """
order:
  order_id: order_id
  checkout_id: checkout_id
  status: status
  updated_at: updated_at
  created_at: created_at
  paid_at: paid_at
  currency: shop
  grand_total_minor: {path: grand_total_minor, unit: minor}
  event_id: event_id
"""
MENDED = BROKEN.replace("currency: shop", "currency: currency")


def _send_back(floor: ShopFloor, letters: list[Record]) -> int:
    """Write letters to the replay, as whoever sends them back must; how many."""
    for key, value, headers in letters:
        partition, origin = int(headers[AT.format("partition")]), ":".join(_place(headers))
        replay = f"{floor.prefix}.ingest-replay"
        floor.write(replay, value, key, partition, (("capi.origin", origin.encode()),))
    return len(letters)


def _place(headers: dict[str, str]) -> tuple[str, str, str]:
    topic, partition, offset = (headers[AT.format(of)] for of in ("topic", "partition", "offset"))
    return topic, partition, offset


def _because(floor: ShopFloor, reason: str) -> list[Record]:
    return [letter for letter in floor.letters() if letter[2]["dlq.reason"] == reason]


def _purchases(floor: ShopFloor) -> list[Conversion]:
    return [each for each in floor.conversions() if each.event_name == "purchase"]


def test_letters_sent_back_become_what_they_would_have_been(open_floor: Callable[..., ShopFloor]) -> None:
    """Each purchase once with its own origin; sent back twice, nothing more; sent to the wrong place, a letter."""
    print(f"seed {SEED}")  # noqa: T201 (so that a failure can be repeated)
    told = whole(SEED, orders=80)
    floor = open_floor(kafka={"session_timeout_s": 2})
    mapping = floor.folder / "mapping.yaml"
    floor.map_by(mapping)
    mapping.write_text(BROKEN)
    floor.publish(told)
    with floor.start() as process:
        floor.await_drained(process)
        process.stop()
    letters = _because(floor, "no_currency")
    assert (len(letters) > 50, _purchases(floor)) == (True, [])
    mapping.write_text(MENDED)
    _send_back(floor, letters)
    with floor.start() as process:
        floor.await_drained(process)
        _send_back(floor, letters[:20])
        floor.write(f"{floor.prefix}.ingest-replay", b"x", b"k", 0, (("capi.origin", b"elsewhere:0:1"),))
        floor.await_drained(process)
        process.stop()
    came = _purchases(floor)
    must = {
        each.event_id
        for each in told
        if isinstance(each, Truth) and each.event == "purchase" and each.cause in CONVERTED_CAUSES
    }
    assert sorted(each.event_id for each in came) == sorted(must)
    places = {_place(headers) for _, _, headers in letters}
    assert {(at.origin_topic, str(at.origin_partition), str(at.origin_offset)) for at in came} <= places
    assert [(key, value) for key, value, _ in _because(floor, "misdirected")] == [(b"k", b"x")]
    ended: dict[tuple[str, str, str], set[str]] = {}
    for each in floor.endings():
        ended.setdefault((each.topic, str(each.partition), str(each.offset)), set()).add(each.ending)
    for at in came:
        place = at.origin_topic, str(at.origin_partition), str(at.origin_offset)
        assert ended[place] in ({"letter", "conversion"}, {"letter", "conversion", "reread"})
    assert {topic for topic, _, _ in ended} == {floor.settings.topics.orders}
