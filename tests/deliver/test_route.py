"""Which conversions a destination is sent, and why it isn't sent the others."""

import msgspec
import pytest

from consumer.deliver.route import DEADLINE_MARGIN_MS, Expire, Refuse, Send, Skip, Wants, Way, route
from consumer.deliver.when import When
from consumer.model import ConsentState, Conversion
from consumer.platforms import PLATFORMS
from consumer.platforms.contract import Account, Secret

NOW_MS = 1_790_000_000_000
HOUR_MS = 3_600_000
PLATFORM = msgspec.structs.replace(
    PLATFORMS["meta"],
    events={"purchase": "Purchase"},
    limits=msgspec.structs.replace(PLATFORMS["meta"].limits, age_max_ms=100 * HOUR_MS, future_max_ms=HOUR_MS),
)
ACCOUNT = Account("https://p.example", "1", Secret("t"))
WANTS = Wants(frozenset({"purchase", "refund"}), ACCOUNT)


def purchase(hours_ago: float = 1, enriched_hours_ago: float = 0, **changes: str) -> Conversion:
    """A purchase of so many hours ago."""
    at_ms = NOW_MS - round(hours_ago * HOUR_MS)
    made = Conversion("p", "purchase", at_ms, "EUR", 1, NOW_MS - round(enriched_hours_ago * HOUR_MS))
    return msgspec.structs.replace(made, **changes)


@pytest.mark.parametrize(
    ("conversion", "started_hours_ago", "way"),
    [
        (purchase(event_name="begin_checkout"), 50, Skip("not_wanted")),
        (purchase(event_name="refund"), 50, Skip("no_refund")),
        (purchase(consent_ads=ConsentState.DENIED.value), 50, Skip("consent")),
        (purchase(150, consent_ads=ConsentState.DENIED.value), 50, Skip("consent")),
        (purchase(101), 500, Skip("too_old")),
        (purchase(101, 0.5), 500, Skip("too_old")),
        (purchase(101, 50), 50, Expire()),
        (purchase(101, 50), 0.5, Skip("too_old")),
        (purchase(99), 0, Send(NOW_MS - 100 * HOUR_MS, NOW_MS + HOUR_MS - DEADLINE_MARGIN_MS)),
        (purchase(-5), 0, Send(NOW_MS + 4 * HOUR_MS, NOW_MS + 105 * HOUR_MS - DEADLINE_MARGIN_MS)),
        (
            purchase(1, consent_ads=ConsentState.UNSPECIFIED.value),
            0,
            Send(NOW_MS - 2 * HOUR_MS, NOW_MS + 99 * HOUR_MS - DEADLINE_MARGIN_MS),
        ),
    ],
)
def test_way_of_a_conversion(conversion: Conversion, started_hours_ago: float, way: Way) -> None:
    """What isn't wanted or was too old from the start is skipped; what grew too old with us has expired."""
    started_ms = NOW_MS - round(started_hours_ago * HOUR_MS)
    assert route(conversion, PLATFORM, WANTS, started_ms, NOW_MS) == way


def test_condition_decides() -> None:
    """Only what the destination's condition holds for is sent; what it can't decide is refused, and says why."""
    wants = msgspec.structs.replace(WANTS, when=When('currency == "EUR" && value > 5.0'))
    dear = msgspec.structs.replace(purchase(), value_minor=501)
    assert isinstance(route(dear, PLATFORM, wants, 0, NOW_MS), Send)
    assert route(purchase(), PLATFORM, wants, 0, NOW_MS) == Skip("when")
    assert route(purchase(currency="USD"), PLATFORM, wants, 0, NOW_MS) == Skip("when")
    assert isinstance(route(purchase(currency="???"), PLATFORM, wants, 0, NOW_MS), Refuse | Skip)


def test_consent_is_for_the_platforms_purpose() -> None:
    """A platform of analytics needs that consent, and not the one for advertising."""
    analytics = msgspec.structs.replace(PLATFORM, purpose="analytics")
    denied = ConsentState.DENIED.value
    for conversion, platform, sent in (
        (purchase(consent_ads=denied), PLATFORM, False),
        (purchase(consent_ads=denied), analytics, True),
        (purchase(consent_analytics=denied), analytics, False),
        (purchase(consent_analytics=denied), PLATFORM, True),
    ):
        way = route(conversion, platform, WANTS, 0, NOW_MS)
        assert isinstance(way, Send) if sent else way == Skip("consent")


def test_sale_opt_out_without_a_field_for_it() -> None:
    """Who opted out of sale isn't told to a platform that can't be told that they did."""
    opted_out = msgspec.structs.replace(purchase(), sale_opt_out=True)
    blunt = msgspec.structs.replace(PLATFORM, limited_use=False)
    assert route(opted_out, blunt, WANTS, 0, NOW_MS) == Skip("sale_opt_out")
    assert isinstance(route(purchase(), blunt, WANTS, 0, NOW_MS), Send)
    assert isinstance(route(opted_out, PLATFORM, WANTS, 0, NOW_MS), Send)


@pytest.mark.parametrize(("late_ms", "way"), [(-1, Send), (0, Expire), (1, Expire)])
def test_window_closes_at_its_margin(late_ms: int, way: type[Way]) -> None:
    """At the margin before the platform's own end the window is closed for us."""
    conversion = purchase(50, 50)
    now_ms = conversion.event_time + PLATFORM.limits.age_max_ms - DEADLINE_MARGIN_MS + late_ms
    assert isinstance(route(conversion, PLATFORM, WANTS, 0, now_ms), way)
