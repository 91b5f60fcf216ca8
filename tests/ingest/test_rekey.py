"""Which key an order goes on under."""

import pytest

from consumer.errors import SchemaUnavailable, Undecodable, UnknownSchema, Unmappable
from consumer.ingest.mapping import DecodedHead
from consumer.ingest.rekey import Rekeyed, rekey
from consumer.model import OrderHead, Record

PARTITIONS = 4


def record(value: bytes | None = b"value", key: bytes | None = b"o-1", partition: int = 9) -> Record:
    """A record of a topic with more partitions than checkouts have."""
    return Record("orders", partition, 5, 1_800_000_000_000, key, value)


def head(checkout_id: str) -> DecodedHead:
    """The head of order o-1."""
    return DecodedHead(OrderHead("o-1", checkout_id, "PAID", 1, 1, 1, "EUR", 100, "", b""), 5)


@pytest.mark.parametrize(
    ("checkout_id", "expected"),
    [
        ("c-1", Rekeyed("checkout", b"c-1")),
        ("čekaut ✓", Rekeyed("checkout", "čekaut ✓".encode())),
        ("", Rekeyed("order", b"order:o-1")),
    ],
)
def test_an_order_goes_to_its_checkout_else_by_its_own_id(checkout_id: str, expected: Rekeyed) -> None:
    """The key is the checkout's id in UTF-8, as the shop keys its checkouts, and the partition follows it."""
    assert rekey(record(), lambda _: head(checkout_id), PARTITIONS) == expected


@pytest.mark.parametrize(
    "error", [Undecodable("cut off"), UnknownSchema(7), Unmappable("no_order_id", "order_id is empty")]
)
def test_what_cannot_be_read_keeps_its_key(error: Exception) -> None:
    """It is for enrich to say what is wrong with it."""

    def read_head(_: Record) -> DecodedHead:
        raise error

    assert rekey(record(), read_head, PARTITIONS) == Rekeyed("own", b"o-1")


def test_what_cannot_be_read_and_has_no_key_keeps_its_place() -> None:
    """Its partition is the same each time, and there is one even if the shop has more."""
    assert rekey(record(key=None), lambda _: None, PARTITIONS) == Rekeyed("own", None, 1)


def test_tombstones_keep_their_key() -> None:
    """One without a value is not read at all; one that an envelope tells is like it."""

    def read_head(_: Record) -> DecodedHead:
        pytest.fail("there is nothing to read")

    assert rekey(record(value=None), read_head, PARTITIONS) == Rekeyed("own", b"o-1")
    assert rekey(record(), lambda _: None, PARTITIONS) == Rekeyed("own", b"o-1")


def test_a_record_waits_for_its_schema() -> None:
    """Nothing is decided while the registry can't be asked: the key would be another afterwards."""

    def read_head(_: Record) -> DecodedHead:
        raise SchemaUnavailable(7)

    with pytest.raises(SchemaUnavailable):
        rekey(record(), read_head, PARTITIONS)
