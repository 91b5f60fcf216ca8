"""Personal data as the platforms hash it: vectors, and what holds of every text."""

import json
import re
import unicodedata
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from consumer.ingest import identity
from consumer.ingest.identity import Address, Customer, hashed, location

VECTORS: list[dict[str, Any]] = json.loads(
    Path(__file__).with_name("identity.json").read_text(encoding="utf-8")
)
CUSTOMER_FIELDS = {"external_id": "customer_id", "phone_e164": "phone"}
ADDRESS_FIELDS = {"city", "region", "postal_code", "country"}
FORMS = [
    "email",
    "first_name",
    "last_name",
    "gender",
    "date_of_birth",
    "external_id",
    "phone",
    *sorted(ADDRESS_FIELDS),
]
LANDS = ["", "us", "gb", "de"]
NORMALISERS: dict[str, Callable[[str, str], str]] = {
    "email": lambda raw, _: identity.email(raw),
    "phone": identity.phone_e164,
    "name": lambda raw, _: identity.name(raw),
    "region": identity.region,
    "postal_code": identity.postal_code,
    "country": lambda raw, _: identity.country(raw),
    "gender": lambda raw, _: identity.gender(raw),
    "date_of_birth": identity.date_of_birth,
    "external_id": lambda raw, _: identity.external_id(raw),
}
characters = st.characters(codec="utf-8")
texts = st.one_of(
    st.text(characters, max_size=20),
    st.text(
        st.sampled_from("AaÅåéÉ\u0301\u0307İ\u0131Σς\u03c3ßẞ'\u2019- .@+0123456789()/東정\u200d\ufeff"),
        max_size=16,
    ),
    st.from_regex(r"\+?[0-9 ()./-]{4,18}", fullmatch=True),
    st.from_regex(r"[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}", fullmatch=True),
)


def hashes(form: str, raw: str, land: str = "") -> dict[str, str]:
    """All hashes of a customer of whom nothing is known but this."""
    customer, address = (
        dict.fromkeys(Customer.__struct_fields__, ""),
        dict.fromkeys(Address.__struct_fields__, ""),
    )
    address["country"] = land
    (address if form in ADDRESS_FIELDS else customer)[CUSTOMER_FIELDS.get(form, form)] = raw
    return hashed(Customer(**customer), Address(**address))


@pytest.mark.parametrize("vector", VECTORS, ids=[f"{vector['form']}: {vector['raw']}" for vector in VECTORS])
def test_vector(vector: dict[str, Any]) -> None:
    """Each vector of Meta's page has its hash, and never that of a known trap."""
    found = hashes(vector["form"], vector["raw"], vector["country"])[vector["form"]]
    assert found == vector["sha256"] == sha256(vector["normal"].encode()).hexdigest()
    assert found != vector.get("trap")


def test_phone_has_a_form_with_plus() -> None:
    """A phone number is hashed with and without its plus: platforms differ."""
    found = hashes("phone", "+49 (0)170 1234567")
    assert found["phone_e164"] == sha256(b"+491701234567").hexdigest()
    assert found["phone"] == sha256(b"491701234567").hexdigest()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("raw", ["", " ", "\t\n", "\u200b", "-", "?!"])
def test_nothing_has_no_hash(form: str, raw: str) -> None:
    """What holds no letter and no digit has no hash: the hash of nothing would match strangers with each other."""
    if form != "external_id" or not raw.strip("\u200b\t\n "):
        assert form not in hashes(form, raw) or form == "external_id"
    assert sha256(b"").hexdigest() not in hashes(form, raw).values()


@pytest.mark.parametrize(
    ("form", "raw"),
    [
        ("email", "nobody"),
        ("email", "a@b@shop.example"),
        ("email", "two words@shop.example"),
        ("phone", "650 555 1212"),
        ("phone", "anonymous"),
        ("phone", "+999 1234567"),
        ("gender", "x"),
        ("country", "Atlantis"),
        ("date_of_birth", "2/3/1997"),
        ("date_of_birth", "1997-02-30"),
        ("date_of_birth", "0001-01-01"),
        ("date_of_birth", "yesterday"),
    ],
)
def test_nothing_is_guessed(form: str, raw: str) -> None:
    """What can't be normalised for certain has no hash."""
    assert hashes(form, raw) == {}


@pytest.mark.parametrize("normaliser", NORMALISERS)
@given(raw=texts, land=st.sampled_from(LANDS))
def test_normal_stays(normaliser: str, raw: str, land: str) -> None:
    """What is normal is left as it is: normalising twice is normalising once."""
    normalise = NORMALISERS[normaliser]
    once = normalise(raw, land)
    assert normalise(once, land) == once


@pytest.mark.parametrize("form", FORMS)
@given(raw=texts, land=st.sampled_from(LANDS))
@example(raw="Valéry", land="")
@example(raw="Å", land="")
def test_composed_is_decomposed(form: str, raw: str, land: str) -> None:
    """The same text in two encodings of Unicode has one hash."""
    forms = {norm: hashes(form, unicodedata.normalize(norm, raw), land) for norm in ("NFC", "NFD")}
    assert forms["NFC"] == forms["NFD"]


@pytest.mark.parametrize("form", FORMS)
@given(digest=st.binary(min_size=32, max_size=32), land=st.sampled_from(LANDS), upper=st.booleans())
@pytest.mark.parametrize("appendix", ["", ".AQ", ".AQEAAQAB"])
def test_hash_is_not_hashed(form: str, appendix: str, digest: bytes, land: str, upper: bool) -> None:  # noqa: FBT001
    """A SHA-256 passes as it is, in lower case and bare of an appendix: hashed again it would match nobody."""
    text = digest.hex().upper() if upper else digest.hex()
    assert hashes(form, f" {text}{appendix} ", land)[form] == digest.hex()


@pytest.mark.parametrize("form", FORMS)
@given(raw=texts, land=st.sampled_from(LANDS))
def test_hashing_twice_is_hashing_once(form: str, raw: str, land: str) -> None:
    """What was hashed by us stays when it comes back as if it were raw."""
    once = hashes(form, raw, land)
    if form in once:
        assert hashes(form, once[form], land)[form] == once[form]
    assert all(re.fullmatch("[0-9a-f]{64}", each) for each in once.values())


@given(raw=st.one_of(texts, st.text(max_size=20)))
def test_raw_prints_nothing(raw: str) -> None:
    """A customer and an address print stars, whatever they hold."""
    customer = Customer(*[raw] * len(Customer.__struct_fields__))
    address = Address(*[raw] * len(Address.__struct_fields__))
    assert (repr(customer), repr(address)) == ("<Customer ****>", "<Address ****>")
    assert all(len(each) == 64 for each in hashed(customer, address).values())


def test_hash_is_no_place() -> None:
    """A hashed city or postal code never counts as a plain one."""
    digest = sha256(b"newyork").hexdigest()
    place = location(Address(digest, "ny", digest.upper(), "US"))
    assert (place.city, place.region, place.postal_code, place.country) == ("", "ny", "", "US")
