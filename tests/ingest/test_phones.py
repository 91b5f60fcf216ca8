"""Phone numbers: the quick way and the parser are of one mind."""

import random

import phonenumbers
import pytest

from consumer.ingest import phones
from consumer.ingest.phones import e164

SEED = 20_261_124
LANDS = sorted(phonenumbers.SUPPORTED_REGIONS)


def written(chance: random.Random, land: str) -> str:
    """Digits that are nearly a number of that country, with or without what is dialled before it."""
    number = phonenumbers.example_number(land)
    digits = list(phonenumbers.national_significant_number(number)) if number else list("5550100")
    for _ in range(chance.randint(0, 5)):
        digits[chance.randrange(len(digits))] = chance.choice("0123456789")
    if chance.random() < 1 / 3:
        digits = chance.choice((digits[:-1], [*digits, "3"], ["1", *digits]))
    trunk = phonenumbers.ndd_prefix_for_region(land, strip_non_digits=True) or ""
    return chance.choice(("", trunk, trunk)) + "".join(digits)


@pytest.mark.parametrize("international", [True, False])
def test_quick_way_gives_what_the_parser_gives(international: bool) -> None:  # noqa: FBT001
    """A number that isn't left to the parser is the one that the parser would have found."""
    chance = random.Random(SEED)
    quick = 0
    for _ in range(15_000):
        land = chance.choice(LANDS)
        digits = written(chance, land)
        if international:
            digits = f"{phonenumbers.country_code_for_region(land)}{digits}"
            found, text = phones._international(digits), f"+{digits}"
        else:
            found, text = phones._national(digits, land.lower()), digits
        if found and len(set(found[-4:])) > 1:
            quick += 1
            assert found == phones._parsed(text, land.lower()), (SEED, land, digits)
    assert quick > 4_000


@pytest.mark.parametrize("land", LANDS)
def test_each_country_has_its_numbers(land: str) -> None:
    """A country's example is found however it is written: abroad, at home, with signs between."""
    number = phonenumbers.example_number(land)
    assert number is not None
    wanted = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    for kind in (
        phonenumbers.PhoneNumberFormat.E164,
        phonenumbers.PhoneNumberFormat.INTERNATIONAL,
        phonenumbers.PhoneNumberFormat.NATIONAL,
    ):
        assert e164(phonenumbers.format_number(number, kind), land.lower()) == wanted


@pytest.mark.parametrize(
    ("raw", "land"),
    [
        ("+1 555-444-1234 ext. 9", ""),
        ("+1 555-444-1234 x9", ""),
        ("+1 555-444-1234#9", ""),
        ("+1 555-444-1234 anexo 9", ""),
        ("+1 555-444-1234, poste 9", ""),
        ("001 (555) 444.1234 int 9", ""),
        ("555/444-1234 ext 9", "us"),
        ("Phone: +1 555 444 1234", ""),
    ],
)
def test_what_is_around_a_number_is_cut(raw: str, land: str) -> None:
    """An extension rings at somebody's desk; the number is the same."""
    assert e164(raw, land) == "+15554441234"
