"""Personal data, normalised and hashed once, in every form that a platform asks for.

The map of forms is open: a platform that wants another form adds a line to `hashed`. Forms and their rules:

email          trimmed, lower case
phone          digits with country code; `phone_e164` the same with its plus
first_name, last_name, city
               lower case, letters, marks and digits only; accents stay
region         two-letter code of a US state, else as a city
postal_code    lower case without spaces and dashes; of the US the first five digits
country        ISO 3166-1 alpha-2, lower case
gender         f or m
date_of_birth  YYYYMMDD
external_id    the shop's own id of the customer, lower case, without white space

Unicode is composed (NFC) first: the same name in two encodings must give one hash. What can't be normalised has no
form; nothing is guessed. A value that already is a SHA-256 passes as the hash of its form, in lower case: hashed
again it would match nobody. Rules and vectors: Meta's page on customer information parameters, v26.0.
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable
from datetime import date
from functools import lru_cache

import phonenumbers
from msgspec import Struct

from consumer.ingest.places import COUNTRIES, US_STATES, letters
from consumer.model import Location

_CACHED = 16_384
"""Names and places of customers repeat; e-mails and phone numbers don't."""

_HEX = 64
_MONTHS = 12
_OLDEST_YEAR = 1900
_PHONE_MIN_DIGITS = 8
_PHONE_MAX_DIGITS = 15
_HASH = re.compile(r"[0-9a-fA-F]{64}(?:\.[\w-]{8}|\.\w{2})?", re.ASCII)
_INTERNATIONAL = re.compile(r"(?:\+|00)[\d\s./()-]+", re.ASCII)
_NOT_DIGITS = re.compile(r"\D+", re.ASCII)
_CALLING_CODES = frozenset(str(code) for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
_GENDERS = {"f": "f", "female": "f", "woman": "f", "m": "m", "male": "m", "man": "m"}
_ISO_DATE = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?:[T ].*)?", re.ASCII)
_SLASHED_DATE = re.compile(r"(\d\d?)/(\d\d?)/(\d{4})", re.ASCII)
_DOTTED_DATE = re.compile(r"(\d\d?)\.(\d\d?)\.(\d{4})", re.ASCII)


class Customer(Struct, frozen=True):
    """Who bought, raw. Never leaves ingest; it prints no value."""

    customer_id: str
    email: str
    phone: str
    first_name: str
    last_name: str
    gender: str
    date_of_birth: str

    def __repr__(self) -> str:
        return "<Customer ****>"


class Address(Struct, frozen=True):
    """A place without its street, raw. It prints no value."""

    city: str
    region: str
    postal_code: str
    country: str

    def __bool__(self) -> bool:
        return bool(self.city or self.region or self.postal_code or self.country)

    def __repr__(self) -> str:
        return "<Address ****>"


def hashed(customer: Customer, address: Address) -> dict[str, str]:
    """Form to SHA-256 in lower-case hex, of all forms that the customer gives."""
    land = country(address.country)
    forms = {
        "email": _hash(customer.email, email),
        "first_name": _cached_hash(customer.first_name, name),
        "last_name": _cached_hash(customer.last_name, name),
        "city": _cached_hash(address.city, name),
        "region": _cached_hash(address.region, region, land),
        "postal_code": _cached_hash(address.postal_code, postal_code, land),
        "country": _cached_hash(address.country, country),
        "gender": _cached_hash(customer.gender, gender),
        "date_of_birth": _hash(customer.date_of_birth, date_of_birth, land),
        "external_id": _hash(customer.customer_id, external_id),
    }
    if customer.phone:
        forms |= _phones(customer.phone, land)
    return {form: digest for form, digest in forms.items() if digest}


def location(address: Address) -> Location:
    """The coarse place, plain; a hash is no place."""
    land = country(address.country)
    plain = (
        "" if is_hash(each) else each.strip() for each in (address.region, address.city, address.postal_code)
    )
    return Location(land.upper(), *plain)


def is_hash(text: str) -> bool:
    """Say if it is a SHA-256 in hex, bare or with the appendix that Meta's parameter builder writes."""
    return len(text) >= _HEX and _HASH.fullmatch(text) is not None


def email(raw: str) -> str:
    """An address as Meta's page has it: neither dots nor a plus part are touched; empty if it is none.

    >>> email(" Jane.Doe+Shopping@Example.COM ")
    'jane.doe+shopping@example.com'
    """
    address = _composed(raw.strip())
    user, at, domain = address.rpartition("@")
    return address if user and at and domain and "@" not in user and len(address.split()) == 1 else ""


def phone_e164(raw: str, land: str) -> str:
    """A plus, the country code and the number; a national number takes its country's code. Empty if it is none.

    >>> phone_e164("+49 (0)170 1234567", ""), phone_e164("(650)555-1212", "us"), phone_e164("650 555 1212", "")
    ('+491701234567', '+16505551212', '')
    """
    text = raw.replace("(0)", "").strip()
    if _INTERNATIONAL.fullmatch(text):
        digits = _NOT_DIGITS.sub("", text).removeprefix("00")
        if _is_plain(digits):
            return f"+{digits}"
        text = f"+{digits}"
    try:
        number = phonenumbers.parse(text, land.upper() or None)
    except phonenumbers.NumberParseException:
        return ""
    possible = phonenumbers.is_possible_number(number)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) if possible else ""


def _is_plain(digits: str) -> bool:
    """Say if it has a possible length, a country code that exists and no trunk zero behind it."""
    if not _PHONE_MIN_DIGITS <= len(digits) <= _PHONE_MAX_DIGITS:
        return False
    code = next((digits[:size] for size in (1, 2, 3) if digits[:size] in _CALLING_CODES), "")
    return bool(code) and digits[len(code)] != "0"


def name(raw: str) -> str:
    """Lower case, letters, marks and digits of any script, nothing else.

    >>> name("O'Brien-Smith"), name("van der Berg"), name("São Paulo"), name("정")
    ('obriensmith', 'vanderberg', 'sãopaulo', '정')
    """
    text = _composed(raw)
    if text.isalnum():
        return text
    return _composed("".join(each for each in text if unicodedata.category(each)[0] in "LMN"))


def region(raw: str, land: str) -> str:
    """Code of a US state, or the name of a region as a city's; a code with its country's prefix loses it.

    >>> region("California", "us"), region("US-CA", "us"), region("Bayern", "de")
    ('ca', 'ca', 'bayern')
    """
    text = _composed(raw).strip()
    plain = name(text.removeprefix(f"{land}-") if land else text)
    return US_STATES.get(plain, plain) if land in {"us", ""} else plain


def postal_code(raw: str, land: str) -> str:
    """Without spaces and dashes; of the US the first five digits.

    >>> postal_code("94035-1234", "us"), postal_code("SW1A 1AA", "gb"), postal_code("1229-076", "pt")
    ('94035', 'sw1a1aa', '1229076')
    """
    plain = name(raw)
    return plain[:5] if land == "us" else plain


def country(raw: str) -> str:
    """ISO 3166-1 alpha-2 in lower case, from either code or the English name; empty if there is no such country.

    >>> country("DE"), country("United States"), country("GBR"), country("Atlantis")
    ('de', 'us', 'gb', '')
    """
    return COUNTRIES.get(raw.lower()) or COUNTRIES.get(letters(_composed(raw)), "")


def gender(raw: str) -> str:
    """`f` or `m`; empty for anything else."""
    return _GENDERS.get(raw.strip().lower(), "")


def date_of_birth(raw: str, land: str) -> str:
    """YYYYMMDD. Of two numbers before a slash the month is the one that can be it; the US write it first.

    >>> date_of_birth("1997-02-16", ""), date_of_birth("2/16/1997", ""), date_of_birth("2/3/1997", "us")
    ('19970216', '19970216', '19970203')
    >>> date_of_birth("2/3/1997", "de")
    ''
    """
    text = raw.strip()
    if found := _ISO_DATE.fullmatch(text):
        year, month, day = (int(part) for part in found.groups())
    elif found := _DOTTED_DATE.fullmatch(text):
        day, month, year = (int(part) for part in found.groups())
    elif found := _SLASHED_DATE.fullmatch(text):
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


def external_id(raw: str) -> str:
    """The shop's id of the customer, as a pixel with automatic matching sends it.

    >>> external_id(" User 42 ")
    'user42'
    """
    return "".join(_composed(raw).split())


def _composed(text: str) -> str:
    """Lower case and composed; ASCII, the common case, is both by lower case alone."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())


def _phones(raw: str, land: str) -> dict[str, str]:
    """Both forms of a phone; a hash says not which of them it is, and counts as the one without plus."""
    if is_hash(bare := raw.strip()):
        return {"phone": bare[:_HEX].lower()}
    number = phone_e164(raw, land)
    return {"phone": _sha256(number[1:]), "phone_e164": _sha256(number)} if number else {}


def _hash(raw: str, normalise: Callable[..., str], *context: str) -> str:
    """Hash of the normalised text; empty if nothing is left of it."""
    if not raw:
        return ""
    if is_hash(bare := raw.strip()):
        return bare[:_HEX].lower()
    normal = normalise(raw, *context)
    return _sha256(normal) if normal else ""


_cached_hash = lru_cache(_CACHED)(_hash)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
