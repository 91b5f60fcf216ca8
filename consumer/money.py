"""Currencies: which exist, and how many minor units make one.

Source: ISO 4217, list one (active currencies), without funds, metals and test codes.
"""

_ZERO = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF "
_THREE = "BHD IQD JOD KWD LYD OMR TND "
_TWO = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF "
    "CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL "
    "HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT "
    "MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB "
    "SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH "
    "USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG "
)
_EXPONENTS = {
    code: digits for digits, codes in ((0, _ZERO), (2, _TWO), (3, _THREE)) for code in codes.split()
}


def exponent(currency: str) -> int | None:
    """Digits behind the point of an upper-case ISO 4217 code; None if there is no such currency.

    >>> exponent("EUR"), exponent("JPY"), exponent("KWD"), exponent("XYZ")
    (2, 0, 3, None)
    """
    return _EXPONENTS.get(currency)


def major(amount_minor: int, currency: str) -> float:
    """Minor units as a number of the currency's own unit, exact to its last digit.

    Raises KeyError for a currency that doesn't exist; enrich lets none pass.

    >>> major(1234, "USD"), major(1234, "JPY"), major(1234, "KWD")
    (12.34, 1234.0, 1.234)
    """
    return amount_minor / 10.0 ** _EXPONENTS[currency]
