"""Personal data as the platforms hash it: every platform's vectors, and what holds of every text."""

import json
import re
import unicodedata
from hashlib import sha256
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import example, given, settings

from consumer.forms import FALLBACK, KIND_OF, KINDS, form
from consumer.ingest import identity
from consumer.ingest.identity import RULES, Address, Customer, hashed, location

VECTORS: list[dict[str, Any]] = [
    vector
    for path in sorted(Path(__file__).with_name("vectors").glob("*.json"))
    for vector in json.loads(path.read_text(encoding="utf-8"))
]
"""Rows of form, raw text, country, normal text, its hash, source, and if it is right; without a form: not hashed."""

HASHED = [each for each in VECTORS if each["form"]]
ADDRESS_FIELDS = {"street", "city", "region", "postal_code", "country"}
LANDS = ["", "us", "gb", "ca", "de", "jp"]
NOT_READ_BACK = {"phone"}
"""Digits of a number without their plus are no number, unless a country is known."""

FEWER = settings(max_examples=40)
"""Where a test runs for each kind or form."""

characters = st.characters(codec="utf-8")
texts = st.one_of(
    st.text(characters, max_size=20),
    st.text(
        st.sampled_from(
            "AaÅåéÉ\u0301\u0307İ\u0131Σς\u03c3ßẞ'\u2019- .@+0123456789()/_,東정\u200d\ufeff\u212a"
        ),
        max_size=16,
    ),
    st.from_regex(r"[A-Za-z0-9._+-]{1,12}@(gmail\.com|[a-z_]{1,6}\.example)", fullmatch=True),
    st.from_regex(r"\+?[0-9 ()./-]{4,18}", fullmatch=True),
    st.from_regex(r"[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}", fullmatch=True),
    st.from_regex(r"[0-9]{1,3} (North|Main|O'Brien|Groß)( Street| St\.|, Apt #[0-9])?", fullmatch=True),
    st.from_regex(r"([A-Z][0-9]){3}|SW1A ?1A[A-Z]|[0-9]{5}(-[0-9]{4})?", fullmatch=True),
)
hexes = st.binary(min_size=32, max_size=32).map(bytes.hex)


def people(kind: str, raw: str, land: str = "") -> tuple[Customer, Address]:
    """A customer of whom nothing is known but this."""
    customer = dict.fromkeys(Customer.__struct_fields__, "")
    address = dict.fromkeys(Address.__struct_fields__, "")
    address["country"] = land
    if kind in ADDRESS_FIELDS:
        address[kind] = raw
    else:
        customer["customer_id" if kind == "external_id" else kind] = raw
    return Customer(**customer), Address(**address)


def hashes(kind: str, raw: str, land: str = "") -> dict[str, str]:
    """The forms of one kind."""
    told = hashed(*people(kind, raw, land))
    return {each: digest for each, digest in told.items() if KIND_OF[each] == kind}


def digest_of(text: str) -> str:
    """The hash of a text, none of none."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest() if text else ""


@pytest.mark.parametrize(
    "vector", HASHED, ids=[f"{each['source']}: {each['raw']} {each['right']}" for each in HASHED]
)
def test_vector(vector: dict[str, Any]) -> None:
    """Each platform's vector has its hash in the form that the platform takes, and never that of a known mistake."""
    assert vector["sha256"] == digest_of(vector["normal"])
    found = form(hashes(KIND_OF[vector["form"]], vector["raw"], vector["country"]), vector["form"])
    assert (found == vector["sha256"]) is vector["right"]


def test_what_is_not_hashed_has_its_reason() -> None:
    """A vector without a form here is of an identifier that a platform takes plain too, or that no shop has."""
    reasons = {each["source"].partition(": ")[2] for each in VECTORS if not each["form"]}
    assert reasons == {"goes plain", "ids of devices come from apps"}


def test_each_form_has_its_line() -> None:
    """Every form has its rule and its platforms in the module's table, and a rule that can make it."""
    lines = {line.split()[0] for line in (identity.__doc__ or "").splitlines() if line.strip()}
    assert [each for each in KIND_OF if each not in lines and not each.startswith("last_name")] == []
    assert set(RULES) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
@given(raw=texts, land=st.sampled_from(LANDS))
@example(raw="Al.ice$+Apple@Gmail.com", land="")
@example(raw="O'Brien-Smith", land="")
@example(raw="東京", land="jp")
@example(raw="SW1A 1AA", land="gb")
def test_each_form_is_the_hash_of_its_text(kind: str, raw: str, land: str) -> None:
    """A form reads as the hash of the text that its rule makes, and what equals its fallback isn't stored again."""
    told = RULES[kind](raw, land)
    found = hashes(kind, raw, land)
    for each in KINDS[kind]:
        assert form(found, each) == digest_of(form(told, each))
        if each in found:
            assert found[each] != form(found, FALLBACK.get(each, ""))


@pytest.mark.parametrize("wanted", [each for each in KIND_OF if each not in NOT_READ_BACK])
@FEWER
@given(raw=texts, land=st.sampled_from(LANDS))
@example(raw="stre et", land="us")
@example(raw="Jane @ shop.example", land="")
@example(raw="\u212a1A 0A6", land="ca")
def test_normal_stays(wanted: str, raw: str, land: str) -> None:
    """What is normal is left as it is: normalising twice is normalising once, for each form."""
    rule = RULES[KIND_OF[wanted]]
    once = form(rule(raw, land), wanted)
    assert not once or form(rule(once, land), wanted) == once


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("raw", ["", " ", "\t\n", "\u200b", "-", "?!", "@", "+", "()"])
def test_nothing_has_no_hash(kind: str, raw: str) -> None:
    """What holds no letter and no digit has no hash: the hash of nothing would match strangers with each other."""
    if kind != "external_id" or not raw.strip():
        assert hashes(kind, raw) == {}


@pytest.mark.parametrize(
    ("kind", "raw", "land"),
    [
        ("email", "nobody", ""),
        ("email", "@shop.example", ""),
        ("email", "a@b@shop.example", ""),
        ("email", "a@shop.example, b@shop.example", ""),
        ("email", "Jane <jane@shop.example>", ""),
        ("email", "mailto:jane@shop.example", ""),
        ("phone", "650 555 1212", ""),
        ("phone", "555-1212", "us"),
        ("phone", "anonymous", ""),
        ("phone", "n/a", "de"),
        ("phone", "+999 1234567", ""),
        ("phone", "+49", ""),
        ("phone", "12", "us"),
        ("phone", "0000000000", "us"),
        ("phone", "999 999 9999", "us"),
        ("phone", "+1 9999999999", ""),
        ("phone", "+49 170 1234567 +49 170 7654321", ""),
        ("gender", "x", ""),
        ("gender", "unknown", ""),
        ("country", "Atlantis", ""),
        ("country", "EU", ""),
        ("date_of_birth", "2/3/1997", ""),
        ("date_of_birth", "1997-02-30", ""),
        ("date_of_birth", "0001-01-01", ""),
        ("date_of_birth", "yesterday", ""),
    ],
)
def test_nothing_is_guessed(kind: str, raw: str, land: str) -> None:
    """What can't be normalised for certain has no hash."""
    assert hashes(kind, raw, land) == {}


@pytest.mark.parametrize(
    ("wanted", "raw", "land", "normal"),
    [
        ("email", "jane doe@shop.example", "", ""),
        ("email_no_spaces", "jane doe@shop.example", "", "janedoe@shop.example"),
        ("email_no_alias", "jane doe@shop.example", "", ""),
        ("email", "...@gmail.com", "", "...@gmail.com"),
        ("email_gmail", "...@gmail.com", "", ""),
        ("email_no_alias", "+shop@contoso.com", "", ""),
        ("email_alphanumeric", "___@contoso.com", "", ""),
        ("email_ascii", "+++@contoso.com", "", ""),
        ("email_ascii", "jane@___", "", ""),
        ("email", "佐藤1@shop.example", "", "佐藤1@shop.example"),
        ("email_ascii", "佐藤1@shop.example", "", ""),
        ("email_alphanumeric", "佐藤.1@shop.example", "", "佐藤1@shop.example"),
        ("email", "j\u0430ne@shop.example", "", "j\u0430ne@shop.example"),
        ("email_ascii", "j\u0430ne@shop.example", "", ""),
        ("phone_e164", "+49 (0)170 1234567 int. 12", "", "+491701234567"),
        ("phone_e164", "+39 (0)6 1234 5678", "", "+390612345678"),
        ("phone_e164", "0171\u20113920011", "de", "+491713920011"),
        (
            "phone_e164",
            "\uff14\uff11\uff15 \uff15\uff15\uff15 \uff10\uff11\uff12\uff13",
            "us",
            "+14155550123",
        ),
        ("first_name", "Anna 安娜", "", "anna安娜"),
        ("first_name_words", "Anna 安娜 2", "", "anna 安娜"),
        ("first_name_ascii", "Anna 安娜", "", "anna"),
        ("first_name_ascii", "安娜", "", ""),
        ("first_name_words", "007", "", ""),
        ("city_ascii", "東京", "jp", ""),
        ("street_short", "千代田1-2-3", "jp", ""),
        ("street_short", "12 North Oak Avenue, Suite 3", "us", "12noakaveste3"),
        ("region_code", "Bayern", "de", ""),
        ("region_code", "Québec", "ca", "qc"),
        ("region_code", "BR-SP", "br", "sp"),
        ("postal_code_digits", "SW1A 1AA", "gb", ""),
        ("postal_code_short", "not known", "gb", ""),
        ("postal_code_short", "1011", "no", ""),
        ("postal_code_short", "110 001", "in", "110001"),
        ("country", "Deutschland", "Deutschland", "de"),
        ("country", " u.s.a. ", " u.s.a. ", "us"),
        ("gender", "Non-binary", "", ""),
        ("gender_n", "Non-binary", "", "n"),
    ],
)
def test_bad_input_has_its_rule(wanted: str, raw: str, land: str, normal: str) -> None:
    """Slips, other scripts, names for codes: each form has what its rule can say for certain, or nothing."""
    assert form(hashes(KIND_OF[wanted], raw, land), wanted) == digest_of(normal)


@pytest.mark.parametrize("kind", KINDS)
@FEWER
@given(raw=texts, land=st.sampled_from(LANDS))
@example(raw="Valéry", land="")
@example(raw="Å", land="")
def test_composed_is_decomposed(kind: str, raw: str, land: str) -> None:
    """The same text in two encodings of Unicode has the same hashes."""
    forms = {norm: hashes(kind, unicodedata.normalize(norm, raw), land) for norm in ("NFC", "NFD")}
    assert forms["NFC"] == forms["NFD"]


@pytest.mark.parametrize("kind", KINDS)
@FEWER
@given(
    raw=st.one_of(texts, st.text(st.characters())),
    land=st.one_of(st.sampled_from(LANDS), st.text(st.characters(), max_size=3)),
)
@example(raw="\ud800", land="\udfff")
def test_any_text_is_borne(kind: str, raw: str, land: str) -> None:
    """Whatever a shop writes, half a surrogate pair included, there are hashes or there are none."""
    assert all(re.fullmatch("(?:[0-9a-f]{64})?", each) for each in hashed(*people(kind, raw, land)).values())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("appendix", ["", ".AQ", ".AQEAAQAB"])
@FEWER
@given(digest=hexes, land=st.sampled_from(LANDS), upper=st.booleans())
def test_hash_is_not_hashed(kind: str, appendix: str, digest: str, land: str, upper: bool) -> None:  # noqa: FBT001
    """A SHA-256 passes as it is, in lower case and bare of an appendix: hashed again it would match nobody."""
    text = digest.upper() if upper else digest
    assert hashes(kind, f" {text}{appendix} ", land) == {kind: digest}


def test_undeclared_hash_is_left_out_where_it_cannot_fit() -> None:
    """A hash of nobody knows which rule counts where it may be right; one of digits is never one with a plus."""
    digest = digest_of("jane@shop.example")
    assert {form(hashes("email", digest), each) for each in KINDS["email"]} == {digest}
    assert form(hashes("phone", digest), "phone") == digest
    assert form(hashes("phone", digest), "phone_e164") == ""
    assert form(hashes("street", digest), "street_short") == ""


@pytest.mark.parametrize("kind", KINDS)
@FEWER
@given(raw=texts, land=st.sampled_from(LANDS))
def test_hashing_twice_is_hashing_once(kind: str, raw: str, land: str) -> None:
    """What was hashed by us stays when it comes back as if it were raw."""
    for digest in hashes(kind, raw, land).values():
        if digest:
            assert hashes(kind, digest, land) == {kind: digest}


@pytest.mark.parametrize("declared", KIND_OF)
@FEWER
@given(raw=texts, digest=hexes, land=st.sampled_from(LANDS))
@example(raw="jane.doe@gmail.com", digest="a" * 64, land="")
@example(raw="", digest="A" * 64, land="")
def test_declared_hash_is_of_its_form_alone(declared: str, raw: str, digest: str, land: str) -> None:
    """A hash of which the shop says how it was made is in that form, and every other form is as without it."""
    customer, address = people(KIND_OF[declared], raw, land)
    without, found = hashed(customer, address), hashed(customer, address, {declared: f" {digest}"})
    assert form(found, declared) == digest.lower()
    assert [each for each in KIND_OF if each != declared and form(found, each) != form(without, each)] == []


@pytest.mark.parametrize("text", ["", "jane@shop.example", "7de8517bce4457e8390aa4006a1880fb", "g" * 64])
def test_declared_hash_that_is_none_changes_nothing(text: str) -> None:
    """A value that is said to be a hash and isn't one is neither passed on nor hashed."""
    told = people("email", "jane@shop.example")
    assert hashed(*told, {"email": text}) == hashed(*told)


@given(raw=st.one_of(texts, st.text(max_size=20)))
def test_raw_prints_nothing(raw: str) -> None:
    """A customer and an address print stars, whatever they hold."""
    customer = Customer(*[raw] * len(Customer.__struct_fields__))
    address = Address(*[raw] * len(Address.__struct_fields__))
    assert (repr(customer), repr(address)) == ("<Customer ****>", "<Address ****>")


def test_what_points_to_one_person_is_not_remembered() -> None:
    """Only what many share is kept in memory, up to a bound: no e-mail, phone, street or id."""
    assert set(identity._SHARED) == set(KINDS) - {"email", "phone", "street", "external_id"}
    assert {known.cache_info().maxsize for known in identity._KNOWN} == {4_096}
    assert not any(hasattr(each, "cache_info") for each in (identity._forms, *RULES.values()))


def test_place_is_plain() -> None:
    """Where a platform takes a place plain it has no white space around it, and its country is a code."""
    place = location(Address("", " New York ", "", " 1229-076 ", " us"))
    assert (place.city, place.region, place.postal_code, place.country) == ("New York", "", "1229-076", "US")


def test_hash_is_no_place() -> None:
    """A hashed city or postal code never counts as a plain one."""
    digest = sha256(b"newyork").hexdigest()
    place = location(Address("", digest, "ny", digest.upper(), "US"))
    assert (place.city, place.region, place.postal_code, place.country) == ("", "ny", "", "US")
