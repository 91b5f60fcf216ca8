"""Personal data, normalised and hashed once, in every form that a platform asks for.

A form is a rule, not a platform. `consumer/forms.py` says how the map of forms is read: one that equals the form that
it falls back to isn't stored. A platform that wants another rule adds a form there, and its text in one of the
modules named below. Unicode is composed (NFC) and lower case first, but for two forms that keep case.

form                rule                                                          taken by
email               no white space around it                                      Meta, TikTok, Snapchat, X
email_no_spaces     none inside either; else as email                             LinkedIn, Pinterest
email_gmail         of gmail.com and googlemail.com without dots and plus part    Google, GA4
email_no_alias      of every domain without dots and plus part, before the at     Microsoft
email_alphanumeric  the same, and letters and digits only before the at           Reddit
email_ascii         a-z, 0-9, dot, at and dash: a plus goes, what follows stays   Amazon
phone               E.164, digits                                                 Meta, Snapchat, Pinterest, Amazon
phone_e164          E.164, with its plus                                          all others but LinkedIn
first_name          letters, marks and digits, accents stay                       Meta, Snapchat, TikTok
first_name_lower    no white space around it, signs stay                          Google, Pinterest
first_name_words    without digits and signs, words apart                         GA4
first_name_ascii    ß as ss, ä as ae, ø as o; then a-z and 0-9 only               Amazon
last_name…          as first_name…
street              letters and digits, words apart                               Google and GA4 (Analytics)
street_short        a-z and 0-9 only, words of US streets abbreviated             Amazon
city                as first_name                                                 Meta, Snapchat, Pinterest
city_ascii          a-z and 0-9 only                                              Amazon
region              code of a US state, else as city                              Meta
region_code         code of two letters                                           Snapchat, Pinterest, Amazon
postal_code         no spaces and dashes; of the US five digits                   Meta, TikTok, Snapchat
postal_code_digits  the same if it is digits only                                 Pinterest
postal_code_short   five digits, IN six, JP seven; CA and GB whole, in their case Amazon
country             ISO 3166-1 alpha-2                                            Meta, Snapchat, Pinterest
gender              f or m                                                        Meta, Snapchat
gender_n            f, m or n                                                     Pinterest
date_of_birth       YYYYMMDD                                                      Meta, Pinterest, Snapchat
external_id         the shop's id of the customer, no white space                 Meta
external_id_lower   no white space around it                                      Snapchat, Pinterest
external_id_exact   the same, in its case                                         TikTok, Reddit

What can't be normalised has no form; nothing is guessed. Where sources disagree the vendor's own page goes before its
code, and both before others. No platform asks for MD5 or SHA-1. Device ids come from apps, which no shop's checkout
is; the address of the machine stays plain, since each platform takes it so.

A value that already is a SHA-256 passes as the hash of its kind, in lower case: hashed again it would match nobody.
Nobody says of which rule it is, so it counts for each form that may equal it; the hash of a phone counts as that of
its digits. If the mapping declares of which form a hash is, it is that form and no other.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from hashlib import sha256

from msgspec import Struct

from consumer.forms import FALLBACK, KIND_OF, form
from consumer.ingest.dates import date_of_birth
from consumer.ingest.emails import emails
from consumer.ingest.phones import phones
from consumer.ingest.places import country, letters, postal_codes, regions, streets
from consumer.ingest.spelling import composed, composed_in_case, only_ascii, plain, spelled_out, words
from consumer.model import Location

Rule = Callable[[str, str], Mapping[str, str]]
"""Raw text and the code of its country to the texts that are hashed, by form."""

_CACHED = 4_096
"""Of each kind that many customers share; e-mails, phones, streets and ids are of one alone, and stay in no memory."""

_HEX = 64
_HASH = re.compile(r"[0-9a-fA-F]{64}(?:\.[\w-]{8}|\.\w{2})?", re.ASCII)
_PLAIN_ID = re.compile(r"[!-@\[-~]+", re.ASCII)
"""ASCII without white space and capitals: the same by every rule."""
_GENDERS = {
    **dict.fromkeys(("f", "female", "woman"), "f"),
    **dict.fromkeys(("m", "male", "man"), "m"),
    **dict.fromkeys(("n", "nonbinary", "neutral"), "n"),
}
_FALLING_BACK = {each: [form for form, on in FALLBACK.items() if on == each] for each in FALLBACK.values()}
_FALLBACK = {each: FALLBACK.get(each, "") for each in KIND_OF}
_NOTHING: Mapping[str, str] = {}


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
    """A place, raw. It prints no value."""

    street: str
    city: str
    region: str
    postal_code: str
    country: str

    def __bool__(self) -> bool:
        return bool(self.city or self.region or self.postal_code or self.country or self.street)

    def __repr__(self) -> str:
        return "<Address ****>"


def hashed(customer: Customer, address: Address, declared: Mapping[str, str] = _NOTHING) -> dict[str, str]:
    """Form to SHA-256 in lower-case hex, of all forms that the customer gives.

    `declared` is form to hash, for values that the shop delivers hashed and of which it says how.
    """
    land = country(address.country)
    first_name, last_name, gender, born, city, region, postal_code, of_country = _KNOWN
    forms = {
        **_forms("email", customer.email, land),
        **_forms("phone", customer.phone, land),
        **_forms("external_id", customer.customer_id, land),
        **_forms("street", address.street, land),
        **first_name(customer.first_name, land),
        **last_name(customer.last_name, land),
        **gender(customer.gender, land),
        **born(customer.date_of_birth, land),
        **city(address.city, land),
        **region(address.region, land),
        **postal_code(address.postal_code, land),
        **of_country(address.country, land),
    }
    for each, digest in declared.items():
        _declare(forms, each, digest)
    return forms


def location(address: Address) -> Location:
    """The coarse place, plain; a hash is no place."""
    land = country(address.country)
    told = (address.region, address.city, address.postal_code)
    return Location(land.upper(), *("" if is_hash(each) else each.strip() for each in told))


def is_hash(text: str) -> bool:
    """Say if it is a SHA-256 in hex, bare or with the appendix that Meta's parameter builder writes."""
    return len(text) >= _HEX and _HASH.fullmatch(text) is not None


def _forms(kind: str, raw: str, land: str) -> dict[str, str]:
    if not raw:
        return {}
    if len(raw) >= _HEX and is_hash(bare := raw.strip()):
        return {kind: bare[:_HEX].lower()}
    texts = RULES[kind](raw, land)
    hashes = {"": ""}
    found = {}
    for each, text in texts.items():
        if text != texts.get(_FALLBACK[each], ""):
            if text not in hashes:
                hashes[text] = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
            found[each] = hashes[text]
    return found


def _declare(forms: dict[str, str], declared: str, digest: str) -> None:
    """Set one form and change no other: what fell back to it keeps what it had, be it nothing."""
    if not is_hash(bare := digest.strip()):
        return
    for each in _FALLING_BACK.get(declared, ()):
        forms[each] = form(forms, each)
    forms[declared] = bare[:_HEX].lower()


def _names(kind: str) -> Rule:
    def rule(raw: str, _land: str) -> Mapping[str, str]:
        text = composed(raw).strip()
        if text.isascii() and text.isalpha():
            return {kind: text}
        named = plain(text)
        return {
            kind: named,
            f"{kind}_lower": text if named else "",
            f"{kind}_words": words(text),
            f"{kind}_ascii": only_ascii(spelled_out(text)),
        }

    return rule


def _cities(raw: str, _land: str) -> Mapping[str, str]:
    text = composed(raw)
    return {"city": plain(text), "city_ascii": only_ascii(text)}


def _genders(raw: str, _land: str) -> Mapping[str, str]:
    found = _GENDERS.get(letters(raw), "")
    return {"gender": "" if found == "n" else found, "gender_n": found}


def _external_ids(raw: str, _land: str) -> Mapping[str, str]:
    if _PLAIN_ID.fullmatch(raw):
        return {"external_id": raw}
    lower = composed(raw).strip()
    return {
        "external_id": "".join(lower.split()),
        "external_id_lower": lower,
        "external_id_exact": composed_in_case(raw).strip(),
    }


RULES: Mapping[str, Rule] = {
    "email": emails,
    "phone": phones,
    "first_name": _names("first_name"),
    "last_name": _names("last_name"),
    "street": streets,
    "city": _cities,
    "region": regions,
    "postal_code": postal_codes,
    "country": lambda raw, _: {"country": country(raw)},
    "gender": _genders,
    "date_of_birth": lambda raw, land: {"date_of_birth": date_of_birth(raw, land)},
    "external_id": _external_ids,
}
_SHARED = ("first_name", "last_name", "gender", "date_of_birth", "city", "region", "postal_code", "country")
_KNOWN = tuple(lru_cache(_CACHED)(partial(_forms, kind)) for kind in _SHARED)
