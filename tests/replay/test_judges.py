"""What a destination and ingest say to a letter now."""

import msgspec
import pytest

from consumer.codec import Decoder, Encoder, load_schema
from consumer.deadletter.read import Read
from consumer.deliver.route import Wants
from consumer.deliver.when import When
from consumer.errors import UnknownSchema
from consumer.ingest.decode import Ingest
from consumer.model import Conversion, Origin, Record
from consumer.platforms import PLATFORMS
from consumer.platforms.contract import Account, Secret
from consumer.replay.judges import IngestJudge, Inputs, LaneJudge, Originals, Target
from consumer.replay.plan import Going

NOW_MS = 1_790_000_000_000
DAY_MS = 86_400_000
SCHEMA = load_schema("conversion")
ENCODE: Encoder[Conversion] = Encoder(SCHEMA, 1)
REPLAY = Target("capi.replay", 3, 1_000_000)
REKEYED = Target("capi.orders-by-checkout", 3, 1_000_000)
ACCOUNT = Account("https://p.example", "1", Secret(""))
WANTS = Wants(frozenset({"purchase"}), ACCOUNT)
HASH = "a" * 64
STOOD = Origin("capi.conversions", 2, 7)


def purchase(**changes: object) -> Conversion:
    """One that Meta takes."""
    made = Conversion(
        "purchase:1",
        "purchase",
        NOW_MS - 60_000,
        "EUR",
        100,
        NOW_MS,
        order_id="1",
        identity={"email": HASH},
        user_agent="Mozilla/5.0",
        page_url="https://shop.example",
    )
    return msgspec.structs.replace(made, **changes)


def letter(value: bytes | None, of: Origin, **changes: object) -> Read:
    """A letter with these bytes."""
    at = Origin("capi.dlq.meta", 0, 1)
    made = Read(at, NOW_MS, of, "deliver", "rejected", "platform", 1, b"key", value, destination="meta-us")
    return msgspec.structs.replace(made, **changes)


def by_id(schema_id: int) -> str:
    """A registry that knows two."""
    known = {1: SCHEMA, 2: load_schema("order")}
    if schema_id not in known:
        raise UnknownSchema(schema_id)
    return known[schema_id]


def lane(
    told: Conversion | bytes | None,
    wants: Wants = WANTS,
    target: Target = REPLAY,
    of: Origin = STOOD,
) -> Going | str:
    """What Meta's lane says to a letter of this."""
    value = ENCODE(told) if isinstance(told, Conversion) else told
    decode = Decoder(Conversion, SCHEMA, by_id)
    return LaneJudge(PLATFORMS["meta"], wants, decode, "capi.conversions", target, {}, NOW_MS)(
        letter(value, of)
    )


def test_what_the_lane_would_send_goes_where_it_stood() -> None:
    """The bytes are the letter's own."""
    told = lane(purchase())
    assert isinstance(told, Going)
    assert (told.topic, told.partition, told.key, told.value) == (
        "capi.replay",
        2,
        b"key",
        ENCODE(purchase()),
    )


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (purchase(event_time=NOW_MS - 8 * DAY_MS, enriched_at=NOW_MS - 8 * DAY_MS), "too_old"),
        (purchase(event_time=NOW_MS - 8 * DAY_MS), "too_old"),
        (purchase(consent_ads="DENIED"), "consent"),
        (purchase(event_name="refund"), "not_wanted"),
        (purchase(identity={}, user_agent=""), "incomplete"),
        (b"\x00\x00\x00\x00\x01", "unreadable"),
        (b"\x00\x00\x00\x00\x09", "unreadable"),
        (None, "unreadable"),
    ],
)
def test_what_would_come_to_nothing_stays(told: Conversion | bytes | None, reason: str) -> None:
    """With the name of what its lane would say."""
    assert lane(told) == reason


def test_what_a_condition_rules_out_or_cannot_decide_stays() -> None:
    """As its lane would end it."""
    assert lane(purchase(), msgspec.structs.replace(WANTS, when=When("value > 5.0"))) == "when"
    undecided = msgspec.structs.replace(WANTS, when=When("value > 1.0"))
    assert lane(purchase(currency="XXX"), undecided) == "condition"


def test_what_does_not_fit_the_topic_stays() -> None:
    """By its size, its partition, or the topic that it came from."""
    assert lane(purchase(), target=Target("capi.replay", 3, 700)) == "too_large"
    assert lane(purchase(), of=Origin("capi.conversions", 3, 7)) == "elsewhere"
    assert lane(purchase(), of=Origin("old.conversions", 0, 7)) == "elsewhere"


def test_a_letter_that_is_cut_goes_as_the_record_that_it_was_made_of() -> None:
    """If that is still there."""
    of = Origin("capi.conversions", 0, 7)
    cut = letter(b"\x00", of, truncated="key=3 value=900")
    found = Record("capi.conversions", 0, 7, NOW_MS, b"own", ENCODE(purchase()))
    decode = Decoder(Conversion, SCHEMA, by_id)

    def judged(originals: Originals) -> Going | str:
        return LaneJudge(PLATFORMS["meta"], WANTS, decode, "capi.conversions", REPLAY, originals, NOW_MS)(cut)

    told = judged({of: found})
    assert isinstance(told, Going)
    assert (told.key, told.value) == (b"own", found.value)
    assert judged({}) == "truncated"


def order(checkout_id: str = "c1", schema_id: int = 2) -> bytes:
    """An order of that checkout."""
    encode: Encoder[dict[str, object]] = Encoder(load_schema("order"), schema_id)
    told = {
        "status": "PAID",
        "updated_at": NOW_MS,
        "created_at": NOW_MS,
        "paid_at": NOW_MS,
        "currency": "EUR",
    }
    return encode({**told, "order_id": "1", "checkout_id": checkout_id, "grand_total_minor": 100})


def ingest(value: bytes | None, of: str = "orders", inputs: Inputs | None = None) -> Going | str:
    """What ingest says to a letter of this."""
    judge = IngestJudge(Ingest(by_id), inputs or Inputs("orders", "checkouts"), REPLAY, REKEYED, {})
    return judge(letter(value, Origin(of, 2, 7), stage="ingest", destination=""))


def test_what_ingest_can_read_now_goes_where_it_stood() -> None:
    """Enrich has its state there."""
    told = ingest(order())
    assert isinstance(told, Going)
    assert (told.topic, told.partition, told.key, told.value) == ("capi.replay", 2, b"key", order())


@pytest.mark.parametrize(
    ("value", "of", "reason"),
    [
        (order(schema_id=9), "orders", "unreadable"),
        (order()[:-3], "orders", "unreadable"),
        (order(), "checkouts", "unreadable"),
        (None, "orders", "unreadable"),
        (order(), "elsewhere", "elsewhere"),
    ],
)
def test_what_ingest_cannot_read_stays(value: bytes | None, of: str, reason: str) -> None:
    """It would be the same letter again."""
    assert ingest(value, of) == reason


REKEYS = Inputs("capi.orders-by-checkout", "checkouts", "orders")


@pytest.mark.parametrize("of", ["capi.orders-by-checkout", "orders"])
def test_a_rekeyed_order_that_can_be_read_goes_under_its_own_key(of: str) -> None:
    """It lay by the shop's key, since nobody could read the one that it has; its partition follows that."""
    told = ingest(order(), of, REKEYS)
    assert isinstance(told, Going)
    assert (told.topic, told.partition, told.key) == ("capi.orders-by-checkout", -1, b"c1")


def test_a_rekeyed_order_that_lay_right_is_read_where_it_stood() -> None:
    """Its key was known, and is the same."""
    of = Origin("capi.orders-by-checkout", 2, 7)
    judge = IngestJudge(Ingest(by_id), REKEYS, REPLAY, REKEYED, {})
    told = judge(letter(order(), of, stage="ingest", destination="", key=b"c1"))
    assert isinstance(told, Going)
    assert (told.topic, told.partition) == ("capi.replay", 2)
