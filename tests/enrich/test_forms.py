"""All forms of an identifier come from one record: a mix of two would be nobody's."""

from collections.abc import Callable
from itertools import permutations
from typing import Any, TypeAlias

import hypothesis.strategies as st
import msgspec
from hypothesis import given

from consumer.enrich.context import Context, identity_of, merge
from consumer.enrich.planned import Planned
from consumer.forms import form
from consumer.model import Checkout, Consent, ConsentState, Conversion, Location, Money

Told: TypeAlias = Callable[[list[Planned]], list[Conversion]]
Shop: TypeAlias = Any
STEP = Checkout(
    checkout_id="c1",
    step="CONTACT",
    updated_at_ms=0,
    created_at_ms=0,
    event_id="",
    shop="shop",
    money=Money(),
    items=(),
    identity={},
    location=Location(),
    consent=Consent(ads=ConsentState.GRANTED),
    browser={},
)
EMAILS: tuple[dict[str, str], ...] = (
    {},
    {"email": "a"},
    {"email": "b", "email_gmail": "c"},
    {"email": "a", "email_gmail": ""},
)
CITIES: tuple[dict[str, str], ...] = (
    {},
    {"city": "x", "city_ascii": "y"},
    {"city": "z", "city_ascii": ""},
    {"city": "w"},
)


@given(
    told=st.lists(
        st.tuples(st.sampled_from(EMAILS), st.sampled_from(CITIES), st.integers(1, 3)),
        min_size=2,
        max_size=4,
    )
)
def test_steps_in_any_order_know_the_same(told: list[tuple[dict[str, str], dict[str, str], int]]) -> None:
    """Whatever order steps come in, and some of them twice, each identifier is the newest step's, whole."""
    steps = [
        msgspec.structs.replace(STEP, identity={**email, **city}, updated_at_ms=1_700_000_000_000 + at)
        for email, city, at in told
    ]
    found = []
    for order in permutations(steps):
        context: Context | None = None
        for step in (*order, order[0]):
            context = merge(context, step)
        assert context is not None
        found.append(identity_of(context))
    assert all(each == found[0] for each in found)
    for kind, choices in (("email", EMAILS), ("city", CITIES)):
        assert {each: digest for each, digest in found[0].items() if each.startswith(kind)} in choices


def test_an_order_replaces_what_the_checkout_knew(shop: Shop, told: Told) -> None:
    """An order's e-mail takes the place of every form of the checkout's, and leaves its phone."""
    shop.plan(
        shop.step("CONTACT", identity={"email": "old", "email_gmail": "old2", "phone": "p"}),
        shop.step("COMPLETED", at_s=90),
    )
    (purchase,) = told(shop.plan(shop.order(identity={"email": "new"})))
    assert form(purchase.identity, "email_gmail") == "new"
    assert purchase.identity == {"email": "new", "phone": "p"}
