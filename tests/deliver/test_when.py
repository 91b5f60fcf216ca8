"""Conditions: what they can say, what is refused with a sentence, and that an accepted one always decides."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from consumer.deliver.when import LENGTH_MAX_CHARACTERS, VARIABLES, When, WhenError
from consumer.model import Conversion, EventName

ORDER = Conversion(
    "p", "purchase", 1, "EUR", 1234, 2, shop="de", country="DE", region="BY", consent_region="EU"
)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ('currency in ["EUR"] && country != "CH"', True),
        ('currency in ["USD", "GBP"] || country == "DE"', True),
        ('shop == "de"', True),
        ("shop == 'at'", False),
        ("value > 10.0", True),
        ("value > 10", True),
        ("value >= 12.34 && value <= 12.34", True),
        ("value > 12.34", False),
        ("value in [12.34, 20]", True),
        ("!order_only && !(sale_opt_out || value < -1.0)", True),
        ('event == "refund" || event.startsWith("pur")', True),
        ('country == "CH" ? value > 100.0 : (value > 10.0)', True),
        ('region.matches(r"^B[A-Z]$") // only Bavaria\n && size(region) == 2', True),
        ('shop != "a && b" && shop != "(" && shop != \'"\'', True),
        ('consent_region.endsWith("U") && shop.contains("e")', True),
        ('order_only == false && (country == "CH") == false', True),
        ("true", True),
        ('shop == """d"e"""', False),
        (r'shop == "\"" || shop == r"\"', False),
        ('// where\n shop == "de" // and\n && // when\n value != 1.0', True),
        ('shop in ["at", // ==\n "de"] // &&', True),
    ],
)
def test_what_a_condition_can_say(text: str, holds: bool) -> None:  # noqa: FBT001
    """Markets, shops, values and events."""
    assert When(text).holds(ORDER) is holds


def test_values_are_in_the_currencys_own_unit() -> None:
    """A yen has no cents."""
    assert When("value == 1234").holds(replace(ORDER, currency="JPY"))
    assert repr(When("value == 1234")) == "<When: value == 1234>"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "line 1, character 1"),
        ('shop == "de" &&\n  value >', "line 2, character 10"),
        ('currency = "EUR"', "character 10.*compared with =="),
        ('currency == "EUR" and value > 1', "character 19.*joined by &&"),
        ("not order_only", "joined by &&"),
        ("currency in [EUR]", 'put EUR in quotes, "EUR"'),
        ("currency in [shops]", 'put shops in quotes, "shops"'),
        ("currency == EUR", 'put EUR in quotes, "EUR"'),
        ('countri == "DE"', "countri is unknown .did you mean country"),
        ('email == "a@b.c"', "email is text"),
        ("currency", "'currency' is neither true nor false"),
        ("order_only ? value : value", "'value' is neither"),
        ("1", "neither true nor false"),
        ('shop.startWith("d")', "did you mean startsWith"),
        ("math.greatest(1, 2) == 2", "can't use greatest"),
        ("value / 2.0 > 1.0", "can't use /"),
        ('shop + "x" == "dex"', r"can't use \+"),
        ("int(shop) == 1", "can't use int"),
        ('["de"][0] == shop', r"can't use \["),
        ("[1, 2].all(value, value > 0)", "can't use all and exists"),
        ("[1].map(value, value) == [1]", r"can't use \+"),
        ('{"de": true}.de', "can't use { }"),
        ('value == "x"', "mixes kinds"),
        ("value != shop", "mixes kinds"),
        ("shop < 1", "mixes kinds"),
        ("shop == null", "mixes kinds"),
        ("currency in [1]", "mixes kinds"),
        ('currency in ["EUR", 1]', "mixes kinds"),
        ('currency in "EUR"', "mixes kinds"),
        ('"DE" in country', "mixes kinds"),
        ("!value", "mixes kinds"),
        ("shop.name", "mixes kinds"),
        ("shop.contains(1)", "can't be decided: write it like shop.startsWith"),
        ('value.matches("1")', "can't be decided"),
        ('shop.matches("(")', "unclosed group|regex"),
        ('"de".matches(shop)', "regular expression in quotes"),
        ('shop.matches("(?:a{1000}){1000}")', "regular expression"),
        ("(order_only || sale_opt_out) == true", "write it without comparing"),
        ('shop == "a" // ' + "x" * LENGTH_MAX_CHARACTERS, "2000 characters at most"),
        ("(" * 900 + "true" + ")" * 900, "no condition in CEL"),
    ],
)
def test_what_is_no_condition_is_told(text: str, sentence: str) -> None:
    """Each with what to write instead."""
    with pytest.raises(ValueError, match=sentence):
        When(text)


@pytest.mark.parametrize(
    "hidden", ['value > "x"', 'shop.matches("(")', "value", '"de".matches(shop)', "!shop"]
)
@pytest.mark.parametrize(
    "around",
    ["order_only && {}", "true || {}", "false && (true || !({}))", "true ? true : {}", "false ? {} : true"],
)
def test_what_cel_would_not_look_at_is_looked_at(around: str, hidden: str) -> None:
    """What an example doesn't reach could fail in the shop."""
    with pytest.raises(ValueError, match=r"mixes kinds|can't be decided|neither true"):
        When(around.format(hidden))


def test_what_cannot_be_decided_is_an_error_and_no_answer() -> None:
    """A conversion that enrich can't have made: it must neither pass nor vanish."""
    with pytest.raises(WhenError, match="can't be decided"):
        When("value > 1.0").holds(replace(ORDER, currency="XXX"))


def test_patterns_are_searched_in_linear_time() -> None:
    """These take a backtracking engine longer than the world has been there."""
    for pattern in ("^(a+)+$", "^(a|aa)*$", "(.*)*x"):
        assert not When(f'shop.matches("{pattern}")').holds(replace(ORDER, shop="a" * 50_000 + "!"))


def test_threads_may_share_a_condition() -> None:
    """It was compiled in another, and each gets its own answer."""
    when = When('shop == "de" && value > 10.0')
    wrong: list[str] = []

    def ask(shop: str) -> None:
        wrong.extend(
            shop for _ in range(2_000) if when.holds(replace(ORDER, shop=shop)) is not (shop == "de")
        )

    threads = [threading.Thread(target=ask, args=(shop,)) for shop in ("de", "at", "de", "ch")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


OPERANDS = st.sampled_from(
    [*VARIABLES, '"de"', "'('", "1", "2.5", "true", '["de", "at"]', "[1]", r'r"\"', "null"]
)
SOUND = st.sampled_from(
    [
        "order_only",
        'shop == "("',
        'shop in ["de", "["]',
        "value > 2",
        "value in [1, 2.5]",
        'region.matches("^[^(]?$")',
    ]
)
PARTS = st.one_of(
    SOUND,
    SOUND,
    OPERANDS,
    st.builds("{} {} {}".format, OPERANDS, st.sampled_from(["==", "<", ">=", "in", "&&", "||"]), OPERANDS),
    st.builds("{}.{}({})".format, OPERANDS, st.sampled_from(["matches", "contains", "startsWith"]), OPERANDS),
)
TEXTS = st.recursive(
    PARTS,
    lambda inner: st.one_of(
        st.builds("{} {} {}".format, inner, st.sampled_from(["&&", "||", "=="]), inner),
        st.builds("{} ? {} : {}".format, inner, inner, inner),
        st.builds("({})".format, inner),
        st.builds("!{}".format, inner),
    ),
    max_leaves=6,
)
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
CONVERSIONS = st.builds(
    lambda event, currency, value_minor, place, only, opted: Conversion(
        "p", event.value, 1, currency, value_minor, 2, country=place, region=place, shop=place,
        consent_region=place, order_only=only, sale_opt_out=opted,
    ),
    st.sampled_from(EventName), st.sampled_from(["EUR", "JPY", "KWD"]), st.integers(-(2**63), 2**63 - 1),
    st.one_of(ANY, st.sampled_from(["de", "[", "*"])), st.booleans(), st.booleans(),
)  # fmt: skip


@settings(max_examples=1_000)
@given(TEXTS, st.lists(CONVERSIONS, min_size=1, max_size=5))
def test_what_is_accepted_decides_every_conversion(text: str, conversions: list[Conversion]) -> None:
    """Whatever was written, and whatever comes."""
    try:
        when = When(text)
    except ValueError:
        return
    for conversion in conversions:
        assert when.holds(conversion) in {True, False}
