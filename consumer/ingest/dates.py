"""Dates of birth, as people and shops write them."""

import re
from datetime import date

_MONTHS = 12
_OLDEST_YEAR = 1900
_ISO = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?:[T ].*)?", re.ASCII)
_SLASHED = re.compile(r"(\d\d?)/(\d\d?)/(\d{4})", re.ASCII)
_DOTTED = re.compile(r"(\d\d?)\.(\d\d?)\.(\d{4})", re.ASCII)


def date_of_birth(raw: str, land: str) -> str:
    """YYYYMMDD. Of two numbers before a slash the month is the one that can be it; the US write it first.

    >>> date_of_birth("1997-02-16", ""), date_of_birth("2/16/1997", ""), date_of_birth("2/3/1997", "us")
    ('19970216', '19970216', '19970203')
    >>> date_of_birth("2/3/1997", "de")
    ''
    """
    text = raw.strip()
    if found := _ISO.fullmatch(text):
        year, month, day = (int(part) for part in found.groups())
    elif found := _DOTTED.fullmatch(text):
        day, month, year = (int(part) for part in found.groups())
    elif found := _SLASHED.fullmatch(text):
        month, day, year = (int(part) for part in found.groups())
        if month > _MONTHS:
            month, day = day, month
        elif day <= _MONTHS and day != month and land != "us":
            return ""
    else:
        return ""
    return _dated(year, month, day)


def _dated(year: int, month: int, day: int) -> str:
    try:
        born = date(year, month, day)
    except ValueError:
        return ""
    return born.strftime("%Y%m%d") if year >= _OLDEST_YEAR else ""
