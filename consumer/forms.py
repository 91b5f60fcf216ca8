"""Forms of an identifier: which belong together, and which stands in for another.

A platform hashes by its own rule, so one e-mail has several hashes. `ingest/identity.py` says which rule makes which
form and who takes it; here is how a map of forms is read. A form that isn't there equals the one it falls back to,
so that equal texts share one hash and one key; a form that is the empty string doesn't exist, though what it would
fall back to does. The first form of a kind falls back to nothing.
"""

from collections.abc import Mapping
from typing import TypeVar

Fact = TypeVar("Fact")

KINDS: Mapping[str, tuple[str, ...]] = {
    "email": (
        "email",
        "email_no_spaces",
        "email_gmail",
        "email_no_alias",
        "email_alphanumeric",
        "email_ascii",
    ),
    "phone": ("phone", "phone_e164"),
    "first_name": ("first_name", "first_name_lower", "first_name_words", "first_name_ascii"),
    "last_name": ("last_name", "last_name_lower", "last_name_words", "last_name_ascii"),
    "street": ("street", "street_short"),
    "city": ("city", "city_ascii"),
    "region": ("region", "region_code"),
    "postal_code": ("postal_code", "postal_code_digits", "postal_code_short"),
    "country": ("country",),
    "gender": ("gender", "gender_n"),
    "date_of_birth": ("date_of_birth",),
    "external_id": ("external_id", "external_id_lower", "external_id_exact"),
}
"""What an identifier is of, to its forms; a form comes behind the one it falls back to."""

FALLBACK: Mapping[str, str] = {
    "email_no_spaces": "email",
    "email_gmail": "email",
    "email_no_alias": "email_gmail",
    "email_alphanumeric": "email_no_alias",
    "email_ascii": "email",
    "first_name_lower": "first_name",
    "first_name_words": "first_name",
    "first_name_ascii": "first_name",
    "last_name_lower": "last_name",
    "last_name_words": "last_name",
    "last_name_ascii": "last_name",
    "city_ascii": "city",
    "region_code": "region",
    "postal_code_digits": "postal_code",
    "postal_code_short": "postal_code",
    "gender_n": "gender",
    "external_id_lower": "external_id",
    "external_id_exact": "external_id_lower",
}
"""Texts with and without a plus, or with and without spaces, are never equal: phones and streets fall back to none."""

KIND_OF: Mapping[str, str] = {form: kind for kind, forms in KINDS.items() for form in forms}


def form(identity: Mapping[str, str], wanted: str) -> str:
    """The hash of one form; empty if the customer gave nothing that has it.

    >>> form({"email": "h1", "email_no_alias": "h2"}, "email_gmail")
    'h1'
    >>> form({"email": "h1", "email_no_alias": "h2"}, "email_alphanumeric")
    'h2'
    >>> form({"city": "h3", "city_ascii": ""}, "city_ascii"), form({"phone": "h4"}, "phone_e164")
    ('', '')
    """
    while wanted:
        found = identity.get(wanted)
        if found is not None:
            return found
        wanted = FALLBACK.get(wanted, "")
    return ""


def renewed(known: Mapping[str, str], told: Mapping[str, str]) -> Mapping[str, str]:
    """`known`, with each kind that `told` has taken from there as a whole: a mix of two would be nobody's.

    >>> renewed({"email": "h1", "email_gmail": "h2", "city": "h3"}, {"email": "h4"})
    {'city': 'h3', 'email': 'h4'}
    """
    if not known or not told:
        return told or known
    kinds = {KIND_OF.get(each, each) for each in told}
    return {
        **{each: digest for each, digest in known.items() if KIND_OF.get(each, each) not in kinds},
        **told,
    }


def by_kind(facts: Mapping[str, Fact]) -> dict[str, list[tuple[Fact, str]]]:
    """Kind to what is told of its forms, each with the form's name, in an order of their own."""
    kinds: dict[str, list[tuple[Fact, str]]] = {}
    for each in sorted(facts):
        kinds.setdefault(KIND_OF.get(each, each), []).append((facts[each], each))
    return kinds
