"""Money: minor units of every currency, exact to the last digit."""

from decimal import Decimal

import hypothesis.strategies as st
import pytest
from hypothesis import given

from consumer.money import exponent, major

CURRENCIES = {
    "USD": 2,
    "EUR": 2,
    "JPY": 0,
    "KRW": 0,
    "KWD": 3,
    "BHD": 3,
    "CLP": 0,
    "HUF": 2,
    "ISK": 0,
    "MRU": 2,
}


@pytest.mark.parametrize(("currency", "digits"), CURRENCIES.items())
def test_digits_are_those_of_the_standard(currency: str, digits: int) -> None:
    """ISO 4217 says how many digits stand behind the point."""
    assert exponent(currency) == digits


@pytest.mark.parametrize("currency", ["", "usd", "USX", "XXX", "XAU", "BTC", "US", "US D"])
def test_what_is_no_currency_has_no_digits(currency: str) -> None:
    """Lower case, metals, test codes and inventions are no currency that a shop is paid in."""
    assert exponent(currency) is None
    with pytest.raises(KeyError):
        major(1, currency)


@given(amount=st.integers(0, 10**15), currency=st.sampled_from(sorted(CURRENCIES)))
def test_major_units_are_exact(amount: int, currency: str) -> None:
    """The number, written with the currency's digits, is the amount: nothing is lost up to the most that we take."""
    digits = CURRENCIES[currency]
    assert Decimal(f"{major(amount, currency):.{digits}f}") == Decimal(amount).scaleb(-digits)
