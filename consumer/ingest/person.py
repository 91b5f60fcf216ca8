"""Who bought, hashed once: the steps of a checkout and its order tell the same person again and again.

Who was seen lately is known by a digest of all that the record says, so that nothing raw is kept but the coarse place.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import NamedTuple

from msgspec import msgpack

from consumer.ingest.identity import Address, Customer, hashed, location
from consumer.model import Identity, Location

KNOWN_MAX = 8_192
"""So many at least, and twice as many at most, at 2 kB each."""
_DIGEST_BYTES = 16
_encode = msgpack.Encoder().encode


class Person(NamedTuple):
    """What may be said of a customer."""

    identity: Identity
    location: Location


class Persons:
    """Makes persons of customers and addresses, and knows the last ones."""

    def __init__(self, known_max: int = KNOWN_MAX) -> None:
        self._known_max = known_max
        self._young: dict[bytes, Person] = {}
        self._old: Mapping[bytes, Person] = {}

    def of(self, customer: Customer, address: Address) -> Person:
        """The person of a customer and the address that counts."""
        key = blake2b(_encode((customer, address)), digest_size=_DIGEST_BYTES).digest()
        person = self._young.get(key)
        if person is None:
            person = self._old.get(key) or Person(hashed(customer, address), location(address))
            if len(self._young) >= self._known_max:
                self._old, self._young = self._young, {}
            self._young[key] = person
        return person

    def __repr__(self) -> str:
        return f"<Persons: {len(self._young) + len(self._old)} known>"
