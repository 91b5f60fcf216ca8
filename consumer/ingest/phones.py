"""Phone numbers to E.164: plain digits by the tables of `phonenumbers`, all else by its parser, which is slow.

The quick way gives what the parser gives, or leaves the number to it; a test holds the two together.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import phonenumbers
from phonenumbers import PhoneMetadata, ValidationResult

_PLANS = 512
"""More than there are countries and calling codes: their tables are read once."""
_CODE_MAX_DIGITS = 3
_SAME_DIGITS = 4
"""A number that ends in so many of one digit may hold no other: the parser's side looks at the whole."""
_CODES = frozenset(str(code) for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
_SEPARATORS = b" \t./()-"
_EXTENSION = re.compile(r"(?<=\d)[\s,;:.(\[-]*(?:ext|x|#|anexo|poste|int).*", re.IGNORECASE | re.DOTALL)


class _Plan(NamedTuple):
    """A country's numbers. `trunk` is dialled before one at home; if it `rewrites`, its last group says more."""

    code: str
    trunk: re.Pattern[str] | None
    rewrites: bool
    abroad: re.Pattern[str] | None
    viable: re.Pattern[str]
    lengths: frozenset[int]


def phones(raw: str, land: str) -> Mapping[str, str]:
    """Form to number: digits, and the same with a plus."""
    number = e164(raw, land)
    return {"phone": number[1:], "phone_e164": number} if number else {}


def e164(raw: str, land: str) -> str:
    """A plus, the country code and the number; a national number takes its country's code, an extension is cut.

    Empty if no such number is possible in that country, if it lacks its country code and no country is known, or if
    it is one digit again and again, which people type who give none.

    >>> e164("+49 (0)170 1234567", ""), e164("(650)555-1212", "us"), e164("+39 06 1234 5678", "")
    ('+491701234567', '+16505551212', '+390612345678')
    >>> e164("650 555 1212", ""), e164("555-1212", "us"), e164("000 000 0000", "us"), e164("+1 5554441234 ext. 9", "")
    ('', '', '', '+15554441234')
    """
    digits = _without_separators(raw)
    if not digits[1:].isdigit():
        raw = _EXTENSION.sub("", raw.strip())
        digits = _without_separators(raw)
    international = digits.startswith(("+", "00"))
    if international:
        digits = digits[1:] if digits[0] == "+" else digits[2:]
    if digits.isdigit() and digits.isascii():
        number = _international(digits) if international else _national(digits, land)
        if number and not number.endswith(number[-1] * _SAME_DIGITS):
            return number
    return _parsed(f"+{digits}" if international else raw, land)


def _without_separators(raw: str) -> str:
    return raw.encode("utf-8", "surrogatepass").translate(None, _SEPARATORS).decode("utf-8", "surrogatepass")


def _international(digits: str) -> str:
    for size in range(1, _CODE_MAX_DIGITS + 1):
        code = digits[:size]
        if code in _CODES:
            plan = _plan_of_code(code)
            national = _behind_trunk(plan, digits[size:]) if plan else ""
            return f"+{code}{national}" if national else ""
    return ""


def _national(digits: str, land: str) -> str:
    """A number that might be meant otherwise, as one from abroad or with its country code, is the parser's."""
    plan = _plan_of_land(land) if land else None
    if plan is None or (plan.abroad and plan.abroad.match(digits)):
        return ""
    national = _behind_trunk(plan, digits)
    main = _plan_of_code(plan.code)
    possible = main and len(national) in main.lengths and plan.viable.fullmatch(national)
    return f"+{plan.code}{national}" if possible else ""


def _behind_trunk(plan: _Plan, digits: str) -> str:
    found = plan.trunk.match(digits) if plan.trunk else None
    if found is None:
        return digits if len(digits) in plan.lengths else ""
    if plan.rewrites and found[len(found.groups())] is not None:
        return ""
    national = digits[found.end() :]
    return national if len(national) in plan.lengths and plan.viable.fullmatch(national) else ""


def _parsed(text: str, land: str) -> str:
    try:
        number = phonenumbers.parse(text, land.upper() or None)
    except phonenumbers.NumberParseException:
        return ""
    possible = phonenumbers.is_possible_number_with_reason(number) == ValidationResult.IS_POSSIBLE
    if not possible or len(set(phonenumbers.national_significant_number(number))) == 1:
        return ""
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


@lru_cache(_PLANS)
def _plan_of_code(code: str) -> _Plan | None:
    return _plan_of_land(phonenumbers.region_code_for_country_code(int(code)).lower())


@lru_cache(_PLANS)
def _plan_of_land(land: str) -> _Plan | None:
    """None for what is no country: the parser knows satellite networks and the like."""
    found = PhoneMetadata.metadata_for_region(land.upper(), None)
    if found is None or found.general_desc is None or not found.general_desc.national_number_pattern:
        return None
    trunk, abroad = found.national_prefix_for_parsing, found.international_prefix
    return _Plan(
        code=str(found.country_code),
        trunk=re.compile(trunk) if trunk else None,
        rewrites=found.national_prefix_transform_rule is not None,
        abroad=re.compile(abroad) if abroad else None,
        viable=re.compile(found.general_desc.national_number_pattern),
        lengths=frozenset(found.general_desc.possible_length),
    )
