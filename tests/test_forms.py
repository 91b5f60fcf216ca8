"""The table of forms, and reading by it."""

import pytest

from consumer.forms import FALLBACK, KIND_OF, KINDS, form, renewed


def test_a_form_falls_back_to_one_of_its_kind_before_it() -> None:
    """No e-mail stands in for a phone, and no two forms wait for each other."""
    for each, on in FALLBACK.items():
        forms = KINDS[KIND_OF[each]]
        assert forms.index(on) < forms.index(each)
    assert [kind for kind, forms in KINDS.items() if forms[0] != kind or kind in FALLBACK] == []
    assert sum(map(len, KINDS.values())) == len(KIND_OF)


@pytest.mark.parametrize("wanted", KIND_OF)
def test_an_unknown_customer_has_no_form(wanted: str) -> None:
    """Nothing is read from nothing, and a form that is said not to exist isn't replaced."""
    assert form({}, wanted) == ""
    assert form({KIND_OF[wanted]: "h", wanted: ""}, wanted) == ""


def test_a_newer_kind_replaces_all_its_forms() -> None:
    """Forms of an older e-mail don't stay beside a newer one; other kinds do."""
    known = {"email": "a", "email_no_alias": "b", "email_ascii": "", "phone": "p", "phone_e164": "q"}
    assert renewed(known, {"email_no_alias": "c"}) == {"email_no_alias": "c", "phone": "p", "phone_e164": "q"}
    assert renewed(known, {}) == known
    assert renewed({}, known) == known
