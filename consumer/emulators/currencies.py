"""Currencies by ISO 4217, and money in whole minor units."""

from decimal import Decimal

MONEY_MAX = 10**12
"""No single amount is larger, in major units."""

_NO_MINOR = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_TWO = (
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY "
    "COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS "
    "INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR "
    "MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD "
    "SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZMW ZWG "
    "ZAR"  # codespell:ignore zar
)
_THREE = "BHD IQD JOD KWD LYD OMR TND"

EXPONENTS: dict[str, int] = {
    code: exponent for exponent, codes in {0: _NO_MINOR, 2: _TWO, 3: _THREE}.items() for code in codes.split()
}
"""Code to the number of digits after the point."""


def minor(value: Decimal | int, currency: str) -> int | None:
    """An amount in minor units, None if it is no whole number of them or too large. Raises KeyError.

    >>> minor(Decimal("12.340"), "KWD"), minor(1200, "JPY"), minor(Decimal("0.305"), "USD")
    (12340, 1200, None)
    """
    if not -MONEY_MAX <= value <= MONEY_MAX:
        return None
    exact = Decimal(value).scaleb(EXPONENTS[currency])
    return int(exact) if exact == exact.to_integral_value() else None
