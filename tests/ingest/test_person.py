"""Persons: known again, and never mistaken for another."""

from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from consumer.ingest import person
from consumer.ingest.identity import Address, Customer, hashed, location
from consumer.ingest.person import Persons

CUSTOMER = Customer("c1", "ann@example.org", "+4917012345678", "Ann", "Lee", "f", "1990-01-02")
ADDRESS = Address("Domkloster 4", "Köln", "NW", "50667", "DE")


@dataclass
class Hashing:
    """Hashes, and counts how often it was asked."""

    asked: list[tuple[Customer, Address]] = field(default_factory=list)

    def __call__(self, customer: Customer, address: Address) -> dict[str, str]:
        """As identity's."""
        self.asked.append((customer, address))
        return hashed(customer, address)


@pytest.fixture
def hashing(monkeypatch: pytest.MonkeyPatch) -> Hashing:
    """What persons hash with."""
    counted = Hashing()
    monkeypatch.setattr(person, "hashed", counted)
    return counted


def test_a_person_is_what_identity_says() -> None:
    """The same hashes and the same place, the first time and again."""
    persons = Persons()
    for _ in range(2):
        assert persons.of(CUSTOMER, ADDRESS) == (hashed(CUSTOMER, ADDRESS), location(ADDRESS))


def test_who_was_seen_is_hashed_once(hashing: Hashing) -> None:
    """The next record of the same customer costs no hashing."""
    persons = Persons()
    persons.of(CUSTOMER, ADDRESS)
    persons.of(replace(CUSTOMER), replace(ADDRESS))
    assert len(hashing.asked) == 1


@pytest.mark.parametrize("name", [*Customer.__struct_fields__, *Address.__struct_fields__])
def test_every_field_makes_another_person(hashing: Hashing, name: str) -> None:
    """A record that differs in one field alone is hashed anew."""
    persons = Persons()
    persons.of(CUSTOMER, ADDRESS)
    if name in Customer.__struct_fields__:
        persons.of(replace(CUSTOMER, **{name: "another"}), ADDRESS)
    else:
        persons.of(CUSTOMER, replace(ADDRESS, **{name: "another"}))
    assert len(hashing.asked) == 2


def test_a_text_may_not_wander_to_the_next_field() -> None:
    """Fields that read the same one after the other are not the same person."""
    persons = Persons()
    one = persons.of(replace(CUSTOMER, first_name="ab", last_name="c"), ADDRESS)
    other = persons.of(replace(CUSTOMER, first_name="a", last_name="bc"), ADDRESS)
    assert one.identity["first_name"] != other.identity["first_name"]


def test_those_not_seen_for_long_are_forgotten(hashing: Hashing) -> None:
    """Never more than twice the bound are known, and who was seen lately is among them."""
    persons = Persons(known_max=10)
    for number in range(100):
        persons.of(replace(CUSTOMER, customer_id=f"c{number}"), ADDRESS)
        persons.of(CUSTOMER, ADDRESS)
    assert repr(persons) in {f"<Persons: {known} known>" for known in range(10, 21)}
    assert hashing.asked.count((CUSTOMER, ADDRESS)) == 1


def test_nothing_personal_is_kept() -> None:
    """What is known holds no raw value."""
    persons = Persons()
    persons.of(CUSTOMER, ADDRESS)
    kept = repr(vars(persons))
    assert [
        text
        for text in ("ann@example.org", "17012345678", "Ann", "Lee", "1990", "Domkloster")
        if text in kept
    ] == []
