"""Once an event id, within the window: what was claimed, and what it means to see it again."""

from hashlib import blake2b

from msgspec import Struct, msgpack

from consumer.model import Ending, EventName, Item, OrderHead, Origin

_encode = msgpack.Encoder().encode
DIGEST_BYTES = 8
_INITIAL = {
    EventName.PURCHASE: "p",
    EventName.REFUND: "r",
    EventName.BEGIN_CHECKOUT: "b",
    EventName.ADD_PAYMENT_INFO: "a",
}


SHARED_ID, SECOND_ID, OWN_ID = "shared_id", "second_id", "own_id"
"""What is odd about an event id: several orders or checkouts have it, of which a platform keeps the first; it is the
second one of an order that is known; or it isn't by the rule, so that the pixel must send the shop's own, too."""


class Claim(Struct, frozen=True, array_like=True, gc=False):
    """Who had the event id first: where that record stands, what it was worth, all that it told, and of whom."""

    topic: str
    partition: int
    offset: int
    worth: bytes
    told: bytes = b""
    subject: bytes = b""

    def of(self, origin: Origin) -> bool:
        """This very record made the claim."""
        return (
            self.offset == origin.offset and self.partition == origin.partition and self.topic == origin.topic
        )


def claim_id(name: EventName, event_id: str) -> str:
    """Names an event in state: shops may use one id for events of different names."""
    return _INITIAL[name] + event_id


def subject_of(subject_id: str) -> bytes:
    """Digest of the id of an order or a checkout."""
    return _digest(subject_id)


def odd(claim: Claim, subject_id: str, *, is_second: bool) -> str:
    """What is odd about an event id that is claimed; `is_second` if the claim is under the subject's other id."""
    if claim.subject != subject_of(subject_id):
        return SHARED_ID
    return SECOND_ID if is_second else ""


def again(claim: Claim, origin: Origin, worth: bytes) -> Ending:
    """What a record is whose event id is claimed."""
    if claim.of(origin):
        return Ending.REREAD
    return Ending.DUPLICATE if claim.worth == worth else Ending.CONFLICT


def told_by(head: OrderHead) -> bytes:
    """Digest of all that an order record tells, but for when it was updated."""
    return _digest(
        (
            head.checkout_id,
            head.status,
            head.created_at_ms,
            head.paid_at_ms,
            head.currency,
            head.grand_total_minor,
            head.event_id,
            head.rest,
        )
    )


def worth_of(currency: str, value_minor: int, items: tuple[Item, ...]) -> bytes:
    """Digest of what makes an event the same to a platform: its money and what was bought."""
    return _digest((currency, value_minor, [(item.sku, item.quantity, item.price_minor) for item in items]))


def _digest(what: object) -> bytes:
    return blake2b(_encode(what), digest_size=DIGEST_BYTES).digest()
