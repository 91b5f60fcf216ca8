"""The forms of values and the walk over an event's JSON, as platforms' files write their tables with them."""

import re
from decimal import Decimal

import pytest

from consumer.emulators import demands
from consumer.emulators.demands import Finding, Holds, Listed, Shape, findings, money, money_text, read

ITEM = Shape({"id": demands.text, "quantity": demands.count}, demanded=("id",))
EVENT = Shape(
    {
        "name": demands.text,
        "value": demands.amount,
        "user": Shape({"em": demands.hashed}),
        "items": Listed(ITEM),
    },
    demanded=("name",),
)


def told(text: str) -> list[tuple[str, str]]:
    """What is wrong with an event, in short."""
    return [(found.kind, found.dotted) for found in findings(read(text.encode()), EVENT)]


def test_what_is_right_is_silent() -> None:
    """All the way down."""
    assert told('{"name":"x","value":1.5,"user":{"em":"%s"},"items":[{"id":"a"}]}' % ("0" * 64)) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{}", [("missing", "name")]),
        ("[]", [("wrong", "")]),
        ('{"name":1,"more":2}', [("wrong", "name"), ("unknown", "more")]),
        ('{"name":"x","user":[]}', [("wrong", "user")]),
        ('{"name":"x","user":{"em":"A"}}', [("wrong", "user.em")]),
        ('{"name":"x","items":[]}', [("wrong", "items")]),
        ('{"name":"x","items":{"id":"a"}}', [("wrong", "items")]),
        (
            '{"name":"x","items":[{"id":"a"},{"quantity":0}]}',
            [("missing", "items[1].id"), ("wrong", "items[1].quantity")],
        ),
    ],
)
def test_each_difference_is_found_at_its_path(text: str, found: list[tuple[str, str]]) -> None:
    """Missing keys first, then the rest as it comes."""
    assert told(text) == found


def test_more_keys_than_known_may_be_free_and_long_ones_are_cut() -> None:
    """A shape says which; a client's text is not told back whole."""
    assert list(findings({"any": 1}, Shape({}, more=True))) == []
    (found,) = findings({"k" * 100: 1}, Shape({}))
    assert found == Finding(("k" * 40,), "unknown", f"unexpected key {'k' * 40!r}")


@pytest.mark.parametrize(
    ("holds", "right", "wrong"),
    [
        (demands.text, ["a"], ["", " ", 1, None]),
        (demands.text_up_to(2), ["ab"], ["abc", " ", 1]),
        (demands.whole, [-1, 0], [True, Decimal("1.0"), "1"]),
        (demands.none_or_more, [0], [-1, False]),
        (demands.count, [1], [0, True]),
        (demands.flag, [True], [1, "true"]),
        (demands.amount, [0, Decimal("0.5")], [-1, "1", True]),
        (demands.amount_text, ["0", "12.50"], ["-1", "1,2", "1e3", "", 1]),
        (demands.currency, ["USD", "usd"], ["Usd", "XXX", 1]),
        (demands.currency_upper, ["USD"], ["usd", None]),
        (demands.an_object, [{}], [[], None]),
        (demands.ip, ["203.0.113.9", "2001:db8::1"], ["fe80::1%eth0", "x", 1]),
        (demands.hashed, ["a1" * 32], ["A1" * 32, "a1", 1]),
        (demands.form(re.compile("a+")), ["aa"], ["ab", 1]),
        (demands.form(demands.COUNTRY_UPPER), ["DE"], ["de", "DEU"]),
        (demands.form(demands.COUNTRY_LOWER), ["de"], ["DE"]),
        (demands.form(demands.UUID), ["0123abcd-0000-5000-8000-0123456789ab"], ["0123abcd"]),
        (demands.form(demands.ADDRESS), ["https://shop.example/a"], ["shop.example", "https://"]),
        (demands.among(1, 2), [1], [True, 3]),
        (demands.each(demands.text), [["a"]], [[], ["a", 1], "a"]),
        (demands.one_or_each(demands.text), ["a", ["a"]], [[], [1]]),
    ],
)
def test_each_form_knows_its_own(holds: Holds, right: list[object], wrong: list[object]) -> None:
    """And nothing else."""
    assert [value for value in right if not holds(value)] == []
    assert [value for value in wrong if holds(value)] == []


def test_money_is_read_in_minor_units() -> None:
    """From a number or from a text, never from the other; no part of a minor unit."""
    assert money(Decimal("12.34"), "usd") == (1234, "USD")
    assert money(Decimal("0.305"), "USD") == (None, "USD")
    assert money("12.34", "USD") == money(True, "USD") == money(1, "XXX") == (None, "")
    assert money_text("12.345", "KWD") == (12345, "KWD")
    assert money_text(Decimal("12.34"), "USD") == money_text("-1", "USD") == (None, "")
