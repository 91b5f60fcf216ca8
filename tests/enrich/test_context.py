"""Facts of a checkout: the newest step wins by a short way, which must lead where the long one does."""

from hypothesis import given
from hypothesis import strategies as st

from consumer.enrich.context import Fact, _with, _with_identity

AT_MS = 1_000
TEXTS = st.sampled_from(["", "a", "b"])
OLDER: st.SearchStrategy[Fact] = st.tuples(st.integers(0, AT_MS - 1), st.sampled_from(["a", "b", "c"]))
NAMES = st.sampled_from(["fbp", "fbc", "ip", "country"])
FORMS = st.sampled_from(["email", "email_gmail", "phone", "phone_e164", "city", "city_ascii", "country"])


@given(st.dictionaries(NAMES, OLDER), st.dictionaries(NAMES, TEXTS))
def test_the_newest_facts_win_as_if_each_were_compared(known: dict[str, Fact], told: dict[str, str]) -> None:
    """Later than all that is known, each value that isn't empty replaces the older one."""
    compared = _with(known, told.items(), AT_MS, newest=False)
    assert _with(known, told.items(), AT_MS, newest=True) == compared


@given(st.dictionaries(FORMS, OLDER), st.dictionaries(FORMS, st.sampled_from(["a", "b"])))
def test_the_newest_identity_wins_as_if_each_kind_were_compared(
    known: dict[str, Fact], told: dict[str, str]
) -> None:
    """Later than all that is known, each kind told is taken as a whole, and the other kinds stay."""
    compared = _with_identity(known, told, AT_MS, newest=False)
    assert _with_identity(known, told, AT_MS, newest=True) == compared
