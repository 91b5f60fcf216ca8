"""What platforms' files share: addresses of machines."""

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from consumer.platforms.contract import plain_ip

NEARLY = st.lists(
    st.sampled_from([*"0123459.:", "25", "256", "00", "٣", " ", "%", "f", "::"]), max_size=16
).map("".join)
OCTETS = st.lists(st.integers(0, 300).map(str), min_size=3, max_size=5).map(".".join)


@given(NEARLY | OCTETS | st.ip_addresses().map(str))
def test_an_address_passes_if_the_library_knows_it_and_it_has_no_zone(text: str) -> None:
    """The short way for IPv4 lets through just what the long one does."""
    try:
        ip_address(text.strip())
    except ValueError:
        known = False
    else:
        known = "%" not in text
    assert plain_ip(text) == (text.strip() if known else "")
